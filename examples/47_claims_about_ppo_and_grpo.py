"""Claims about PPO and GRPO: noise, a wrong critic, reuse of a batch and TRPO, each as a number

Document 002 says: GRPO is "more robust to noisy rewards", PPO "sensitive to value estimation
errors" and "sample efficient" as it "reuses data via multiple epochs", and simpler than TRPO.  Its
own three words decide: cream 10, hockey 5, donkey -10.  The first two claims are settled by going
through all groups of four answers with all their noise; nothing is sampled there.

Look for where a claim turns.  Against rare wild rewards a group's own scale helps and ranks help
more; against ordinary noise a critic that is right does better.  And the critic has to be very
wrong before the group is the better one.
"""
import itertools
from itertools import islice

import numpy as np

from rlscratch.formulas import grpo
from rlscratch.formulas.distribution import expected_reward, expected_reward_grad, softmax
from rlscratch.formulas.kl import kl
from rlscratch.formulas.trust_region import trust_region_step
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular import ppo, worlds

BUDGET = 10  # seconds of processor time
R, P, G = np.array([10.0, 5.0, -10.0]), np.full(3, 1 / 3), 4


# %% The estimate of one group: its mean and its variance over all groups and all noise, exactly.
def direction(kind: str, noise: dict[float, float], error: float = 0.0) -> tuple[float, float]:
    """Signal over noise, |E g| / sd, and the cosine of E g to the true gradient."""
    one = [(a, R[a] + v, P[a] * q) for a in range(3) for v, q in noise.items()]
    answers, rewards, chances = np.array(list(itertools.product(one, repeat=G))).transpose(2, 0, 1)
    advantage = {"critic": lambda r: r - (P @ R + error), "z-score": grpo.group_advantage,
                 "ranks": grpo.rank_advantage}[kind](rewards)
    scores = np.eye(3)[answers.astype(int)] - P
    g, chance = (advantage[..., None] * scores).mean(axis=1), chances.prod(axis=1)
    mean, true = chance @ g, expected_reward_grad(np.log(P), R)
    variance = chance @ (g**2).sum(axis=1) - mean @ mean
    return (np.linalg.norm(mean) / variance**0.5,
            mean @ true / (np.linalg.norm(mean) * np.linalg.norm(true)))


KINDS, w = ("critic", "z-score", "ranks"), 3**0.5
noises = {"none": {0: 1}, "ordinary, sd 5": {-5 * w: 1 / 6, 0: 2 / 3, 5 * w: 1 / 6},
          "ordinary, sd 10": {-10 * w: 1 / 6, 0: 2 / 3, 10 * w: 1 / 6},
          "wild, 100 in 1 of 20": {-100: 0.025, 0: 0.95, 100: 0.025}}
rows, ratios = [], {}
for name, noise in noises.items():
    found = [direction(kind, noise) for kind in KINDS]
    ratios[name] = [ratio for ratio, _ in found]
    best = max(ratios[name])
    rows.append((name, *(f"{x:.3f}{'*' if x == best else ' '}" for x in ratios[name]),
                 *(f"{cosine:.4f}" for _, cosine in found)))
print(f"\"More robust to noisy rewards\": signal over noise of a group of {G}, all groups\n")
print(table(("noise of a reward", *KINDS, *(f"cos, {kind}" for kind in KINDS)), rows))
print("critic: r less the true mean.  cos: of the mean estimate and the true gradient.  * best")

# %% A critic that is wrong by e: no bias, since one step has no bootstrap, but its noise grows.
errors = (0, 2, 5, 10, 20)
by_error = [direction("critic", {0: 1}, e)[0] for e in errors]
group = direction("z-score", {0: 1})[0]
print('\n"Sensitive to value estimation errors": the same without noise, the critic off by e\n')
print(table(("e", "critic", "z-score"), [(e, f"{x:.3f}", f"{group:.3f}")
                                         for e, x in zip(errors, by_error, strict=True)]))

# %% Reuse: batches of 64 answers until cream has .96, by epochs; 8 seeds, the median and ends.
world, rows = worlds.make("ice-cream"), []
for epochs in (1, 4, 16):
    needed = []
    for seed in range(8):
        learner = ppo.METHOD.learn(world, np.random.default_rng(seed), epochs=epochs, target_kl=0.0)
        needed.append(next(i for i, (tables, _) in enumerate(islice(learner, 2000), 1)
                           if softmax(tables["logits"])[0, 0] >= 0.96))
    rows.append((epochs, *(f"{x:.0f}" for x in np.quantile(needed, (0, 0.5, 1)))))
print('\n"Reuses data via multiple epochs": batches until P(cream) = .96, 8 seeds\n')
print(table(("epochs", "fewest", "median", "most"), rows))

# %% TRPO: from a policy that hardly says cream, ten steps that each cost .05 nats, and plain ones.
begin = np.log([0.01, 0.29, 0.70])
trpo, plain, curves = begin, begin, [[], []]
for _ in range(11):
    for z, curve in zip((trpo, plain), curves, strict=True):
        curve.append(softmax(z)[0])
    trpo = trust_region_step(trpo, expected_reward_grad(trpo, R), 0.05,
                             lambda z: expected_reward(softmax(z), R))
    g, step = expected_reward_grad(plain, R), 1.0
    while kl(softmax(plain), softmax(plain + step * g)) > 0.05:     # no more nats than that
        step *= 0.98
    plain = plain + step * g
print("\nTRPO's step and a plain one of at most .05 nats, P(cream)\n")
print(table(("step", "natural", "plain"), [(i, f"{curves[0][i]:.4f}", f"{curves[1][i]:.4f}")
                                           for i in (0, 2, 4, 6, 8, 10)]))


# %% Signal over noise by kind of noise.
def draw() -> None:
    fig, ax = figures.new(width=6.4, height=3.4)
    for j, kind in enumerate(KINDS):
        ax.bar(np.arange(len(noises)) + 0.26 * (j - 1), [x[j] for x in ratios.values()], 0.24,
               label=kind)
    ax.set(xticks=range(len(noises)), xticklabels=list(noises), ylabel="|E g| / sd",
           title="signal over noise of one group")
    ax.tick_params(axis="x", labelsize=8)
    ax.legend(fontsize=8)
    figures.save(fig, "47_claims", "Signal over noise of the gradient estimate from one group of "
                 "four answers, exact, by the noise of the rewards. A right critic is best until "
                 "single rewards are wildly wrong; then ranks are.")


draw()

# %% Try it.  Take larger groups, G = 6.  Which way do the stars move?
# What came out: none moves.  At sd 10 the z-score gains most, 1.152 beside the critic's 1.262: the
# mean of six is a better critic than that of four.  Against wild rewards ranks have 1.470.
