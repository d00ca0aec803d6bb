"""Over-optimisation: the proxy climbs all the way, and gold turns

Step 3 of document 002 with its brake taken away, and a reward model learned from few rankings.  A
policy that believes it goes where no labeller has been; what they want, gold, is known here, and
shows what is left of it.  The distance is KL from SFT, as Gao, Schulman and Hilton (2022) draw
it.

Look for three things.  With beta 0 the proxy climbs to the end while gold falls below its start.
A price of 0.1 a nat stops the same run where the proxy is still right.  And the best of n answers
by the same proxy never goes far enough to be fooled.  `rlscratch rlhf` is the whole of it.
"""
from dataclasses import replace

import numpy as np

from rlscratch import memory
from rlscratch.report import figures
from rlscratch.report.table import table
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
*_, (learner, _) = reward_model.METHOD.learn(world, Stages(imitator), steps=250, lr=2e-3, batch=16,
                                             rankings=800, answers=4)
proxy = RewardModel(learner.model, learner.chat)

# %% Best of n, which moves at most 1.84 nats away.
pool = over_optimisation.pool(imitator, task, asked, 16, {"proxy": proxy}, np.random.default_rng(2))
best = over_optimisation.best_of_curve(pool, "proxy", (1, 2, 4, 8, 16))
start, sixteen = best[0], best[-1]
in_order = accuracy(pool.proxies["proxy"], pool.gold)
print("share of pairs of held-out answers that the proxy has in the order of gold:",
      f"{in_order:.3f}")

# %% PPO against that proxy, without a price of a nat and with one.
runs, learned = {}, {}
for beta in (0.0, 0.1):
    steps = list(ppo.METHOD.learn(world, Stages(imitator, proxy), steps=60, lr=4e-4, batch=96,
                                  beta=beta, kl_target=0.0))
    runs[beta] = over_optimisation.Trajectory.of(found for _, found in steps)
    learned[beta] = steps[-1][0].policy

# %% Outcomes: means of nine steps, the last ones against SFT.
free, braked = over_optimisation.turn(runs[0.0], 9), over_optimisation.turn(runs[0.1], 9)
ends = {"best of 16": (sixteen["kl"], sixteen["proxy"], sixteen["reward"]),
        "PPO, beta 0": (free["end_kl"], free["end_proxy"], free["end_gold"]),
        "PPO, beta 0.1": (braked["end_kl"], braked["end_proxy"], braked["end_gold"])}
rows = []
for name, (nats, by_proxy, gold) in ends.items():
    rows.append((name, f"{nats:.2f}", f"{by_proxy - start['proxy']:.2f}",
                 f"{gold - start['reward']:.2f}"))
print()
print(table(("against SFT", "KL, nats an answer", "proxy", "gold"), rows))
print(f"without a brake gold turned while the proxy climbed: {free['turned']}")
print(f"  nats at the turn: {free['kl']:.2f}")
print(f"  points of gold lost from there: {free['fall']:.2f}")

# %% What the policy found: the parts of gold, mean points an answer.  Labellers like polite words,
# the first two.
NAMES = {"SFT": imitator, "beta 0.1": learned[0.1], "beta 0": learned[0.0]}
texts, points = {}, {}
for name, policy in NAMES.items():
    texts[name] = policy.answer(asked, np.random.default_rng(1)).texts
    of_each = [preferences.parts(asked[i], text) for i, text in enumerate(texts[name])]
    points[name] = {part: np.mean([parts[part] for parts in of_each])
                    for part in preferences.POINTS}
sft_points, free_points = points["SFT"], points["beta 0"]
print()
print(table((f"points, mean of {len(asked)} answers", "SFT", "beta 0"), [
    (part, f"{sft_points[part]:.2f}", f"{free_points[part]:.2f}")
    for part in ("polite", "flattery", "repetition", "thing")]))


# %% Both rewards over the distance, and the parts.
def draw() -> None:
    fig, (ax, bars) = figures.new(columns=2, width=9.5, height=4.2)
    KINDS = {"proxy": "--", "gold": "-"}
    for (beta, run), color in zip(runs.items(), (figures.RED, figures.GREEN), strict=True):
        smooth = run.smoothed(5)
        for kind, line in KINDS.items():
            ax.plot(np.sqrt(np.maximum(smooth.kl, 0)),
                    getattr(smooth, kind) - start["reward" if kind == "gold" else kind],
                    color=color, ls=line, marker="o" if kind == "gold" else "s", ms=3,
                    label=f"beta {beta:g}, {kind}")
    for kind, key in (("proxy", "proxy"), ("gold", "reward")):
        ax.plot([np.sqrt(point["kl"]) for point in best],
                [point[key] - start[key] for point in best], color=figures.BLUE,
                ls=KINDS[kind], marker="^", ms=5, label=f"best of 1 to 16, {kind}")
    ax.annotate("gold turns", (np.sqrt(free["kl"]), free["gold"] - start["reward"]), (10, -60),
                textcoords="offset points", arrowprops={"arrowstyle": "->"})
    ax.set(xlabel="square root of KL from SFT in nats", ylabel="reward, SFT at 0")
    ax.legend(loc="lower left", fontsize=8)
    y = np.arange(len(preferences.POINTS))
    for i, (name, color, hatch) in enumerate(zip(NAMES, (figures.BLUE, figures.GREEN, figures.RED),
                                                 ("", "..", "//"), strict=True)):
        bars.barh(y + 0.27 * (i - 1), list(points[name].values()), 0.25, color=color, hatch=hatch,
                  edgecolor="white", label=name)
    bars.set(yticks=y, yticklabels=preferences.POINTS, xlabel="points an answer, mean")
    bars.invert_yaxis()
    bars.legend(loc="lower left", fontsize=8)
    worst = int(np.argmin(task.rewards(asked, texts["beta 0"])))
    told_of = {}
    for name, said in texts.items():
        told_of[name] = f"'{said[worst]}' ({task.reward(asked[worst], said[worst]):g})"
    figures.save(fig, "39_over_optimisation", "Left: gold and proxy against the distance, means of "
                 "five steps of PPO, and of the best of n answers by the same proxy. Right: what "
                 "gold is made of, before and after. The answer that lost most, to "
                 f"'{asked[worst]}', and its gold, at the start: {told_of['SFT']}; with beta 0 at "
                 f"the end: {told_of['beta 0']}.")


draw()

# %% Try it.  Let the proxy learn from 4,000 rankings instead of 800, in as many steps.  Does gold
# still turn?
# What came out: yes, at 1.07 nats, and it ends 2.42 below SFT; the proxy is right on .661 of the
# pairs instead of .648.  One run does not tell whether that helped: at 128 answers a step rounding
# alone moved that end from -2.5 to -8.9.
