"""DQN on the lake: a network instead of the table, and what that costs

Document 002, "ChatGPT (RLHF) vs. Deep Q-Learning (FrozenLake)".  Rung 5 kept a table; here the
state is a one-hot row, a network says what each action is worth, and the derivative of the Huber
loss, a formula, is the seed for the way back through it.  To change one entry is now to change
others.

Look for three things.  One transition moves a whole column of the network's table.  Left without
its memory, its second set of parameters or its outputs of 0, the same learner is far from Q* when
the whole one has arrived.  And on slippery ice the averaged network is calmer than the one that
learns.
"""
import numpy as np

from rlscratch import kernels
from rlscratch.documents.d000_q_learning import PRINTED, greedy_path
from rlscratch.formulas import td
from rlscratch.mdp.best_stationary import best_stationary
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.dqn import deep_q_learning as dqn
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import Transition, falling, linear

BUDGET = 13  # seconds of processor time
GAMMA, BATCH, FIRST, EVERY = 0.99, 128, 500, 6    # the first update after 500 steps, then every 6th
LR, EPSILON = falling(0.004, 0.001), linear(1.0, 0.3, 16_000)


# %% One update: down the Huber loss of Q(s, a) - y, and theta- a share tau of the way to theta.
def update(state: dqn.DQNState, lr: float, batch: int = BATCH, tau: float = 0.03) -> None:
    """theta, which learns, and theta- (state.mean), which says what the next state is worth; in
place.
"""
    t = state.replay.draw(batch, state.rng)
    q = dqn.q_values(state.theta)[t.s, t.a]
    y = td.q_target(t.reward, dqn.q_table(state.mean)[t.s_next], GAMMA * (1 - t.terminated))
    state.optimizer.zero_grad()
    q.backward(td.huber_grad(q.data - y, 1.0)
               / batch)  # dL/dQ, by hand; autograd goes on from there
    state.optimizer.lr = lr
    state.optimizer.step()
    for name, mean in state.mean.items():
        mean.data += tau * (state.theta[name].data - mean.data)
    state.updates += 1


# %% The first reward: from 14, Right, into the goal.  y = 1 and Q = 0, so H'(Q - y) = -1.
state = dqn.DQNState.new((16, 4), np.random.default_rng(0))
state.replay.put(Transition(s=14, a=2, reward=1.0, s_next=15, terminated=True))
update(state, lr=0.003, batch=1)
by_table = td.q_learning_update(np.zeros((16, 4)), 14, 2, 1.0, 15, alpha=0.1, discount=0.0)
by_network = dqn.q_table(state.theta)
slope = td.huber_grad(-1.0).item()
print(table(("learner", "seed H'(Q - y)", "entries that changed", "of them Right"), [
    ("table", "-", np.count_nonzero(by_table), np.count_nonzero(by_table[:, 2])),
    ("network", f"{slope:.1f}", np.count_nonzero(by_network), np.count_nonzero(by_network[:, 2]))]))


# %% The whole learner, and three that each lack one part: 5000 steps without slipping, two seeds.
def run(lake: Lake, seed: int, steps: int, mark: int, buffer: int = 100_000, tau: float = 0.03,
        outputs: float = 0.0) -> np.ndarray:
    """Along the run: Q of theta-, of theta.  The first W2 has standard deviation `outputs`."""
    rng = np.random.default_rng(seed)
    state = dqn.DQNState.new((16, 4), rng, buffer=buffer)
    random_outputs = outputs * np.random.default_rng(100 + seed).normal(size=(64, 4))
    state.theta["W2"].data += random_outputs.astype(np.float32)
    state.mean["W2"].data[...] = state.theta["W2"].data
    over, q, seen = True, dqn.q_table(state.theta), []
    policy = td.epsilon_greedy(q, EPSILON(0), ties="share")
    for step in range(1, steps + 1):
        if over:
            s, _ = lake.env.reset(seed=int(rng.integers(2**31)))
        a = int(kernels.draw(policy[s:s + 1], rng.random(1))[0])
        s_next, reward, terminated, truncated, _ = lake.env.step(a)
        state.replay.put(Transition(s, a, reward, s_next, terminated))
        if step >= FIRST and step % EVERY == 0:
            update(state, LR(state.updates + 1), tau=tau)
            q = dqn.q_table(state.theta)
            policy = td.epsilon_greedy(q, EPSILON(step), ties="share")
        s, over = s_next, terminated or truncated
        if step % mark == 0:
            seen.append((dqn.q_table(state.mean), q.copy()))
    return np.array(seen)


lake = Lake("4x4", slippery=False)
best_q, best_v = lake.best
live = ~lake.mdp.terminal            # of a hole or the goal nothing is learned, for nothing follows
LEARNERS = {"whole": {}, "no memory: buffer of 1": {"buffer": 1},
            "theta- = theta: tau of 1": {"tau": 1.0},
            "random first outputs": {"outputs": (2 / 64) ** 0.5}}
runs, errors, rows = {}, {}, []
for name, lacking in LEARNERS.items():
    runs[name] = np.array([run(lake, seed, 5000, 200, **lacking)[:, 0] for seed in (0, 1)])
    off = np.abs(runs[name] - best_q)[:, :, live]
    errors[name] = off.max(axis=(0, 2, 3))              # of both seeds and all entries
    rows.append((name, f"{errors[name][-1]:.2f}"))
print()
print(table(("learner", "after 5000 steps, largest |Q - Q*| of two seeds"), rows))

# %% The whole learner's way to the goal, beside the document's.
q = np.where(live[:, None], runs["whole"][0, -1], 0)
ours, document = lake.greedy_path(q), greedy_path(PRINTED)
policy = td.epsilon_greedy(q.astype(float), 0.0)
all_best = np.allclose((policy * best_q).sum(axis=1), best_v)
print(f"\nmoves to the goal: document {len(document) - 1}, ours {len(ours) - 1}; "
      f"every action a best one: {'yes' if all_best else 'no'}")
print(table(("move", "document", "ours", "0.99^k"), [
    (k + 1, f"{PRINTED[document[k]].max():.2f}", f"{q[ours[k]].max():.2f}",
     f"{0.99 ** (5 - k):.2f}")
    for k in range(6)]))

# %% Slippery ice: a move goes astray twice in three times, and y varies.  What the greedy policies
# are worth, exactly.
ice = Lake("4x4", slippery=True)
worth = []
for both in run(ice, 0, 16_000, 1000, tau=0.01):
    policies = [td.epsilon_greedy(q.astype(float), 0.0) for q in both]
    worth.append([ice.success_probability(policy) for policy in policies])
worth = np.array(worth)
_, best = best_stationary(ice.reaching, ice.horizon)
with_clock = ice.best_success_probability()
print()
print(table(("slippery, within 100 steps", "P(goal)"), [
    ("best policy that knows the clock", f"{with_clock:.4f}"),
    ("best policy without it", f"{best:.4f}"),
    ("greedy policy of theta-", f"{worth[-1, 0]:.4f}")]))


# %%
def draw() -> None:
    fig, (left, right) = figures.new(columns=2, width=8.2, height=3.6)
    x = 200 * np.arange(1, 26)
    for (name, curve), marker in zip(errors.items(), "osD^", strict=True):
        left.plot(x, curve, marker=marker, markevery=6, markersize=4, label=name)
    left.set(yscale="log", ylim=(1e-4, 100), xlabel="steps in the environment",
             ylabel="largest |Q - Q*|, in units of reward", title="without slipping")
    left.legend(fontsize=7, loc="lower left")
    x = 1000 * np.arange(1, len(worth) + 1)
    right.plot(x, worth[:, 1], color=figures.ORANGE, lw=1, marker="s", markersize=3,
               label="theta, which learns")
    right.plot(x, worth[:, 0], color=figures.BLUE, marker="o", markersize=3,
               label="theta-, its average: the result")
    right.axhline(best, color=figures.BLACK, lw=0.9, ls=":")
    right.annotate(f"best without a clock, {best:.4f}", (x[-1], best), (0, 4),
                   textcoords="offset points", ha="right")
    right.set(xlabel="steps in the environment", ylabel="P(goal within 100 steps)",
              title="slippery", ylim=(0, 0.85), xticks=range(0, 16_000, 5000))
    right.legend(fontsize=7, loc="lower right")
    figures.save(fig, "35_dqn_on_the_lake", "Left: the largest error of theta-'s table over the "
                 "states where something is decided, the worse of two seeds, for the whole learner "
                 "and for three that lack one part. Right: one run on slippery ice, the exact "
                 "worth of the greedy policies of both sets of parameters.")


draw()

# %% Try it.  Give the learner without memory a buffer of 1000 transitions instead of 1.  Is that
# enough?
# What came out: yes, in both seeds |Q - Q*| is below .05 everywhere after 5000 steps.  A thousand
# steps are over a hundred episodes; a buffer of 1 holds one move.
