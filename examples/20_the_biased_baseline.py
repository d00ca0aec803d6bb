"""The biased baseline: document 004's own algorithm, against the promise on the page before

Document 004, 1.5.3, steps (a) to (e): simulate, rewards-to-go, their mean over the batch as
baseline, the estimate, one step.  Its 1.5.2 promises no bias for a baseline that does not depend
on the action; the batch mean contains the action's own reward.  Every batch of N episodes is
enumerated.

Look for three things.  With one step the mean is (1 - 1/N) of the gradient; with more it points
elsewhere too.  Leave-one-out keeps the mean and pays in variance, so for small N the biased
estimate is often the nearer one.  And for a batch of one the document's algorithm learns nothing
in a bandit.
"""
import numpy as np

from rlscratch.expectations.estimators import BASELINES, expectation_and_variance
from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.policy_gradient import leave_one_out_baseline, score
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% One round of the algorithm, steps (a) to (e), with each of the three baselines.
P = [[[7 / 8, 1 / 8], [1 / 2, 1 / 2]], [[1 / 4, 3 / 4], [1 / 2, 1 / 2]]]
drone = MDP(P, [[1, 2], [-1, -4]], 1.0, start=0)
theta, alpha, T, N = np.array([[0.5, -0.25], [0.25, -0.25]]), 0.1, 3, 8
e = drone.simulate(softmax(theta), N, T, np.random.default_rng(0))              # (a) simulate
to_go = e.rewards[:, ::-1].cumsum(axis=1)[:, ::-1]                              # (b) rewards-to-go
baselines = {"none": 0.0, "batch_mean": to_go.mean(),
             "leave_one_out": leave_one_out_baseline(to_go.T).T}
estimates = {"exact gradient": drone.policy_gradient(theta, T)}
for name, b in baselines.items():                                               # (c) the baseline
    g = np.zeros_like(theta)
    for i in range(N):
        for t in range(T):
            s = e.states[i, t]
            g[s] += score(theta[s], e.actions[i, t]) * (to_go - b)[i, t] / N    # (d) the estimate
    estimates[name] = g
rows = []
for name, g in estimates.items():
    after = drone.total_return(softmax(theta + alpha * g), T)                   # (e) the step
    rows.append((name, f"{g[0, 0]:+.4f}", f"{g[1, 0]:+.4f}", f"{after:.4f}"))
print(f"One batch of {N} flights, J = {drone.total_return(softmax(theta), T):.4f} before the "
      "step\n")
print(table(("estimate", "slow | open", "slow | trees", "J after the step"), rows))
print("\nOne batch says little.  All of them, weighed by their probability, say everything.")

# %% Episodes of one step: "I like ice ___".  E[g] / grad J along grad J.
PAY, even = np.array([10.0, 5.0, -10.0]), np.zeros((2, 3))
ice = MDP(np.tile([0.0, 1.0], (2, 3, 1)), [PAY, np.zeros(3)], 1.0, start=0, terminal=[False, True])
grad = ice.policy_gradient(even, 1)


def share(baseline: str, n: int) -> float:
    """How much of the gradient the mean estimate has."""
    mean, _ = expectation_and_variance(ice, even, 1, BASELINES[baseline], n)
    return (mean * grad).sum() / (grad**2).sum()


rows = []
for n in (2, 3, 4):
    rows.append((n, 1.0, f"{share('batch_mean', n):.6f}", f"{1 - 1 / n:.6f}",
                 f"{share('leave_one_out', n):.6f}"))
alone, _ = expectation_and_variance(ice, even, 1, BASELINES["batch_mean"], 1)
print("\nIce cream, one step: E[g] over grad J\n")
print(table(("N", "document 1.5.2", "batch mean", "1 - 1/N", "leave one out"), rows))
print("\nN = 1: b is the answer's own reward, "
      f"the estimate is {np.abs(alone).max():.0f} for every answer.")

# %% Two steps, two rooms: move a leads to room a, room 0 pays 1 for move 0, room 1 pays 2 for move
# 1.
rooms, coin = MDP([[[1, 0], [0, 1]]] * 2, [[1, 0], [0, 2]], 1.0, start=0), np.zeros((2, 2))
exact, rows = rooms.policy_gradient(coin, 2), []
for n in (1, 2, 3):
    mean, _ = expectation_and_variance(rooms, coin, 2, BASELINES["batch_mean"], n)
    off = np.linalg.norm(mean - exact) / np.linalg.norm(exact)
    in_room = (mean / exact).round(9)[:, 0] + 0
    rows.append((n, 0.0, f"{off:.6f}", f"{in_room[0]:.4f}", f"{1 - 1 / (2 * n):.4f}",
                 f"{in_room[1]:.4f}", f"{1 - 1 / n:.4f}"))
print("\nTwo rooms: |E[g] - grad J| / |grad J|, and E[g] / grad J in each room\n")
print(table(("N", "document 1.5.2", "batch mean", "room 0", "1 - 1/2N", "room 1", "1 - 1/N"), rows))

# %% Why anyone uses it: bias, variance, and the two together as a distance from grad J.
sizes, distance, rows = (2, 3, 4, 5), {}, []
for n in sizes:
    for name, estimator in BASELINES.items():
        mean, variance = expectation_and_variance(rooms, coin, 2, estimator, n)
        bias, total = np.linalg.norm(mean - exact), variance.sum()
        distance[name, n] = np.sqrt(bias**2 + total)
        rows.append((n if name == "none" else "", name, f"{bias:.4f}", f"{total:.4f}",
                     f"{distance[name, n]:.4f}"))
print("\nTwo rooms: all batches of N\n")
print(table(("N", "baseline", "bias", "variance", "distance from grad J"), rows))

# %% The factor can be given back: N/(N - 1) times the batch mean's estimate is exact, in a bandit
# only.
mean, variance = expectation_and_variance(ice, even, 1, BASELINES["batch_mean"], 3)
loo_mean, loo_variance = expectation_and_variance(ice, even, 1, BASELINES["leave_one_out"], 3)
same_mean = np.allclose(1.5 * mean, loo_mean)
same_variance = np.allclose(1.5**2 * variance, loo_variance)
percent = 100 * variance.sum() / loo_variance.sum()
print("\nIce cream, N = 3: (3/2) x batch mean is leave-one-out: "
      f"mean {same_mean}, variance {same_variance}")
print(f"so the shorter step has {percent:.0f}% of the variance: a learning rate in disguise")


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.4, height=3.4)
    ns = np.arange(1, 6)
    axes[0].axhline(1, color=figures.BLACK, lw=0.8, ls=":")
    axes[0].plot(ns, [share("batch_mean", n) for n in ns], "o-", color=figures.RED,
                 label="batch mean")
    axes[0].plot(ns[1:], [share("leave_one_out", n) for n in ns[1:]], "s--", color=figures.BLUE,
                 label="leave one out")
    axes[0].set(title="Ice cream: how much of grad J is left", xlabel="batch size N",
                ylabel="E[g] / grad J", xticks=ns, ylim=(-0.05, 1.15))
    axes[0].legend(loc="lower right")
    for name, color, style in (("none", figures.ORANGE, "^:"), ("batch_mean", figures.RED, "o-"),
                               ("leave_one_out", figures.BLUE, "s--")):
        axes[1].plot(sizes, [distance[name, n] for n in sizes], style, color=color,
                     label=name.replace("_", " "))
    axes[1].set(title="Two rooms: distance from grad J", xlabel="batch size N",
                ylabel="root of bias² + variance", xticks=sizes, ylim=(0, None))
    axes[1].legend()
    figures.save(fig, "20_the_biased_baseline", "Left: the share of the gradient that the mean "
                 "estimate keeps; the document promises the dotted line for both. Right: how far "
                 "an estimate from N episodes is from the gradient, bias and variance together: "
                 "the biased baseline is the nearest here, for every N shown.")


draw()

# %% Try it.  Add 100 to every reward of the ice cream, PAY.  Does the batch mean lose more of the
# gradient?
# What came out: not a digit changes.  A baseline from the batch takes any constant away; what it
# loses, 1/N, is the answer's own share in the mean.
