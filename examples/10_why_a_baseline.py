"""Why a baseline: the same mean gradient, other signs, other variance

Document 003, "The Learning Loop": four answers to "How do I learn programming?" earn .2, 0, .7 and .9,
and the model should become more like C and D, less like A and B.  Document 004, 1.5.2 and 1.5.3.

Look for the signs: without a baseline the answer worth .2 is pushed up whenever it is drawn, and only
the average over many draws puts that right.  The mean gradient is the same for every constant baseline;
the variance is a parabola, so a bad baseline does harm.  And the batch mean is not quite unbiased.
"""
from itertools import product

import numpy as np

from rlscratch import documents
from rlscratch.formulas.distribution import expected_reward, expected_reward_grad
from rlscratch.formulas.policy_gradient import (
    batch_mean_baseline,
    leave_one_out_baseline,
    log_derivative_estimate,
    score,
)
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
LEDGER = {entry.id: entry for entry in documents.entries()}

# %% The four answers, equally likely.  The coefficient is what multiplies grad log p(answer).
ANSWERS = ("A  Just Google it", "B  Programming is hard", "C  Start with Python basics", "D  Simple projects, ...")
REWARDS, z = np.array([0.2, 0.0, 0.7, 0.9]), np.zeros(4)
p = np.full(4, 1 / 4)
mean = expected_reward(p, REWARDS)
print(table(("answer", "document", "reward", "no baseline", "b = mean", "b = mean of the others"), [
    (answer, wish, f"{r:.2f}", f"{r:+.2f}", f"{r - mean:+.2f}", f"{r - other:+.2f}")
    for answer, wish, r, other in zip(ANSWERS, ("less", "less", "more", "more"), REWARDS,
                                      leave_one_out_baseline(REWARDS), strict=True)]))
print(f"\nThe ledger's coefficients: {', '.join(f'{a:+.2f}' for a in LEDGER['S3.loop.adv'].exact)}")


# %% One draw, all cases added up: the mean of the estimate, its variance, and how often it points away.
def enumerate_draws(logits: np.ndarray, rewards: np.ndarray, b: float) -> tuple[np.ndarray, float, float]:
    """E[g], the total variance of g, and P(g points away from grad J), for g = score x (reward - b)."""
    p = np.exp(logits) / np.exp(logits).sum()
    scores = score(np.tile(logits, (len(p), 1)), np.arange(len(p)))
    g = scores * (rewards - b)[:, None]
    middle = log_derivative_estimate(scores, rewards - b, weight=p)
    away = g @ expected_reward_grad(logits, rewards) < 0
    return middle, p @ ((g - middle) ** 2).sum(axis=1), p @ away


print("\nOne draw, exactly\n")
rows = []
for name, b in (("none", 0.0), ("E[R]", mean), ("too large", 0.8), ("larger than any reward", 1.0)):
    middle, variance, away = enumerate_draws(z, REWARDS, b)
    rows.append((name, f"{b:.2f}", ", ".join(f"{x:+.4f}" for x in middle), f"{variance:.5f}", f"{away:.2f}"))
print(table(("baseline", "b", "mean gradient: A, B, C, D", "variance", "share of draws that point away"), rows))

# %% E[R] is not always good.  Two answers, .9 and .1 likely, rewards 1 and 0: 1.5.2 promises too much.
SURE, PAY = np.log([0.9, 0.1]), np.array([1.0, 0.0])
lengths = (score(np.tile(SURE, (2, 1)), np.arange(2)) ** 2).sum(axis=1)
best = (np.exp(SURE) * lengths * PAY).sum() / (np.exp(SURE) * lengths).sum()      # b* = E[|score|^2 R] / E[|score|^2]
print("\nTwo answers, .9 and .1 likely, that earn 1 and 0\n")
print(table(("baseline", "b", "variance"), [
    (name, f"{b:.2f}", f"{enumerate_draws(SURE, PAY, b)[1]:.5f}")
    for name, b in (("none", 0.0), ("E[R]", expected_reward(np.exp(SURE), PAY)), ("the best", best))]))

# %% The mean of the batch as baseline (004, 1.5.3): all batches of N draws, added up.
grad = expected_reward_grad(z, REWARDS)
scores = score(np.tile(z, (4, 1)), np.arange(4))
print("\nMean of the estimate over grad J, all batches of N draws\n")
rows = []
for n in (2, 3, 4):
    ratios = []
    for baseline in (lambda r: batch_mean_baseline(r, np.ones_like(r)), leave_one_out_baseline):
        estimates = [log_derivative_estimate(scores[list(batch)], REWARDS[list(batch)] - baseline(REWARDS[list(batch)]))
                     for batch in product(range(4), repeat=n)]
        ratios.append(np.mean(estimates, axis=0) @ grad / (grad @ grad))
    rows.append((n, 1.0, f"{ratios[0]:.4f}", f"{1 - 1 / n:.4f}", f"{ratios[1]:.4f}"))
print(table(("N", "document", "batch mean", "1 - 1/N", "mean of the others"), rows))

# %% The same as a picture.
fig, axes = figures.new(columns=2, width=8.4, height=3.4)
place = np.arange(4)
axes[0].bar(place - 0.2, REWARDS, 0.38, color=figures.ORANGE, hatch="///", edgecolor="white", label="no baseline")
axes[0].bar(place + 0.2, REWARDS - mean, 0.38, color=figures.BLUE, label="b = mean")
axes[0].axhline(0, color=figures.BLACK, lw=0.8)
axes[0].set(title="What a drawn answer is pushed with", ylabel="coefficient, in units of reward",
            xticks=place, xticklabels=("A: less", "B: less", "C: more", "D: more"))
axes[0].legend(loc="upper left")
line = np.linspace(-0.2, 1.1, 66)
for logits, rewards, color, style, name, x in ((z, REWARDS, figures.BLUE, "-", "the four answers", mean),
                                               (SURE, PAY, figures.RED, "--", "two answers, .9 and .1", 0.9)):
    axes[1].plot(line, [enumerate_draws(logits, rewards, b)[1] for b in line], style, color=color, label=name)
    axes[1].plot(x, enumerate_draws(logits, rewards, x)[1], "D", color=color)
    axes[1].annotate("b = E[R]", (x, enumerate_draws(logits, rewards, x)[1]), (0, 12 if x < 0.5 else -16),
                     textcoords="offset points", ha="center", color=color)
axes[1].set(title="The variance is a parabola in b", xlabel="baseline b, in units of reward",
            ylabel="total variance of one draw", ylim=(-0.05, 0.65))
axes[1].legend(loc="upper center")
figures.save(fig, "10_why_a_baseline", "Left: the number that multiplies grad log p of a drawn answer; only with the "
             "mean subtracted do the signs agree with the document's wish. Right: the exact variance of a one-draw "
             "gradient for every constant baseline; for the four answers E[R] is the best, for the two it is far from "
             "it.")
