"""The self-driving car: five manoeuvres, three prices, and what a reward leaves unsaid

Document 001's example has an agent, a state, five actions (accelerate, brake, steer, change lanes,
stop) and a reward: for a short way in time, against abrupt braking and collisions.  It names no
number.  On a road of three lanes, small enough for a table, every choice of numbers has its best
driver, exactly.

Look at what each price does when the others stay.  Without a reward for the way standing still is
as good as driving.  Without a price for collisions it drives into others when that is quicker.
Between the two there is a trade: so much way for so many collisions, and somebody has to say which.
"""
from itertools import islice

import numpy as np

from rlscratch.formulas import td
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks.car import ACTIONS, CRASH, STATES, three_lanes
from rlscratch.train.tabular.q_learning import falling
from rlscratch.train.tabular.q_learning_many import learn_many

BUDGET = 6  # seconds of processor time
SPEED = np.array([speed for _, speed, _ in STATES] + [0])


# %% What a driver does, exactly: from the discounted visits of each state and action.
def best(**prices: float) -> np.ndarray:
    return td.epsilon_greedy(three_lanes(**prices).solve()[0].round(9), 0.0)


def drives(policy: np.ndarray) -> tuple[float, float, float, float]:
    """Cells a step, collisions, abrupt stops and changes of lanes in 1,000 steps."""
    road = three_lanes()
    visits = road.occupancy(policy)
    visits[CRASH] = 0
    share = visits / visits.sum()
    after = np.einsum("sa,sat->t", share, road.transition)
    abrupt = share[SPEED == 2, ACTIONS.index("stop")].sum()
    then = np.stack([np.minimum(SPEED + 1, 2), np.maximum(SPEED - 1, 0), SPEED, SPEED, 0 * SPEED])
    cells = (share * then.T).sum()
    return cells, 1000 * after[CRASH], 1000 * abrupt, 1000 * share[:, 3].sum()


rows = []
for name, prices in (("the way 1, abrupt 1, collision 50", {}),
                     ("nothing for the way", {"time": 0.0}),
                     ("collisions are free", {"collision": 0.0}),
                     ("abrupt stops are free", {"abrupt": 0.0}),
                     ("abrupt stops cost 20", {"abrupt": 20.0}),
                     ("a collision costs 5,000", {"collision": 5000.0})):
    cells, crashes, abrupt, changes = drives(best(**prices))
    rows.append((name, f"{cells:.3f}", f"{crashes:.2f}", f"{abrupt:.1f}", f"{changes:.0f}"))
print("The best driver for each reward; the last three in 1,000 steps\n")
print(table(("reward", "cells a step", "collisions", "abrupt stops", "lane changes"), rows))

# %% The trade: what a collision has to cost.
prices, curve = (0, 2, 5, 10, 20, 50, 100, 300, 1000, 5000), []
for price in prices:
    cells, crashes, _, _ = drives(best(collision=float(price)))
    curve.append((cells, crashes))
print("\nThe price of a collision, and what is bought with it\n")
print(table(("price", "cells a step", "collisions in 1,000 steps"), [
    (price, f"{cells:.3f}", f"{crashes:.2f}")
    for price, (cells, crashes) in zip(prices, curve, strict=True)]))

# %% The best driver's table, full speed: what to do by lane and gap.
policy = best()
rows = []
for lane, name in ((2, "left"), (1, "middle"), (0, "right")):
    rows.append((name, *(ACTIONS[policy[STATES.index((lane, 2, gap))].argmax()]
                         for gap in range(4))))
print("\nAt full speed, collision 50\n")
print(table(("lane", "gap 0", "gap 1", "gap 2", "far"), rows))

# %% The same road without its table: 30 Q-learners, 20,000 steps, episodes of 200 steps.
road = three_lanes()
q = np.zeros((30, CRASH + 1, 5))
for _ in islice(learn_many(road, q, horizon=200, alpha=falling(0.5, 0.01),
                           epsilon=lambda step: 0.3, rng=np.random.default_rng(0)), 20_000):
    pass
v = road.start @ road.solve()[1]
worth = [road.discounted_return(td.epsilon_greedy(one, 0.0)) for one in q]
crashes = [drives(td.epsilon_greedy(one, 0.0))[1] for one in q]
print(f"\nQ-learning: worth {np.median(worth):.2f} (the worst of 30 {min(worth):.2f}), the best "
      f"driver {v:.2f};\ncollisions in 1,000 steps {np.median(crashes):.2f}, the best driver's "
      f"{drives(policy)[1]:.2f}")


# %% The trade as a curve.
def draw() -> None:
    fig, ax = figures.new(width=6.0, height=3.4)
    cells, crashes = np.transpose(curve)
    ax.plot(crashes, cells, "o-", ms=5)
    for price, x, y in zip(prices, crashes, cells, strict=True):
        if price in (0, 10, 50, 5000):
            ax.annotate(f"{price}", (x, y), (7, -4), textcoords="offset points", fontsize=8)
    ax.set(title="best drivers, by the price of a collision", xlabel="collisions in 1,000 steps",
           ylabel="cells a step")
    figures.save(fig, "48_the_car", "What the best driver makes of each price of a collision: "
                 "faster and more collisions, or slower and fewer. No reward says by itself "
                 "which point is meant.")


draw()

# %% Try it.  Look farther ahead: best(gamma=0.99) in the first table.
# What came out: collisions fall from .65 to 0.00 in 1,000 steps, cells a step from 1.694 to 1.578.
# A collision costs all the way that would have come after it, and that has become longer.
