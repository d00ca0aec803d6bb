"""DQN on the lake: a network instead of the table, and what that costs

Document 002, "ChatGPT (RLHF) vs. Deep Q-Learning (FrozenLake)".  Rung 5 kept a table; here the state is a
one-hot row, a network says what each action is worth, and the derivative of the Huber loss, a formula, is
the seed for the way back through it.  To change one entry is now to change others.

Look for three things.  One transition moves a whole column of the network's table.  Left without its
memory, its second set of parameters or its outputs of 0, the same learner is far from Q* when the whole one
has arrived.  And on slippery ice the averaged network is calmer than the one that learns.
"""
from itertools import islice

import numpy as np

from rlscratch.documents.d000_q_learning import PRINTED, greedy_path
from rlscratch.formulas import td
from rlscratch.mdp import best_stationary
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.dqn import deep_q_learning as dqn
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import Transition

BUDGET = 40  # seconds of processor time

# %% One update from the first reward: from 14, Right, into the goal.  y = 1 and Q = 0, so H'(Q - y) = -1.
reached = Transition(s=14, a=2, reward=1.0, s_next=15, terminated=True)
state = dqn.DQNState.new((16, 4), np.random.default_rng(0))
state.replay.put(reached)
dqn.update(state, gamma=0.99, lr=0.003, batch=1, tau=0.01, target_every=1, delta=1.0)
q = {"table": td.q_learning_update(np.zeros((16, 4)), 14, 2, 1.0, 15, alpha=0.1, discount=0.0),
     "network": dqn.q_table(state.theta)}
print(table(("learner", "seed H'(Q - y)", "entries that changed", "of them Right"), [
    (name, f"{td.huber_grad(-1.0).item():.1f}" if name == "network" else "-", np.count_nonzero(values),
     np.count_nonzero(values[:, 2])) for name, values in q.items()]))


# %% The whole learner, and three that each lack one part: 8000 steps without slipping, two seeds.
def run(lake: Lake, seed: int, steps: int, every: int, buffer: int = 100_000, outputs: float = 0.0,
        **chosen: float) -> np.ndarray:
    """Along the run: Q of theta-, of theta.  The first W2 has standard deviation `outputs`."""
    state = dqn.DQNState.new((16, 4), np.random.default_rng(seed), buffer=buffer)
    state.theta["W2"].data += outputs * np.random.default_rng(100 + seed).normal(size=(64, 4)).astype(np.float32)
    state.mean["W2"].data[...] = state.theta["W2"].data
    return np.array([(dqn.q_table(state.mean), dqn.q_table(state.theta))
                     for _ in islice(dqn.learn(lake.env, state, **dqn.settings(**chosen)), steps)
                     if state.step % every == 0])


lake = Lake("4x4", slippery=False)
best_q, best_v = lake.best
live = ~lake.mdp.terminal                   # of a hole or the goal nothing is learned, for nothing follows
LEARNERS = {"whole": {}, "no memory: buffer of 1": {"buffer": 1}, "theta- = theta: tau of 1": {"tau": 1.0},
            "random first outputs": {"outputs": (2 / 64) ** 0.5}}
runs = {name: [run(lake, seed, 8000, 200, **lacking)[:, 0] for seed in (0, 1)] for name, lacking in LEARNERS.items()}
errors = {name: np.abs(np.array(tables) - best_q)[:, :, live].max(axis=(0, 2, 3)) for name, tables in runs.items()}
print()
print(table(("learner", "after 8000 steps |Q - Q*| < .05 everywhere, both seeds"), [
    (name, "yes" if curve[-1] < 0.05 else "no") for name, curve in errors.items()]))

# %% The whole learner's way to the goal, beside the document's.
q = np.where(live[:, None], runs["whole"][0][-1], 0)
ours, document = lake.greedy_path(q), greedy_path(PRINTED)
policy = td.epsilon_greedy(q.astype(float), 0.0)
print(f"\nmoves to the goal: document {len(document) - 1}, ours {len(ours) - 1}; every action a best one: "
      f"{'yes' if np.allclose((policy * best_q).sum(axis=1), best_v) else 'no'}")
print(table(("move", "document", "ours", "0.99^k"), [
    (k + 1, f"{PRINTED[d].max():.2f}", f"{q[o].max():.2f}", f"{0.99 ** (5 - k):.2f}")
    for k, (d, o) in enumerate(zip(document[:-1], ours[:-1], strict=True))]))

# %% Slippery ice: a move goes astray twice in three times, and y varies.  What the greedy policies are worth, exactly.
ice = Lake("4x4", slippery=True)
steps = dqn.STEPS["frozen-lake-slippery"]
worth = np.array([[ice.success_probability(td.epsilon_greedy(q.astype(float), 0.0)) for q in both]
                  for both in run(ice, 0, steps, 1000)])
best = best_stationary(ice.reaching, ice.horizon)[1]
print()
print(table(("slippery, within 100 steps", "P(goal)"), [
    ("best policy that knows the clock", f"{ice.best_success_probability():.4f}"),
    ("best policy without it", f"{best:.4f}"),
    ("greedy policy of theta-, within .05 of that", "yes" if worth[-1, 0] >= best - 0.05 else "no")]))

# %%
fig, (left, right) = figures.new(columns=2, width=8.2, height=3.6)
x = 200 * np.arange(1, 41)
for (name, curve), marker in zip(errors.items(), "osD^", strict=True):
    left.plot(x, curve, marker=marker, markevery=6, markersize=4, label=name)
left.set(yscale="log", xlabel="steps in the environment", ylabel="largest |Q - Q*|, in units of reward",
         title="without slipping")
left.legend(fontsize=7)
x = 1000 * np.arange(1, len(worth) + 1)
right.plot(x, worth[:, 1], color=figures.ORANGE, lw=1, marker="s", markersize=3, label="theta, which learns")
right.plot(x, worth[:, 0], color=figures.BLUE, marker="o", markersize=3, label="theta-, its average: the result")
right.axhline(best, color=figures.BLACK, lw=0.9, ls=":")
right.annotate(f"best without a clock, {best:.4f}", (x[-1], best), (0, 4), textcoords="offset points", ha="right")
right.set(xlabel="steps in the environment", ylabel="P(goal within 100 steps)", title="slippery", ylim=(0, 0.85))
right.legend(fontsize=7, loc="lower right")
figures.save(fig, "35_dqn_on_the_lake", "Left: the largest error of theta-'s table over the states where something "
             "is decided, the worse of two seeds, for the whole learner and for three that lack one part. Right: one "
             "run on slippery ice, the exact worth of the greedy policies of both sets of parameters.")
