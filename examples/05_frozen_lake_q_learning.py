"""Q-learning on the frozen lake: the document's table, learned again

Document 000, "Q-Table with Highlights".  Gymnasium's FrozenLake without slipping; half of the moves are
random, the other half the best the table knows, and each changes one entry by the update of rung 3.
Nobody tells the learner where the goal is: the first reward is found by chance.

Look at three things.  The path from the start is worth exactly what value iteration says (rung 4), long
before the whole table is.  Every entry rises, and none ever exceeds Q*.  And how ties are broken decides
whether anything is learned at all: always taking the first of equal entries walks into the wall.
"""
from itertools import islice

import numpy as np

from rlscratch.documents.d000_q_learning import ACTIONS, ALPHA, GAMMA, PRINTED, greedy_path
from rlscratch.formulas import td
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import State, falling, learn

BUDGET = 5  # seconds of processor time

# %% How rare the first reward is, exactly: one episode of at most 100 steps on a table of zeros.
lake = Lake("4x4", slippery=False, gamma=GAMMA)
best, best_v = lake.best
print(table(("ties", "epsilon", "reaches the goal", "one episode in"), [
    (ties, epsilon, f"{p:.3g}", f"{1 / p:,.0f}") for ties in ("share", "first") for epsilon in (0.1, 0.5)
    for p in [lake.success_probability(td.epsilon_greedy(np.zeros((16, 4)), epsilon, ties=ties))]]))

# %% Train: 20,000 steps.  After each, is 0 <= Q <= Q*?
state = State.zeros((16, 4), np.random.default_rng(0))
route = greedy_path(PRINTED)[:-1]
steps, errors, above, below = [], [], 0.0, 0.0
for _ in islice(learn(lake.env, state, gamma=GAMMA, alpha=falling(ALPHA), epsilon=lambda t: 0.5), 20_000):
    above, below = max(above, (state.q - best).max()), min(below, state.q.min())
    if state.step % 200 == 0:
        steps.append(state.step)
        errors.append([abs(state.q.max(axis=1) - best_v)[route].max(), abs(state.q - best).max()])
q = state.q
print(f"\n{state.step} steps, {state.episode} episodes.  "
      f"At every step 0 <= Q <= Q*: least Q {below:.6f}, greatest Q - Q* {above:.6f}")

# %% The greedy path: the document's, ours, and what the best moves are worth.
ours, document = lake.greedy_path(q), greedy_path(PRINTED)
print("\npath, document:", *document)
print("path, ours:    ", *ours)
print(table(("move", "document", "ours", "0.99^k"), [
    (k + 1, f"{PRINTED[d].max():.4f}", f"{q[o].max():.4f}", f"{GAMMA ** (5 - k):.4f}")
    for k, (d, o) in enumerate(zip(document[:-1], ours[:-1], strict=True))]))
greedy = td.epsilon_greedy(q, 0.0, ties="share")
print(f"the greedy policy reaches the goal with probability {lake.success_probability(greedy):.4f}")

# %% The whole table.  * marks entries that are not yet Q* to four decimals: 14 in the document's.
unfinished = {name: abs(values - best) > 0.00005 + 1e-9 for name, values in (("document", PRINTED), ("ours", q))}
print()
print(table(("state", *(f"{a} {what}" for a in ACTIONS for what in ("document", "ours"))), [
    (s, *(f"{values[s, a]:.4f}{'*' if unfinished[name][s, a] else ' '}" for a in range(4)
          for name, values in (("document", PRINTED), ("ours", q)))) for s in range(16) if not lake.mdp.terminal[s]]))
print("entries on their way:", ", ".join(f"{name} {flags.sum()}" for name, flags in unfinished.items()),
      "- all too small:", all(bool((values[flags] < best[flags]).all()) for values, flags in
                              zip((PRINTED, q), unfinished.values(), strict=True)))

# %% The learned table as a map, with the arrows of its best moves, and how the errors went.
fig, (ax, curve) = figures.new(columns=2, width=7.8, height=3.8)
arrows = ((-0.4, 0), (0, 0.4), (0.4, 0), (0, -0.4))          # Left, Down, Right, Up; the y axis points down
letters = lake.env.unwrapped.desc.astype(str).ravel()
value = np.where(lake.mdp.terminal, np.nan, q.max(axis=1))
image = ax.imshow(value.reshape(4, 4), cmap="cividis", vmin=0, vmax=1)
for s, letter in enumerate(letters):
    y, x = divmod(s, 4)
    ink = "black" if lake.mdp.terminal[s] or value[s] > 0.5 else "white"
    text = {"H": "hole", "G": "goal"}.get(letter, f"{value[s]:.4f}")
    ax.text(x, y if lake.mdp.terminal[s] else y - 0.2, text, ha="center", va="center", color=ink, fontsize=8)
    for a in np.flatnonzero(greedy[s] > 0) if not lake.mdp.terminal[s] else ():
        dx, dy = arrows[a]
        ax.annotate("", (x + dx / 2, y + 0.18 + dy / 2), (x - dx / 2, y + 0.18 - dy / 2),
                    arrowprops={"arrowstyle": "-|>", "color": ink, "lw": 1.6, "mutation_scale": 11})
ax.set(title="learned", xlabel="column", ylabel="row", xticks=range(4), yticks=range(4))
ax.grid(False)
fig.colorbar(image, ax=ax, label="best Q of the state, in units of reward", shrink=0.75)
labels = ("best move, worst on the document's path", "worst of the table")
for values, label, marker in zip(np.transpose(errors), labels, "os", strict=True):
    curve.plot(steps, np.maximum(values, 1e-6), marker=marker, markevery=12, markersize=4, label=label)
curve.set(yscale="log", xlabel="steps in the environment", ylabel="|Q - Q*|, in units of reward", title="error")
curve.legend(fontsize=8, loc="center right")
figures.save(fig, "05_frozen_lake_q_learning", "Left: the learned value of each state and the arrows of its best "
             "moves. Right: the error on the path falls by orders of magnitude while entries off the path are still "
             "unlearned, as in the document's table; values below 1e-6 are drawn there.  In units of reward.")
