"""The frozen lake solved exactly: what Q-learning's table should have become

Document 000, "Q-Table with Highlights".  The lake is Gymnasium's FrozenLake without slipping, and
its own table of moves is all that is needed: value iteration repeats Q(s,a) = r + 0.99 max
Q(s',.) until no number changes any more.  No episode is run, nothing is sampled.

Look for the pattern: every value is a power of 0.99, the number of moves after this one.  Then
compare the document's table, which one training run left behind: 50 of its 64 entries are these
values to the last printed digit, 14 (marked *) are still on their way, all of them too small,
none too large.
"""
import gymnasium
import numpy as np

from rlscratch.documents.d000_q_learning import ACTIONS, GAMMA, PRINTED
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% Value iteration: Q(s, a) = sum over s' of P(s'|s, a) (R + gamma max Q(s', .)), again and again.
env = gymnasium.make("FrozenLake-v1", is_slippery=False)
lake = MDP.from_gymnasium(env, gamma=GAMMA)
q, before = np.zeros((16, 4)), None
while not np.array_equal(q, before):
    before = q
    v = q.max(axis=1)                                       # 0 in holes and in the goal
    q = (lake.transition * (lake.reward + GAMMA * v)).sum(axis=2)

# %% Hold the document's table against it: * where it is off by half a unit of its last digit or
# more.
letters = [letter.decode() for letter in env.unwrapped.desc.ravel()]
wrong = np.abs(PRINTED - q) > 0.00005 + 1e-9
headers, rows = ["state", ""], []
for action in ACTIONS:
    headers += [f"{action} doc", f"{action} Q*"]
for s in range(16):
    row = [s, letters[s]]
    for a in range(4):
        row += [f"{PRINTED[s, a]:.4f}{'*' if wrong[s, a] else ' '}", f"{q[s, a]:.4f}"]
    rows.append(row)
print(table(headers, rows))
agree, unfinished = (~wrong).sum(), wrong.sum()
below = bool((PRINTED[wrong] < q[wrong]).all())
print(f"\n{agree} of {wrong.size} entries agree to four digits; {unfinished} (*) are unfinished, "
      f"all below Q*: {below}")

# %% The values are powers of gamma: count the moves that follow.
moves = np.log(q[q > 0]) / np.log(GAMMA)
whole = np.allclose(moves, moves.round(), atol=1e-9)
print(f"every positive value is 0.99^k, k = {abs(moves.min()):.0f} to {moves.max():.0f}: {whole}")
print(f"the start is worth 0.99^5 = {v[0]:.6f}: six moves, of which the last is paid in full")

# %% Does an unfinished table mislead?  Its arrow in state 1 does.
for s in (0, 1, 2, 3):
    best = np.flatnonzero(np.isclose(q[s], q[s].max()))
    printed = np.flatnonzero(np.isclose(PRINTED[s], PRINTED[s].max()))
    print(f"state {s}: best {' or '.join(ACTIONS[a] for a in best)}; "
          f"the document's table says {' or '.join(ACTIONS[a] for a in printed)}")


# %% Both tables as maps: the colour is the best value of a state, the arrows its best moves.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=7.4, height=3.9)
    STEPS = ((-1, 0), (0, 1), (1, 0),
             (0, -1))                  # Left, Down, Right, Up; the y axis points down
    for ax, values, title in ((axes[0], q, "Q*, exact"),
                              (axes[1], PRINTED, "the document's table")):
        best = np.where(np.isin(letters, ("H", "G")), np.nan, values.max(axis=1)).reshape(4, 4)
        image = ax.imshow(best, cmap="cividis", vmin=0.93, vmax=1)
        for s, letter in enumerate(letters):
            y, x = divmod(s, 4)
            if letter in "HG":
                ax.text(x, y, {"H": "hole", "G": "goal"}[letter], ha="center", va="center",
                        weight="bold")
                continue
            ink = "black" if best[y, x] > 0.96 else "white"
            ax.text(x, y - 0.08, f"{best[y, x]:.4f}".lstrip("0"), ha="center", color=ink,
                    fontsize=8)
            for a in np.flatnonzero(np.isclose(values[s], values[s].max())):
                dx, dy = STEPS[a]
                ax.annotate("", (x + 0.68 * dx, y + 0.2 + 0.44 * dy),
                            (x + 0.34 * dx, y + 0.2 + 0.1 * dy),
                            arrowprops={"arrowstyle": "simple, head_width=0.6, head_length=0.5, "
                                        "tail_width=0.2",
                                        "fc": "white", "ec": "black", "lw": 0.8, "shrinkA": 0,
                                        "shrinkB": 0})
            if values is PRINTED and wrong[s].any():
                ax.text(x - 0.44, y - 0.36, "*" * wrong[s].sum(), ha="left", va="center", color=ink,
                        fontsize=9)
        ax.set(title=title, xlabel="column", ylabel="row", xticks=range(4), yticks=range(4))
        ax.grid(False)
    fig.colorbar(image, ax=axes, label="value of the best move, in units of reward", shrink=0.8,
                 extend="min")
    figures.save(fig, "04_frozen_lake_exact", "The best value of each state and the arrows of its "
                 "best moves, exact and as the document prints it, in units of reward. Stars count "
                 "a state's unfinished entries: they lie off the path that the document's run "
                 "walked, and in state 1 the arrow points the wrong way.")


draw()

# %% Try it.  Make the lake with is_slippery=True.  What is the start worth now, and in which states
# is its best move the same?
# What came out: .5420, and of the four states shown none: 0 says Left, the others Up, towards walls
# and away from holes.  The powers of .99 are gone, for chance mixes many lengths of path.
