"""GRPO on "I like ice ___": a group is its own baseline

Document 002, "GRPO Walkthrough".  PPO asked a value estimate what to expect; GRPO asks the other
answers: an advantage is the distance from the group's mean reward, in standard deviations.

Look for three things: the standard deviation 10.41 is the one that divides by n - 1 (NumPy divides by
n unless told); the mean is printed as 1.67310 and is 1.6667; and the document's loss, -A log pi, has
the same first step as the paper's (ratio, clip, KL) and another second one.
"""
import numpy as np

from rlscratch.formulas import distribution, grpo, policy_gradient
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

WORDS, REWARDS = ("cream", "hockey", "donkey"), np.array([10.0, 5.0, -10.0])

# %% One group of three answers: the document's numbers, and what ddof does to them.
centred = grpo.group_advantage(REWARDS, center_only=True)
sample, population = grpo.group_advantage(REWARDS, ddof=1), grpo.group_advantage(REWARDS, ddof=0)
print(table(("quantity", "document", "ddof = 1", "ddof = 0"), (
    ("mean reward", "1.67310", *(f"{REWARDS[0] - centred[0]:.4f}",) * 2),
    ("standard deviation", "10.41", f"{centred[0] / sample[0]:.4f}", f"{centred[0] / population[0]:.4f}"),
    *((f"advantage of {word}", printed, f"{a:.4f}", f"{b:.4f}")
      for word, printed, a, b in zip(WORDS, ("0.80", "0.32", "-1.12"), sample, population, strict=True)))))

# %% Two losses with one name.  Each word once, weight 1/3.  pi_old is .33 as printed: with 1/3 hockey's ratio
# would be 1.2, the clip bound itself, and rounding would decide.
weight, ref, rows = np.full(3, 1 / 3), np.log(np.full(3, 1 / 3)), []
for where, pi, pi_old in (("first step, pi = pi_old", [1 / 3] * 3, [1 / 3] * 3),
                          ("later, pi = .50 .40 .10", [0.50, 0.40, 0.10], [0.33] * 3)):
    logp, logp_old = np.log(pi), np.log(pi_old)
    for name, gradient in (
            ("document, -A log pi", grpo.grpo_grad(logp, sample, weight)),
            ("paper, no KL", grpo.grpo_clip_grad(logp, logp_old, ref, sample, weight, beta=0.0)),
            ("paper, KL .04", grpo.grpo_clip_grad(logp, logp_old, ref, sample, weight, beta=0.04))):
        rows.append((where, name, *(f"{0 - push:+.3f}" for push in gradient)))
print("\nHow hard each loss pushes log pi of a word up (+) or down (-):\n")
print(table(("where", "loss", *WORDS), rows))


# %% Training both from a third each: groups of eight sampled words, four passes over each group.
def train(loss: str, beta: float = 0.04, passes: int = 4, step: float = 0.2, group: int = 8) -> np.ndarray:
    rng = np.random.default_rng(0)
    logits, reference, history = np.zeros(3), np.log(np.full(3, 1 / 3)), []
    weight, updates = np.full(group, 1 / group), 0
    while True:
        probs = distribution.softmax(logits)
        history.append((updates, *probs))
        if probs[0] >= 0.96 or updates >= 4000:
            return np.array(history)
        words = rng.choice(3, size=group, p=probs)
        advantage, logp_old = grpo.group_advantage(REWARDS[words]), np.log(probs[words])
        for _ in range(passes):
            logp = distribution.log_softmax(logits)[words]
            dlogp = grpo.grpo_grad(logp, advantage, weight) if loss == "document" else grpo.grpo_clip_grad(
                logp, logp_old, reference[words], advantage, weight, beta=beta)
            logits = logits - step * dlogp @ policy_gradient.score(np.tile(logits, (group, 1)), words)
            updates += 1


runs = {"document": train("document"), "paper": train("paper")}
print("\nTrained until cream has the document's .96:\n")
print(table(("word", "before", "document's loss", "paper's loss", "document"), [
    (word, f"{runs['paper'][0, 1 + i]:.3f}", *(f"{runs[name][-1, 1 + i]:.3f}" for name in runs), printed)
    for i, (word, printed) in enumerate(zip(WORDS, ("0.96", "0.03", "0.01"), strict=True))]))
print("\nupdates: " + ", ".join(f"{run[-1, 0]:.0f} with the {name}'s loss" for name, run in runs.items()))

# %% How they got there.
fig, axes = figures.new(columns=2, width=7.0, height=3.2)
for ax, (name, run) in zip(axes, runs.items(), strict=True):
    styles = zip(WORDS, (figures.BLUE, figures.ORANGE, figures.GREEN), ("o", "s", "^"), strict=True)
    for i, (word, color, marker) in enumerate(styles):
        ax.plot(run[:, 0], run[:, 1 + i], color=color, marker=marker, markevery=0.12, ms=5, label=word)
    ax.axhline(0.96, color=figures.BLACK, lw=0.8, ls=":")
    ax.set(title=f"The {name}'s loss", xlabel="updates", ylabel="probability", ylim=(0, 1.02))
axes[0].legend(loc="center right")
figures.save(fig, "12_grpo_training", "Probability of each word while GRPO trains on sampled groups of eight; the "
             "dotted line is 0.96. Left the document's -A log pi, right the paper's ratio, clip 0.2 and KL weight "
             "0.04. A group of equal words has no spread and teaches nothing: the steps grow rare as cream takes over.")
