"""PPO on the lake: a critic, and several steps from one batch

Document 002, "PPO Steps".  REINFORCE used each batch once.  PPO adds a table of values that says what
to expect in each state, and takes four passes in four parts over a batch: sixteen steps instead of one.
The ratio pi / pi_old says how far they have gone, the clip where they stop counting, the KL when to stop.

Look at three things: before the first update of every batch the ratio is 1 to rounding; what the clip and
the KL hold back while the policy moves fast; and how many episodes each needs until its policy is near the best one.
"""
from itertools import islice

import numpy as np

from rlscratch.formulas.distribution import softmax
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular import ppo, reinforce, worlds

BUDGET = 12  # seconds of processor time

SEEDS, EVERY, NEAR = range(3), 1024, 0.02      # one point of a curve every so many episodes
METHODS = {"REINFORCE": reinforce.METHOD, "PPO": ppo.METHOD}

# %% One run of PPO, batch by batch.
world = worlds.make("frozen-lake")
rows = []
for k, (tables, told) in enumerate(islice(ppo.METHOD.learn(world, np.random.default_rng(0)), 30), 1):
    if k in (1, 2, 4, 8, 16, 30):
        rows.append((k, "yes" if told["ratio_deviation"] <= 1e-12 else "no", told["epochs_made"],
                     f"{told['kl_k3']:.4f}", f"{told['clip_fraction']:.3f}", f"{tables['values'][0]:.2f}",
                     f"{tables['values'][14]:.2f}", f"{world.worth(softmax(tables['logits'])):.3f}"))
print("frozen-lake, seed 0; V is the critic's table, 14 the state before the goal\n")
print(table(("batch", "ratio 1", "epochs", "KL, nats", "clipped", "V(start)", "V(14)", "P(goal)"), rows))

# %% Both methods, three seeds, on both lakes: the exact worth after as many episodes.
curves, best = {}, {}
for task, thousands in (("frozen-lake", 14), ("frozen-lake-slippery", 40)):
    world = worlds.make(task)
    best[task] = world.best[1]
    for name, method in METHODS.items():
        size = method.settings(world)["episodes"]
        curves[task, name] = np.array([[world.worth(softmax(world.logits))] + [
            world.worth(softmax(tables["logits"])) for k, (tables, _) in enumerate(islice(
                method.learn(world, np.random.default_rng(seed)), thousands * 1024 // size), 1)
            if k * size % EVERY == 0] for seed in SEEDS])

# %% How many episodes until within .02 of the best without a clock?
print("\nepisodes until P(goal) is within .02 of the best, and P(goal) at the end\n")
print(table(("lake", "method", *(f"seed {seed}" for seed in SEEDS), "at the end", "best"), [
    (task, name, *(EVERY * int(np.argmax(near)) if near.any() else "later" for near in c >= best[task] - NEAR),
     " ".join(f"{end:.3f}" for end in c[:, -1]), f"{best[task]:.4f}") for (task, name), c in curves.items()]))

# %% The learning curves, with the band from the worst seed to the best.
fig, axes = figures.new(columns=2, width=8.0, height=3.4)
styles = {"REINFORCE": (figures.ORANGE, "s", "--"), "PPO": (figures.BLUE, "o", "-")}
for (task, name), c in curves.items():
    ax, (color, marker, line) = axes[list(best).index(task)], styles[name]
    x = EVERY * np.arange(c.shape[1]) / 1000
    ax.fill_between(x, c.min(axis=0), c.max(axis=0), color=color, alpha=0.25)
    ax.plot(x, np.median(c, axis=0), color=color, marker=marker, ls=line, ms=4, markevery=0.12, label=name)
for ax, (task, top) in zip(axes, best.items(), strict=True):
    ax.axhline(top, color=figures.BLACK, lw=0.9, ls=":")
    ax.annotate(f"best without a clock, {top:.4g}", (ax.get_xlim()[1], top), (-4, 4), textcoords="offset points",
                ha="right")
    ax.set(title=task, xlabel="thousand episodes", ylabel="P(goal within 100 steps)", ylim=(0, 1.12))
axes[0].legend(loc="lower right")
figures.save(fig, "23_ppo_learning", "Exact probability of reaching the goal against the number of episodes seen, "
             "three seeds each: the median, and a band from the worst seed to the best. Left without slipping, right "
             "on slippery ice. Dotted: the best policy without a clock. The settings are the commands' defaults.")
