"""REINFORCE on the lake: document 004's algorithm, steps (a) to (e)

Document 004, section 1.5.3.  Collect episodes, add up rewards-to-go, subtract their mean, weigh
the scores, take a step.  The policy is a table of 16 rows of logits, and each update is one batch
of 1024 episodes.  What it is worth is not estimated but computed, after every fourth update.

Look for three things.  The first batch of a uniform policy has about fourteen goals in it, and
the step comes from those.  Without slipping, every seed is near 1 within 20 updates.  On slippery
ice the best a policy without a clock can do is .7402, and after 80 updates seeds are a little
below it, at .72.
"""
import numpy as np

from rlscratch.formulas import policy_gradient, returns, weights
from rlscratch.formulas.distribution import softmax
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular import table as logits_table
from rlscratch.train.tabular import worlds
from rlscratch.train.tabular.worlds import TabularWorld

BUDGET = 7  # seconds of processor time
EPISODES, ALPHA = 1024, 20.0


# %% One update: every step of the algorithm.
def update(world: TabularWorld, logits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray,
                                                                                       dict]:
    """The logits after one step, and what it was made of."""
    batch = world.collect(softmax(logits), EPISODES, rng)                             # (a) episodes
    to_go = returns.rewards_to_go(batch.rewards) * batch.mask                    # (b) rewards-to-go
    b = policy_gradient.batch_mean_baseline(to_go, batch.mask)                      # (c) their mean
    logp = logits_table.logp(logits, batch.states, batch.actions) * batch.mask
    weight = weights.sequence_sum(batch.mask)                                    # 1/N for each step
    dlogp = policy_gradient.reinforce_grad(logp, to_go, weight, b)
    g = -logits_table.logits_grad(logits, batch.states, batch.actions, dlogp)     # (d) the estimate
    return logits + ALPHA * g, {"batch": batch, "to_go": to_go, "b": b, "g": g}       # (e) the step


# %% The first one, on the lake without slipping.
world = worlds.make("frozen-lake")
start = softmax(world.logits)
logits, made_of = update(world, world.logits, np.random.default_rng(0))
batch, g = made_of["batch"], made_of["g"]
exact = world.mdp.policy_gradient(world.logits, world.horizon)
print(table(("step", "what", "value"), [
    ("(a)", "episodes that reach the goal, of 1024", int(batch.rewards.sum())),
    ("(a)", "expected: 1024 times the exact probability", f"{EPISODES * world.worth(start):.2f}"),
    ("(a)", "mean length of an episode, in steps", f"{batch.mask.sum(axis=1).mean():.2f}"),
    ("(b)", "steps with a reward-to-go of 1", int(made_of["to_go"].sum())),
    ("(c)", "baseline b", f"{made_of['b']:.5f}"),
    ("(d)", "estimate g: Right, before the goal", f"{g[14, 2]:.4f}"),
    ("(d)", "the exact gradient there", f"{exact[14, 2]:.4f}"),
    ("(e)", "P(goal) before the step", f"{world.worth(start):.4f}"),
    ("(e)", "P(goal) after it", f"{world.worth(softmax(logits)):.4f}")]))

# %% Training: three seeds on each lake.
SEEDS, EVERY, UPDATES = range(3), 4, {"frozen-lake": 20, "frozen-lake-slippery": 80}
runs, bests = {}, {}
for task, updates in UPDATES.items():
    world = worlds.make(task)
    bests[task] = best = world.best[1]
    shown = [k for k in (0, 4, 8, 20, 40, 80) if k <= updates]
    curves, rows = [], []
    for seed in SEEDS:
        rng, logits = np.random.default_rng(seed), world.logits
        curve = {0: world.worth(softmax(logits))}
        for k in range(1, updates + 1):
            logits, _ = update(world, logits, rng)
            if k % EVERY == 0:
                curve[k] = world.worth(softmax(logits))
        curves.append(list(curve.values()))
        near = "yes" if curve[updates] >= best - 0.02 else "no"
        rows.append((seed, *(f"{curve[k]:.3f}" for k in shown), near))
    runs[task] = np.array(curves)
    print(f"\n{task}: P(goal within 100 steps), exactly; the best without a clock is {best:.4f}\n")
    print(table(("seed", *(f"after {k}" for k in shown), f"within .02 of {best:.4f}"), rows))


# %% The curves, with the band from the worst seed to the best.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.0, height=3.3)
    for ax, (task, curves) in zip(axes, runs.items(), strict=True):
        best = bests[task]
        x = EVERY * np.arange(curves.shape[1])
        ax.fill_between(x, curves.min(axis=0), curves.max(axis=0), color=figures.SKY, alpha=0.4,
                        label="worst to best seed")
        ax.plot(x, np.median(curves, axis=0), color=figures.BLUE, marker="o", ms=4,
                label="median seed")
        ax.axhline(best, color=figures.BLACK, lw=0.9, ls=":")
        ax.annotate(f"best without a clock, {best:.4g}", (x[-1], best), (0, 4),
                    textcoords="offset points", ha="right")
        ax.set(title=task, xlabel="updates of 1024 episodes", ylabel="P(goal within 100 steps)",
               ylim=(0, 1.12))
    axes[0].legend(loc="lower right")
    figures.save(fig, "22_reinforce_learning", "Exact probability of reaching the goal while "
                 "REINFORCE trains, three seeds: the median and the band from the worst to the "
                 "best seed. Left without slipping, right on slippery ice, where the start is slow "
                 "because goals are rare. Dotted: the best policy without a clock.")


draw()

# %% Try it.  Leave out the baseline: 0.0 instead of b in reinforce_grad.  How much longer does it
# take?
# What came out: no longer.  All six seeds end where they did, to .002, and on slippery ice some are
# quicker: with rewards of 0 and 1, and mostly 0, there is little for a baseline to take away.
