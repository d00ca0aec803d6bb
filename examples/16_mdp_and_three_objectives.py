"""An MDP and three objectives: five things, one policy, three numbers

Document 004, 1.1 (the 5-tuple) and 1.4 (finite total, average, discounted).  A drone like the one
of its 1.3 flies through a forest: in the open or among trees, slow or fast.  Everything is a
small table, so every expectation is a sum, not an estimate.

Look for three things.  The two forms of the finite objective, over trajectories and over the
marginals p_t(s, a), agree to the last digit.  The document's discounted return is gamma times
that of documents 000 and 001.  And the three objectives do not want the same policy: over three
steps fast pays, for good it does not.
"""
import numpy as np

from rlscratch import documents
from rlscratch.mdp import MDP
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
LEDGER = {entry.id: entry for entry in documents.entries()}

# %% The 5-tuple (S, A, P, R, gamma), and where an episode starts.  R(s, a): distance made, less
# damage.
STATES, ACTIONS, GAMMA = ("open", "trees"), ("slow", "fast"), 0.9
P = [[[7 / 8, 1 / 8], [1 / 2, 1 / 2]],
     # P[s][a][s']: from the open; fast ends among trees half the time
     [[1 / 4, 3 / 4], [1 / 2, 1 / 2]]]          # among trees
R = [[1, 2], [-1, -4]]
drone = MDP(P, R, GAMMA, start=0)
rows = []
for j, state in enumerate(STATES):
    for k, action in enumerate(ACTIONS):        # the document's T[i, j, k]: next, now, action
        rows.append((state, action, f"{P[j][k][0]:.3f}", f"{P[j][k][1]:.3f}", f"{R[j][k]:+d}"))
print(table(("state j", "action k", "T[open, j, k]", "T[trees, j, k]", "R(s, a)"), rows))
print(f"\nA tuple of {LEDGER['S4.tuple'].printed}; the document wants "
      f"{LEDGER['S4.gamma.range'].printed}, here gamma = {GAMMA}")

# %% The two forms of the finite objective (1.4.1): trajectories with their probabilities, or p_t(s,
# a).
T, even = 3, np.full((2, 2), 1 / 2)
paths = list(drone.trajectories(even, T))
over_paths = 0.0
for p, _, _, rewards in paths:
    over_paths += p * sum(rewards)
over_marginals, rows = 0.0, []
for t, p_t in enumerate(drone.marginals(even, T)):
    mean_reward = (p_t * R).sum()
    over_marginals += mean_reward
    rows.append((t, *(f"{p:.4f}" for p in p_t.ravel()), f"{mean_reward:+.4f}"))
print(f"\nTossing a coin at each of {T} steps: {len(paths)} trajectories\n")
print(table(("step t", "p(open, slow)", "p(open, fast)", "p(trees, slow)", "p(trees, fast)",
             "E[r_t]"), rows))
print(f"\nJ over trajectories {over_paths:.12f}")
print(f"J over marginals    {over_marginals:.12f}")

# %% The three objectives for each of the four policies that do not toss a coin.
SLOW, FAST = (1, 0), (0, 1)
policies = {"coin": even, "slow / slow": np.array([SLOW, SLOW]),
            "slow / fast": np.array([SLOW, FAST]),
            "fast / slow": np.array([FAST, SLOW]), "fast / fast": np.array([FAST, FAST])}
objectives = np.array([(drone.total_return(pi, T), drone.average_reward(pi),
                        drone.discounted_return(pi),
                        drone.discounted_return(pi, first_power=1)) for pi in policies.values()])
objectives = objectives.round(9) + 0
best = objectives.argmax(axis=0)
rows = []
for i, name in enumerate(policies):
    stars = ["*" if best[j] == i else " " for j in range(4)]
    rows.append((name, *(f"{objectives[i, j]:.4f}{stars[j]}" for j in range(4))))
print("\nPolicies: in the open / among trees; * is the best of its column\n")
print(table(("policy", f"total, T = {T}", "average", "discounted, 001", "discounted, 004"), rows))
factor = objectives[0, 3] / objectives[0, 2]
print(f"\nThe last two columns differ by the factor gamma = {factor:.1f} and agree on what is "
      "best.")

# %% Average reward is the limit of J_T / T, and the stationary distribution mu is where it comes
# from.
slow, fast = policies["slow / slow"], policies["fast / slow"]
rows = []
for name, pi in (("slow / slow", slow), ("fast / slow", fast)):
    in_open, among_trees = drone.stationary_distribution(pi)
    per_step = [drone.total_return(pi, t) / t for t in (1, 10, 100, 1000)]
    average = round(drone.average_reward(pi), 9) + 0
    rows.append((name, f"{in_open:.4f}", f"{among_trees:.4f}", *(f"{x:.4f}" for x in per_step),
                 f"{average:.4f}"))
print()
print(table(("policy", "mu(open)", "mu(trees)", "J_1/1", "J_10/10", "J_100/100", "J_1000/1000",
             "average"), rows))

# %% When does fast stop being the better one?  The horizon and gamma decide, in the same way.
horizons, gammas = np.arange(1, 13), np.linspace(0, 0.95, 39)
totals = [[drone.total_return(pi, t) for t in horizons] for pi in (slow, fast)]
of_gamma = [[MDP(P, R, g, start=0).discounted_return(pi) for g in gammas] for pi in (slow, fast)]
longest = horizons[np.argmax(np.greater(*totals))]
crossing = gammas[np.argmax(np.greater(*of_gamma))]
print(f"\nslow / slow is the better one from T = {longest} steps on, "
      f"and from gamma = {crossing:.3f} on (grid of 1/40)")


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.2, height=3.4)
    for pi, values, name, color, style, marker, offset in (
            (slow, of_gamma[0], "slow / slow", figures.BLUE, "-", "o", 7),
            (fast, of_gamma[1], "fast / slow", figures.RED, "--", "s", -15)):
        axes[0].plot(horizons, [drone.total_return(pi, t) / t for t in horizons], style,
                     marker=marker, ms=5, color=color)
        axes[0].axhline(drone.average_reward(pi), color=color, lw=0.8, ls=":")
        axes[0].annotate(name, (12, drone.total_return(pi, 12) / 12), (0, offset),
                         textcoords="offset points", ha="right", color=color)
        axes[1].plot(gammas, values, style, color=color, label=name)
    axes[0].set(title="Total over T steps, per step", xlabel="horizon T, in steps",
                ylabel="J_T / T, in units of reward")
    axes[1].axvline(crossing, color=figures.BLACK, lw=0.8, ls=":")
    axes[1].set(title="Discounted total", xlabel="gamma", ylabel="J, in units of reward")
    axes[1].legend(loc="upper left")
    figures.save(fig, "16_mdp_and_three_objectives", "Two policies of the drone. Left: the total "
                 "over T steps divided by T falls to the average reward (dotted); over three steps "
                 "fast is better, for good it is not. Right: a small gamma is as impatient as a "
                 "short horizon, and the lines cross.")


draw()

# %% Try it.  Let a fast flight among trees cost 2 instead of 4.  Which policy is the best of each
# column?
# What came out: over three steps still fast / slow, 2.6250; for good now slow / fast, .4000 a step
# against .3333: where a crash is cheap, the way to be out of the trees is to hurry.
