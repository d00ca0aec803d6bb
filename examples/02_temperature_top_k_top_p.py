"""Temperature, top-k and top-p: three ways to change a row before it is drawn from

Document 003, part 3 and "Top-K vs Top-p: Side-by-Side Comparison".  Temperature reshapes the whole
row, top-k keeps a fixed number of words, top-p as many as hold a share of the probability.

Look for two findings.  No temperature turns the document's logits into its printed row.  And for
the uncertain "I feel ___" nine words cannot hold 90%: seven hold 72%, no later one has more than
7%.
"""
import numpy as np

from rlscratch import documents
from rlscratch.formulas.distribution import entropy, softmax, top_k, top_p
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
PRINTED = {entry.id: entry.printed for entry in documents.entries()}

# %% Temperature: the logits of the words after "Hello", divided by T.
WORDS, LOGITS = ("world", "there", "!", "everyone"), np.array([8.5, 6.2, 4.1, 2.8])
TEMPERATURES = (0.1, 0.5, 1.0, 2.0)
row = np.array(PRINTED["S3.softmax.T1"])
at = {T: softmax(LOGITS, T) for T in TEMPERATURES}
rows = []
for i, word in enumerate(WORDS):
    ours = [f"{at[T][i]:.4f}" for T in TEMPERATURES]
    rows.append((word, LOGITS[i], f"{row[i]:.2f}", *ours))
print(table(("word", "logit", "document", *(f"T = {T}" for T in TEMPERATURES)), rows))
# The odds p0/pj are exp((z0 - zj) / T).  Solved for T:
needed = (LOGITS[0] - LOGITS[1:]) / np.log(row[0] / row[1:])
print(f"\nThe document's row would need T = {', '.join(f'{T:.2f}' for T in needed)} "
      "for its three odds: no one T.")

# %% The document's settings on "The weather is ___": what each leaves of the row.
WEATHER = np.array([0.40, 0.25, 0.15, 0.10, 0.05, 0.03, 0.02])    # sunny, rainy, cloudy, nice, ...
settings = {
    "temperature 0.2": softmax(np.log(WEATHER), 0.2),
    "temperature 0.8": softmax(np.log(WEATHER), 0.8),
    "temperature 1.0": softmax(np.log(WEATHER), 1.0),
    "temperature 1.2": softmax(np.log(WEATHER), 1.2),
    "top-k, k = 3": top_k(WEATHER, 3),
    "top-p, p = 0.95": top_p(WEATHER, 0.95),
}
rows = []
for name, p in settings.items():
    with np.errstate(divide="ignore"):                            # log 0 = -inf: cannot be drawn
        nats = entropy(np.log(p))
    sunny, rainy, cloudy = p[:3]
    left = np.count_nonzero(p)
    rows.append((name, left, f"{sunny:.4f}", f"{rainy:.4f}", f"{cloudy:.4f}", f"{nats:.3f}"))
print()
print(table(("The weather is ___", "words left", "sunny", "rainy", "cloudy", "entropy, nats"),
            rows))
print("\nThe document's top-k row: " + ", ".join(f"{x:.4f}" for x in PRINTED["S3.topk.renorm"]))

# %% Side by side.  "I feel" prints seven words; the four after them are as large as a sorted row
# allows.
FRANCE = np.array([0.85, 0.08, 0.04, 0.02, 0.01])
I_FEEL = np.array([0.15, 0.12, 0.11, 0.10, 0.09, 0.08, 0.07, 0.07, 0.07, 0.07, 0.07])
SCENARIOS = {
    "2 + 2 equals": (np.array([0.95, 0.03, 0.01, 0.01]), PRINTED["S3.topp.224.n"]),
    "The capital of France is": (FRANCE, PRINTED["S3.compare.topp.n"]),
    "The movie was": (np.array([0.25, 0.20, 0.18, 0.15, 0.12, 0.05, 0.03, 0.02]),
                      PRINTED["S3.topp.movie.n"]),
    "I feel": (I_FEEL, 9),
}
rows = []
for text, (p, stated) in SCENARIOS.items():
    fixed, adapted = top_k(p, 3) > 0, top_p(p, 0.9) > 0
    kept = adapted.sum()
    note = "" if stated == kept else f"the document's {stated} hold {p[:stated].sum():.2f}"
    rows.append((f"{text} ___", fixed.sum(), f"{p[fixed].sum():.2f}",
                 stated, kept, f"{p[adapted].sum():.2f}", note))
print()
print(table(("prompt", "top-k 3", "mass", "top-p .9, document", "ours", "mass", "note"), rows))

# %% The two filters renormalise what is left.
by_k, by_p = top_k(FRANCE, 3), top_p(FRANCE, 0.9)
print()
print(table(("The capital of France is ___", "Paris", "Lyon", "Nice"), [
    ("top-k, k = 3, document", *PRINTED["S3.compare.topk"]),
    ("top-k, k = 3, ours", f"{by_k[0]:.4f}", f"{by_k[1]:.4f}", f"{by_k[2]:.4f}"),
    ("top-p, p = 0.9, document", *PRINTED["S3.compare.topp"], "-"),
    ("top-p, p = 0.9, ours", f"{by_p[0]:.4f}", f"{by_p[1]:.4f}", f"{by_p[2]:.4f}")]))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=3, width=9.5, height=3.4)
    styles = zip((0.5, 1.0, 2.0), (figures.BLUE, figures.ORANGE, figures.GREEN), "os^", strict=True)
    for T, color, marker in styles:
        axes[0].plot(WORDS, softmax(LOGITS, T), marker=marker, color=color, label=f"T = {T}")
    axes[0].plot(WORDS, row, "--", color=figures.BLACK, label="as printed")
    axes[0].set(title="Temperature", ylabel="probability", ylim=(0, 1.05))
    axes[0].legend()
    for ax, text, p, heights in ((axes[1], "The capital of France is", FRANCE, (0.5, 0.5)),
                                 (axes[2], "I feel", I_FEEL, (0.72, 0.42))):
        place = np.arange(1, len(p) + 1)
        ax.bar(place, p, color=figures.SKY)
        ax.plot(place, np.cumsum(p), ".-", color=figures.BLACK)
        ax.axhline(0.9, color=figures.BLACK, lw=0.8, ls=":")
        for name, filtered, height, style in (("k = 3", top_k(p, 3), heights[0], "--"),
                                              ("p = 0.9", top_p(p, 0.9), heights[1], "-.")):
            kept = np.count_nonzero(filtered)
            ax.axvline(kept + 0.5, color=figures.RED, ls=style)
            ax.text(kept + 0.42, height, f"{name} keeps {kept}", rotation=90, ha="right",
                    va="center", color=figures.RED)
        ax.set(title=f"{text} ___", xlabel="words, the likeliest first", ylim=(0, 1.05),
               xticks=place)
    axes[1].text(3.75, 0.84, "cumulated", ha="left")
    axes[2].text(4.2, 0.13, "probability", ha="left")
    figures.save(fig, "02_temperature_top_k_top_p", "Left: softmax of the document's four logits "
                 "at three temperatures; its printed row (dashed) is near T = 2 and equal to none. "
                 "Middle and right: everything left of a filter's line is kept. Top-k keeps three "
                 "words whether the model is sure or not; top-p keeps two words of the first row "
                 "and ten of the second, where the cumulated line crosses 0.9.")


draw()

# %% Try it.  Give top_p a p of .5 in "Side by side".  How many words are left of each prompt, and
# which filter does the surer model feel?
# What came out: 1, 1, 3 and 5 words, with .95, .85, .63 and .57 of the probability.  Where one word
# has more than p, sampling is greedy; top-k still keeps three.
