"""Rewards that help and rewards that mislead: what may be added and what makes the agent circle

Document 000 pays 1 for the gift and 0 for all else, document 002 also -1 for a hole; both leave it
to chance when the first reward is met.  A bonus on the way would help.  Three are tried on the
lake: a potential, which pays for a step nearer and takes the same back for a step away; the same
bonus with nothing taken back; and the penalty for holes.

Look at the moves of the best policy under each.  With the potential it is the best one of before,
which rlscratch.mdp.shaping proves, and it is found sooner.  With the bonus it never arrives: to
step to and fro pays more than the gift.
"""
from dataclasses import replace

import numpy as np

from rlscratch.formulas import td
from rlscratch.mdp import MDP, shaped
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning_many import learn_many

BUDGET = 7  # seconds of processor time
GAMMA = 0.99

# %% Three rewards.  distance: how many moves a state is from the gift on a map without holes.
lake = Lake("4x4", gamma=GAMMA)
distance = np.array([3 - s // 4 + 3 - s % 4 for s in range(16)])
nearer = distance[None, None, :] < distance[:, None, None]      # (S, 1, S): where a step leads


def with_bonus(c: float) -> MDP:
    return replace(lake.mdp, reward=lake.mdp.reward + c * nearer)


def with_potential(c: float) -> MDP:
    """c more for each move nearer, as phi; 0 where an episode is over, as in the gift itself."""
    return shaped(lake.mdp, np.where(lake.mdp.terminal, 0.0, c * (6 - distance)))


def best_policy(mdp: MDP) -> np.ndarray:
    return td.epsilon_greedy(mdp.solve()[0].round(9), 0.0, ties="share")


rewards = {"as it is": lake.mdp, "potential, .1 a move": with_potential(0.1),
           "bonus, .1 a move": with_bonus(0.1),
           "-1 for a hole": Lake("4x4", hole=-1, gamma=GAMMA).mdp}
rows = []
for name, mdp in rewards.items():
    policy, v = best_policy(mdp), mdp.solve()[1]
    same = (policy == best_policy(lake.mdp)).all()
    rows.append((name, f"{v[0]:.4f}", f"{lake.success_probability(policy):.4f}",
                 "yes" if same else "no"))
print("The best policy under each reward, exactly\n")
print(table(("reward", "v(start)", "P(gift in 100)", "same moves"), rows))
moved = with_potential(0.1).solve()[1] - lake.best[1]
print("\nThe potential takes phi off every value, nothing from the start, where it is 0: "
      f"{-moved[14]:.4f} from\nstate 14, one move before the gift.")

# %% How small must the bonus be?  Bisection for the least that makes the agent circle.
low, high = 0.0, 0.1
for _ in range(20):
    c = (low + high) / 2
    arrives = lake.success_probability(best_policy(with_bonus(c))) > 0.5
    low, high = (c, high) if arrives else (low, c)
to_and_fro = high / (1 - GAMMA**2)
print(f"A bonus of {high:.5f} a move nearer is enough to circle: to and fro for ever it is worth "
      f"{to_and_fro:.4f}")

# %% Which is learned sooner?  200 Q-learners each; one is there if its table leads to the gift.
MARKS = (250, 500, 1000, 2000)
curves = {}
for name, mdp in rewards.items():
    q = np.zeros((200, 16, 4))
    learner = learn_many(mdp, q, horizon=100, alpha=lambda n: 0.5, epsilon=lambda step: 0.2,
                         rng=np.random.default_rng(0))
    curves[name] = []
    for step in range(1, MARKS[-1] + 1):
        next(learner)
        if step in MARKS:
            there = [lake.success_probability(td.epsilon_greedy(t, 0.0)) > 0.5 for t in q]
            curves[name].append(np.mean(there))
print("\nShare of 200 Q-learners whose greedy moves reach the gift, after so many steps\n")
print(table(("reward", *map(str, MARKS)), [(name, *(f"{x:.3f}" for x in curve))
                                 for name, curve in curves.items()]))

# %% A penalty is no potential: on slippery ice it changes what is best.  Exact optima, gamma .99.
rows, ice = [], Lake("4x4", slippery=True, gamma=GAMMA)
holes = ice.mdp.terminal & (np.arange(16) != 15)
for paid in (0, -1, -4, -5):
    mdp = replace(ice.mdp, reward=ice.mdp.reward + paid * holes)
    policy = td.epsilon_greedy(mdp.solve()[0].round(9), 0.0)
    falls = replace(ice.mdp, gamma=1.0, reward=0 * ice.mdp.reward + holes)      # 1 for a hole
    rows.append((paid, f"{ice.success_probability(policy):.4f}",
                 f"{falls.discounted_return(policy, 100):.4f}"))
print("\nSlippery ice, within 100 steps: at some price nobody sets out any more\n")
print(table(("a hole pays", "P(gift)", "P(hole)"), rows))


# %% The share that arrives, by reward.
def draw() -> None:
    fig, ax = figures.new(width=6.4, height=3.4)
    for (name, curve), marker in zip(curves.items(), "os^x", strict=True):
        ax.plot(MARKS, curve, marker=marker, ms=5, label=name)
    ax.set(title="200 Q-learners", xlabel="steps", ylabel="share that reaches the gift",
           ylim=(-0.03, 1.03), xscale="log", xticks=MARKS, xticklabels=MARKS)
    ax.minorticks_off()
    ax.legend(fontsize=8, loc="upper left")
    figures.save(fig, "28_rewards", "The share of 200 Q-learners whose greedy moves reach the "
                 "gift. A potential shows the way from the first step on; the same bonus with "
                 "nothing taken back teaches to step to and fro.")


draw()

# %% Try it.  Let the potential point the wrong way: with_potential(-0.1).  Is the best policy the
# same, and how many learners arrive in 2,000 steps?
# What came out: the same moves, as proven.  But none of 200 has arrived after 2,000 steps, where
# 192 do without it: what is best is one thing, what is learned soon another.
