"""Best of N: draw several answers, keep the one that scores highest, and know what it costs

Document 003, "Quality through Quantity" and part 6, steps 3 and 4: six rollouts about Antarctica
with their scores.  Choosing the best of N draws is a policy of its own, and its expected reward
and its distance from the model can be worked out exactly.

Look for the price: the reward grows with N and so does KL, never above log N - (N-1)/N.  For the
same KL no policy earns more than the optimum under the brake (example 09); best of N nears it as
N grows.
"""
import numpy as np

from rlscratch import documents, kernels
from rlscratch.formulas.distribution import best_of_n, expected_reward
from rlscratch.formulas.kl import kl, kl_optimal_policy
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
LEDGER = {entry.id: entry for entry in documents.entries()}

# %% The six rollouts.  The document calls them equally likely before training; ascending in reward.
ROLLOUTS = {"?9dfsa": 0.0, "Antarctica is": 0.0021, "Antarctica is a country": 0.02,
            "Penguin overlords": 0.09, "No country owns Antarctica": 0.9,
            "Antarctica is governed by ...": 1.0}
R, p = np.array(list(ROLLOUTS.values())), np.full(6, 1 / 6)


def best_of(n: int) -> np.ndarray:
    """The policy "best of n": P(best is k) = F_k^n - F_{k-1}^n, F the chance of a draw no better
than k.
"""
    return np.diff(np.cumsum(p) ** n, prepend=0.0)


two, six = best_of(2), best_of(6)
mean, fresh = p @ R, six @ R
print(table(("rollout", "reward", "model", "best of 2", "best of 6"), [
    (text, f"{R[k]:.4f}", f"{p[k]:.4f}", f"{two[k]:.4f}", f"{six[k]:.4f}")
    for k, text in enumerate(ROLLOUTS)]))
print(f"\nThe mean of the six is {mean:.5f} ({LEDGER['S3.rollouts6.mean'].exact} in the ledger); "
      f"the best of these six is {R.max():.1f}, of six fresh draws {fresh:.4f} on average.")

# %% Exact against drawn: 20,000 times the best of N.
rng = np.random.default_rng(0)
SETS, NUMBERS = 20_000, (1, 2, 4, 6, 8, 16, 64)
rows = []
for N in NUMBERS:
    drawn = np.stack([kernels.draw(np.tile(p, (SETS, 1)), rng.random(SETS)) for _ in range(N)],
                     axis=1)
    measured = R[drawn].max(axis=1).mean()
    formula = best_of_n(p, R, N)
    by_policy = best_of(N) @ R
    distance, bound = kl(best_of(N), p), np.log(N) - (N - 1) / N
    rows.append((N, f"{formula:.4f}", f"{measured:.3f}", f"{by_policy:.4f}", f"{distance:.4f}",
                 f"{bound:.4f}"))
print()
print(table(("N", "exact", "drawn", "policy x reward", "KL, nats", "log N - (N-1)/N"), rows))

# %% What could be had for the same KL: the optimum pi* = p exp(R / beta) / Z, its beta found by
# halving.
rows = []
for N in (2, 4, 6, 8, 16):
    distance = kl(best_of(N), p)
    low, high = 1e-3, 1e3
    for _ in range(60):
        beta = np.sqrt(low * high)
        optimum = kl_optimal_policy(p, R, beta)
        if kl(optimum, p) > distance:                   # too far: a stronger brake
            low = beta
        else:
            high = beta
    rows.append((N, f"{distance:.4f}", f"{best_of_n(p, R, N):.4f}", f"{optimum @ R:.4f}",
                 f"{beta:.3f}"))
print()
print(table(("N", "KL, nats", "best of N", "optimum at this KL", "its beta"), rows))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.4, height=3.4)
    numbers = np.arange(1, 65)
    axes[0].semilogx(numbers, [best_of_n(p, R, int(n)) for n in numbers], color=figures.BLUE)
    axes[0].plot(6, best_of_n(p, R, 6), "D", color=figures.RED)
    axes[0].annotate("six draws", (6, best_of_n(p, R, 6)), (8, -12), textcoords="offset points",
                     color=figures.RED)
    axes[0].set(title="More draws, better answers", xlabel="N",
                ylabel="expected reward of the best", ylim=(0.3, 1.02))
    policies = [kl_optimal_policy(p, R, beta) for beta in np.geomspace(0.02, 100, 200)]
    axes[1].plot([kl(q, p) for q in policies], [expected_reward(q, R) for q in policies],
                 color=figures.ORANGE, label="the most that a KL can buy")
    axes[1].plot([kl(best_of(n), p) for n in NUMBERS], [best_of_n(p, R, n) for n in NUMBERS], "o",
                 color=figures.BLUE, label="best of N")
    for n in (1, 2, 4, 8, 16):
        axes[1].annotate(f"N = {n}", (kl(best_of(n), p), best_of_n(p, R, n)), (7, -10), fontsize=8,
                         textcoords="offset points", color=figures.BLUE)
    axes[1].set(title="What it costs", xlabel="KL(policy || model), in nats",
                ylabel="expected reward", ylim=(0.26, 1.02))
    axes[1].legend(loc="lower right")
    figures.save(fig, "14_best_of_n", "Left: the expected reward of the best of N draws from six "
                 "equally likely answers. Right: the same against its KL from the model; the line "
                 "is the highest reward that any policy can have at that KL. Best of N lies below "
                 "it, by less as N grows.")


draw()

# %% Try it.  Let good answers be rare: p = np.array([.3, .25, .2, .2, .04, .01]).  What does the
# best of 6 earn?
# What came out: .2975 on average instead of .8943, and .917 for N = 64.  It costs nearly the same
# KL, .905 nats instead of .916, for what it costs depends on N far more than on the answers.
