"""Deriving the policy gradient: each line of document 004, 1.5.1, is a number on the screen

Document 004, 1.5.1.  The drone flies three steps; its policy is a table of four logits, so the
gradient of J is four numbers.  Every line of the derivation is computed for itself: integrals are
sums over all 64 trajectories, derivatives of probabilities are measured by finite differences.

Look for three things.  All lines agree.  The logarithm of P(tau) splits into four terms, and the
two that belong to the environment have the derivative 0: the gradient needs no model.  And the
last line, the Monte Carlo mean, is the only one that is off, by the spread of one flight over
sqrt(N).
"""
from collections.abc import Callable

import numpy as np

from rlscratch.expectations.estimators import (
    expectation_and_variance,
    policy_gradient_estimate,
    total_return,
)
from rlscratch.formulas.distribution import log_softmax, softmax
from rlscratch.formulas.policy_gradient import score
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% The drone and its policy.
T = 3
P_next = [[[7 / 8, 1 / 8], [1 / 2, 1 / 2]], [[1 / 4, 3 / 4], [1 / 2, 1 / 2]]]
drone = MDP(P_next, [[1, 2], [-1, -4]], 1.0, start=0)
theta = np.array([[0.5, -0.25], [0.25, -0.25]])
headers = ["slow | open", "fast | open", "slow | trees", "fast | trees"]


def measured(f: Callable) -> np.ndarray:
    """The derivative of f in each logit, by central differences: the last axis runs over the four
logits.
"""
    h, slopes = 1e-5, []
    for e in np.eye(4).reshape(4, 2, 2):
        slopes.append((f(theta + h * e) - f(theta - h * e)) / (2 * h))
    return np.stack(slopes, axis=-1)


def J(z: np.ndarray) -> float:
    """The expected total reward of three steps."""
    return drone.total_return(softmax(z), T)


def P(z: np.ndarray) -> np.ndarray:
    """P(tau) of all 64 trajectories, always in the same order."""
    return np.array([p for p, *_ in drone.trajectories(softmax(z), T)])


def log_P(z: np.ndarray) -> np.ndarray:
    """Its logarithm."""
    return np.log(P(z))


r, score_sums = np.zeros(64), np.zeros((64, 2, 2))
for tau, (_, states, actions, rewards) in enumerate(drone.trajectories(softmax(theta), T)):
    r[tau] = sum(rewards)
    for t in range(T):                              # sum over t of grad log pi(a_t|s_t), by formula
        s = states[t]
        score_sums[tau, s] += score(theta[s], np.array(actions[t]))
score_sums = score_sums.reshape(64, 4)

# %% The derivation, line by line, as the document has it.
mean, variance = expectation_and_variance(drone, theta, T, total_return)
theorem = drone.policy_gradient(theta, T).ravel()
lines = {
    "grad J, measured": measured(J),
    "grad of the sum of P(tau) r(tau)": measured(lambda z: P(z) @ r),
    "sum of (grad P(tau)) r(tau)": r @ measured(P),
    "sum of P(tau) (grad log P(tau)) r(tau)": (P(theta) * r) @ measured(log_P),
    "sum of P(tau) (sum_t grad log pi) r(tau)": (P(theta) * r) @ score_sums,
    "E[(sum_t grad log pi) (sum_t r_t)]": mean.ravel(),
    "policy-gradient theorem, no trajectories": theorem,
}
spread = max(np.abs(row - theorem).max() for row in lines.values())
print(f"J = {J(theta):.6f}; its derivative in the logits of each action\n")
print(table(("line", *headers), [
    (name, *(f"{x:+.6f}" for x in row)) for name, row in lines.items()]))
print(f"\nThe lines agree to nine digits: {spread < 1e-9}")

# %% The convenient identity, for one trajectory: grad P = P grad log P.
paths = list(drone.trajectories(softmax(theta), T))
tau = next(i for i, path in enumerate(paths) if path[1:3] == ((0, 1, 1, 0), (1, 0, 0)))
left, right = measured(P)[tau], P(theta)[tau] * score_sums[tau]
print("\nOne trajectory: fast into the trees, slow, slow, and out\n")
print(table(("side", *headers), [
    ("grad P(tau), measured", *(f"{x:+.6f}" for x in left)),
    ("P(tau) grad log P(tau)", *(f"{x:+.6f}" for x in right))]))

# %% log P(tau) is a sum of four terms.  Which of them know theta?
_, states, actions, _ = paths[tau]
moves = [(states[t], actions[t], states[t + 1]) for t in range(T)]
terms = {
    "log P(s_0)": lambda z: np.log(drone.start[states[0]]),
    "sum of log pi(a_t|s_t)": lambda z: sum(log_softmax(z)[s, a] for s, a, _ in moves),
    "sum of log P(s_t+1|s_t, a_t)": lambda z: sum(np.log(drone.transition[move]) for move in moves),
    "log P(tau)": lambda z: log_P(z)[tau],
}
rows = []
for name, term in terms.items():
    slope = measured(term).round(9) + 0
    rows.append((name, f"{term(theta):+.4f}", *(f"{x:+.4f}" for x in slope)))
rows.append(("sum of scores, by formula", "", *(f"{x:+.4f}" for x in score_sums[tau])))
print("\nIts logarithm, term by term, and the derivative of each term\n")
print(table(("term", "value", *headers), rows))

# %% The Monte Carlo approximation: the mean over N simulated flights.
rng, exact = np.random.default_rng(0), drone.policy_gradient(theta, T)
sizes, TRIES, firsts, misses, rows = 4 ** np.arange(1, 8), 32, [], [], []
for N in sizes:
    estimates = np.empty((TRIES, 2, 2))
    for k in range(TRIES):
        e = drone.simulate(softmax(theta), int(N), T, rng)
        at_the_end = np.zeros_like(e.rewards)          # so that every step's reward-to-go is r(tau)
        at_the_end[:, -1] = e.rewards.sum(axis=1)
        estimates[k] = policy_gradient_estimate(e.states, e.actions, at_the_end, theta, e.mask,
                                                baseline="none")
    error = np.sqrt(((estimates - exact) ** 2).sum(axis=(1, 2)).mean())
    should_be = np.sqrt(variance.sum() / N)
    firsts.append(estimates[0].ravel())
    misses.append(error)
    rows.append((N, *(f"{x:+.4f}" for x in firsts[-1]), f"{error:.4f}", f"{should_be:.4f}"))
print(f"\nFrom N flights: the first of {TRIES} estimates, the error over all of them, "
      "what it should be\n")
print(table(("N", *headers, "error", "spread / sqrt(N)"), rows))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.4, height=3.4)
    place = np.arange(4)
    axes[0].bar(place - 0.2, exact.ravel(), 0.38, color=figures.BLUE, label="exact")
    axes[0].bar(place + 0.2, firsts[2], 0.38, color=figures.ORANGE, hatch="///", edgecolor="white",
                label=f"one estimate, N = {sizes[2]}")
    axes[0].axhline(0, color=figures.BLACK, lw=0.8)
    axes[0].set(title="The gradient of J", ylabel="dJ / d logit, in units of reward", xticks=place,
                xticklabels=headers)
    axes[0].tick_params(axis="x", labelsize=8)
    axes[0].legend()
    axes[1].loglog(sizes, misses, "o", color=figures.BLUE, label=f"measured, {TRIES} tries")
    axes[1].loglog(sizes, np.sqrt(variance.sum() / sizes), "--", color=figures.BLACK,
                   label="exact spread / sqrt(N)")
    axes[1].set(title="Error of the Monte Carlo mean", xlabel="flights N",
                ylabel="error, in units of reward")
    axes[1].legend()
    figures.save(fig, "18_deriving_the_gradient", "Left: the exact gradient of the drone's total "
                 "reward in its four logits and one estimate of it. Right: the error of the "
                 "estimate against the number of flights; the dashed line is no fit, it is the "
                 "exact variance of one flight, enumerated.")


draw()

# %% Try it.  Add 10 to every reward, as R = [[11, 12], [9, 6]].  Which line of the derivation
# changes?
# What came out: none, for 30 more in every r(tau) times scores of mean 0 adds nothing.  Only J
# does, to 31.920555, and the last table: the error of 16,384 flights is .2562 instead of .0265.
