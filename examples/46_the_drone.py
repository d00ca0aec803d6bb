"""The drone: two thrusts that are numbers, wind that nobody sees, a tree in the way

Document 004, 1.3: a drone that "navigates through a forest", paid for arriving, punished for a
crash, each step costs energy.  It is an environment of Gymnasium, gymnasium.make("rlscratch.train.
control.drone:rlscratch/Drone-v0"), and PPO learns to fly it with two small networks: an actor whose
output is the mean of a Gaussian, rung 45's, and a critic.

Look at who crashes.  A pilot who steers straight at the target and brakes by hand hits the tree
half of the time.  Nobody tells the network that there is a way round; that is in the
rewards.  Here it trains for some seconds; make bars has the whole training.
"""
from collections.abc import Callable

import gymnasium
import numpy as np

from rlscratch.formulas.standard_error import mean_error
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.control.ppo import RECIPES, Learner, Settings

BUDGET = 14  # seconds of processor time
UPDATES, EPISODES = 45, 100
NAME = RECIPES["drone"][0]

# %% What it sees and what it may do.
env = gymnasium.make(NAME, render_mode="ansi")
seen, _ = env.reset(seed=3)
names = ("place east", "place north", "speed east", "speed north", "target east", "target north",
         "tree east", "tree north", "battery")
print(env.render().replace("." * 20 + "\n", "", 1))
sight = [[name, f"{x:+.2f}"] for name, x in zip(names, seen, strict=True)]
print("\n" + table(["it sees", "now"], sight) + "\n")
print(f"it does: thrust in {env.action_space.low.tolist()} to {env.action_space.high.tolist()}; "
      f"at most {env.spec.max_episode_steps} steps of .1 s")


# %% A pilot by hand: straight at the target, braking.  And one flight as it went, for the figure.
def straight(seen: np.ndarray) -> np.ndarray:
    to_target = seen[4:6] / np.linalg.norm(seen[4:6])
    return np.clip(1.2 * to_target - 6 * seen[2:4], -1, 1)


def flights(pilot: Callable[[np.ndarray], np.ndarray], episodes: int) -> tuple[np.ndarray, list]:
    """Of each flight: return, reached, crashed, steps; and the way of each."""
    found, ways = [], []
    for i in range(episodes):
        seen, _ = env.reset(seed=10_000 + i)
        total, steps, over, way = 0.0, 0, False, [seen[:2]]
        while not over:
            seen, reward, ended, cut, said = env.step(pilot(seen))
            total, steps, over = total + reward, steps + 1, ended or cut
            way.append(seen[:2])
        found.append((total, said["reached"], said["crash"], steps))
        drone = env.unwrapped
        ways.append((np.array(way), drone.tree, drone.target, said["reached"]))
    return np.array(found, float), ways


# %% PPO: batches of 2,048 steps, 6 epochs each.
learner = Learner(NAME, Settings(lr=3e-3, epochs=6, entropy=0.01), np.random.default_rng(0))
before, _ = flights(learner.act, EPISODES)
rows, curve = [], []
for update, row in enumerate(learner.learn(UPDATES), 1):
    curve.append(row["mean_return"])
    if update in (1, 10, 20, 30, UPDATES):
        sigma = np.exp(learner.theta["log_std"].data)
        rows.append((update, f"{update * row['steps']:,}", f"{row['mean_return']:+.2f}",
                     f"{sigma[0]:.2f}", f"{sigma[1]:.2f}"))
print()
print(table(("batches", "steps", "return, exploring", "sigma east", "sigma north"), rows))

# %% Who arrives.
after, ways = flights(learner.act, EPISODES)
by_hand, _ = flights(straight, EPISODES)
rows = []
for name, found in (("network, untrained", before), ("straight, by hand", by_hand),
                    ("network, after PPO", after)):
    rows.append((name, f"{found[:, 1].mean():.3f}", f"{found[:, 2].mean():.3f}",
                 f"{found[:, 0].mean():+.2f}", f"{found[:, 3].mean() / 10:.1f}"))
print(f"\n{EPISODES} flights each, the same winds for all; the likeliest thrust\n")
print(table(("pilot", "reached", "crashed", "return", "seconds"), rows))
error = mean_error(after[:, 1:2])
print(f"standard error of the last share reached: {error:.3f}")


# %% Some flights.
def draw() -> None:
    fig, axes = figures.new(columns=3, rows=1, width=9.0, height=3.2)
    for ax, (way, tree, target, reached) in zip(axes, ways[:3], strict=True):
        place = 5 * (way + 1)
        ax.add_patch(figures.plt.Circle(tree, 1.2, color=figures.GREEN))
        ax.add_patch(figures.plt.Circle(target, 0.6, color=figures.ORANGE))
        ax.plot(*place.T, color=figures.BLUE)
        ax.set(xlim=(0, 10), ylim=(0, 10), aspect="equal", xlabel="east, m", ylabel="north, m",
               title="arrived" if reached else "did not arrive")
    figures.save(fig, "46_the_drone", "Three flights of the trained drone: the tree in green, the "
                 "target in orange. The wind is different in each, and it is not among what the "
                 "network sees.")


draw()

# %% Try it.  Hide its speed: train with NAME.replace("Drone-v0", "DroneWithoutSpeed-v0"), then with
# "DroneTwoFrames-v0", and learner.evaluate(300, 10_000) instead of flights.
# What came out: without its speed .610 arrive instead of .930.  Two frames, of which the speed is a
# difference, are no help in so short a time, .530: the network first has to find that difference.
