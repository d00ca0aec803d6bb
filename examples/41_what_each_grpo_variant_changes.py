"""What each GRPO variant changes: advantage, weight, ratio, clip, KL, and what is left in training

Document 002, GRPO steps 1 to 4, is the first row; rlscratch.train.language.variants has the
papers of the others. One batch of answers goes through all presets, first as sampled, then with a
policy that has moved; then all of them train one small transformer from the same start with the
same number of sampled tokens.

Look for three things.  While the ratio is 1 a preset is an advantage times a weight.  When it is
not, the clip drops tokens or, with gspo, whole answers; document and rloo know no ratio, and push
a wrong answer as hard as ever when it is already rare.  So with several large steps a batch these
two fall behind, and with one they do not.
"""
import numpy as np

from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks.task import Task
from rlscratch.train.language import grpo, sft
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.method import optimizer_of
from rlscratch.train.language.policy import Policy, by_task, copied
from rlscratch.train.variants import VARIANTS
from rlscratch.transformer import Config, Transformer

BUDGET = 10  # seconds of processor time

# %% Three groups of four answers, of 2, 6, 2 and 6 tokens, at most 8: half right, one right, all
# right.
rewards = np.array([[1.0, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
mask = (np.arange(8) < np.tile([2, 6, 2, 6], 3)[:, None]).astype(float)
rows = []
for name, variant in VARIANTS.items():
    A, w = variant.advantage(rewards), variant.weights(mask, 8)
    half, (one, other), flat = A[0, 0], A[1, :2], A[2, 0]
    place = "loss" if variant.kl_in_loss else "reward"
    kl = f"{place} {variant.beta:g}" if variant.beta else "none"
    rows.append((name, f"{half:+.3f}", f"{one:+.3f}", f"{other:+.3f}", f"{flat:+.3f}",
                 f"{w[0, 0]:.4f}", f"{w[1, 0]:.4f}", kl, "yes" if variant.redraw else "no"))
print("Advantage of a right or wrong answer, and the weight of a token in an answer of 2 or 6\n")
print(table(("preset", "right, 2 of 4", "right, 1 of 4", "wrong, 1 of 4", "4 of 4", "w, 2", "w, 6",
             "KL", "redraws"),
            rows))

# %% The first group again, after the policy has moved: pi / pi_old of each token.  The reference is
# pi_old.
MOVED = {"right, 2": [1.5, 1.1], "right, 6": [1.5, 1.25, 0.8, 0.7, 0.9, 1.0],
         "wrong, 2": [0.5, 0.9], "wrong, 6": [0.5, 0.75, 1.1, 1.3, 1.6, 1.2]}
mask, lengths = mask[:4], (2, 6, 2, 6)
ratios = np.ones((4, 8))
for i, moved in enumerate(MOVED.values()):
    ratios[i, :lengths[i]] = moved
old = np.log(0.5) * mask
now = old + np.log(ratios)
rows = []
for name, variant in VARIANTS.items():
    A, w = variant.advantage(rewards[:1]).T, variant.weights(mask, 8)
    push_now = variant.seed(now, old, old, A, w).sum(axis=1)
    push_then = variant.seed(old, old, old, A, w).sum(axis=1)
    left = (push_now / push_then).round(9) + 0
    live = ((w > 0) & ~variant.clipped_tokens(now, old, A, w)).sum(axis=1)
    rows.append((name, *(f"{left[i]:+.3f}, {live[i]} of {lengths[i]}" for i in range(4))))
print("\nWhat is left of an answer's push once the policy has moved, 1 as sampled; "
      "and how many tokens are live\n")
print(table(("preset", *MOVED), rows))


# %% A task: "b3" asks for "bbb".  The teacher is right 4 times in 10, else one letter off; the
# policy imitates it.
def asked_for(prompt: str, more: int = 0) -> str:
    """The letter, as often as the prompt says, and so many times more."""
    return prompt[0] * (int(prompt[1]) + more)


prompts = tuple(f"{letter}{n}" for letter in "abc" for n in range(1, 7))
task = Task("so many letters", prompts, lambda q, a: float(a == asked_for(q)), lambda q,
            a: a == asked_for(q),
            teacher=lambda q, rng: asked_for(q, int(rng.choice([0, -1, 1], p=[0.4, 0.3, 0.3]))))
rng, chat, LONGEST = np.random.default_rng(0), Chat.learn(prompts), 8
start = Transformer(Config(chat.tokenizer.vocab_size, 4 + LONGEST, width=32, layers=1, heads=2),
                    rng)
pairs, optimizer = chat.rows(prompts * 30, task.demonstrations(prompts * 30,
                                                               rng)), optimizer_of(start, 1e-2)
for step in range(300):
    optimizer.lr = 1e-2 if step < 180 else 2e-3
    sft.step(start, optimizer, pairs, rng, batch=64)

# %% Every preset from this start: 16 prompts, 8 answers each, two passes in two parts or one step
# for all of them.
TOKENS, SETTINGS = 5_000, {"small": (1e-3, 2), "large": (3e-3, 2), "large, one a batch": (3e-3, 1)}
runs = {}
for name, variant in VARIANTS.items():
    for setting, (lr, passes) in SETTINGS.items():
        policy, rng, told = Policy(copied(start), chat, LONGEST), np.random.default_rng(0), []
        optimizer = optimizer_of(policy.model, lr)
        while sum(step["tokens"] for step in told) < TOKENS:
            told.append(grpo.step(policy, start, optimizer, by_task(task), prompts, rng,
                                  variant=variant, groups=16,
                                  group=8, epochs=passes, minibatches=passes))
        runs[name, setting] = {key: np.array([step[key] for step in told]) for key in told[0]}

# %% What came of it.  The clips of token ratios catch few tokens; gspo's range is meant for far
# longer answers.
rows = []
for name in VARIANTS:
    large = runs[name, "large"]
    dropped = large["clip_fraction"][0]
    means = [runs[name, setting]["reward"].mean() for setting in SETTINGS]
    rows.append((name, len(large["reward"]), f"{dropped:.2f}" if dropped else "none",
                 *(f"{mean:.2f}" for mean in means)))
print(f"\n{TOKENS} sampled tokens, from P(right) = .4: the mean reward over all batches\n")
print(table(("preset", "batches", "dropped in the first",
             *(f"steps {setting}" for setting in SETTINGS)), rows))
print("\ndapo replaces flat groups, so the same tokens last for fewer batches.")


# %% Reward and KL along the way.  To be right always, and else like the start, takes - log P(right)
# nats.
def draw() -> None:
    best = Policy(start, chat, LONGEST).logp(chat.rows(prompts,
                                                       [asked_for(q) for q in prompts])).sum(axis=1)
    fig, axes = figures.new(columns=len(VARIANTS), rows=2, width=13.0, height=4.6)
    looks = dict(zip(SETTINGS, ((figures.BLUE, "o", "-"), (figures.RED, "s", "--"),
                                (figures.GREEN, "^", ":")),
                     strict=True))
    for (name, setting), told in runs.items():
        color, marker, line = looks[setting]
        for ax, key in zip(axes[:, list(VARIANTS).index(name)], ("reward", "kl"), strict=True):
            ax.plot(np.cumsum(told["tokens"]) / 1000, told[key], color=color, marker=marker,
                    ls=line, ms=3, markevery=3, label=setting)
            ax.set(xlim=(0, 6), ylim=(0, 1.05) if key == "reward" else (0, 4))
    for ax, name in zip(axes[0], VARIANTS, strict=True):
        ax.set_title(name)
    for ax in axes[1]:
        ax.axhline(-best.mean(), color=figures.BLACK, lw=0.8, ls=":")
    for ax in axes[:, 1:].flat:
        ax.tick_params(labelleft=False)
    axes[0, 0].set_ylabel("reward")
    axes[1, 0].set_ylabel("KL, nats")
    axes[1, 3].set_xlabel("thousand tokens")
    fig.suptitle(" ", size=22)              # room for the legend
    axes[0, 0].legend(loc="upper left", bbox_to_anchor=(0.04, 1), bbox_transform=fig.transFigure,
                      ncols=3).set_in_layout(False)
    figures.save(fig, "41_grpo_variants", "Reward, and KL from the common start, against the "
                 "tokens sampled: small steps, four a batch; three times as large, four a batch; "
                 "as large, one a batch. Dotted: the KL of being always right. document and rloo "
                 "know no ratio, and large steps from an old batch lead them astray.")


draw()

# %% Try it.  Make the large steps ten times the small ones, 1e-2.  Which presets stand it?
# What came out: with four a batch gspo keeps .74 of the reward, grpo .71 and dapo .61; dr_grpo .56
# and cispo .44; document .13 and rloo .18, which know no ratio.
