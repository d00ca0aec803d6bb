"""Sampling and rollouts: a language model is a row of probabilities, drawn from again and again

Document 003, parts 1, 2 and 4.  The model sees some text and gives every next word a probability;
one uniform number in [0, 1) picks a word, the word joins the text, and the next row is asked for.
One run through this loop is a rollout.

Look for three things: the frequencies of 10,000 draws come as close as they should; one seed
gives one text, again and again; and taking the likeliest word at every step does not give the
likeliest text.
"""
import numpy as np

from rlscratch import kernels
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 1.5  # seconds of processor time

# %% One step.  draw() turns each uniform u into the first word whose cumulated probability exceeds
# u.
OCEAN = dict(The=0.45, Pacific=0.35, It=0.12, Atlantic=0.05, Indian=0.02, Arctic=0.01)
AFTER_THE = dict(Pacific=0.78, largest=0.15, Atlantic=0.04, answer=0.02, Indian=0.01)
WEATHER = dict(sunny=0.40, rainy=0.24, cloudy=0.16, nice=0.10, bad=0.06, terrible=0.04)
MODEL = {"Which is the largest ocean?": OCEAN, "Which is the largest ocean? The": AFTER_THE,
         "The weather is": WEATHER}
DRAWS = 10_000
rng = np.random.default_rng(0)
shares = {}
for text, row in MODEL.items():
    p = np.array(list(row.values()))
    words = kernels.draw(np.tile(p, (DRAWS, 1)), rng.random(DRAWS))
    share = np.bincount(words, minlength=len(p)) / DRAWS
    standard_error = np.sqrt(p * (1 - p) / DRAWS)
    off = (share - p) / standard_error
    shares[text] = share
    print(f"\n{text} ___     ({DRAWS} draws)\n")
    print(table(("word", "document", "drawn", "off by, in standard errors"), [
        (word, f"{p[i]:.2f}", f"{share[i]:.4f}", f"{off[i]:+.1f}") for i, word in enumerate(row)]))
first, second = OCEAN["The"], AFTER_THE["Pacific"]
print(f'\nAs a text, "The Pacific" has {first:.2f} x {second:.2f} = {first * second:.3f}, '
      f'as much as "Pacific" alone in the first step, {OCEAN["Pacific"]:.2f}.')

# %% Rollouts.  The document gives five rows of a greeting; where it gives none, the text ends.
GREETING = {
    (): dict(Hello=0.40, Hi=0.30, Good=0.20, Hey=0.10),
    ("Hello",): {"!": 0.50, "there": 0.30, ",": 0.20},
    ("Hello", "!"): dict(How=0.60, Nice=0.25, Hope=0.15),
    ("Hi",): {"there": 0.70, "!": 0.20, ",": 0.10},
    ("Hi", "there"): {"!": 0.80, ",": 0.20},
}


def rollout(seed: int) -> tuple[tuple[str, ...], float]:
    """One text, and its log-probability: the sum over its words."""
    rng, text, logp = np.random.default_rng(seed), (), 0.0
    while text in GREETING:
        logits = np.log([list(GREETING[text].values())])            # softmax(log p) = p
        words, steps = kernels.sample(logits, rng.random(1))
        text = (*text, list(GREETING[text])[words[0]])
        logp = logp + steps[0]
    return text, float(logp)


rows = []
for seed in (12345, 67890, 24680, 12345):
    text, logp = rollout(seed)
    rows.append((seed, " ".join(text), f"{logp:.4f}", f"{np.exp(logp):.3f}"))
print("\nWrite a greeting ___     (the document's seeds, then the first of them again)\n")
print(table(("seed", "rollout", "log probability", "probability"), rows))

# %% All texts of three words, and the greedy one among them: at each step the likeliest word.
texts = {}
for two in GREETING:
    if len(two) == 2:
        p_two = GREETING[()][two[0]] * GREETING[two[:1]][two[1]]
        for last in GREETING[two]:
            texts[*two, last] = p_two * GREETING[two][last]
greedy = ()
while greedy in GREETING:
    likeliest = max(GREETING[greedy], key=GREETING[greedy].get)
    greedy = (*greedy, likeliest)
ranked = sorted(texts, key=texts.get, reverse=True)
print("\nThe document's texts of three words, the likeliest first\n")
print(table(("text", "probability", "note"), [
    (" ".join(text), f"{texts[text]:.3f}", "best word at every step" if text == greedy else "")
    for text in ranked]))
print(f'\nGreedy gets {texts[greedy]:.3f}, the best text has {texts[ranked[0]]:.3f}: '
      '"Hello" beats "Hi" as a word, but what follows "Hi" is surer.')


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.0, height=3.4)
    text = "Which is the largest ocean?"
    axes[0].bar(list(OCEAN), OCEAN.values(), color=figures.SKY, label="the model's probability")
    axes[0].plot(list(OCEAN), shares[text], "D", color=figures.BLACK, ms=5,
                 label=f"share of {DRAWS:,} draws")
    axes[0].set(title="One step: the largest ocean", ylabel="probability")
    axes[0].tick_params(axis="x", rotation=30)
    axes[0].legend()
    bars = axes[1].barh([" ".join(text) for text in ranked], [texts[text] for text in ranked],
                        color=figures.SKY)
    bars[ranked.index(greedy)].set(hatch="///", edgecolor=figures.BLACK, facecolor=figures.ORANGE)
    axes[1].bar_label(bars, [f"{texts[text]:.3f}" + "  greedy" * (text == greedy)
                             for text in ranked], padding=4)
    axes[1].invert_yaxis()
    axes[1].grid(False)
    axes[1].set(title="Whole rollouts: a greeting", xlabel="probability of the whole text",
                xlim=(0, 0.23))
    figures.save(fig, "01_sampling_and_rollouts", "Left: the document's probabilities of the first "
                 "word (bars) and how often each was drawn (diamonds). Right: the probability of "
                 "each three-word greeting. Greedy decoding (hatched) takes the likeliest word "
                 "each time and ends with the second most likely text.")


draw()

# %% Try it.  Draw 1,000,000 words instead of 10,000.  How much nearer does the share of "The" come
# to .45, and what becomes of the last column?
# What came out: .4525 became .4500.  In standard errors, which shrank by ten as well, it is off
# about as much as before: the largest of the 17 is 1.1, and was 1.4.
