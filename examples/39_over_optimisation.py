"""Over-optimisation: the proxy climbs all the way, and gold turns

Step 3 of document 002 with its brake taken away, and a reward model learned from few rankings.  A policy that
believes it goes where no labeller has been; what they want, gold, is known here, and shows what is left of it.
The distance is KL from SFT, as Gao, Schulman and Hilton (2022) draw it.

Look for three things.  With beta 0 the proxy climbs to the end while gold falls below its start.  A price of 0.1
a nat stops the same run where the proxy is still right.  And the best of n answers by the same proxy never
goes far enough to be fooled.  `rlscratch rlhf` is the whole of it.
"""
from dataclasses import replace

import numpy as np

from rlscratch import memory
from rlscratch.report import figures
from rlscratch.report.table import table, within
from rlscratch.tasks import preferences
from rlscratch.train.language import over_optimisation, ppo, reward_model, sft, worlds
from rlscratch.train.language.method import Stages
from rlscratch.train.language.scoring import RewardModel, accuracy

BUDGET = 30  # seconds of processor time

memory.keep_freed()         # a step's arrays are used again by the next one
world = worlds.make("preferences", seed=0)
world = replace(world, recipe=replace(world.recipe, width=32))
task, asked = world.task, world.measured[:300]

# %% A model that imitates, and a proxy learned from 800 rankings of 4 of its answers.
for learner, _ in sft.METHOD.learn(world, steps=500, lr=1e-2, batch=64):
    imitator = learner.policy
*_, (learner, _) = reward_model.METHOD.learn(world, Stages(imitator), steps=250, lr=2e-3, batch=16, rankings=800,
                                             answers=4)
proxy = RewardModel(learner.model, learner.chat)

# %% Best of n, which moves at most 1.84 nats away.
pool = over_optimisation.pool(imitator, task, asked, 16, {"proxy": proxy}, np.random.default_rng(2))
best = over_optimisation.best_of_curve(pool, "proxy", (1, 2, 4, 8, 16))
print("share of pairs of held-out answers that the proxy has in the order of gold:",
      within(accuracy(pool.proxies["proxy"], pool.gold), 0.55, 0.75))

# %% PPO against that proxy, with a price of a nat and without.
WINDOW, runs, learned = 9, {}, {}
for beta in (0.0, 0.1):
    steps = list(ppo.METHOD.learn(world, Stages(imitator, proxy), steps=60, lr=4e-4, batch=128, beta=beta,
                                  kl_target=0.0))
    runs[beta], learned[beta] = over_optimisation.Trajectory.of(found for _, found in steps), steps[-1][0].policy
turns = {beta: over_optimisation.turn(run, WINDOW) for beta, run in runs.items()}

# %% Outcomes: means of nine steps, the last ones against SFT.
start = best[0]
ends = {"best of 16": (best[-1]["kl"], best[-1]["proxy"], best[-1]["reward"]),
        **{f"PPO, beta {beta:g}": tuple(found[f"end_{name}"] for name in ("kl", "proxy", "gold"))
           for beta, found in turns.items()}}
MUST = {"best of 16": ((1.8, 1.9), (0.4, 2.0), (0.4, 2.0)), "PPO, beta 0": ((3.0, 40.0), (0.4, 3.0), (-30.0, -0.1)),
        "PPO, beta 0.1": ((1.0, 5.0), (0.3, 2.0), (0.0, 2.0))}
print()
print(table(("against SFT", "KL, nats an answer", "proxy", "gold"), [
    (name, *(within(figure - zero, *must) for figure, zero, must in zip(
        ends[name], (0.0, start["proxy"], start["reward"]), musts, strict=True))) for name, musts in MUST.items()]))
free = turns[0.0]
print(f"without a brake gold turned while the proxy climbed: {free['turned']}")
print("  nats at the turn:", within(free["kl"], 0.1, 3.0))
print("  points of gold lost from there:", within(free["fall"], 0.4, 40.0))

# %% What the policy found: the parts of gold, mean points an answer.  Labellers like polite words, the first two.
NAMES = {"SFT": imitator, "beta 0.1": learned[0.1], "beta 0": learned[0.0]}
texts = {name: policy.answer(asked, np.random.default_rng(1)).texts for name, policy in NAMES.items()}
points = {name: np.mean([list(preferences.parts(*pair).values()) for pair in zip(asked, said, strict=True)], axis=0)
          for name, said in texts.items()}
parts = {name: dict(zip(preferences.POINTS, mean, strict=True)) for name, mean in points.items()}
print()
print(table(("points an answer", "SFT", "beta 0"), [
    (part, *(within(parts[name][part], *must) for name, must in zip(("SFT", "beta 0"), musts, strict=True)))
    for part, musts in {"polite": ((0.4, 1.2), (1.6, 2.0)), "flattery": ((-0.2, 0.0), (-20.0, -0.3)),
                        "repetition": ((-0.3, 0.0), (-20.0, -0.3)), "thing": ((1.0, 1.6), (0.0, 0.9))}.items()]))

# %% Both rewards over the distance, and the parts.
fig, (ax, bars) = figures.new(columns=2, width=9.5, height=4.2)
KINDS = {"proxy": "--", "gold": "-"}
for (beta, run), color in zip(runs.items(), (figures.RED, figures.GREEN), strict=True):
    smooth = run.smoothed(5)
    for kind, line in KINDS.items():
        ax.plot(np.sqrt(np.maximum(smooth.kl, 0)), getattr(smooth, kind) - start["reward" if kind == "gold" else kind],
                color=color, ls=line, marker="o" if kind == "gold" else "s", ms=3, label=f"beta {beta:g}, {kind}")
for kind, key in (("proxy", "proxy"), ("gold", "reward")):
    ax.plot([np.sqrt(point["kl"]) for point in best], [point[key] - start[key] for point in best], color=figures.BLUE,
            ls=KINDS[kind], marker="^", ms=5, label=f"best of 1 to 16, {kind}")
ax.annotate("gold turns", (np.sqrt(free["kl"]), free["gold"] - start["reward"]), (10, -60), textcoords="offset points",
            arrowprops={"arrowstyle": "->"})
ax.set(xlabel="square root of KL from SFT in nats", ylabel="reward, SFT at 0")
ax.legend(loc="lower left", fontsize=8)
y = np.arange(len(preferences.POINTS))
for i, (name, color, hatch) in enumerate(zip(NAMES, (figures.BLUE, figures.GREEN, figures.RED), ("", "..", "//"),
                                             strict=True)):
    bars.barh(y + 0.27 * (i - 1), points[name], 0.25, color=color, hatch=hatch, edgecolor="white", label=name)
bars.set(yticks=y, yticklabels=preferences.POINTS, xlabel="points an answer, mean")
bars.invert_yaxis()
bars.legend(loc="lower left", fontsize=8)
worst = int(np.argmin(task.rewards(asked, texts["beta 0"])))
told_of = {name: f"'{said[worst]}' ({task.reward(asked[worst], said[worst]):g})" for name, said in texts.items()}
figures.save(fig, "39_over_optimisation", "Left: gold and proxy against the distance, means of five steps of PPO, and "
             "of the best of n answers by the same proxy. Right: what gold is made of, before and after. "
             f"The answer that lost most, to '{asked[worst]}', and its gold, at the start: {told_of['SFT']}; "
             f"with beta 0 at the end: {told_of['beta 0']}.")
