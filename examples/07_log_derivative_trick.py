"""The log-derivative trick: every line of the derivation as a number, on a question of four answers

Document 003, "The Log-Derivative Trick (Step-by-Step)"; document 004, 1.5.1.  The capital of France has
four answers; the policy is a softmax of four logits z, so everything can be added up exactly.

Look for three things.  Each line of the derivation has the same value in every column, and the last two
lines confirm it by other roads.  Samples are only needed because real answers cannot be listed: their
error falls like 1/sqrt(N).  And the direction of log pi(Paris) is (.6, -.3, -.2, -.1), not (.1, -.2, .3).
"""
import numpy as np

from rlscratch import documents, kernels
from rlscratch.formulas.distribution import expected_reward, expected_reward_grad, softmax
from rlscratch.formulas.policy_gradient import log_derivative_estimate, score
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
LEDGER = {entry.id: entry for entry in documents.entries()}

# %% The question.  J is the average reward; we want its derivative in each logit.
ANSWERS, REWARDS = ("Paris", "London", "Banana", "I don't know"), np.array([1.0, 0.0, 0.0, 0.3])
z = np.log([0.4, 0.3, 0.2, 0.1])
p = softmax(z)
print(table(("answer", "p", "reward", "p x reward"), [
    (answer, f"{q:.1f}", f"{r:.1f}", f"{q * r:.2f}") for answer, q, r in zip(ANSWERS, p, REWARDS, strict=True)]))
print(f"\nJ = {expected_reward(p, REWARDS):.2f}; the document prints {LEDGER['S3.france.before'].printed}")

# %% The two sides of the trick, for each answer a: how p(a) changes with the logits, measured, and
# p(a) times how log p(a) changes, from the formula.
h = 1e-6
measured = np.stack([(softmax(z + h * e) - softmax(z - h * e)) / (2 * h) for e in np.eye(4)], axis=1)
scores = score(np.tile(z, (4, 1)), np.arange(4))               # row a: grad log p(a) = e_a - p
print("\nThe trick: grad p(a) = p(a) grad log p(a)\n")
print(table(("answer a", "side", *(f"d/dz {answer}" for answer in ANSWERS)), [
    row for a, answer in enumerate(ANSWERS) for row in (
        (answer, "grad p, measured", *(f"{x:.4f}" for x in measured[a])),
        ("", "p x grad log p", *(f"{x:.4f}" for x in p[a] * scores[a])))]))

# %% The derivation, line by line.
numeric = np.array([(expected_reward(softmax(z + h * e), REWARDS) - expected_reward(softmax(z - h * e), REWARDS))
                    / (2 * h) for e in np.eye(4)])
exact = expected_reward_grad(z, REWARDS)
LINES = {
    "1  grad of (sum of p r)": numeric,
    "2  sum of (grad p) r": REWARDS @ measured,
    "3  sum of p (grad log p) r": (p * REWARDS) @ scores,
    "4  E[(grad log p) r], estimator": log_derivative_estimate(scores, REWARDS, weight=p),
    "closed form p_j (r_j - J)": exact,
    "the ledger": LEDGER["S3.exact_pg.france"].exact,
}
print("\nThe derivation, line by line\n")
print(table(("line", *(f"d/dz {answer}" for answer in ANSWERS)), [
    (name, *(f"{x:.4f}" for x in row)) for name, row in LINES.items()]))

# %% From samples: draw N answers, average (grad log p) r over them.  How far off is the average?
# One sample's total variance is E|g|^2 - |grad J|^2, so N samples are off by sqrt(variance / N).
rng = np.random.default_rng(0)
squares = p @ ((scores * REWARDS[:, None]) ** 2).sum(axis=1)
spread = np.sqrt(squares - exact @ exact)
sizes = 4 ** np.arange(1, 8)
misses = []
for n in sizes:
    drawn = kernels.draw(np.tile(p, (64 * n, 1)), rng.random(64 * n)).reshape(64, n)
    estimates = np.array([log_derivative_estimate(scores[a], REWARDS[a]) for a in drawn])
    misses.append(np.sqrt(((estimates - exact) ** 2).sum(axis=1).mean()))
print("\nThe same from samples: root mean square error over 64 tries\n")
print(table(("N", "error", "spread / sqrt(N)"), [
    (n, f"{miss:.4f}", f"{spread / np.sqrt(n):.4f}") for n, miss in zip(sizes, misses, strict=True)]))

# %% The document's one sample: Paris, reward .9.  Its direction is a drawing; ours is the score.
paris = LEDGER["S3.update.raw"]
print()
print(table(("one sample: Paris, reward .9", "", "", "", ""), [
    ("document, direction", 0.1, -0.2, 0.3, "..."), ("document, .9 x direction", *paris.printed, "..."),
    ("ours, .9 x direction", *(f"{x:.2f}" for x in log_derivative_estimate([[0.1, -0.2, 0.3]], [0.9])), "..."),
    ("ours, score of Paris", *(f"{x:.2f}" for x in scores[0])),
    ("ours, .9 x score", *(f"{x:.2f}" for x in 0.9 * scores[0]))]))

# %% The same as a picture.
fig, axes = figures.new(columns=2, width=8.0, height=3.4)
place = np.arange(4)
axes[0].bar(place - 0.2, exact, 0.38, color=figures.SKY, label="closed form")
axes[0].bar(place + 0.2, LINES["4  E[(grad log p) r], estimator"], 0.38, color=figures.ORANGE, hatch="///",
            label="the trick, enumerated")
axes[0].axhline(0, color=figures.BLACK, lw=0.8)
axes[0].set(title="Which way each logit should move", ylabel="dJ/dz, in units of reward")
axes[0].set_xticks(place, ANSWERS, rotation=15)
axes[0].legend()
axes[1].loglog(sizes, misses, "o", color=figures.BLUE, label="measured, 64 tries each")
axes[1].loglog(sizes, spread / np.sqrt(sizes), "--", color=figures.BLACK, label="spread of one sample / sqrt(N)")
axes[1].set(title="From samples", xlabel="samples N", ylabel="error of the gradient, in units of reward")
axes[1].legend()
figures.save(fig, "07_log_derivative_trick", "Left: the exact gradient of the expected reward, twice: Paris up, the "
             "others down. Right: the estimate from N samples misses it by the spread of one sample over sqrt(N): a "
             "hundred times the samples for one more digit.")
