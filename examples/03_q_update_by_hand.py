"""The Q-learning update by hand: one number changes

Document 000, "Q-learning Update Rule" and "Applying Bellman's Equation".  A table of zeros, one
row a state and one column an action.  After every move one entry goes a tenth of the way (alpha)
from where it is to the target, which is the reward plus 0.99 (gamma) times the best entry of the
next state.

The first update changes nothing: nothing is paid, and the next state knows nothing yet.  Once
state 4 knows that Down is good, state 0 learns from it.  Look for how slowly a value comes to
rest at its target, and how it walks back from the goal, one state for each time the path is
walked.
"""
import numpy as np

from rlscratch.documents.d000_q_learning import ACTIONS, ALPHA, DOWN, GAMMA, LEARNING, RIGHT
from rlscratch.formulas import td
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% The document's two updates of Q(0, Down), which leads to state 4.
printed = {entry.id: "-" if entry.printed is None else entry.printed for entry in LEARNING}
zeros = np.zeros((16, len(ACTIONS)))
knows = zeros.copy()
knows[4, DOWN] = 0.5
rows = []
for number, q in (("first", zeros), ("second", knows)):
    target = td.q_target(0, q[4], GAMMA)                        # r + gamma max Q(4, .)
    new = td.q_learning_update(q, 0, DOWN, 0, 4, alpha=ALPHA, discount=GAMMA)[0, DOWN]
    rows.append((f"{number}: target 0 + {GAMMA} x {q[4].max()}",
                 printed.get(f"S0.update.{number}.td_target", ""), f"{target:.4f}"))
    rows.append((f"{number}: Q(0, Down) = 0 + {ALPHA} x ({target:.3f} - 0)",
                 printed[f"S0.update.{number}"], f"{new:.4f}"))
print(table(("update", "document", "ours"), rows))

# %% The same update again and again: the distance to the target shrinks by a tenth each time.
q, path = knows, [0.0]
for _ in range(50):
    q = td.q_learning_update(q, 0, DOWN, 0, 4, alpha=ALPHA, discount=GAMMA)
    path.append(q[0, DOWN])
rows = []
for n in (1, 2, 5, 10, 20, 50):
    closed_form = 0.495 * (1 - 0.9**n)
    rows.append((n, f"{path[n]:.6f}", f"{closed_form:.6f}"))
print()
print(table(("updates", "Q(0, Down)", "0.495 (1 - 0.9^n)"), rows))

# %% Six moves to the goal, again and again: the reward of the last reaches the first in the sixth
# walk.
walk = ((0, DOWN, 4), (4, DOWN, 8), (8, RIGHT, 9), (9, DOWN, 13), (13, RIGHT, 14), (14, RIGHT, 15))
q, history = zeros, []
for _ in range(200):
    for s, a, s_next in walk:
        ends = s_next == 15
        reward, discount = (1.0, 0) if ends else (0.0, GAMMA)   # nothing follows the goal
        q = td.q_learning_update(q, s, a, reward, s_next, ALPHA, discount)
    history.append([q[s, a] for s, a, _ in walk])
history = np.array(history)
rows = []
for n in (1, 2, 3, 6, 20, 50, 200):
    rows.append((n, *(f"{value:.6f}" for value in history[n - 1])))
print()
print(table(("walks", *(f"Q({s}, {ACTIONS[a]})" for s, a, _ in walk)), rows))
powers = GAMMA ** np.arange(5, -1, -1)
arrived = np.abs(history[-1] - powers).max() < 0.00005
print(f"after 200 walks, 0.99^5 ... 0.99^0 to four decimals: {arrived}")


# %% Both as curves.
def draw() -> None:
    fig, (left, right) = figures.new(columns=2, width=7.6, height=3.4)
    left.plot(path, marker="o", markersize=3)
    left.axhline(0.495, color=figures.BLACK, linestyle="--", linewidth=1)
    left.annotate("target 0.495", (50, 0.495), (0, 4), textcoords="offset points", ha="right")
    left.set(title="One entry, one target", xlabel="updates of Q(0, Down)",
             ylabel="Q(0, Down), in units of reward")
    for (s, a, _), curve, marker in zip(walk, history.T, "os^vDP", strict=True):
        right.plot(np.arange(1, 101), curve[:100], marker=marker, markevery=20, markersize=5,
                   label=f"Q({s}, {ACTIONS[a]})")
    right.legend(fontsize=8)
    right.set(title="Six entries, one reward", xlabel="walks to the goal",
              ylabel="Q, in units of reward")
    figures.save(fig, "03_q_update_by_hand", "Left: with the target held at 0.495, each update of "
                 "Q(0, Down) closes a tenth of what is left.  Right: six moves walked again and "
                 "again.  The reward is paid for the last; the value moves back one state a walk, "
                 "more slowly the further it has to come.  In units of reward.")


draw()

# %% Try it.  Set the step size of both loops to .5 instead of ALPHA.  After how many walks does
# Q(0, Down) have its first two digits, .95?
# What came out: .9313 after 20 walks (before: .0107) and .9510 after 50 (before: .3651).  The first
# reward still arrives in the sixth walk: that is the path's length, not the step size.
