"""Returns and discounting: what a row of rewards is worth, and which of two conventions is meant

Documents 000, 001 and 004.  Six moves cross the frozen lake and only the last is rewarded.
Document 001 leaves the first reward undiscounted, document 004 (1.4.3) counts time from 1 and
writes gamma^t all the same, so the two disagree by one factor gamma: .95099 against .94148.

Look for document 000's trained table, which settles it: along the path it printed .9510, .9606,
..., 1.0000, the rewards-to-go of the first convention.  And for the last table: a total over few
steps, a discounted sum and a long-run average are three objectives, and they need not want the
same policy.
"""
import numpy as np

from rlscratch import documents
from rlscratch.formulas.returns import (
    average_reward,
    discounted_return,
    rewards_to_go,
    total_return,
)
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
PRINTED = {entry.id: entry.printed for entry in documents.entries()}

# %% One row of rewards, four numbers.
REWARDS, GAMMA = [0, 0, 0, 0, 0, 1], 0.99
total = total_return(REWARDS)
average = average_reward(REWARDS)
from_power_0 = discounted_return(REWARDS, GAMMA)
from_power_1 = discounted_return(REWARDS, GAMMA, first_power=1)
print(table(("return of 0, 0, 0, 0, 0, 1", "formula", "value"), [
    ("total (004, 1.4.1)", "sum of r_t", f"{total:.5f}"),
    ("average (004, 1.4.2)", "sum of r_t / 6", f"{average:.5f}"),
    ("discounted (000, 001)", ".99^5", f"{from_power_0:.5f}"),
    ("discounted (004, 1.4.3)", ".99^6", f"{from_power_1:.5f}")]))

# %% Rewards-to-go: what is still to come, at every step of the document's path 0 4 8 9 13 14 15.
PATH = ((0, "Down"), (4, "Down"), (8, "Right"), (9, "Down"), (13, "Right"), (14, "Right"))
to_go = rewards_to_go(REWARDS, GAMMA)
late = GAMMA * to_go
rows = []
for t, (state, move) in enumerate(PATH):
    document = PRINTED[f"S0.qtable.{state}.{move}"]
    rows.append((state, move, f"{document:.4f}", f"{to_go[t]:.4f}", f"{late[t]:.4f}"))
print()
print(table(("state", "move", "table of document 000", "from gamma^0", "from gamma^1"), rows))
print("\nThe table is the first column of ours, to the last digit: "
      "gamma^0 on the reward that answers the move.")

# %% A row of two episodes: the discount is 0 where one ends, and nothing leaks into it from the
# next.
rewards, discount = [1, 2, 4, 0, 8], [0.5, 0.5, 0, 0.5, 0]
both = rewards_to_go(rewards, discount)
print()
print(table(("t", "reward", "discount", "reward-to-go"), [
    (t, rewards[t], discount[t], f"{both[t]:g}") for t in range(5)]))

# %% Three objectives.  "Grab" leads to room 1 and pays 3 from the start, 1 from there on; "wait"
# leads to room 2 and pays nothing at first, 2 from there on.  Two policies: always grab, always
# wait.
moves = np.tile([[0, 1, 0], [0, 0, 1]], (3, 1, 1))             # transition[s, a, s']
pay = np.array([[3, 0], [1, 0], [3, 2]])                       # reward[s, a]
grab, wait = np.tile([1, 0], (3, 1)), np.tile([0, 1], (3, 1))


def discounted(gamma: float) -> tuple[float, float]:
    """The discounted objective of both policies."""
    world = MDP(moves, pay, gamma, start=0)
    return world.discounted_return(grab), world.discounted_return(wait)


world = MDP(moves, pay, 0.9, start=0)
objectives = {}
for T in (2, 4, 8):
    objectives[f"total over {T} steps"] = world.total_return(grab, T), world.total_return(wait, T)
for gamma in (0.5, 0.75, 0.9):
    objectives[f"discounted, gamma {gamma}"] = discounted(gamma)
objectives["average per step"] = world.average_reward(grab), world.average_reward(wait)
rows = []
for name, (a, b) in objectives.items():
    better = "either" if np.isclose(a, b) else "first" if a > b else "second"
    rows.append((name, f"{a:.3f}", f"{b:.3f}", better))
print()
print(table(("objective", "3, then 1 a step", "0, then 2 a step", "better"), rows))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.0, height=3.4)
    t = np.arange(6)
    axes[0].plot(t, to_go, "o-", color=figures.BLUE, label="from gamma^0 (001)")
    axes[0].plot(t, late, "s--", color=figures.ORANGE, label="from gamma^1 (004)")
    axes[0].plot(t, [PRINTED[f"S0.qtable.{s}.{a}"] for s, a in PATH], "x", color=figures.BLACK,
                 ms=10, mew=1.5, label="document 000's table")
    axes[0].set(title="Rewards-to-go on the lake", xlabel="step t of six",
                ylabel="in units of reward")
    axes[0].legend()
    gammas = np.linspace(0.5, 0.9, 41)
    first, second = zip(*map(discounted, gammas), strict=True)
    axes[1].plot(gammas, first, color=figures.BLUE)
    axes[1].plot(gammas, second, "--", color=figures.ORANGE)
    axes[1].text(0.5, 5.5, "3, then 1 a step", color=figures.BLUE)
    axes[1].text(0.62, 1.9, "0, then 2 a step", color=figures.ORANGE)
    axes[1].plot(0.75, discounted(0.75)[0], "o", color=figures.BLACK)
    axes[1].annotate("gamma = 3/4: equal", (0.75, discounted(0.75)[0]), (0.6, 9.5),
                     arrowprops={"arrowstyle": "-"})
    axes[1].set(title="The discount decides what is best", xlabel="gamma",
                ylabel="discounted return, in units of reward")
    figures.save(fig, "06_returns_and_discounting", "Left: what each step of the lake's six still "
                 "earns under both conventions; the crosses are document 000's trained values. "
                 "Right: the discounted returns of two policies; the patient one is better exactly "
                 "when gamma exceeds 3/4.")


draw()

# %% Try it.  Let "wait" pay 1 a step instead of 2, in the last entry of pay.  From which gamma on
# is waiting better?
# What came out: from none.  Grabbing is better in every total and for every gamma (12 against 9 at
# .9); only the average, 1.000 each, cannot tell them apart: it forgets the first step.
