"""Length bias: what a token weighs, and what training makes of it

Document 002, GRPO step 4, has one token an answer and need not say how tokens add up; Dr. GRPO,
arXiv:2503.20783, section 3, shows that it matters.  Averaged over its own answer, a token of a long answer
counts less: the longer a wrong answer, the less it is blamed; the shorter a right one, the more it is praised.

Look for three things.  By enumeration, the sequence mean moves lengths that no reward asks for; sequence sum and
constant length do not; the token mean does so a little, and less in larger groups.  In training, right answers
shrink and wrong ones grow under the sequence mean alone.  And only if later tokens can tell how the answer began.
"""
from dataclasses import replace

import numpy as np

from rlscratch.expectations import sequences
from rlscratch.formulas.grpo import group_advantage
from rlscratch.generate import generate
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.language import grpo, sft
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.method import optimizer_of
from rlscratch.train.language.policy import Policy, copied
from rlscratch.train.variants import VARIANTS
from rlscratch.transformer import Config, Transformer

BUDGET = 15  # seconds of processor time

PRESETS = {"token mean": VARIANTS["dapo"], "sequence mean": VARIANTS["grpo"], "sequence sum": VARIANTS["rloo"],
           "constant length": VARIANTS["dr_grpo"]}
WEIGHTS = {name: preset.weights for name, preset in PRESETS.items()}

# %% One group: right and wrong, of 2 tokens and of 8, the most there may be.
lengths, A = np.array([2, 8, 2, 8]), group_advantage([1, 1, 0, 0])
mask = (np.arange(8) < lengths[:, None]).astype(float)
print("What a token's log pi is multiplied by, A w; and what an answer weighs\n")
print(table(("weight", "right, 2", "right, 8", "wrong, 2", "wrong, 8", "answer of 2", "answer of 8"), [
    (name, *(f"{push:+.4f}" for push in A * w[:, 0]), *(f"{whole:.4f}" for whole in w.sum(axis=1)[:2]))
    for name, w in ((name, weigh(mask, 8)) for name, weigh in WEIGHTS.items())]))

# %% By enumeration: letters a, b, an end, at most 4 tokens; right begins with a, wrong with b; logits for each prefix.
answers, z = sequences.all_answers(3, 4, end=2), np.zeros((40, 3))
first, n, p = answers.tokens[:, 0], answers.mask.sum(axis=1), np.exp(sequences.logp(z, answers).sum(axis=1))
right = (first == 0).astype(float)
gain = sequences.objective_grad(z, answers, right)                                  # of P(right)
longer = [sequences.objective_grad(z, answers, n * (first == x))[1:] / p[first == x].sum() for x in (0, 1)]
update = {(name, size): sequences.expectation_and_variance(
    z, answers, right, size, sequences.grpo, lambda m, w=weigh: w(m, 4))[0]
    for name, weigh in WEIGHTS.items() for size in (2, 3)}
print(f"\n{len(p)} answers, GRPO's mean update: how fast right and wrong answers grow, tokens for a unit of P(right)\n")
print(table(("weight", *(f"{kind}, G = {size}" for size in (2, 3) for kind in ("right", "wrong"))), [
    (name, *(f"{round((slope * u[1:]).sum() / (gain * u).sum(), 9) + 0:+.4f}"
             for u in (update[name, 2], update[name, 3]) for slope in longer)) for name in WEIGHTS]))
ascends = all(np.allclose(update["sequence mean", size], sequences.objective_grad(
    z, answers, sequences.effective_reward(p, right, size) / n), rtol=0, atol=1e-12) for size in (2, 3))
print(f"\nThe sequence mean ascends another reward, a(y) / n(y), advantage by length: {ascends}")

# %% A transformer, trained.  Its teacher wrote a or b, 1 to 3, and that letter up to 5 times more; or x, the last case.
CASES = {**{name: (name, "") for name in WEIGHTS}, "sequence mean, then x": ("sequence mean", "x")}
LONGEST, STEPS, EVERY, SEEDS = 12, 48, 6, range(3)
chat, curves, rewards = Chat.learn(["abx?"]), {case: [] for case in CASES}, {case: [] for case in CASES}


def mean_lengths(model: Transformer) -> list[float]:
    """Tokens of an answer that begins with a, right, and with b, wrong; the same random numbers each time."""
    begun = [chat.prompt("?") + chat.tokenizer.encode(letter) for letter in "ab"]
    return [1 + generate(model, [ids] * 256, max_new_tokens=LONGEST - 1, stop=[chat.end],
                         rng=np.random.default_rng(0)).mask.sum(axis=1).mean().item() for ids in begun]


for seed in SEEDS:
    for filler in ("", "x"):
        rng = np.random.default_rng(seed)
        model = Transformer(Config(chat.tokenizer.vocab_size, 3 + LONGEST, width=32, layers=1, heads=2), rng)
        shown = [str(c) + (filler or str(c)) * int(k)
                 for c, k in zip(rng.choice(["a", "b", "b", "b"], 2000), rng.integers(6, size=2000), strict=True)]
        rows, optimizer = chat.rows(["?"] * 2000, shown), optimizer_of(model, 1e-2)
        for step in range(240):
            optimizer.lr = 1e-2 if step < 160 else 2e-3
            sft.step(model, optimizer, rows, rng, batch=64)
        for case in [case for case, (_, its) in CASES.items() if its == filler]:
            policy, rng = Policy(copied(model), chat, LONGEST), np.random.default_rng(seed)
            optimizer = optimizer_of(policy.model, 5e-4)
            variant = replace(VARIANTS["document"], weight=PRESETS[CASES[case][0]].weight)
            curve = [mean_lengths(policy.model)]
            for step in range(1, STEPS + 1):
                told = grpo.step(policy, model, optimizer, lambda batch: [float(t[:1] == "a") for t in batch.texts],
                                 ["?"], rng, variant=variant, groups=4, group=16)
                if step % EVERY == 0:
                    curve.append(mean_lengths(policy.model))
            curves[case].append(curve)
            rewards[case].append(told["reward"])

# %% Lengths of a right and of a wrong answer, from the start to the end.
rows = []
for case in CASES:
    (right0, wrong0), (right1, wrong1) = np.array(curves[case])[:, [0, -1]].transpose(1, 2, 0)
    rows.append((case, *(f"{np.sum(holds)} of {len(SEEDS)}" for holds in (
        np.array(rewards[case]) >= 0.5, right0 - right1 >= 0.75, wrong1 - wrong0 >= 0.75, wrong1 - right1 >= 1.5))))
print(f"\nThe transformer, right .25 of the time at first, after {STEPS} steps: on how many seeds\n")
print(table(("weight", "right half the time", "right .75 tokens shorter", "wrong .75 tokens longer",
             "wrong 1.5 longer than right"), rows))
alike = np.ptp([curves[name] for name in WEIGHTS if name != "sequence mean"], axis=0).max() < 0.75
print(f"\nAdamW divides constants out: but for the sequence mean, all curves lie within .75 tokens: {alike}")

# %% The same as a picture.
shown = [case for case in CASES if case != "sequence sum"]
fig, axes = figures.new(columns=len(shown), width=10.0, height=3.2)
for ax, case in zip(axes, shown, strict=True):
    for kind, color, marker, curve in zip(("right", "wrong"), (figures.BLUE, figures.RED), ("o", "s"),
                                          np.array(curves[case]).transpose(2, 0, 1), strict=True):
        x = EVERY * np.arange(curve.shape[1])
        ax.fill_between(x, curve.min(axis=0), curve.max(axis=0), color=color, alpha=0.2)
        ax.plot(x, np.median(curve, axis=0), color=color, marker=marker, ms=4, label=kind)
    ax.set(title=case, xlabel="steps", ylabel="tokens of an answer", ylim=(0, 8))
    ax.legend(loc="lower left")
figures.save(fig, "40_length_bias", "Mean length of right and of wrong answers while a transformer learns to be right, "
             "however long; three seeds, the median and a band from least to largest. Only the mean over an answer's "
             "own tokens makes right ones short and wrong ones long; where all go on with x, not even that.")
