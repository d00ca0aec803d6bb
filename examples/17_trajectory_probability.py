"""Probability of a trajectory: a product over steps, a sum in logarithms, and how many there are

Document 004, 1.4.1: P(tau) = P(s_1) prod_t pi(a_t|s_t) P(s_t+1|s_t, a_t).  The drone of the rung
before flies three steps by a policy that leans towards slow; each factor is the policy's or the
environment's.

Look for three things.  Taking logarithms sorts the factors into two sums, and only one of them
knows the policy: that is why its gradient will not need the environment.  All trajectories add up
to 1, and so do the frequencies of simulated ones, which approach the probabilities like
1/sqrt(N).  And enumeration ends soon: each step multiplies the number of trajectories.
"""
from collections import Counter

import gymnasium
import numpy as np

from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import MDP
from rlscratch.mdp.trajectories import count, edges
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

# %% The drone, and a policy from logits.
STATES, ACTIONS, T = ("open", "trees"), ("slow", "fast"), 3
P = [[[7 / 8, 1 / 8], [1 / 2, 1 / 2]], [[1 / 4, 3 / 4], [1 / 2, 1 / 2]]]
drone = MDP(P, [[1, 2], [-1, -4]], 1.0, start=0)
logits = np.array([[0.5, -0.25], [0.25, -0.25]])
policy = softmax(logits)
print(table(("state", "pi(slow|s)", "pi(fast|s)"), [
    (state, f"{policy[s, 0]:.4f}", f"{policy[s, 1]:.4f}") for s, state in enumerate(STATES)]))

# %% One trajectory, factor by factor: fast into the trees, slow among them, out again.
states, actions = (0, 1, 1, 0), (1, 0, 0)
factors = [("P(s_0)", STATES[states[0]], drone.start[states[0]], "environment")]
for t, a in enumerate(actions):
    now, after = states[t], states[t + 1]
    factors.append((f"pi(a_{t}|s_{t})", f"{ACTIONS[a]} | {STATES[now]}", policy[now, a], "policy"))
    factors.append((f"P(s_{t + 1}|s_{t}, a_{t})", f"{STATES[after]} | {STATES[now]}, {ACTIONS[a]}",
                    P[now][a][after], "environment"))
rows, product, sums = [], 1.0, {"policy": 0.0, "environment": 0.0}
for name, what, p, whose in factors:
    product *= p
    sums[whose] += np.log(p)
    rows.append((name, what, f"{p:.4f}", f"{np.log(p):+.4f}", whose, f"{product:.6f}"))
print("\nOne trajectory\n")
print(table(("factor", "what", "value", "log", "whose", "product so far"), rows))
log_p = sums["policy"] + sums["environment"]
logp = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
from_logits = sum(logp[states[t], actions[t]] for t in range(T))
print(f"\nlog P(tau) = {sums['policy']:+.4f} (policy) {sums['environment']:+.4f} (environment) = "
      f"{log_p:+.4f}, and exp of it {np.exp(log_p):.6f}")
print(f"the policy's part again, from the logits alone: {from_logits:+.4f}")

# %% All of them, and as many simulated flights.
paths = {(states_, actions_): p for p, states_, actions_, _ in drone.trajectories(policy, T)}
flights = 20_000
e = drone.simulate(policy, flights, T, np.random.default_rng(0))
ways = np.column_stack([e.states, e.next_states[:, -1:], e.actions])      # s_0 ... s_3, a_0 ... a_2
seen = Counter(map(tuple, ways.tolist()))
share = {tau: seen[(*tau[0], *tau[1])] / flights for tau in paths}
ranked = sorted(paths, key=lambda tau: -round(paths[tau],
                                              12))  # equal ones in the order of enumeration
rows = []
for tau in (*ranked[:6], (states, actions)):
    p, drawn = paths[tau], share[tau]
    off = (drawn - p) / np.sqrt(p * (1 - p) / flights)
    names = " ".join(ACTIONS[a] for a in tau[1]), " ".join(STATES[s] for s in tau[0])
    rows.append((*names, f"{p:.4f}", f"{drawn:.4f}", f"{off:+.1f}"))
turned_up = sum(drawn > 0 for drawn in share.values())
print(f"\n{len(paths)} trajectories add up to {sum(paths.values()):.12f}; "
      f"{turned_up} of them turned up in {flights} flights\n")
print(table(("actions", "states", "P(tau)", "simulated", "off by, in standard errors"), rows))

# %% How many trajectories there are.  On the lake they are counted without being visited.
lake = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))


def short(n: int) -> str:
    """A whole number, or its size if it has more than nine digits."""
    return f"{n:.1e}" if n > 10**9 else str(n)


rows = []
for steps in (1, 2, 3, 4, 5, 6, 20, 100):
    coin = np.full((steps, 16, 4), 1 / 4)
    on_the_lake = count(edges(lake.transition, lake.reward, lake.terminal, coin), lake.start)
    rows.append((steps, short(4**steps), short(on_the_lake)))
print("\nTrajectories of up to T steps\n")
print(table(("T", "drone", "slippery lake"), rows))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.4, height=3.4)
    place = np.arange(16)
    axes[0].bar(place - 0.2, [paths[tau] for tau in ranked[:16]], 0.4, color=figures.BLUE,
                label="P(tau), exact")
    axes[0].bar(place + 0.2, [share[tau] for tau in ranked[:16]], 0.4, color=figures.ORANGE,
                hatch="///", edgecolor="white", label=f"share of {flights} flights")
    axes[0].set(title="The 16 likeliest trajectories", xlabel="trajectory, likeliest first",
                ylabel="probability", xticks=place[::3], xticklabels=place[::3] + 1)
    axes[0].legend()
    sizes = 2 ** np.arange(5, 15)
    codes, exact = ways @ 2 ** np.arange(ways.shape[1]), np.zeros(2 ** ways.shape[1])
    for (s, a), p in paths.items():
        exact[np.array([*s, *a]) @ 2 ** np.arange(ways.shape[1])] = p
    misses = [np.sqrt(((np.bincount(codes[:n], minlength=exact.size) / n - exact) ** 2).sum())
              for n in sizes]
    expected = np.sqrt((exact * (1 - exact)).sum() / sizes)
    axes[1].loglog(sizes, misses, "o", color=figures.BLUE, label="measured")
    axes[1].loglog(sizes, expected, "--", color=figures.BLACK,
                   label="expected, falls like 1/sqrt(N)")
    axes[1].set(title="Distance of the frequencies", xlabel="flights N",
                ylabel="root of the summed squares")
    axes[1].legend()
    figures.save(fig, "17_trajectory_probability", "Left: the exact probabilities of the likeliest "
                 "of 64 trajectories and their share among simulated flights. Right: how far all "
                 "the shares together are from the probabilities, against the number of flights.")


draw()

# %% Try it.  Make the policy nearly certain: logits 4 for slow, -4 for fast, in both states.  How
# many of the 64 trajectories turn up in 20,000 flights?
# What came out: 21.  All 64 still add up to 1, but slow slow slow has nearly all of it; the
# trajectory above fell from .011654 to .000031, and only its policy's part did, -2.0850 to -8.0010.
