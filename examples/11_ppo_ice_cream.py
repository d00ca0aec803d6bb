"""PPO on "I like ice ___": the document's eight steps, then the training they stand for

Document 002, "PPO: Step-by-Step Explanation".  One word completes the sentence: cream earns 10,
hockey 5, donkey -10.  The first cell walks through the eight steps with the printed numbers; the
second trains three plain logits from a third each until cream has the document's .96.

Look for two things.  The document's own sample sits beyond the clip (1.21 > 1.2, A > 0), so step
8 moves nothing: its gradient is 0.  And the value estimate grows while the policy improves, so
hockey, which began above average, ends below it: good is what beats the expectation, not what
earns a lot.
"""
import numpy as np

from rlscratch.formulas import distribution, policy_gradient, ppo
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time

WORDS, REWARDS = ("cream", "hockey", "donkey"), np.array([10.0, 5.0, -10.0])
CREAM, HOCKEY, DONKEY = range(3)

# %% The eight steps, by hand.  One word is a batch of shape (1, 1), and its weight is 1.
pi_old, pi_new, value, one = 0.33, 0.40, 3.0, np.ones((1, 1))
reward = REWARDS[HOCKEY]
advantage = reward - value
ratio = pi_new / pi_old
clipped = np.clip(ratio, 0.8, 1.2)
objective = min(ratio * advantage, clipped * advantage)
# dL/dlogp of the loss L = -objective, by formula: 0 where the clipped branch is the smaller one.
logp, logp_old = np.log(pi_new) * one, np.log(pi_old) * one
gradient = ppo.ppo_clip_grad(logp, logp_old, advantage * one, weight=one).item()
print(table(("step", "what", "document", "ours"), (
    ("1", "old policy, each word", "0.33", f"{1 / 3:.4f}"),
    ("2", "the sampled word", "hockey", WORDS[HOCKEY]),
    ("3", "its reward", "5", f"{reward:g}"),
    ("4", "advantage, 5 - 3", "2", f"{advantage:g}"),
    ("5", "new policy, hockey", "0.40", f"{pi_new:.2f}"),
    ("6", "ratio, .40 / .33", "1.21", f"{ratio:.4f}"),
    ("7", "clipped to [.8, 1.2]", "1.2", f"{clipped:g}"),
    ("7", "min(ratio A, clipped A)", "", f"{objective:.4f}"),
    ("8", "gradient for log pi(hockey)", "increase", f"{gradient + 0:g}"))))

# %% Training: draw words, score them, four passes over each batch; the only gradients are the
# formulas'.
rng = np.random.default_rng(0)
BATCH, PASSES, STEP, VALUE_STEP = 64, 4, 0.05, 0.1
logits, updates, weight = np.zeros(3), 0, np.full(BATCH, 1 / BATCH)
probs = distribution.softmax(logits)
history = [(0, *probs, value, 0.0)]
while probs[CREAM] < 0.96:
    words = rng.choice(3, size=BATCH, p=probs)
    logp_old = np.log(probs)[words]
    rewards = REWARDS[words]
    advantages = rewards - value
    for _ in range(PASSES):
        logp = distribution.log_softmax(logits)[words]
        dlogp = ppo.ppo_clip_grad(logp, logp_old, advantages, weight)           # dL/dlogp, by hand
        scores = policy_gradient.score(np.tile(logits, (BATCH, 1)), words)      # dlogp/dlogits
        logits = logits - STEP * dlogp @ scores
        value -= VALUE_STEP * ppo.value_grad(np.full(BATCH, value), rewards, weight).sum()
        updates += 1
    probs = distribution.softmax(logits)
    dead = ppo.clip_fraction(np.log(probs)[words], logp_old, advantages, np.ones(BATCH))
    history.append((updates, *probs, value, dead))

# %% Before and after.
history = np.array(history)
before, after = history[0, 1:4], history[-1, 1:4]
DOCUMENT = ("0.96", "0.03", "0.01")
print(f"\n{updates} updates on {updates // PASSES} batches of {BATCH} words:\n")
print(table(("word", "reward", "before", "after", "document"), [
    (word, f"{REWARDS[i]:g}", f"{before[i]:.3f}", f"{after[i]:.3f}", DOCUMENT[i])
    for i, word in enumerate(WORDS)]))
print(f"\nexpected reward {before @ REWARDS:.2f} -> {after @ REWARDS:.2f}, of at most "
      f"{REWARDS.max():g}; the value estimate went from 3 to {value:.2f}")
crossed = history[np.argmax(history[:, 4] > REWARDS[HOCKEY]), 0]
print(f"hockey stopped being better than expected after {crossed:.0f} updates; it was at most "
      f"{history[:, 2].max():.2f} likely")


# %% The clip, drawn: which side is flat depends on the sign of the advantage.
def draw_clip() -> None:
    rho = np.linspace(0.4, 1.6, 241)
    fig, axes = figures.new(columns=2, width=7.0, height=3.2)
    for ax, a, title in ((axes[0], 2.0, "A = +2: better than expected"),
                         (axes[1], -2.0, "A = -2: worse than expected")):
        surrogate = np.minimum(rho * a, np.clip(rho, 0.8, 1.2) * a)
        ax.axvspan(0.8, 1.2, color=figures.SKY, alpha=0.2, lw=0)
        ax.plot(rho, rho * a, "--", color=figures.ORANGE, label="ratio · A")
        ax.plot(rho, surrogate, color=figures.BLUE, lw=2.2, label="PPO: the smaller one")
        ax.set(title=title, xlabel="ratio, new probability to old",
               ylabel="objective, in units of reward")
        ax.legend(loc="lower right" if a > 0 else "lower left")
    axes[0].plot(ratio, objective, "o", color=figures.RED)
    axes[0].annotate("the document's\nsample: flat here", (ratio, objective), (0.42, 2.75),
                     color=figures.RED, arrowprops={"arrowstyle": "-", "color": figures.RED})
    figures.save(fig, "11_ppo_clip", "The clipped surrogate over the ratio; the band is 0.8 to "
                 "1.2. A good word gains nothing above 1.2, a bad one nothing below 0.8; a word "
                 "that moved the wrong way is always pulled back. The document's sample, ratio "
                 "1.21 with A = 2, already lies on the flat part.")


draw_clip()


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=7.0, height=3.2)
    lines = zip(WORDS, (figures.BLUE, figures.ORANGE, figures.GREEN), ("o", "s", "^"), strict=True)
    for i, (word, color, marker) in enumerate(lines):
        axes[0].plot(history[:, 0], history[:, 1 + i], color=color, marker=marker, markevery=0.12,
                     ms=5)
        axes[0].annotate(word, (history[-1, 0], history[-1, 1 + i]), (6, (-12, 7, -5)[i]),
                         textcoords="offset points", color=color, va="center")
    axes[0].axhline(0.96, color=figures.BLACK, lw=0.8, ls=":")
    axes[0].set(title="The policy", xlabel="updates", ylabel="probability",
                xlim=(0, 1.25 * updates), ylim=(-0.06, 1.04))
    axes[1].plot(history[:, 0], history[:, 4], color=figures.PURPLE, marker="D", markevery=0.12,
                 ms=5)
    for word, r in zip(WORDS[:2], REWARDS[:2], strict=True):
        axes[1].axhline(r, color=figures.BLACK, lw=0.8, ls=":")
        axes[1].annotate(f"{word} earns {r:g}", (updates, r), (0, 4), textcoords="offset points",
                         ha="right")
    axes[1].set(title="What the value estimate expects", xlabel="updates",
                ylabel="V, in units of reward", ylim=(2, 11))
    figures.save(fig, "11_ppo_training", "Left: the three probabilities while PPO trains; the "
                 "dotted line is the document's final 0.96. Right: the value estimate, from the "
                 "document's 3. Once it passes 5, hockey's advantage 5 - V turns negative and its "
                 "probability falls.")


draw()

# %% Try it.  Set VALUE_STEP to 0, so that the value estimate stays 3.  Does hockey still lose, and
# how long does training take?
# What came out: 60 updates instead of 80, cream at .961 all the same.  Hockey's advantage stays +2,
# yet it falls to .03: cream's is +7, and probabilities add up to 1.
