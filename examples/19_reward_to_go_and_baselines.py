"""Reward-to-go and baselines: one mean, many variances, all of them exact

Document 004, 1.5.2.  Every estimator is a sum of scores with some coefficient: the total return,
the reward-to-go, less a constant, less the value of the state, or GAE.  The drone flies three
steps; mean and variance of each estimator are sums over its 64 trajectories.

Look for three things.  The mean does not move until a wrong value meets lambda < 1, and then it
may point the wrong way.  The variance falls to a quarter.  And the document's promise, that a
baseline reduces it, has conditions: E[R] makes rewards-to-go worse, and they can themselves be
worse than totals.
"""
from functools import partial

import numpy as np

from rlscratch.expectations.estimators import (
    best_constant,
    expectation_and_variance,
    generalised,
    reward_to_go,
    state_value,
    step_values,
    total_return,
)
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% The drone; v_t(s) is exact too, and there is a wrong guess of it: too high among trees, on the
# way.
T, theta = 3, np.array([[0.5, -0.25], [0.25, -0.25]])
P = [[[7 / 8, 1 / 8], [1 / 2, 1 / 2]], [[1 / 4, 3 / 4], [1 / 2, 1 / 2]]]
drone = MDP(P, [[1, 2], [-1, -4]], 1.0, start=0)
exact = drone.policy_gradient(theta, T)
v = step_values(drone, softmax(theta), T)
wrong = v + np.array([[0, 0], [0, 2], [0, 2]])
print(table(("steps to go", "v(open)", "v(trees)", "wrong guess, trees"), [
    (T - t, f"{v[t, 0]:+.4f}", f"{v[t, 1]:+.4f}", f"{wrong[t, 1]:+.4f}") for t in range(T)]))

# %% Every estimator is one line: the coefficient of the scores of an episode.
mean_return = drone.total_return(softmax(theta), T)
best_b = best_constant(drone, theta, T, total_return)
best_b_to_go = best_constant(drone, theta, T, reward_to_go)
ESTIMATORS = {
    "total return R": total_return,
    "R - E[R]": partial(total_return, baseline=mean_return),
    f"R - b*, b* = {best_b:.3f}": partial(total_return, baseline=best_b),
    "reward-to-go G_t": reward_to_go,
    "G_t - E[R]": partial(reward_to_go, baseline=mean_return),
    f"G_t - b*, b* = {best_b_to_go:.3f}": partial(reward_to_go, baseline=best_b_to_go),
    "G_t - v_t(s_t)": partial(state_value, values=v),
    "GAE .5, true v": partial(generalised, values=v, lam=0.5),
    "GAE 0, true v": partial(generalised, values=v, lam=0.0),
    "GAE 1, wrong v": partial(generalised, values=wrong, lam=1.0),
    "GAE .5, wrong v": partial(generalised, values=wrong, lam=0.5),
    "GAE 0, wrong v": partial(generalised, values=wrong, lam=0.0),
}
results = {}
for name, estimator in ESTIMATORS.items():
    mean, variance = expectation_and_variance(drone, theta, T, estimator)
    results[name] = mean, variance.sum()
_, of_reward_to_go = results["reward-to-go G_t"]
rows = []
for name, (mean, variance) in results.items():
    bias = np.sqrt(((mean - exact) ** 2).sum())
    rows.append((name, f"{mean[0, 0]:+.4f}", f"{mean[1, 0]:+.4f}", f"{bias:.4f}", f"{variance:.4f}",
                 f"x {variance / of_reward_to_go:.2f}"))
print("\nMean of the estimate: dJ / d logit of slow, in the open and among trees\n")
print(table(("estimator", "open", "trees", "bias", "variance", "variance of G_t"), rows))
print(f"\ngrad J by the theorem: {exact[0, 0]:+.4f}, {exact[1, 0]:+.4f}")

# %% The lemma behind it (EGLP): what is known before the action has the mean 0 times its score.
COEFFICIENTS = {
    "rewards of the past": lambda e, gamma: total_return(e, gamma) - reward_to_go(e, gamma),
    "v_t(s_t)": lambda e, gamma: reward_to_go(e, gamma) - state_value(e, gamma, v),
    "1 if the action is slow: depends on it": lambda e, gamma: 1.0 * (e.actions == 0),
}
rows = []
for name, coefficient in COEFFICIENTS.items():
    mean, _ = expectation_and_variance(drone, theta, T, coefficient)
    in_open, among_trees = mean[:, 0].round(9) + 0
    rows.append((name, f"{in_open:+.4f}", f"{among_trees:+.4f}"))
print("\nScores times something else than a return: the mean\n")
print(table(("coefficient", "open", "trees"), rows))

# %% Where rewards-to-go are worse than totals: the second reward takes back the first, whatever is
# done.
step = np.zeros((4, 2, 4))
step[[0, 1, 2, 3], :, [2, 3, 2, 3]] = 1
echo = MDP(step, [1, -1, -1, 1], 1.0, start=[1 / 2, 1 / 2, 0, 0])
even = np.zeros((4, 2))
_, of_total = expectation_and_variance(echo, even, 2, total_return)
_, of_to_go = expectation_and_variance(echo, even, 2, reward_to_go)
print("\nTwo steps that pay +1, -1 or -1, +1\n")
print(table(("estimator", "variance"), [
    ("total return R", f"{of_total.sum():.4f}"),
    ("reward-to-go G_t", f"{of_to_go.sum():.4f}")]))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=9.4, height=3.8)
    names = list(ESTIMATORS)[::-1]
    biased = [np.abs(results[name][0] - exact).max() > 1e-9 for name in names]
    bars = axes[0].barh([name.split(",")[0] if "b*" in name else name for name in names],
                        [results[name][1] for name in names],
                        color=[figures.ORANGE if b else figures.BLUE for b in biased],
                        edgecolor="white", hatch=["///" if b else "" for b in biased])
    for bar, name, b in zip(bars, names, biased, strict=True):
        axes[0].annotate(f"{results[name][1]:.2f}" + (" biased" if b else ""),
                         (bar.get_width(), bar.get_y() + 0.4),
                         (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes[0].set(title="Variance of one flight",
                xlabel="summed over the logits, in squared units of reward",
                xlim=(0, 1.2 * max(variance for _, variance in results.values())))
    axes[0].tick_params(axis="y", labelsize=8)
    line = np.linspace(-4, 6, 41)
    for f, b_star, color, style, name in ((total_return, best_b, figures.RED, "--", "R - b"),
                                          (reward_to_go, best_b_to_go, figures.BLUE, "-",
                                           "G_t - b")):
        curve = [expectation_and_variance(drone, theta, T, partial(f, baseline=b))[1].sum()
                 for b in line]
        axes[1].plot(line, curve, style, color=color, label=name)
        axes[1].plot(b_star, np.interp(b_star, line, curve), "D", color=color)
    axes[1].axvline(mean_return, color=figures.BLACK, lw=0.8, ls=":")
    axes[1].annotate("E[R]", (mean_return, 0.5), (4, 0), textcoords="offset points")
    axes[1].set(title="Constant baselines: a parabola", xlabel="baseline b, in units of reward",
                ylabel="variance of one flight", ylim=(0, None))
    axes[1].legend(loc="upper left", bbox_to_anchor=(0.15, 1))
    figures.save(fig, "19_reward_to_go_and_baselines", "Left: the exact variance of each "
                 "estimator; hatched ones have another mean than the gradient. Right: the variance "
                 "for every constant baseline, with the best one (diamond) and the expected return "
                 "(dotted); far from the diamond a baseline does harm.")


draw()

# %% Try it.  Let the guess be wrong by the same amount everywhere: wrong = v + 5.  Which of the
# last three estimators are biased now?
# What came out: none.  A constant error cancels in V(s') - V(s), and at the end, where the true
# value 0 is known, it is a baseline; the variance pays, 41.56, 20.01 and 15.35.
