"""Deriving the policy gradient: each line of document 004, 1.5.1, is a number on the screen

Document 004, 1.5.1.  The drone flies three steps; its policy is a table of four logits, so the gradient
of J is four numbers.  Every line of the derivation is computed for itself: integrals are sums over all
64 trajectories, derivatives of probabilities are measured by finite differences.

Look for three things.  All lines agree.  The logarithm of P(tau) splits into four terms, and the two
that belong to the environment have the derivative 0: the gradient needs no model.  And the last line,
the Monte Carlo mean, is the only one that is off, by the spread of one flight over sqrt(N).
"""
from collections.abc import Callable

import numpy as np

from rlscratch.expectations.estimators import expectation_and_variance, policy_gradient_estimate, total_return
from rlscratch.formulas.distribution import log_softmax, softmax
from rlscratch.formulas.policy_gradient import score
from rlscratch.formulas.returns import total_return as summed
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% The drone and its policy.
STATES, ACTIONS, T = ("open", "trees"), ("slow", "fast"), 3
drone = MDP([[[7 / 8, 1 / 8], [1 / 2, 1 / 2]], [[1 / 4, 3 / 4], [1 / 2, 1 / 2]]], [[1, 2], [-1, -4]], 1.0, start=0)
theta = np.array([[0.5, -0.25], [0.25, -0.25]])
h, units = 1e-5, np.eye(4).reshape(4, 2, 2)


def measured(f: Callable) -> np.ndarray:
    """The derivative of f in each logit, by central differences: the last axis runs over the four logits."""
    return np.stack([(f(theta + h * e) - f(theta - h * e)) / (2 * h) for e in units], axis=-1)


def probabilities(z: np.ndarray) -> np.ndarray:
    """P(tau) of every trajectory, always in the same order."""
    return np.array([path[0] for path in drone.trajectories(softmax(z), T)])


paths = list(drone.trajectories(softmax(theta), T))
P, r = probabilities(theta), np.array([summed(rewards) for *_, rewards in paths])
score_sums = np.zeros((len(paths), 2, 2))                       # sum over t of grad log pi(a_t|s_t), by formula
for total, (_, states, actions, _) in zip(score_sums, paths, strict=True):
    for s, a in zip(states, actions, strict=False):
        total[s] += score(theta[s], np.array(a))
score_sums = score_sums.reshape(-1, 4)

# %% The derivation, line by line, as the document has it.
mean, variance = expectation_and_variance(drone, theta, T, total_return)
lines = {
    "grad J, measured": measured(lambda z: drone.total_return(softmax(z), T)),
    "grad of the sum of P(tau) r(tau)": measured(lambda z: probabilities(z) @ r),
    "sum of (grad P(tau)) r(tau)": r @ measured(probabilities),
    "sum of P(tau) (grad log P(tau)) r(tau)": (P * r) @ measured(lambda z: np.log(probabilities(z))),
    "sum of P(tau) (sum_t grad log pi) r(tau)": (P * r) @ score_sums,
    "E[(sum_t grad log pi) (sum_t r_t)]": mean.ravel(),
    "policy-gradient theorem, no trajectories": drone.policy_gradient(theta, T).ravel(),
}
headers = [f"{a} | {s}" for s in STATES for a in ACTIONS]
print(f"J = {drone.total_return(softmax(theta), T):.6f}; its derivative in the logits of each action\n")
print(table(("line", *headers), [(name, *(f"{x:+.6f}" for x in row)) for name, row in lines.items()]))
spread = max(np.abs(row - lines["policy-gradient theorem, no trajectories"]).max() for row in lines.values())
print(f"\nThe lines agree to nine digits: {spread < 1e-9}")

# %% The convenient identity, for one trajectory: grad P = P grad log P.
tau = next(i for i, path in enumerate(paths) if path[1:3] == ((0, 1, 1, 0), (1, 0, 0)))
print("\nOne trajectory: fast into the trees, slow, slow, and out\n")
identity = {"grad P(tau), measured": measured(probabilities)[tau],
            "P(tau) grad log P(tau)": P[tau] * score_sums[tau]}
print(table(("side", *headers), [(name, *(f"{x:+.6f}" for x in row)) for name, row in identity.items()]))

# %% log P(tau) is a sum of four terms.  Which of them know theta?
_, states, actions, _ = paths[tau]
moves = list(zip(states[:-1], actions, states[1:], strict=True))
terms = {
    "log P(s_0)": lambda z: np.log(drone.start[states[0]]),
    "sum of log pi(a_t|s_t)": lambda z: sum(log_softmax(z)[s, a] for s, a, _ in moves),
    "sum of log P(s_t+1|s_t, a_t)": lambda z: sum(np.log(drone.transition[move]) for move in moves),
    "log P(tau)": lambda z: np.log(probabilities(z)[tau]),
}
print("\nIts logarithm, term by term, and the derivative of each term\n")
print(table(("term", "value", *headers), [
    (name, f"{f(theta):+.4f}", *(f"{x + 0:+.4f}" for x in measured(f).round(9))) for name, f in terms.items()]
    + [("sum of scores, by formula", "", *(f"{x:+.4f}" for x in score_sums[tau]))]))

# %% The Monte Carlo approximation: the mean over N simulated flights.
rng, exact = np.random.default_rng(0), drone.policy_gradient(theta, T)
sizes, tries, rows, misses = 4 ** np.arange(1, 8), 32, [], []
for n in sizes:
    estimates = np.empty((tries, 2, 2))
    for k in range(tries):
        e = drone.simulate(softmax(theta), int(n), T, rng)
        whole = np.zeros_like(e.rewards)
        whole[:, -1] = e.rewards.sum(axis=1)                    # paid at the end, every step's reward-to-go is r(tau)
        estimates[k] = policy_gradient_estimate(e.states, e.actions, whole, theta, e.mask, baseline="none")
    misses.append(np.sqrt(((estimates - exact) ** 2).sum(axis=(1, 2)).mean()))
    rows.append((n, *(f"{x:+.4f}" for x in estimates[0].ravel()), f"{misses[-1]:.4f}",
                 f"{np.sqrt(variance.sum() / n):.4f}"))
print(f"\nFrom N flights: the first of {tries} estimates, the error over all of them, what it should be\n")
print(table(("N", *headers, "error", "spread / sqrt(N)"), rows))

# %% The same as a picture.
fig, axes = figures.new(columns=2, width=8.4, height=3.4)
place = np.arange(4)
axes[0].bar(place - 0.2, exact.ravel(), 0.38, color=figures.BLUE, label="exact")
axes[0].bar(place + 0.2, [float(x) for x in rows[2][1:5]], 0.38, color=figures.ORANGE, hatch="///", edgecolor="white",
            label=f"one estimate, N = {sizes[2]}")
axes[0].axhline(0, color=figures.BLACK, lw=0.8)
axes[0].set(title="The gradient of J", ylabel="dJ / d logit, in units of reward", xticks=place, xticklabels=headers)
axes[0].tick_params(axis="x", labelsize=8)
axes[0].legend()
axes[1].loglog(sizes, misses, "o", color=figures.BLUE, label=f"measured, {tries} tries")
axes[1].loglog(sizes, np.sqrt(variance.sum() / sizes), "--", color=figures.BLACK, label="exact spread / sqrt(N)")
axes[1].set(title="Error of the Monte Carlo mean", xlabel="flights N", ylabel="error, in units of reward")
axes[1].legend()
figures.save(fig, "18_deriving_the_gradient", "Left: the exact gradient of the drone's total reward in its four "
             "logits and one estimate of it. Right: the error of the estimate against the number of flights; the "
             "dashed line is no fit, it is the exact variance of one flight, enumerated.")
