"""GRPO's bias by enumeration: what each loss ascends on average, over all groups of answers

Document 002, GRPO steps 1 to 4; document 003, the KL term.  A language model small enough to list:
three words, three places, 27 answers, one row of logits for each of 13 prefixes.  All groups of G
answers are added up, 729 for G = 2 and 19,683 for G = 3, so every mean and variance is exact.

Look for three things.  REINFORCE and leave-one-out ascend the reward; GRPO ascends another one,
in which the distance between rewards is squeezed.  With right and wrong only the direction is
right, but easy and hard prompts weigh more.  And dividing by length favours short good answers
and long bad ones.
"""
from collections.abc import Callable
from functools import partial

import numpy as np

from rlscratch.expectations import sequences
from rlscratch.expectations.sequences import (
    all_answers,
    effective_reward,
    expectation_and_variance,
    logp,
    objective,
    objective_grad,
)
from rlscratch.formulas import kl, weights
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2.5  # seconds of processor time


def compared(mean: np.ndarray, exact: np.ndarray) -> tuple[str, str]:
    """Length of a mean update in units of the exact gradient, and the cosine of the angle between
them.
"""
    length, unit = np.linalg.norm(mean), np.linalg.norm(exact)
    cosine = (mean * exact).sum() / length / unit if length > 1e-9 else 0
    return f"{length / unit:.4f}", f"{cosine:+.6f}"


# %% The model and the rewards: document 002's, one for each word of the answer.
WORDS, PAY = ("cream", "hockey", "donkey"), np.array([10.0, 5.0, -10.0])
answers = all_answers(len(WORDS), 3)
R = PAY[answers.tokens].sum(axis=1)
z, ref = np.random.default_rng(0).normal(size=(2, 13, 3)).round(2)
p = np.exp(logp(z, answers).sum(axis=1))
exact = objective_grad(z, answers, R)
print(f"{len(p)} answers, J = {objective(z, answers, R):.4f}, |grad J| = "
      f"{np.linalg.norm(exact):.4f}\n")

# %% Every loss is one line of formulas; here is what it does on average.
LOSSES = {
    "REINFORCE": sequences.reinforce,
    "RLOO, leave one out": sequences.rloo,
    "GRPO": sequences.grpo,
    "GRPO, centred (Dr. GRPO)": partial(sequences.grpo, center_only=True),
    "PPO at pi = pi_old": sequences.ppo,
}
updates, rows = {}, []
for G in (2, 3):
    for name, loss in LOSSES.items():
        mean, variance = expectation_and_variance(z, answers, R, G, loss)
        noise = variance.sum() / np.linalg.norm(mean) ** 2
        updates[name, G] = mean
        rows.append((G, name, *compared(mean, exact), f"{noise:.2f}"))
print(table(("G", "loss", "|E[u]| / |grad J|", "cosine with grad J", "variance / |E[u]|^2"), rows))

# %% Why: E[u] is the policy gradient of an effective reward, a(y) = the mean advantage of y in its
# group.
word, even, third = all_answers(3, 1), np.zeros((1, 3)), np.full(3, 1 / 3)
J = PAY.mean()
grad_J = objective_grad(even, word, PAY)[0]
effective = effective_reward(third, PAY, 2).round(9) + 0
mean, _ = expectation_and_variance(even, word, PAY, 2, sequences.grpo)
by_grpo = mean[0].round(9) + 0
rows = []
for i, name in enumerate(WORDS):
    rows.append((name, f"{PAY[i]:g}", f"{PAY[i] - J:+.3f}", f"{grad_J[i]:+.3f}",
                 f"{effective[i]:+.3f}",
                 f"{by_grpo[i]:+.3f}"))
print("\nOne word, a third each, G = 2: grad J, and GRPO's mean update\n")
print(table(("word", "reward", "reward - J", "grad J", "effective reward", "GRPO"), rows))
print("\nhockey is better than the mean, and GRPO does not raise it: "
      "any two answers are as far apart as any others.")
of_effective = objective_grad(z, answers, effective_reward(p, R, 3))
print("27 answers, G = 3: E[u] is the gradient for a(y): "
      f"{np.allclose(of_effective, updates['GRPO', 3])}")


# %% Right or wrong: the direction is right, the length depends on how hard the prompt is.
def factor(p_right: float, G: int) -> float:
    """What GRPO's mean update is, in units of grad P(right)."""
    wrong, right = effective_reward(np.array([1 - p_right, p_right]), [0.0, 1.0], G)
    return right - wrong


print("\nFactor on grad P(right)\n")
print(table(("P(right)", "G = 2", "G = 3", "G = 4", "G = 8", "G = 16"), [
    (f"{q:.2f}", *(f"{factor(q, G):.4f}" for G in (2, 3, 4, 8, 16)))
    for q in (0.01, 0.1, 0.25, 0.5, 0.9)]))

# %% Lengths: the third word now ends the answer, so there are 15 answers of one to three tokens.
ending = all_answers(3, 3, end=2)
R_end = np.where(ending.tokens[:, 0] == 0, 1.0, -1.0)           # good answers begin with cream
ones = np.ones(len(R_end))
exact_end = objective_grad(z, ending, R_end)
WEIGHTS = {"sequence_sum": weights.sequence_sum, "token_mean": weights.token_mean,
           "sequence_mean": weights.sequence_mean,
           "constant_length": partial(weights.constant_length, length=3)}
rows = []
for name, weigh in WEIGHTS.items():
    mean, _ = expectation_and_variance(z, ending, R_end, 2, sequences.rloo, weigh)
    drift, _ = expectation_and_variance(z, ending, ones, 2, sequences.reinforce, weigh)
    rows.append((name, *compared(mean, exact_end), f"{np.linalg.norm(drift.round(12)):.4f}"))
print("\nPer token or per sequence, answers of unequal length, RLOO, G = 2\n")
print(table(("weight", "|E[u]| / |grad J|", "cosine with grad J", "update if all rewards are 1"),
            rows))

# %% The KL penalty, beta = 1: in the reward it is exact, in the loss each token's k sees its own
# prefix.
d = (logp(z, answers) - logp(ref, answers)).sum(axis=1)         # k1 of a whole answer
penalty = objective_grad(z, answers, np.zeros(27), ref, 1.0)
in_reward, _ = expectation_and_variance(z, answers, -d, 2, sequences.rloo)
rows = [("k1 in the reward", *compared(in_reward, penalty))]
for name, k in (("k1", kl.kl_k1_grad), ("k2", kl.kl_k2_grad), ("k3", kl.kl_k3_grad)):
    def loss(groups: sequences.Groups, k: Callable = k) -> np.ndarray:
        return groups.weight * k(groups.logp, groups.logp_ref)

    mean, _ = expectation_and_variance(z, answers, R, 2, loss, logits_ref=ref)
    rows.append((f"{name} in the loss", *compared(mean, penalty)))
print("\nAgainst the gradient of -KL(pi || ref)\n")
print(table(("penalty", "length", "cosine"), rows))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.4, height=3.5)
    for size, color, marker in ((2, figures.BLUE, "o"), (3, figures.RED, "s")):
        a = effective_reward(p, R, size)
        axes[0].plot(R, a, marker, color=color, label=f"GRPO, G = {size}")
        straight = (R - p @ R) * (a @ (p * R)) / (p
                                                  @ (R - p @ R) ** 2)  # the best multiple of R - J
        axes[0].plot(np.sort(R), np.sort(straight), "--", color=color, lw=1)
    axes[0].set(title="What GRPO ascends", xlabel="reward of the answer", ylabel="effective reward")
    axes[0].legend()
    grid = np.linspace(0.01, 0.99, 50)
    for size, style in ((2, "-"), (4, "--"), (8, "-."), (16, ":")):
        curve = [factor(q, size) for q in grid]
        axes[1].plot(grid, curve, style, color=figures.BLUE)
        axes[1].annotate(f"G = {size}", (0.99, curve[-1]), (4, 0), textcoords="offset points",
                         va="center")
    axes[1].set(title="Right or wrong", xlabel="probability of a right answer",
                ylabel="factor on grad P(right)",
                xlim=(0, 1.2), ylim=(0, 4), xticks=(0, 0.25, 0.5, 0.75, 1))
    figures.save(fig, "24_grpo_bias_by_enumeration", "Left: the reward that GRPO ascends on "
                 "average against the true one, for 27 answers; on a straight line (dashed) the "
                 "direction would be exact. Right: with right and wrong only, GRPO's step in units "
                 "of the gradient: from G = 4 on very easy and very hard prompts weigh most.")


draw()

# %% Try it.  Make hockey worth 9 instead of 5, in PAY.  What becomes of GRPO's update for one word?
# What came out: +.157, +.000, -.157, as before, though grad J for hockey is now +2.000 instead of
# +1.111.  For whole answers the cosine with grad J falls from .9961 to .9885 at G = 2.
