"""Reward-to-go and baselines: one mean, many variances, all of them exact

Document 004, 1.5.2.  Every estimator is a sum of scores with some coefficient: the total return, the
reward-to-go, less a constant, less the value of the state, or GAE.  The drone flies three steps; mean
and variance of each estimator are sums over its 64 trajectories.

Look for three things.  The mean does not move until a wrong value meets lambda < 1, and then it may
point the wrong way.  The variance falls to a quarter.  And the document's promise, that a baseline
reduces it, has conditions: E[R] makes rewards-to-go worse, and they can themselves be worse than totals.
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

# %% The drone; v_t(s) is exact too, and there is a wrong guess of it: too high among trees, on the way.
T, theta = 3, np.array([[0.5, -0.25], [0.25, -0.25]])
drone = MDP([[[7 / 8, 1 / 8], [1 / 2, 1 / 2]], [[1 / 4, 3 / 4], [1 / 2, 1 / 2]]], [[1, 2], [-1, -4]], 1.0, start=0)
exact = drone.policy_gradient(theta, T)
v = step_values(drone, softmax(theta), T)
wrong = v + np.array([[0, 0], [0, 2], [0, 2]])
print(table(("steps to go", "v(open)", "v(trees)", "wrong guess, trees"), [
    (T - t, *(f"{x:+.4f}" for x in v[t]), f"{wrong[t, 1]:+.4f}") for t in range(T)]))

# %% Every estimator is one line.
best = {f: best_constant(drone, theta, T, f) for f in (total_return, reward_to_go)}
mean_return = drone.total_return(softmax(theta), T)
ESTIMATORS = {
    "total return R": total_return,
    "R - E[R]": partial(total_return, baseline=mean_return),
    f"R - b*, b* = {best[total_return]:.3f}": partial(total_return, baseline=best[total_return]),
    "reward-to-go G_t": reward_to_go,
    "G_t - E[R]": partial(reward_to_go, baseline=mean_return),
    f"G_t - b*, b* = {best[reward_to_go]:.3f}": partial(reward_to_go, baseline=best[reward_to_go]),
    "G_t - v_t(s_t)": partial(state_value, values=v),
    "GAE .5, true v": partial(generalised, values=v, lam=0.5),
    "GAE 0, true v": partial(generalised, values=v, lam=0.0),
    "GAE 1, wrong v": partial(generalised, values=wrong, lam=1.0),
    "GAE .5, wrong v": partial(generalised, values=wrong, lam=0.5),
    "GAE 0, wrong v": partial(generalised, values=wrong, lam=0.0),
}
results = {name: expectation_and_variance(drone, theta, T, f) for name, f in ESTIMATORS.items()}
print("\nMean of the estimate: dJ / d logit of slow, in the open and among trees\n")
print(table(("estimator", "open", "trees", "bias", "variance", "variance of G_t"), [
    (name, f"{mean[0, 0]:+.4f}", f"{mean[1, 0]:+.4f}", f"{np.sqrt(((mean - exact) ** 2).sum()):.4f}",
     f"{variance.sum():.4f}", f"x {variance.sum() / results['reward-to-go G_t'][1].sum():.2f}")
    for name, (mean, variance) in results.items()]))
print(f"\ngrad J by the theorem: {exact[0, 0]:+.4f}, {exact[1, 0]:+.4f}")

# %% The lemma behind it (EGLP): what is known before the action has the mean 0 when multiplied by its score.
print("\nScores times something else than a return: the mean\n")
print(table(("coefficient", "open", "trees"), [
    (name, *(f"{round(x, 9) + 0:+.4f}" for x in expectation_and_variance(drone, theta, T, f)[0][:, 0]))
    for name, f in (("rewards of the past", lambda e, gamma: total_return(e, gamma) - reward_to_go(e, gamma)),
                    ("v_t(s_t)", lambda e, gamma: reward_to_go(e, gamma) - state_value(e, gamma, v)),
                    ("1 if the action is slow: depends on it", lambda e, gamma: 1.0 * (e.actions == 0)))]))

# %% Where rewards-to-go are worse than totals: the second reward takes back the first, whatever is done.
step = np.zeros((4, 2, 4))
step[[0, 1, 2, 3], :, [2, 3, 2, 3]] = 1
echo = MDP(step, [1, -1, -1, 1], 1.0, start=[1 / 2, 1 / 2, 0, 0])
print("\nTwo steps that pay +1, -1 or -1, +1\n")
print(table(("estimator", "variance"), [
    (name, f"{expectation_and_variance(echo, np.zeros((4, 2)), 2, f)[1].sum():.4f}")
    for name, f in (("total return R", total_return), ("reward-to-go G_t", reward_to_go))]))

# %% The same as a picture.
fig, axes = figures.new(columns=2, width=9.4, height=3.8)
names = list(ESTIMATORS)[::-1]
biased = [np.abs(results[name][0] - exact).max() > 1e-9 for name in names]
bars = axes[0].barh([name.split(",")[0] if "b*" in name else name for name in names],
                    [results[name][1].sum() for name in names],
                    color=[figures.ORANGE if b else figures.BLUE for b in biased], edgecolor="white",
                    hatch=["///" if b else "" for b in biased])
for bar, name, b in zip(bars, names, biased, strict=True):
    axes[0].annotate(f"{results[name][1].sum():.2f}" + (" biased" if b else ""), (bar.get_width(), bar.get_y() + 0.4),
                     (3, 0), textcoords="offset points", va="center", fontsize=8)
axes[0].set(title="Variance of one flight", xlabel="summed over the logits, in squared units of reward",
            xlim=(0, 1.2 * max(variance.sum() for _, variance in results.values())))
axes[0].tick_params(axis="y", labelsize=8)
line = np.linspace(-4, 6, 41)
for f, color, style, name in ((total_return, figures.RED, "--", "R - b"), (reward_to_go, figures.BLUE, "-", "G_t - b")):
    curve = [expectation_and_variance(drone, theta, T, partial(f, baseline=b))[1].sum() for b in line]
    axes[1].plot(line, curve, style, color=color, label=name)
    axes[1].plot(best[f], np.interp(best[f], line, curve), "D", color=color)
axes[1].axvline(mean_return, color=figures.BLACK, lw=0.8, ls=":")
axes[1].annotate("E[R]", (mean_return, 0.5), (4, 0), textcoords="offset points")
axes[1].set(title="Constant baselines: a parabola", xlabel="baseline b, in units of reward",
            ylabel="variance of one flight", ylim=(0, None))
axes[1].legend(loc="upper left", bbox_to_anchor=(0.15, 1))
figures.save(fig, "19_reward_to_go_and_baselines", "Left: the exact variance of each estimator; hatched ones have "
             "another mean than the gradient. Right: the variance for every constant baseline, with the best one "
             "(diamond) and the expected return (dotted); far from the diamond a baseline does harm.")
