"""Length bias: what a token weighs, and what training makes of it

Document 002, GRPO step 4, has one token an answer and need not say how tokens add up; Dr. GRPO,
arXiv:2503.20783, section 3, shows that it matters.  Averaged over its own answer, a token of a
long answer counts less: the longer a wrong answer, the less it is blamed; the shorter a right
one, the more it is praised.

Look for three things.  By enumeration, the sequence mean moves lengths that no reward asks for;
sequence sum and constant length do not; the token mean does so a little, and less in larger
groups.  In training, right answers shrink and wrong ones grow under the sequence mean alone.  And
only if later tokens can tell how the answer began.
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

BUDGET = 10  # seconds of processor time
PRESETS = {"token mean": VARIANTS["dapo"], "sequence mean": VARIANTS["grpo"],
           "sequence sum": VARIANTS["rloo"], "constant length": VARIANTS["dr_grpo"]}
WEIGHTS = {name: preset.weights for name, preset in PRESETS.items()}

# %% One group: right and wrong, of 2 tokens and of 8, the most there may be.
lengths, A = np.array([2, 8, 2, 8]), group_advantage([1, 1, 0, 0])
mask = (np.arange(8) < lengths[:, None]).astype(float)
rows = []
for name, weigh in WEIGHTS.items():
    w = weigh(mask, 8)
    pushes = A * w[:, 0]
    of_two, of_eight = w.sum(axis=1)[:2]
    rows.append((name, *(f"{push:+.4f}" for push in pushes), f"{of_two:.4f}", f"{of_eight:.4f}"))
print("What a token's log pi is multiplied by, A w; and what an answer weighs\n")
print(table(("weight", "right, 2", "right, 8", "wrong, 2", "wrong, 8", "answer of 2",
             "answer of 8"), rows))

# %% By enumeration: letters a, b, an end, at most 4 tokens; right begins with a, wrong with b;
# logits for each prefix.
answers, z = sequences.all_answers(3, 4, end=2), np.zeros((40, 3))
first, n = answers.tokens[:, 0], answers.mask.sum(axis=1)
p = np.exp(sequences.logp(z, answers).sum(axis=1))
right, wrong = (first == 0).astype(float), (first == 1).astype(float)
gain = sequences.objective_grad(z, answers, right)                      # of P(right)
longer_right = sequences.objective_grad(z, answers, n * right)[1:] / (p @ right)
longer_wrong = sequences.objective_grad(z, answers, n * wrong)[1:] / (p @ wrong)
updates, rows = {}, []
for name, weigh in WEIGHTS.items():
    row = [name]
    for G in (2, 3):
        u, _ = sequences.expectation_and_variance(z, answers, right, G, sequences.grpo,
                                                  lambda m, weigh=weigh: weigh(m, 4))
        unit = (gain * u).sum()                                         # growth of P(right)
        for longer in (longer_right, longer_wrong):
            growth = (longer * u[1:]).sum() / unit
            row.append(f"{round(growth, 9) + 0:+.4f}")
        updates[name, G] = u
    rows.append(row)
print(f"\n{len(p)} answers, GRPO's mean update: how fast right and wrong answers grow, "
      "tokens for a unit of P(right)\n")
print(table(("weight", "right, G = 2", "wrong, G = 2", "right, G = 3", "wrong, G = 3"), rows))
ascends = []
for G in (2, 3):
    by_length = sequences.effective_reward(p, right, G) / n
    of_it = sequences.objective_grad(z, answers, by_length)
    ascends.append(np.allclose(updates["sequence mean", G], of_it, rtol=0, atol=1e-12))
print("\nThe sequence mean ascends another reward, a(y) / n(y), advantage by length: "
      f"{all(ascends)}")

# %% A transformer's teacher wrote a or b, 1 to 3, and that letter up to 5 times more; or x, the
# last case.
LONGEST, STEPS, EVERY, SEEDS = 12, 48, 16, range(2)
CASES = {"": list(WEIGHTS), "x": ["sequence mean, then x"]}          # what follows the first letter
chat = Chat.learn(["abx?"])


def imitated(filler: str, seed: int) -> Transformer:
    """A model that writes as its teacher did."""
    rng = np.random.default_rng(seed)
    model = Transformer(Config(chat.tokenizer.vocab_size, 3 + LONGEST, width=32, layers=1, heads=2),
                        rng)
    begun, more = rng.choice(["a", "b", "b", "b"], 2000), rng.integers(6, size=2000)
    shown = [str(c) + (filler or str(c)) * int(k) for c, k in zip(begun, more, strict=True)]
    rows, optimizer = chat.rows(["?"] * 2000, shown), optimizer_of(model, 1e-2)
    for step in range(200):
        optimizer.lr = 1e-2 if step < 140 else 2e-3
        sft.step(model, optimizer, rows, rng, batch=64)
    return model


def mean_lengths(model: Transformer) -> list[float]:
    """Tokens of an answer that begins with a, right, and with b, wrong; the same random numbers
each time.
"""
    means = []
    for letter in "ab":
        begun = chat.prompt("?") + chat.tokenizer.encode(letter)
        more = generate(model, [begun] * 128, max_new_tokens=LONGEST - 1, stop=[chat.end],
                        rng=np.random.default_rng(0))
        means.append(1 + more.mask.sum(axis=1).mean().item())
    return means


# %% It is trained with each weight, paid 1 for a, 0 for b, on two seeds.
all_cases = [case for cases in CASES.values() for case in cases]
curves, rewards = {case: [] for case in all_cases}, {case: [] for case in all_cases}
for seed in SEEDS:
    for filler, cases in CASES.items():
        model = imitated(filler, seed)
        for case in cases:
            policy, rng = Policy(copied(model), chat, LONGEST), np.random.default_rng(seed)
            optimizer = optimizer_of(policy.model, 5e-4)
            preset = PRESETS[case.removesuffix(", then x")]
            variant = replace(VARIANTS["document"], weight=preset.weight)
            curve = [mean_lengths(policy.model)]
            for step in range(1, STEPS + 1):
                told = grpo.step(policy, model, optimizer,
                                 lambda batch: [float(t[:1] == "a") for t in batch.texts],
                                 ["?"], rng, variant=variant, groups=4, group=16)
                if step % EVERY == 0:
                    curve.append(mean_lengths(policy.model))
            curves[case].append(curve)
            rewards[case].append(told["reward"])

# %% Lengths of a right and of a wrong answer, from the start to the end.
rows = []
for case in all_cases:
    of_case = np.array(curves[case])                               # (seeds, marks, right and wrong)
    right0, wrong0 = of_case[:, 0].T
    right1, wrong1 = of_case[:, -1].T
    findings = (np.array(rewards[case]) >= 0.5, right0 - right1 >= 0.75, wrong1 - wrong0 >= 0.75,
                wrong1 - right1 >= 1.5)
    rows.append((case, *(f"{holds.sum()} of {len(SEEDS)}" for holds in findings)))
print(f"\nThe transformer, right .25 of the time at first, after {STEPS} steps: "
      "on how many seeds\n")
print(table(("weight", "right half the time", "right .75 tokens shorter", "wrong .75 tokens longer",
             "wrong 1.5 longer than right"), rows))
others = np.array([curves[name] for name in WEIGHTS if name != "sequence mean"])
alike = np.ptp(others, axis=0).max() < 0.75
print("\nAdamW divides constants out: but for the sequence mean, "
      f"all curves lie within .75 tokens: {alike}")


# %% The same as a picture.
def draw() -> None:
    shown = [case for case in all_cases if case != "sequence sum"]
    fig, axes = figures.new(columns=len(shown), width=10.0, height=3.2)
    for ax, case in zip(axes, shown, strict=True):
        for kind, color, marker, curve in zip(("right", "wrong"), (figures.BLUE, figures.RED),
                                              ("o", "s"),
                                              np.array(curves[case]).transpose(2, 0, 1),
                                              strict=True):
            x = EVERY * np.arange(curve.shape[1])
            ax.fill_between(x, curve.min(axis=0), curve.max(axis=0), color=color, alpha=0.2)
            ax.plot(x, curve.mean(axis=0), color=color, marker=marker, ms=4, label=kind)
        ax.set(title=case.replace(", ", ",\n"), xlabel="steps", ylabel="tokens of an answer",
               ylim=(0, 8))
        ax.legend(loc="lower left")
    figures.save(fig, "40_length_bias", "Mean length of right and of wrong answers while a "
                 "transformer learns to be right, however long; two seeds, the mean and a band "
                 "from least to largest. Only the mean over an answer's own tokens makes right "
                 "ones short and wrong ones long; where all go on with x, not even that.")


draw()

# %% Try it.  Pay 0 for a and -1 for b instead of 1 and 0.  Do right answers still shrink?
# What came out: the lengths are the same, 2 of 2 and 0 of 2 as above; the first column, which
# counts rewards of .5, is 0 of 2 throughout.  Advantages do not know where the rewards' zero is.
