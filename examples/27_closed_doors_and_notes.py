"""Closed doors and notes: stuck on the first path found, and what a stranger can do with a log

Document 000: every door is closed, what is tried is noted down, "the path we took may or may not
be a optimal path", and the notes can be given "to anyone who wanted to try this game".

Three lakes.  On one with two gifts a Q-learner that never explores keeps what it met first.  On
slippery ice how much to explore decides what is learned.  And a stranger gets a log of somebody
else's moves.  Who imitates it is as good as its writer.  Who learns from it by the Bellman target
(off-policy: the moves are not his own) may be far better, but knows opened doors alone.
"""
import gymnasium
import numpy as np

from rlscratch.formulas import td
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import falling
from rlscratch.train.tabular.q_learning_many import learn_many

BUDGET = 10  # seconds of processor time
GAMMA, MAP = 0.99, ("FFFF", "GHHF", "FFSF", "FFFG")     # S start, G gift, H hole, F frozen


def greedy_tables(mdp: MDP, epsilon: float, steps: int, runs: int, alpha: object) -> np.ndarray:
    """Q-learning from zeros, so many runs of so many steps: their tables (runs, S, A)."""
    q = np.zeros((runs, *mdp.transition.shape[:2]))
    learner = learn_many(mdp, q, horizon=100, alpha=alpha, epsilon=lambda step: epsilon,
                         rng=np.random.default_rng(0))
    for _ in range(steps):
        next(learner)
    return q


# %% Two gifts, two and three moves away.  Which one does the table lead to?
two = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1", desc=list(MAP), is_slippery=False), GAMMA)
walk = np.full((16, 4), 1 / 4)
arrives = (two.marginals(walk, 100).sum(axis=0)[:, :, None] * two.transition).sum(axis=(0, 1))
near, far = arrives[15], arrives[4]
print("\n".join(MAP))
print(f"\na blind walk's episode ends at the near gift with {near:.4f}, the far one {far:.4f}")
rows = []
for epsilon in (0.0, 0.05, 0.2, 0.5):
    worth = [two.start @ two.evaluate(td.epsilon_greedy(q, 0.0))
             for q in greedy_tables(two, epsilon, 1000, 200, falling(0.5))]
    on_far = np.isclose(worth, GAMMA**2).sum()              # two moves before the third
    rows.append((epsilon, np.isclose(worth, GAMMA).sum(), on_far, 200 - on_far
                 - np.isclose(worth, GAMMA).sum()))
print("\n200 learners each, after 1,000 steps\n")
print(table(("epsilon", "near gift", "far gift", "no gift yet"), rows))

# %% Slippery ice: how much to explore.
ice = Lake("4x4", slippery=True, gamma=GAMMA)
best_v = ice.success_probability(td.epsilon_greedy(ice.best[0].round(9), 0.0))
shares, worths = (0.0, 0.05, 0.3, 1.0), []
for epsilon in shares:
    learned = greedy_tables(ice.mdp, epsilon, 6000, 40, falling(0.5, 0.02))
    worths.append([ice.success_probability(td.epsilon_greedy(q, 0.0)) for q in learned])
print("\nSlippery lake, 40 learners each, 6,000 steps: what their greedy moves reach, exactly\n")
print(table(("epsilon", "mean P(goal)", "worst", "best"), [
    (e, f"{np.mean(w):.3f}", f"{min(w):.3f}", f"{max(w):.3f}")
    for e, w in zip(shares, worths, strict=True)]))
print(f"the greedy moves of Q*: {best_v:.4f}")


# %% A log handed on: 2,000 episodes of somebody else, here on the document's lake.
def imitate(log: tuple) -> np.ndarray:
    """The log's own shares of moves in each state; even odds where it has none."""
    counts = np.zeros((16, 4))
    np.add.at(counts, (log[0], log[1]), 1)
    return np.where(counts.sum(1, keepdims=True) > 0,
                    counts / np.maximum(counts.sum(1, keepdims=True), 1), 1 / 4)


def learn_from(log: tuple, terminal: np.ndarray) -> np.ndarray:
    """Q-learning on the log, backwards: nobody moves, alpha = .5."""
    q = np.zeros((16, 4))
    for s, a, reward, s_next in zip(*(x[::-1] for x in log), strict=True):
        discount = 0.0 if terminal[s_next] else GAMMA
        q[s, a] += 0.5 * (td.q_target(reward, q[s_next], discount) - q[s, a])
    return q


def worth(policy: np.ndarray) -> float:
    """The gift, discounted by the moves before it."""
    return (lake.mdp.start @ lake.mdp.evaluate(policy)).item()


lake, logs = Lake("4x4", gamma=GAMMA), {}
for name, policy in (("a blind walk", walk),
                     ("the best way, 1 in 5 at random", td.epsilon_greedy(lake.best[0], 0.2))):
    shown = lake.mdp.simulate(policy, 2000, 100, np.random.default_rng(0))
    kept = shown.mask == 1
    logs[name] = (shown.states[kept], shown.actions[kept], shown.rewards[kept],
                  shown.next_states[kept]), worth(policy)
    if policy is walk:              # the first way to the gift, gone again and again
        row = np.flatnonzero(shown.rewards.any(axis=1))[0]
        length = int(shown.mask[row].sum())
        logs[f"its first way, {length} moves, 100 times"] = tuple(
            np.tile(x[row, :length], 100) for x in shown[:4]), GAMMA ** (length - 1)
rows = []
for name, (log, of_writer) in logs.items():
    q = learn_from(log, lake.mdp.terminal)
    rows.append((name, f"{len(set(zip(*log[:2], strict=True)))} of 44", f"{of_writer:.4f}",
                 f"{worth(imitate(log)):.4f}",
                 f"{worth(td.epsilon_greedy(q, 0.0, ties='share')):.4f}",
                 f"{np.abs(q - lake.best[0]).max():.4f}"))
print("\nThe document's lake: what the gift is worth at the start, .99 to the moves before it\n")
print(table(("the log is of", "moves seen", "its writer", "imitator", "Q-learner", "max |Q - Q*|"),
            rows))


# %% How much exploring slippery ice wants.
def draw() -> None:
    fig, ax = figures.new(width=6.0, height=3.4)
    for i, w in enumerate(worths):
        ax.plot(np.full(len(w), i) + np.linspace(-0.2, 0.2, len(w)), np.sort(w), ".", ms=4,
                color=figures.BLUE)
    ax.plot(range(len(shares)), np.mean(worths, axis=1), "s-", ms=5, color=figures.ORANGE,
            label="mean")
    ax.axhline(best_v, color=figures.BLACK, lw=0.8, ls=":", label="Q*")
    ax.set(title="slippery lake after 6,000 steps", xlabel="epsilon", ylabel="P(goal), exact",
           xticks=range(len(shares)), xticklabels=shares)
    ax.legend(fontsize=8, loc="lower right")
    figures.save(fig, "27_closed_doors_and_notes", "The exact probability of the goal that 40 "
                 "learners reach with each epsilon, one dot a learner. Without exploring they are "
                 "stuck with what they found first; with nothing but exploring they learn about "
                 "states that a good player never sees.")


draw()

# %% Try it.  Hand on fewer notes: lake.mdp.simulate(policy, 50, ...).  What can still be learned?
# What came out: all.  The blind walk's 50 episodes hold 40 of the 44 moves and at least one gift,
# and the Q-learner makes six moves of that, .9510; its imitator's .0093 becomes .0177, by chance.
