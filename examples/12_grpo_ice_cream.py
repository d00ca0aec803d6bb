"""GRPO on "I like ice ___": a group is its own baseline

Document 002, "GRPO Walkthrough".  PPO asked a value estimate what to expect; GRPO asks the other
answers: an advantage is the distance from the group's mean reward, in standard deviations.

Look for three things: the standard deviation 10.41 is the one that divides by n - 1 (NumPy
divides by n unless told); the mean is printed as 1.67310 and is 1.6667; and the document's loss,
-A log pi, has the same first step as the paper's (ratio, clip, KL) and another second one.
"""
import numpy as np

from rlscratch.formulas import distribution, grpo, policy_gradient
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

WORDS, REWARDS = ("cream", "hockey", "donkey"), np.array([10.0, 5.0, -10.0])

# %% One group of three answers: the document's numbers, and what ddof does to them.
mean = REWARDS.mean()
deviation, deviation_n = REWARDS.std(ddof=1), REWARDS.std(ddof=0)
advantage = (REWARDS - mean) / deviation                # grpo.group_advantage(REWARDS)
advantage_n = (REWARDS - mean) / deviation_n            # the same with ddof=0
cream, hockey, donkey = advantage
cream_n, hockey_n, donkey_n = advantage_n
print(table(("quantity", "document", "ddof = 1", "ddof = 0"), [
    ("mean reward", "1.67310", f"{mean:.4f}", f"{mean:.4f}"),
    ("standard deviation", "10.41", f"{deviation:.4f}", f"{deviation_n:.4f}"),
    ("advantage of cream", "0.80", f"{cream:.4f}", f"{cream_n:.4f}"),
    ("advantage of hockey", "0.32", f"{hockey:.4f}", f"{hockey_n:.4f}"),
    ("advantage of donkey", "-1.12", f"{donkey:.4f}", f"{donkey_n:.4f}")]))

# %% Two losses with one name.  Each word once, weight 1/3.  pi_old is .33 as printed: with 1/3
# hockey's ratio would be 1.2, the clip bound itself, and rounding would decide.
THIRD = np.full(3, 1 / 3)
weight, ref = THIRD, np.log(THIRD)
SITUATIONS = {"first step, pi = pi_old": (THIRD, THIRD),
              "later, pi = .50 .40 .10": (np.array([0.50, 0.40, 0.10]), np.full(3, 0.33))}
rows = []
for where, (pi, pi_old) in SITUATIONS.items():
    logp, logp_old = np.log(pi), np.log(pi_old)
    document = grpo.grpo_grad(logp, advantage, weight)
    paper = grpo.grpo_clip_grad(logp, logp_old, ref, advantage, weight, beta=0.0)
    paper_kl = grpo.grpo_clip_grad(logp, logp_old, ref, advantage, weight, beta=0.04)
    for name, gradient in (("document, -A log pi", document), ("paper, no KL", paper),
                           ("paper, KL .04", paper_kl)):
        push = 0 - gradient                             # descent goes against the gradient
        rows.append((where, name, *(f"{x:+.3f}" for x in push)))
print("\nHow hard each loss pushes log pi of a word up (+) or down (-):\n")
print(table(("where", "loss", *WORDS), rows))

# %% Training both from a third each: groups of eight sampled words, four passes over each group.
GROUP, PASSES, STEP, BETA = 8, 4, 0.2, 0.04


def train(loss: str) -> np.ndarray:
    """Updates and probabilities, from group to group, until cream has .96."""
    rng = np.random.default_rng(0)
    logits, history, updates, weight = np.zeros(3), [], 0, np.full(GROUP, 1 / GROUP)
    while True:
        probs = distribution.softmax(logits)
        history.append((updates, *probs))
        if probs[0] >= 0.96 or updates >= 4000:
            return np.array(history)
        words = rng.choice(3, size=GROUP, p=probs)
        advantage, logp_old = grpo.group_advantage(REWARDS[words]), np.log(probs[words])
        for _ in range(PASSES):
            logp = distribution.log_softmax(logits)[words]
            if loss == "document":
                dlogp = grpo.grpo_grad(logp, advantage, weight)
            else:
                dlogp = grpo.grpo_clip_grad(logp, logp_old, ref[words], advantage, weight,
                                            beta=BETA)
            scores = policy_gradient.score(np.tile(logits, (GROUP, 1)), words)
            logits = logits - STEP * dlogp @ scores
            updates += 1


runs = {"document": train("document"), "paper": train("paper")}
before, by_document, by_paper = runs["paper"][0], runs["document"][-1], runs["paper"][-1]
PRINTED = ("0.96", "0.03", "0.01")
print("\nTrained until cream has the document's .96:\n")
print(table(("word", "before", "document's loss", "paper's loss", "document"), [
    (word, f"{before[1 + i]:.3f}", f"{by_document[1 + i]:.3f}", f"{by_paper[1 + i]:.3f}",
     PRINTED[i])
    for i, word in enumerate(WORDS)]))
print(f"\nupdates: {by_document[0]:.0f} with the document's loss, "
      f"{by_paper[0]:.0f} with the paper's loss")


# %% How they got there.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=7.0, height=3.2)
    for ax, (name, run) in zip(axes, runs.items(), strict=True):
        styles = zip(WORDS, (figures.BLUE, figures.ORANGE, figures.GREEN), ("o", "s", "^"),
                     strict=True)
        for i, (word, color, marker) in enumerate(styles):
            ax.plot(run[:, 0], run[:, 1 + i], color=color, marker=marker, markevery=0.12, ms=5,
                    label=word)
        ax.axhline(0.96, color=figures.BLACK, lw=0.8, ls=":")
        ax.set(title=f"The {name}'s loss", xlabel="updates", ylabel="probability", ylim=(0, 1.02))
    axes[0].legend(loc="center right")
    figures.save(fig, "12_grpo_training", "Probability of each word while GRPO trains on sampled "
                 "groups of eight; the dotted line is 0.96. Left the document's -A log pi, right "
                 "the paper's ratio, clip 0.2 and KL weight 0.04. A group of equal words has no "
                 "spread and teaches nothing: the steps grow rare as cream takes over.")


draw()

# %% Try it.  Set BETA to 1.0.  Where does the paper's loss end?
# What came out: at .689 cream, .208 hockey, .102 donkey, after all 4,000 updates.  The brake
# balances the advantages, which are standard deviations, so .96 is out of reach whatever the
# rewards' scale.
