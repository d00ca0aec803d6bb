"""Q-learning on the frozen lake: the document's table, learned again

Document 000, "Q-Table with Highlights".  Gymnasium's FrozenLake without slipping; half of the
moves are random, the other half the best the table knows, and each changes one entry by the
update of rung 3.  Nobody tells the learner where the goal is: the first reward is found by
chance.

Look at three things.  The path from the start is worth exactly what value iteration says (rung
4), long before the whole table is.  Every entry rises, and none ever exceeds Q*.  And how ties
are broken decides whether anything is learned at all: always taking the first of equal entries
walks into the wall.
"""
import numpy as np

from rlscratch import kernels
from rlscratch.documents.d000_q_learning import ACTIONS, ALPHA, GAMMA, PRINTED, greedy_path
from rlscratch.formulas import td
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular.lake import Lake

BUDGET = 4  # seconds of processor time

# %% How rare the first reward is, exactly: one episode of at most 100 steps on a table of zeros.
lake = Lake("4x4", slippery=False, gamma=GAMMA)
best, best_v = lake.best
rows = []
for ties in ("share", "first"):
    for epsilon in (0.1, 0.5):
        policy = td.epsilon_greedy(np.zeros((16, 4)), epsilon, ties=ties)
        p = lake.success_probability(policy)
        rows.append((ties, epsilon, f"{p:.3g}", f"{1 / p:,.0f}"))
print(table(("ties", "epsilon", "reaches the goal", "one episode in"), rows))

# %% Q-learning: 20,000 steps.  After each, is 0 <= Q <= Q*?
EPSILON = 0.5
rng, env = np.random.default_rng(0), lake.env
q, over, episodes = np.zeros((16, 4)), True, 0
route = greedy_path(PRINTED)[:-1]
steps, errors, above, below = [], [], 0.0, 0.0
for step in range(1, 20_001):
    if over:
        s, _ = env.reset(seed=int(rng.integers(2**31)))
    policy = td.epsilon_greedy(q[s], EPSILON, ties="share")
    a = kernels.draw(policy[None], rng.random(1))[0]
    s_next, reward, terminated, truncated, _ = env.step(a)
    discount = 0.0 if terminated else GAMMA                 # nothing follows the goal or a hole
    target = reward + discount * q[s_next].max()
    q[s, a] += ALPHA * (target - q[s, a])
    over = terminated or truncated
    episodes += over
    s = s_next
    above, below = max(above, (q - best).max()), min(below, q.min())
    if step % 200 == 0:
        on_the_path = np.abs(q.max(axis=1) - best_v)[route].max()
        steps.append(step)
        errors.append([on_the_path, np.abs(q - best).max()])
print(f"\n{step} steps, {episodes} episodes.  "
      f"At every step 0 <= Q <= Q*: least Q {below:.6f}, greatest Q - Q* {above:.6f}")

# %% The greedy path: the document's, ours, and what the best moves are worth.
ours, document = lake.greedy_path(q), greedy_path(PRINTED)
print("\npath, document:", *document)
print("path, ours:    ", *ours)
print(table(("move", "document", "ours", "0.99^k"), [
    (k + 1, f"{PRINTED[document[k]].max():.4f}", f"{q[ours[k]].max():.4f}",
     f"{GAMMA ** (5 - k):.4f}")
    for k in range(6)]))
greedy = td.epsilon_greedy(q, 0.0, ties="share")
print(f"the greedy policy reaches the goal with probability {lake.success_probability(greedy):.4f}")

# %% The whole table.  * marks entries that are not yet Q* to four decimals: 14 in the document's.
document_off = np.abs(PRINTED - best) > 0.00005 + 1e-9
ours_off = np.abs(q - best) > 0.00005 + 1e-9
headers, rows = ["state"], []
for action in ACTIONS:
    headers += [f"{action} document", f"{action} ours"]
for s in np.flatnonzero(~lake.mdp.terminal):
    row = [s]
    for a in range(4):
        row += [f"{PRINTED[s, a]:.4f}{'*' if document_off[s, a] else ' '}",
                f"{q[s, a]:.4f}{'*' if ours_off[s, a] else ' '}"]
    rows.append(row)
too_small = (PRINTED - best)[document_off].max() < 0 and (q - best)[ours_off].max() < 0
print()
print(table(headers, rows))
print(f"entries on their way: document {document_off.sum()}, ours {ours_off.sum()} "
      f"- all too small: {too_small}")


# %% The learned table as a map, with the arrows of its best moves, and how the errors went.
def draw() -> None:
    fig, (ax, curve) = figures.new(columns=2, width=7.8, height=3.8)
    arrows = ((-0.4, 0), (0, 0.4), (0.4, 0), (0, -0.4))     # Left, Down, Right, Up; y points down
    letters = lake.env.unwrapped.desc.astype(str).ravel()
    value = np.where(lake.mdp.terminal, np.nan, q.max(axis=1))
    image = ax.imshow(value.reshape(4, 4), cmap="cividis", vmin=0, vmax=1)
    for s, letter in enumerate(letters):
        y, x = divmod(s, 4)
        ink = "black" if lake.mdp.terminal[s] or value[s] > 0.5 else "white"
        text = {"H": "hole", "G": "goal"}.get(letter, f"{value[s]:.4f}")
        ax.text(x, y if lake.mdp.terminal[s] else y - 0.2, text, ha="center", va="center",
                color=ink, fontsize=8)
        for a in np.flatnonzero(greedy[s] > 0) if not lake.mdp.terminal[s] else ():
            dx, dy = arrows[a]
            ax.annotate("", (x + dx / 2, y + 0.18 + dy / 2), (x - dx / 2, y + 0.18 - dy / 2),
                        arrowprops={"arrowstyle": "-|>", "color": ink, "lw": 1.6,
                                    "mutation_scale": 11})
    ax.set(title="learned", xlabel="column", ylabel="row", xticks=range(4), yticks=range(4))
    ax.grid(False)
    fig.colorbar(image, ax=ax, label="best Q of the state, in units of reward", shrink=0.75)
    labels = ("worst best move on the path", "worst of the table")
    for values, label, marker in zip(np.transpose(errors), labels, "os", strict=True):
        curve.plot(steps, np.maximum(values, 1e-6), marker=marker, markevery=12, markersize=4,
                   label=label)
    curve.set(yscale="log", xlabel="steps in the environment",
              ylabel="|Q - Q*|, in units of reward", title="error")
    curve.legend(fontsize=8, loc="center right")
    figures.save(fig, "05_frozen_lake_q_learning", "Left: the learned value of each state and the "
                 "arrows of its best moves. Right: the error on the path falls by orders of "
                 "magnitude while entries off the path are still unlearned, as in the document's "
                 "table; values below 1e-6 are drawn there.  In units of reward.")


draw()

# %% Try it.  While it learns, break ties with ties="first".  By the table above, one episode in 713
# then reaches the goal at first.  Is anything learned in 20,000 steps?
# What came out: yes, the goal was found among 2,410 episodes, and the path is as good; 14 entries
# are unfinished instead of 13.  With EPSILON = .1 as well, 280 episodes find nothing: there is no
# path to print.
