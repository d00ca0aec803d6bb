"""The probability of a trajectory: a product over steps, a sum in logarithms, and how many there are

Document 004, 1.4.1: P(tau) = P(s_1) prod_t pi(a_t|s_t) P(s_t+1|s_t, a_t).  The drone of the rung before
flies three steps by a policy that leans towards slow; each factor is the policy's or the environment's.

Look for three things.  Taking logarithms sorts the factors into two sums, and only one of them knows the
policy: that is why its gradient will not need the environment.  All trajectories add up to 1, and so do
the frequencies of simulated ones, which approach the probabilities like 1/sqrt(N).  And enumeration
ends soon: each step multiplies the number of trajectories.
"""
from collections import Counter

import gymnasium
import numpy as np

from rlscratch.formulas.distribution import log_softmax, softmax
from rlscratch.mdp import MDP
from rlscratch.mdp.trajectories import count, edges
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% The drone, and a policy from logits.
STATES, ACTIONS, T = ("open", "trees"), ("slow", "fast"), 3
drone = MDP([[[7 / 8, 1 / 8], [1 / 2, 1 / 2]], [[1 / 4, 3 / 4], [1 / 2, 1 / 2]]], [[1, 2], [-1, -4]], 1.0, start=0)
logits = np.array([[0.5, -0.25], [0.25, -0.25]])
policy = softmax(logits)
print(table(("state", *(f"pi({a}|s)" for a in ACTIONS)), [
    (s, *(f"{p:.4f}" for p in row)) for s, row in zip(STATES, policy, strict=True)]))

# %% One trajectory, factor by factor: fast into the trees, slow among them, out again.
states, actions = (0, 1, 1, 0), (1, 0, 0)
factors = [("P(s_0)", STATES[states[0]], drone.start[states[0]], "environment")]
for t, a in enumerate(actions):
    now, after = states[t], states[t + 1]
    factors += [(f"pi(a_{t}|s_{t})", f"{ACTIONS[a]} | {STATES[now]}", policy[now, a], "policy"),
                (f"P(s_{t + 1}|s_{t}, a_{t})", f"{STATES[after]} | {STATES[now]}, {ACTIONS[a]}",
                 drone.transition[now, a, after], "environment")]
running = np.cumprod([f[2] for f in factors])
print("\nOne trajectory\n")
print(table(("factor", "what", "value", "log", "whose", "product so far"), [
    (name, what, f"{p:.4f}", f"{np.log(p):+.4f}", whose, f"{product:.6f}")
    for (name, what, p, whose), product in zip(factors, running, strict=True)]))
sums = {who: sum(np.log(p) for *_, p, whose in factors if whose == who) for who in ("policy", "environment")}
of_policy = sum(log_softmax(logits)[s, a] for s, a in zip(states, actions, strict=False))
print(f"\nlog P(tau) = {sums['policy']:+.4f} (policy) {sums['environment']:+.4f} (environment) = "
      f"{sum(sums.values()):+.4f}, and exp of it {np.exp(sum(sums.values())):.6f}")
print(f"the policy's part again, from the logits alone: {of_policy:+.4f}")

# %% All of them, and as many simulated flights.
paths = {path[1:3]: path[0] for path in drone.trajectories(policy, T)}
flights = 20_000
e = drone.simulate(policy, flights, T, np.random.default_rng(0))
ways = np.column_stack([e.states, e.next_states[:, -1:], e.actions])
seen = Counter(map(tuple, ways.tolist()))
share = {tau: seen[(*tau[0], *tau[1])] / flights for tau in paths}
ranked = sorted(paths, key=lambda tau: -round(paths[tau], 12))         # equal ones in the order of enumeration
print(f"\n{len(paths)} trajectories add up to {sum(paths.values()):.12f}; "
      f"{sum(s > 0 for s in share.values())} of them turned up in {flights} flights\n")
print(table(("actions", "states", "P(tau)", "simulated", "off by, in standard errors"), [
    (" ".join(ACTIONS[a] for a in tau[1]), " ".join(STATES[s] for s in tau[0]), f"{paths[tau]:.4f}",
     f"{share[tau]:.4f}", f"{(share[tau] - paths[tau]) / np.sqrt(paths[tau] * (1 - paths[tau]) / flights):+.1f}")
    for tau in (*ranked[:6], (states, actions))]))

# %% How many trajectories there are.  On the lake they are counted without being visited.
lake = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))
rows = []
for steps in (1, 2, 3, 4, 5, 6, 20, 100):
    coin = np.full((steps, 16, 4), 1 / 4)
    counts = 4**steps, count(edges(lake.transition, lake.reward, lake.terminal, coin), lake.start)
    rows.append((steps, *(f"{n:.1e}" if n > 10**9 else n for n in counts)))
print("\nTrajectories of up to T steps\n")
print(table(("T", "drone", "slippery lake"), rows))

# %% The same as a picture.
fig, axes = figures.new(columns=2, width=8.4, height=3.4)
place = np.arange(16)
axes[0].bar(place - 0.2, [paths[tau] for tau in ranked[:16]], 0.4, color=figures.BLUE, label="P(tau), exact")
axes[0].bar(place + 0.2, [share[tau] for tau in ranked[:16]], 0.4, color=figures.ORANGE, hatch="///",
            edgecolor="white", label=f"share of {flights} flights")
axes[0].set(title="The 16 likeliest trajectories", xlabel="trajectory, likeliest first", ylabel="probability",
            xticks=place[::3], xticklabels=place[::3] + 1)
axes[0].legend()
sizes = 2 ** np.arange(5, 15)
codes, exact = ways @ 2 ** np.arange(ways.shape[1]), np.zeros(2 ** ways.shape[1])
for (s, a), p in paths.items():
    exact[np.array([*s, *a]) @ 2 ** np.arange(ways.shape[1])] = p
misses = [np.sqrt(((np.bincount(codes[:n], minlength=exact.size) / n - exact) ** 2).sum()) for n in sizes]
expected = np.sqrt((exact * (1 - exact)).sum() / sizes)
axes[1].loglog(sizes, misses, "o", color=figures.BLUE, label="measured")
axes[1].loglog(sizes, expected, "--", color=figures.BLACK, label="expected, falls like 1/sqrt(N)")
axes[1].set(title="Distance of the frequencies", xlabel="flights N", ylabel="root of the summed squares")
axes[1].legend()
figures.save(fig, "17_trajectory_probability", "Left: the exact probabilities of the likeliest of 64 trajectories "
             "and their share among simulated flights. Right: how far all the shares together are from the "
             "probabilities, against the number of flights.")
