"""Why a baseline: the same mean gradient, other signs, other variance

Document 003, "The Learning Loop": four answers to "How do I learn programming?" earn .2, 0, .7
and .9, and the model should become more like C and D, less like A and B.  Document 004, 1.5.2 and
1.5.3.

Look for the signs: without a baseline the answer worth .2 is pushed up whenever it is drawn, and
only the average over many draws puts that right.  The mean gradient is the same for every
constant baseline; the variance is a parabola, so a bad baseline does harm.  And the batch mean is
not quite unbiased.
"""
from itertools import product

import numpy as np

from rlscratch import documents
from rlscratch.formulas.distribution import expected_reward, expected_reward_grad, softmax
from rlscratch.formulas.policy_gradient import leave_one_out_baseline, score
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
LEDGER = {entry.id: entry for entry in documents.entries()}

# %% The four answers, equally likely.  The coefficient is what multiplies grad log p(answer).
ANSWERS = ("A  Just Google it", "B  Programming is hard", "C  Start with Python basics",
           "D  Simple projects, ...")
WISHES = ("less", "less", "more", "more")
REWARDS, z = np.array([0.2, 0.0, 0.7, 0.9]), np.zeros(4)
p = softmax(z)
mean = expected_reward(p, REWARDS)
others = leave_one_out_baseline(REWARDS)
rows = []
for a, answer in enumerate(ANSWERS):
    r = REWARDS[a]
    rows.append((answer, WISHES[a], f"{r:.2f}", f"{r:+.2f}", f"{r - mean:+.2f}",
                 f"{r - others[a]:+.2f}"))
print(table(("answer", "document", "reward", "no baseline", "b = mean", "b = mean of the others"),
            rows))
print(f"\nThe ledger's coefficients: {', '.join(f'{a:+.2f}' for a in LEDGER['S3.loop.adv'].exact)}")


# %% One draw, all cases added up: the mean of the estimate, its variance, how often it points away.
def enumerate_draws(logits: np.ndarray, rewards: np.ndarray, b: float) -> tuple[np.ndarray, float,
                                                                                float]:
    """E[g], the total variance of g, and P(g points away from grad J), for g = score x (reward -
b).
"""
    p = softmax(logits)
    scores = score(np.tile(logits, (len(p), 1)), np.arange(len(p)))     # row a: grad log p(a)
    g = scores * (rewards - b)[:, None]                          # row a: the estimate if a is drawn
    middle = p @ g
    variance = p @ ((g - middle) ** 2).sum(axis=1)
    away = g @ expected_reward_grad(logits, rewards) < 0
    return middle, variance, p @ away


rows = []
for name, b in (("none", 0.0), ("E[R]", mean), ("too large", 0.8), ("larger than any reward", 1.0)):
    middle, variance, away = enumerate_draws(z, REWARDS, b)
    gradient = ", ".join(f"{x:+.4f}" for x in middle)
    rows.append((name, f"{b:.2f}", gradient, f"{variance:.5f}", f"{away:.2f}"))
print("\nOne draw, exactly\n")
print(table(("baseline", "b", "mean gradient: A, B, C, D", "variance",
             "share of draws that point away"),
            rows))

# %% E[R] is not always good.  Two answers, .9 and .1 likely, rewards 1 and 0: 1.5.2 promises too
# much.
SURE, PAY = np.log([0.9, 0.1]), np.array([1.0, 0.0])
sure = np.exp(SURE)
squares = (score(np.tile(SURE, (2, 1)), np.arange(2)) ** 2).sum(axis=1)   # |score|^2 of each answer
best = (sure @ (squares * PAY)) / (sure @ squares)              # b* = E[|score|^2 R] / E[|score|^2]
rows = []
for name, b in (("none", 0.0), ("E[R]", expected_reward(sure, PAY)), ("the best", best)):
    _, variance, _ = enumerate_draws(SURE, PAY, b)
    rows.append((name, f"{b:.2f}", f"{variance:.5f}"))
print("\nTwo answers, .9 and .1 likely, that earn 1 and 0\n")
print(table(("baseline", "b", "variance"), rows))

# %% The mean of the batch as baseline (004, 1.5.3): all batches of N draws, added up.
grad = expected_reward_grad(z, REWARDS)
scores = score(np.tile(z, (4, 1)), np.arange(4))
rows = []
for N in (2, 3, 4):
    by_mean, by_others = [], []
    for batch in product(range(4), repeat=N):
        g, r = scores[list(batch)], REWARDS[list(batch)]
        by_mean.append((r - r.mean()) @ g / N)
        by_others.append((r - leave_one_out_baseline(r)) @ g / N)
    kept = np.mean(by_mean, axis=0) @ grad / (grad @ grad)          # E[g] in units of grad J
    kept_by_others = np.mean(by_others, axis=0) @ grad / (grad @ grad)
    rows.append((N, 1.0, f"{kept:.4f}", f"{1 - 1 / N:.4f}", f"{kept_by_others:.4f}"))
print("\nMean of the estimate over grad J, all batches of N draws\n")
print(table(("N", "document", "batch mean", "1 - 1/N", "mean of the others"), rows))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.4, height=3.4)
    place = np.arange(4)
    axes[0].bar(place - 0.2, REWARDS, 0.38, color=figures.ORANGE, hatch="///", edgecolor="white",
                label="no baseline")
    axes[0].bar(place + 0.2, REWARDS - mean, 0.38, color=figures.BLUE, label="b = mean")
    axes[0].axhline(0, color=figures.BLACK, lw=0.8)
    axes[0].set(title="What a drawn answer is pushed with",
                ylabel="coefficient, in units of reward",
                xticks=place, xticklabels=("A: less", "B: less", "C: more", "D: more"))
    axes[0].legend(loc="upper left")
    line = np.linspace(-0.2, 1.1, 66)
    for logits, rewards, color, style, name, x in ((z, REWARDS, figures.BLUE, "-",
                                                    "the four answers", mean),
                                                   (SURE, PAY, figures.RED, "--",
                                                    "two answers, .9 and .1", 0.9)):
        axes[1].plot(line, [enumerate_draws(logits, rewards, b)[1] for b in line], style,
                     color=color, label=name)
        axes[1].plot(x, enumerate_draws(logits, rewards, x)[1], "D", color=color)
        axes[1].annotate("b = E[R]", (x, enumerate_draws(logits, rewards, x)[1]),
                         (0, 12 if x < 0.5 else -16),
                         textcoords="offset points", ha="center", color=color)
    axes[1].set(title="The variance is a parabola in b", xlabel="baseline b, in units of reward",
                ylabel="total variance of one draw", ylim=(-0.05, 0.65))
    axes[1].legend(loc="upper center")
    figures.save(fig, "10_why_a_baseline", "Left: the number that multiplies grad log p of a drawn "
                 "answer; only with the mean subtracted do the signs agree with the document's "
                 "wish. Right: the exact variance of a one-draw gradient for every constant "
                 "baseline; for the four answers E[R] is the best, for the two it is far from it.")


draw()

# %% Try it.  Add 10 to every reward.  Which of the columns change, and what happens to the variance
# without a baseline?
# What came out: with the mean or the others' mean as baseline nothing changes.  Without one all
# four answers are pushed up, half of the draws point away, and the variance is 81.97 instead of
# .22.
