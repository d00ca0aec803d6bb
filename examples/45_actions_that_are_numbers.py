"""Actions that are numbers: a Gaussian policy, and the gradient that an integral confirms

Documents 001 and 004, 1.3: steering, pitch and roll are no words to choose from; an action is a
number, and the policy a density.  Nothing else changes in the policy gradient.  A small control
problem shows it: a drone is 1.5 m beside its place, each move a shifts it by a/2, each step costs
the square of the distance and a quarter of the square of the move.

Everything is computed twice: in closed form, and as a mean over all that can happen, by quadrature.
Look at three things: the two gradients have one mean and very different variances; REINFORCE's
estimate is right on average to the last digit; and a log-density may exceed 0.
"""
import itertools
import math

import numpy as np

from rlscratch.formulas import continuous
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% A density is no probability: the narrower, the higher; the entropy passes through 0.
rows = []
for sigma in (2.0, 1.0, 0.5, 0.1, 0.01):
    width = np.log([sigma])
    rows.append((sigma, f"{continuous.gaussian_logp([0.0], width, [0.0]).item():+.4f}",
                 f"{continuous.gaussian_entropy(width).item():+.4f}",
                 f"{continuous.gaussian_kl([0.1], width, [0.0], width).item():.4f}"))
print(table(("sigma", "log pi at the mean", "entropy", "KL of a mean moved by .1"), rows))

# %% Two gradients of J = E f(a), f(a) = -(a - 1)^2 / 2, a around 0: by the score, and through f.
nodes, weights = np.polynomial.hermite_e.hermegauss(24)   # exact up to degree 47
weights = weights / weights.sum()
rows = []
for sigma in (2.0, 1.0, 0.5, 0.1, 0.01):
    a = sigma * nodes[:, None]
    same = np.full_like(a, np.log(sigma))
    score = continuous.gaussian_score(np.zeros_like(a), same, a)[0][:, 0]
    f, slope = -((a[:, 0] - 1) ** 2) / 2, 1 - a[:, 0]
    baseline = -1 / 2                                           # f at the mean
    samples = f * score, (f - baseline) * score, slope
    means = [weights @ x for x in samples]
    rows.append((sigma, *(f"{x:.6f}" for x in means),
                 *(f"{weights @ x**2 - m * m:.4f}" for x, m in zip(samples, means, strict=True))))
print("\nThe gradient in the mean is 1; means, then variances, of one sample's estimate\n")
print(table(("sigma", "score", "with baseline", "through f", "var score", "var baseline",
             "var through f"), rows))

# %% The drone beside its place: a ~ N(k s, sigma^2), s' = s + a/2, reward -(s^2 + a^2/4).
S0, SIGMA, STEPS = 1.5, 0.5, 3


def total(k: float, sigma: float = SIGMA) -> float:
    """J in closed form: E s^2 goes from step to step."""
    second, j = S0 * S0, 0.0
    for _ in range(STEPS):
        j -= second + (k * k * second + sigma**2) / 4
        second = (1 + k / 2) ** 2 * second + sigma**2 / 4
    return j


six, w6 = np.polynomial.hermite_e.hermegauss(6)
w6 = w6 / w6.sum()


def estimates(k: float) -> np.ndarray:
    """Of REINFORCE with the whole return and with the return to go: E and E of the square."""
    moments = np.zeros((2, 2))
    for picks in itertools.product(range(6), repeat=STEPS):
        s, scores, rewards = S0, [], []
        for i in picks:
            a = k * s + SIGMA * six[i]
            score = continuous.gaussian_score([k * s], [math.log(SIGMA)], [a])[0][0]
            scores.append(score * s)                            # the mean k s moves with k by s
            rewards.append(-(s * s + a * a / 4))
            s = s + a / 2
        whole = sum(scores) * sum(rewards)
        to_go = sum(scores[t] * sum(rewards[t:]) for t in range(STEPS))
        chance = math.prod(w6[i] for i in picks)
        moments += chance * np.array([[whole, to_go], [whole**2, to_go**2]])
    return moments


rows = []
for k in (-1.5, -1.0, -0.5, 0.0):
    exact = np.imag(total(k + 1e-20j)) / 1e-20                  # a complex step, exact to rounding
    (whole, to_go), squares = estimates(k)
    rows.append((k, f"{total(k):.4f}", f"{exact:+.9f}", f"{whole:+.9f}", f"{to_go:+.9f}",
                 f"{squares[0] - whole**2:.1f}", f"{squares[1] - to_go**2:.1f}"))
print(f"\nThe drone: {STEPS} steps, {6**STEPS} nodes\n")
print(table(("k", "J", "dJ/dk exact", "E whole return", "E return to go", "var whole",
             "var to go"), rows))

# %% Ascent along the exact gradient, and what the noise of exploring costs.
k = 0.0
for _ in range(300):
    k += 0.02 * np.imag(total(k + 1e-20j)) / 1e-20
print(f"\nThe best gain is k = {k:.4f}: J = {total(k):.4f}; without noise "
      f"{total(k, 0.0):.4f}, so exploring costs {total(k, 0.0) - total(k):.4f}")

# %% A thrust has bounds: a = tanh(u).  Without the correction the density adds to something else.
x, w = np.polynomial.legendre.leggauss(400)
u = np.arctanh(x)[:, None]
logp = continuous.gaussian_logp(np.full_like(u, 0.75), np.full_like(u, -1.0), u)
print(f"the density of tanh(u) adds to {w @ np.exp(logp - continuous.tanh_correction(u)):.6f}, "
      f"without the correction to {w @ np.exp(logp):.6f}")


# %% The variances by sigma.
def draw() -> None:
    fig, ax = figures.new(width=6.0, height=3.4)
    s = np.geomspace(0.05, 3, 100)
    ax.plot(s, 1 / (4 * s * s) + 3.5 + 3.75 * s * s, label="score")
    ax.plot(s, 2 + 3.75 * s * s, "--", label="score, with baseline")
    ax.plot(s, s * s, "-.", label="through f")
    ax.set(xscale="log", yscale="log", title="one sample's estimate of a gradient of 1",
           xlabel="sigma", ylabel="variance")
    ax.legend(fontsize=8)
    figures.save(fig, "45_actions", "The variance of three unbiased estimates of one gradient, by "
                 "the width of the policy. The score needs no derivative of the reward and pays "
                 "for it; a baseline takes away what explodes.")


draw()

# %% Try it.  Let exploring be wider: SIGMA = 1.0.  Does the best gain change?
# What came out: yes, -1.1471 instead of -1.1894: a noisy hand steers less.  Exploring now costs
# 1.4749 instead of .3706, more than a third of what the drone pays without it.
