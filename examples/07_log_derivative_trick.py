"""The log-derivative trick: every line of the derivation as a number, on a question of four answers

Document 003, "The Log-Derivative Trick (Step-by-Step)"; document 004, 1.5.1.  The capital of
France has four answers; the policy is a softmax of four logits z, so everything can be added up
exactly.

Look for three things.  Each line of the derivation has the same value in every column, and the
last two lines confirm it by other roads.  Samples are only needed because real answers cannot be
listed: their error falls like 1/sqrt(N).  And the direction of log pi(Paris) is (.6, -.3, -.2,
-.1), not (.1, -.2, .3).
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
ANSWERS = ("Paris", "London", "Banana", "I don't know")
REWARDS = np.array([1.0, 0.0, 0.0, 0.3])
z = np.log([0.4, 0.3, 0.2, 0.1])
p = softmax(z)
J = expected_reward(p, REWARDS)
print(table(("answer", "p", "reward", "p x reward"), [
    (answer, f"{p[a]:.1f}", f"{REWARDS[a]:.1f}", f"{p[a] * REWARDS[a]:.2f}")
    for a, answer in enumerate(ANSWERS)]))
print(f"\nJ = {J:.2f}; the document prints {LEDGER['S3.france.before'].printed}")

# %% The two sides of the trick, for each answer a: how p(a) changes with the logits, measured, and
# p(a) times how log p(a) changes, from the formula.
h = 1e-6
grad_p, grad_J = np.zeros((4, 4)), np.zeros(4)                 # grad_p[a, j] = dp(a)/dz_j
for j, e in enumerate(np.eye(4)):
    up, down = softmax(z + h * e), softmax(z - h * e)
    grad_p[:, j] = (up - down) / (2 * h)
    grad_J[j] = (expected_reward(up, REWARDS) - expected_reward(down, REWARDS)) / (2 * h)
scores = score(np.tile(z, (4, 1)), np.arange(4))               # row a: grad log p(a) = e_a - p
rows = []
for a, answer in enumerate(ANSWERS):
    trick = p[a] * scores[a]
    rows.append((answer, "grad p, measured", *(f"{x:.4f}" for x in grad_p[a])))
    rows.append(("", "p x grad log p", *(f"{x:.4f}" for x in trick)))
in_each = [f"d/dz {answer}" for answer in ANSWERS]
print("\nThe trick: grad p(a) = p(a) grad log p(a)\n")
print(table(("answer a", "side", *in_each), rows))

# %% The derivation, line by line.
exact = expected_reward_grad(z, REWARDS)
LINES = {
    "1  grad of (sum of p r)": grad_J,
    "2  sum of (grad p) r": REWARDS @ grad_p,
    "3  sum of p (grad log p) r": (p * REWARDS) @ scores,
    "4  E[(grad log p) r], estimator": log_derivative_estimate(scores, REWARDS, weight=p),
    "closed form p_j (r_j - J)": exact,
    "the ledger": LEDGER["S3.exact_pg.france"].exact,
}
print("\nThe derivation, line by line\n")
print(table(("line", *in_each), [
    (name, *(f"{x:.4f}" for x in row)) for name, row in LINES.items()]))

# %% From samples: draw N answers, average (grad log p) r over them.  How far off is the average?
# One sample's total variance is E|g|^2 - |grad J|^2, so N samples are off by sqrt(variance / N).
TRIES = 64
rng = np.random.default_rng(0)
g = scores * REWARDS[:, None]                              # row a: the estimate that answer a gives
spread = np.sqrt(p @ (g**2).sum(axis=1) - exact @ exact)
sizes = 4 ** np.arange(1, 8)
misses, rows = [], []
for N in sizes:
    answers = kernels.draw(np.tile(p, (TRIES * N, 1)), rng.random(TRIES * N)).reshape(TRIES, N)
    estimates = g[answers].mean(axis=1)
    error = np.sqrt(((estimates - exact) ** 2).sum(axis=1).mean())
    misses.append(error)
    rows.append((N, f"{error:.4f}", f"{spread / np.sqrt(N):.4f}"))
print(f"\nThe same from samples: root mean square error over {TRIES} tries\n")
print(table(("N", "error", "spread / sqrt(N)"), rows))

# %% The document's one sample: Paris, reward .9.  Its direction is a drawing; ours is the score.
printed = LEDGER["S3.update.raw"].printed
drawing = 0.9 * np.array([0.1, -0.2, 0.3])
paris = 0.9 * scores[0]
print()
print(table(("one sample: Paris, reward .9", "", "", "", ""), [
    ("document, direction", 0.1, -0.2, 0.3, "..."),
    ("document, .9 x direction", *printed, "..."),
    ("ours, .9 x direction", *(f"{x:.2f}" for x in drawing), "..."),
    ("ours, score of Paris", *(f"{x:.2f}" for x in scores[0])),
    ("ours, .9 x score", *(f"{x:.2f}" for x in paris))]))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.0, height=3.4)
    place = np.arange(4)
    axes[0].bar(place - 0.2, exact, 0.38, color=figures.SKY, label="closed form")
    axes[0].bar(place + 0.2, LINES["4  E[(grad log p) r], estimator"], 0.38, color=figures.ORANGE,
                hatch="///", label="the trick, enumerated")
    axes[0].axhline(0, color=figures.BLACK, lw=0.8)
    axes[0].set(title="Which way each logit should move", ylabel="dJ/dz, in units of reward")
    axes[0].set_xticks(place, ANSWERS, rotation=15)
    axes[0].legend()
    axes[1].loglog(sizes, misses, "o", color=figures.BLUE, label="measured, 64 tries each")
    axes[1].loglog(sizes, spread / np.sqrt(sizes), "--", color=figures.BLACK,
                   label="spread of one sample / sqrt(N)")
    axes[1].set(title="From samples", xlabel="samples N",
                ylabel="error of the gradient, in units of reward")
    axes[1].legend()
    figures.save(fig, "07_log_derivative_trick", "Left: the exact gradient of the expected reward, "
                 "twice: Paris up, the others down. Right: the estimate from N samples misses it "
                 "by the spread of one sample over sqrt(N): "
                 "a hundred times the samples for one more digit.")


draw()

# %% Try it.  Add 10 to every reward.  Which lines of the derivation change, and what happens to the
# error from samples?
# What came out: J is 10.43 and no line changes, for scores have mean 0.  The error of N samples is
# about 24 times as large (.0691 instead of .0027 for 16,384): what a baseline is for (rung 10).
