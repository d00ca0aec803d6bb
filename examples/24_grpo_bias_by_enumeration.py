"""GRPO's bias by enumeration: what each loss ascends on average, over all groups of answers

Document 002, GRPO steps 1 to 4; document 003, the KL term.  A language model small enough to list:
three words, three places, 27 answers, one row of logits for each of 13 prefixes.  All groups of G
answers are added up, 729 for G = 2 and 19,683 for G = 3, so every mean and variance is exact.

Look for three things.  REINFORCE and leave-one-out ascend the reward; GRPO ascends another one, in which
the distance between rewards is squeezed.  With right and wrong only the direction is right, but easy
and hard prompts weigh more.  And dividing by length favours short good answers and long bad ones.
"""
from functools import partial

import numpy as np

from rlscratch.expectations import sequences
from rlscratch.expectations.sequences import all_answers, effective_reward, expectation_and_variance, objective_grad
from rlscratch.formulas import kl, weights
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 3  # seconds of processor time


def compared(mean: np.ndarray, exact: np.ndarray) -> tuple[str, str]:
    """Length of a mean update in units of the exact gradient, and the cosine of the angle between them."""
    length, unit = np.linalg.norm(mean), np.linalg.norm(exact)
    return f"{length / unit:.4f}", f"{(mean * exact).sum() / length / unit if length > 1e-9 else 0:+.6f}"


# %% The model and the rewards: document 002's, one for each word of the answer.
WORDS, PAY = ("cream", "hockey", "donkey"), np.array([10.0, 5.0, -10.0])
answers = all_answers(len(WORDS), 3)
R = PAY[answers.tokens].sum(axis=1)
z, ref = np.random.default_rng(0).normal(size=(2, 13, 3)).round(2)
p = np.exp(sequences.logp(z, answers).sum(axis=1))
exact = objective_grad(z, answers, R)
print(f"{len(p)} answers, J = {sequences.objective(z, answers, R):.4f}, |grad J| = {np.linalg.norm(exact):.4f}\n")

# %% Every loss is one line of formulas; here is what it does on average.
LOSSES = {"REINFORCE": sequences.reinforce, "RLOO, leave one out": sequences.rloo, "GRPO": sequences.grpo,
          "GRPO, centred (Dr. GRPO)": partial(sequences.grpo, center_only=True), "PPO at pi = pi_old": sequences.ppo}
rows = []
for size in (2, 3):
    for name, loss in LOSSES.items():
        mean, variance = expectation_and_variance(z, answers, R, size, loss)
        rows.append((size, name, *compared(mean, exact), f"{variance.sum() / np.linalg.norm(mean)**2:.2f}"))
print(table(("G", "loss", "|E[u]| / |grad J|", "cosine with grad J", "variance / |E[u]|^2"), rows))

# %% Why: E[u] is the policy gradient of an effective reward, a(y) = the mean advantage of y in its group.
word = all_answers(3, 1)
print("\nOne word, a third each, G = 2: grad J, and GRPO's mean update\n")
grads = (objective_grad(np.zeros((1, 3)), word, PAY)[0], effective_reward(np.full(3, 1 / 3), PAY, 2),
         expectation_and_variance(np.zeros((1, 3)), word, PAY, 2, sequences.grpo)[0][0])
print(table(("word", "reward", "reward - J", "grad J", "effective reward", "GRPO"), [
    (w, f"{r:g}", f"{r - PAY.mean():+.3f}", f"{g:+.3f}", f"{round(a, 9) + 0:+.3f}", f"{round(u, 9) + 0:+.3f}")
    for w, r, g, a, u in zip(WORDS, PAY, *grads, strict=True)]))
print("\nhockey is better than the mean, and GRPO does not raise it: any two answers are as far apart as any others.")
a3 = effective_reward(p, R, 3)
held = objective_grad(z, answers, a3)
print(f"27 answers, G = 3: E[u] is the gradient for a(y): "
      f"{np.allclose(held, expectation_and_variance(z, answers, R, 3, sequences.grpo)[0])}")


# %% Right or wrong: the direction is right, the length depends on how hard the prompt is.
def factor(p_right: float, size: int) -> float:
    wrong, right = effective_reward(np.array([1 - p_right, p_right]), [0.0, 1.0], size)
    return right - wrong


print("\nFactor on grad P(right)\n")
print(table(("P(right)", *(f"G = {size}" for size in (2, 3, 4, 8, 16))), [
    (f"{q:.2f}", *(f"{factor(q, size):.4f}" for size in (2, 3, 4, 8, 16))) for q in (0.01, 0.1, 0.25, 0.5, 0.9)]))

# %% Lengths: the third word now ends the answer, so there are 15 answers of one to three tokens.
ending = all_answers(3, 3, end=2)
R_end = np.where(ending.tokens[:, 0] == 0, 1.0, -1.0)           # good answers begin with cream
exact_end = objective_grad(z, ending, R_end)
rows = []
for name, weigh in {"sequence_sum": weights.sequence_sum, "token_mean": weights.token_mean, "sequence_mean":
                    weights.sequence_mean, "constant_length": partial(weights.constant_length, length=3)}.items():
    mean, _ = expectation_and_variance(z, ending, R_end, 2, sequences.rloo, weigh)
    drift, _ = expectation_and_variance(z, ending, 0 * R_end + 1, 2, sequences.reinforce, weigh)
    rows.append((name, *compared(mean, exact_end), f"{np.linalg.norm(drift.round(12)):.4f}"))
print("\nPer token or per sequence, answers of unequal length, RLOO, G = 2\n")
print(table(("weight", "|E[u]| / |grad J|", "cosine with grad J", "update if all rewards are 1"), rows))

# %% The KL penalty, beta = 1: in the reward it is exact, in the loss each token's k sees its own prefix only.
BETA = 1.0
d = (sequences.logp(z, answers) - sequences.logp(ref, answers)).sum(axis=1)
penalty = objective_grad(z, answers, np.zeros(27), ref, BETA)
rows = [("k1 in the reward", *compared(expectation_and_variance(z, answers, -BETA * d, 2, sequences.rloo)[0], penalty))]
for name, k in {"k1": kl.kl_k1_grad, "k2": kl.kl_k2_grad, "k3": kl.kl_k3_grad}.items():
    mean, _ = expectation_and_variance(z, answers, R, 2, lambda g, k=k: BETA * g.weight * k(g.logp, g.logp_ref),
                                       logits_ref=ref)
    rows.append((f"{name} in the loss", *compared(mean, penalty)))
print("\nAgainst the gradient of -KL(pi || ref)\n")
print(table(("penalty", "length", "cosine"), rows))

# %% The same as a picture.
fig, axes = figures.new(columns=2, width=8.4, height=3.5)
for size, color, marker in ((2, figures.BLUE, "o"), (3, figures.RED, "s")):
    a = effective_reward(p, R, size)
    axes[0].plot(R, a, marker, color=color, label=f"GRPO, G = {size}")
    straight = (R - p @ R) * (a @ (p * R)) / (p @ (R - p @ R) ** 2)             # the best multiple of R - J
    axes[0].plot(np.sort(R), np.sort(straight), "--", color=color, lw=1)
axes[0].set(title="What GRPO ascends", xlabel="reward of the answer", ylabel="effective reward")
axes[0].legend()
grid = np.linspace(0.01, 0.99, 50)
for size, style in ((2, "-"), (4, "--"), (8, "-."), (16, ":")):
    curve = [factor(q, size) for q in grid]
    axes[1].plot(grid, curve, style, color=figures.BLUE)
    axes[1].annotate(f"G = {size}", (0.99, curve[-1]), (4, 0), textcoords="offset points", va="center")
axes[1].set(title="Right or wrong", xlabel="probability of a right answer", ylabel="factor on grad P(right)",
            xlim=(0, 1.2), ylim=(0, 4), xticks=(0, 0.25, 0.5, 0.75, 1))
figures.save(fig, "24_grpo_bias_by_enumeration", "Left: the reward that GRPO ascends on average against the true one, "
             "for 27 answers; on a straight line (dashed) the direction would be exact. Right: with right and wrong "
             "only, GRPO's step in units of the gradient: from G = 4 on very easy and very hard prompts weigh most.")
