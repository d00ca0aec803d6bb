"""REINFORCE on the lake: document 004's algorithm, steps (a) to (e)

Document 004, section 1.5.3.  Collect episodes, add up rewards-to-go, subtract their mean, weigh the
scores, take a step.  The policy is a table of 16 rows of logits, and each update is one batch of 1024
episodes.  What it is worth is not estimated but computed, after every fourth update.

Look for three things.  The first batch of a uniform policy has about fourteen goals in it, and the
step comes from those.  Without slipping, every seed is near 1 within 20 updates.  On slippery ice the best
a policy without a clock can do is .7402, and seeds creep up to a local optimum a little lower, at .729.
"""
from itertools import islice

import numpy as np

from rlscratch.formulas import policy_gradient, returns, weights
from rlscratch.formulas.distribution import softmax
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular import table as logits_table
from rlscratch.train.tabular import worlds
from rlscratch.train.tabular.reinforce import METHOD

BUDGET = 10  # seconds of processor time

# %% One update with every step of the algorithm on the screen.
world = worlds.make("frozen-lake")
logits, alpha = world.logits, 20.0
batch = world.collect(softmax(logits), 1024, np.random.default_rng(0))                               # (a)
to_go = returns.rewards_to_go(batch.rewards) * batch.mask                                           # (b)
b = policy_gradient.batch_mean_baseline(to_go, batch.mask)                                          # (c)
logp = logits_table.logp(logits, batch.states, batch.actions) * batch.mask
dlogp = policy_gradient.reinforce_grad(logp, to_go, weights.sequence_sum(batch.mask), b)            # (d)
g = -logits_table.logits_grad(logits, batch.states, batch.actions, dlogp)
after = logits + alpha * g                                                                          # (e)
print(table(("step", "what", "value"), [
    ("(a)", "episodes that reach the goal, of 1024", int(batch.rewards.sum())),
    ("(a)", "expected: 1024 times the exact probability", f"{1024 * world.worth(softmax(logits)):.2f}"),
    ("(a)", "mean length of an episode, in steps", f"{batch.mask.sum(axis=1).mean():.2f}"),
    ("(b)", "steps with a reward-to-go of 1", int(to_go.sum())),
    ("(c)", "baseline b", f"{b:.5f}"),
    ("(d)", "estimate g: Right, before the goal", f"{g[14, 2]:.4f}"),
    ("(d)", "the exact gradient there", f"{world.mdp.policy_gradient(logits, world.horizon)[14, 2]:.4f}"),
    ("(e)", "P(goal) before the step", f"{world.worth(softmax(logits)):.4f}"),
    ("(e)", "P(goal) after it", f"{world.worth(softmax(after)):.4f}")]))

# %% Training: five seeds on each lake.
SEEDS, EVERY = range(5), 4
runs = {}
for task, updates in (("frozen-lake", 20), ("frozen-lake-slippery", 80)):
    world = worlds.make(task)
    runs[task] = np.array([[world.worth(softmax(world.logits))] + [
        world.worth(softmax(tables["logits"])) for k, (tables, _) in enumerate(
            islice(METHOD.learn(world, np.random.default_rng(seed)), updates), 1) if k % EVERY == 0]
        for seed in SEEDS])
    best = world.best[1]
    print(f"\n{task}: P(goal within 100 steps), exactly; the best without a clock is {best:.4f}\n")
    columns = [i for i in (0, 1, 2, 5, 10, 20) if i < runs[task].shape[1]]
    print(table(("seed", *(f"after {EVERY * i}" for i in columns), f"within .02 of {best:.4f}"), [
        (seed, *(f"{curve[i]:.3f}" for i in columns), "yes" if curve[-1] >= best - 0.02 else "no")
        for seed, curve in zip(SEEDS, runs[task], strict=True)]))

# %% The curves, with the band from the worst seed to the best.
fig, axes = figures.new(columns=2, width=8.0, height=3.3)
for ax, (task, curves), best in zip(axes, runs.items(), (1.0, 0.7402), strict=True):
    x = EVERY * np.arange(curves.shape[1])
    ax.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=figures.SKY, alpha=0.4, label="worst to best seed")
    ax.plot(x, np.median(curves, axis=0), color=figures.BLUE, marker="o", ms=4, label="median seed")
    ax.axhline(best, color=figures.BLACK, lw=0.9, ls=":")
    ax.annotate(f"best without a clock, {best:g}", (x[-1], best), (0, 4), textcoords="offset points", ha="right")
    ax.set(title=task, xlabel="updates of 1024 episodes", ylabel="P(goal within 100 steps)", ylim=(0, 1.12))
axes[0].legend(loc="lower right")
figures.save(fig, "22_reinforce_learning", "Exact probability of reaching the goal while REINFORCE trains, five seeds: "
             "the median and the band from the worst to the best seed. Left without slipping, right on slippery ice, "
             "where the start is slow because goals are rare. Dotted: the best policy without a clock.")
