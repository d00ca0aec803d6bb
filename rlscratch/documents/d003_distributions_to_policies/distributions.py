"""Document 003, parts 1 to 3 and "Top-K vs Top-p": a language model as a row of probabilities.

Rows, softmax, temperature, top-k, top-p, beam scores.  Rollouts are in rollouts.py, expected
reward and human feedback in feedback.py, the derivation of the gradient in derivation.py.
"""
from functools import partial

import numpy as np

from rlscratch.documents import gpt2_tokens, rows_and_bars
from rlscratch.documents.entry import PINNED, Entry
from rlscratch.documents.rows_and_bars import row_sum
from rlscratch.formulas import cross_entropy, distribution

F = "rlscratch.formulas."
PART_1, PART_2 = "Part 1: LLMs as Probability Machines", "Part 2: The Generation Process"
TOP_K, TOP_P, BEAM = "Part 3: Top-K Sampling", "Part 3: Top-p (Nucleus) Sampling", "Part 3: Beam Search"
COMPARED = "Top-K vs Top-p: Side-by-Side Comparison"
entry = partial(Entry, document="003")

LOGITS = (8.5, 6.2, 4.1, 2.8)                                   # world, there, !, everyone
HELLO = (0.67, 0.23, 0.08, 0.02)
OCEAN = (0.45, 0.35, 0.12, 0.05, 0.02, 0.01)
OCEAN_THE = (0.78, 0.15, 0.04, 0.02, 0.01)
WEATHER_BARS = (0.40, 0.24, 0.16, 0.10, 0.06, 0.04)
SUNNY_BARS = (0.46, 0.24, 0.12, 0.08, 0.06, 0.04)
WEATHER = (0.40, 0.25, 0.15, 0.10, 0.05, 0.03, 0.02)
SUM_OF_2_AND_2 = (0.95, 0.03, 0.01, 0.01)
MOVIE = (0.25, 0.20, 0.18, 0.15, 0.12, 0.05, 0.03, 0.02)
FRANCE = (0.85, 0.08, 0.04, 0.02, 0.01)
# "I feel ___" prints seven words; the rest is filled as richly as a sorted row allows.
I_FEEL = (0.15, 0.12, 0.11, 0.10, 0.09, 0.08, 0.07, 0.07, 0.07, 0.07, 0.07)


def row(id: str, section: str, words: str, *p: float, printed: float | None = None) -> Entry:
    """A printed row that has to add to 1; `printed` where the document adds it up itself."""
    naive = float(np.cumsum(p)[-1])
    return entry(
        id=id, section=section, claim=f"The probabilities of {words} are a whole.",
        formula=" + ".join(f"{x:.2f}" for x in p), printed=printed, exact=1.0, tolerance=0.005,
        verdict="exact" if printed else "derived", kind="restated", compute=partial(lambda p: row_sum(*p), p),
        source="rlscratch.check.probabilities",
        note="" if naive == 1 else f"Added from left to right in float64 it is {naive!r}: rows need a tolerance.")


def kept(filtered: np.ndarray) -> int:
    """How many words a filter leaves."""
    return int(np.count_nonzero(filtered))


def mass(p: tuple[float, ...], words: int) -> float:
    """The mass of the most probable words, in percent: what top-k divides the first of them by."""
    return 100 * max(p) / distribution.top_k(p, words).max()


def masses(p: tuple[float, ...]) -> list[float]:
    """The mass of the first word, of the first two, and so on, in percent."""
    return [mass(p, k) for k in range(1, len(p) + 1)]


ROWS = (
    row("S3.ocean.t1", PART_1, "the first word after the question about oceans", *OCEAN),
    row("S3.ocean.t2", PART_1, 'the word after "The"', *OCEAN_THE),
    entry(
        id="S3.ocean.path", section=PART_1, claim='The model samples "The" and then "Pacific".',
        formula="0.45·0.78", printed=None, exact=0.351, tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: np.exp(-cross_entropy.cross_entropy_loss(np.log([[0.45, 0.78]]), np.ones((1, 2)))),
        source=F + "cross_entropy.cross_entropy_loss",
        note='As a sequence the two have 35.1%, as much as "Pacific" alone in the first step.'),
    entry(
        id="S3.tokens.hello", section=PART_2, claim='"Hello world" becomes the two tokens "Hello" and " world".',
        formula='GPT-2\'s 15496 and 995', printed=("Hello", " world"), exact=("Hello", " world"), tolerance=0,
        verdict="exact", kind="computed", compute=lambda: gpt2_tokens.pieces("Hello world"),
        source="rlscratch.bpe.tokenizer.Tokenizer.encode"),
    entry(
        id="S3.softmax.T1", section=PART_2,
        claim='After "Hello" the scores 8.5, 6.2, 4.1 and 2.8 become 67%, 23%, 8% and 2%.',
        formula="exp(z_j)/Σ exp(z_k)", printed=HELLO, exact=(0.896152, 0.089847, 0.011002, 0.002998),
        tolerance=0.005, verdict="differs", kind="computed", compute=lambda: distribution.softmax(LOGITS),
        otherwise=lambda: distribution.softmax((8.5, 7.430802, 6.374749, 4.988455)),
        source=F + "distribution.softmax", planted={"temperature": 1.981},
        note="Softmax of these scores is 89.6%, 9.0%, 1.1%, 0.3%. No temperature gives the printed row: its odds "
             "against the first word would need T = 2.151, 2.070 and 1.623 at once; the nearest, T = 1.981, misses "
             "by 1.8 points. The row is the softmax of 8.5, 7.431, 6.375, 4.988 at T = 1."),
    row("S3.softmax.sum", PART_2, 'the word after "Hello"', *HELLO),
    row("S3.weather.bars1", PART_2, 'the word after "The weather is"', *WEATHER_BARS),
    row("S3.weather.bars2", PART_2, 'the word after "The weather is sunny"', *SUNNY_BARS),
    *(entry(
        id=f"S3.weather.bars{i}.blocks", section=PART_2,
        claim=f"Bars of one block for 2% show the row {', '.join(f'{100 * p:.0f}' for p in row)}%.",
        formula="blocks = percent/2", printed=(*exact[:-1], 1), exact=exact, tolerance=0.5, verdict="differs",
        kind="drawing", compute=partial(lambda row: rows_and_bars.blocks(*row, size=0.02), row),
        source="rlscratch.documents.rows_and_bars.blocks",
        note="The last bar, 4%, has 1 block, which is the length for 2%; 4% takes 2. The other bars fit their labels.")
      for i, row, exact in ((1, WEATHER_BARS, (20.0, 12.0, 8.0, 5.0, 3.0, 2.0)),
                            (2, SUNNY_BARS, (23.0, 12.0, 6.0, 4.0, 3.0, 2.0)))),
)

FILTERS = (
    row("S3.topk.weather.p", TOP_K, 'the seven words after "The weather is"', *WEATHER),
    entry(
        id="S3.topk.vs_bars", section=TOP_K, claim='After "The weather is", rainy has 25% and cloudy 15%.',
        formula="π(rainy), π(cloudy)", printed=(0.25, 0.15), exact=(0.24, 0.16), tolerance=0.005,
        verdict="convention", kind="input", otherwise=lambda: WEATHER[1:3],
        note="Part 2 draws the same context with 24% and 16%, and part 4 goes by part 2. Both rows add to 1; they "
             "are two examples, and the filters run on the one of part 3."),
    entry(
        id="S3.topk.renorm", section=TOP_K, claim="Keeping three words and dividing anew gives 50%, 31.25%, 18.75%.",
        formula="40/80, 25/80, 15/80", printed=(0.5, 0.3125, 0.1875), exact=(0.5, 0.3125, 0.1875),
        tolerance=0.00005, verdict="exact", kind="computed", compute=lambda: distribution.top_k(WEATHER, 3)[:3],
        source=F + "distribution.top_k", planted={"k": 4}),
    entry(
        id="S3.topk.exactly_k", section=TOP_K, claim="Top-k with k = 3 always leaves exactly three words.",
        formula="words kept of 0.4, 0.2, 0.2, 0.2 at k = 3", printed=3, exact=3, tolerance=0.5, verdict="convention",
        kind="computed", compute=lambda: kept(distribution.top_k((0.4, 0.2, 0.2, 0.2), 3)),
        otherwise=lambda: kept(distribution.top_k((0.4, 0.2, 0.2, 0.2), 3, ties="all")),
        source=F + "distribution.top_k", planted={"ties": "all", "k": 2},
        note='Holds where ties go to the first (ties="first", as torch.topk). Libraries that keep whatever reaches '
             "the k-th value (Hugging Face, nanoGPT) keep four of this row."),
    row("S3.topp.224.p", TOP_P, 'the words after "2 + 2 equals"', *SUM_OF_2_AND_2, printed=1.0),
    entry(
        id="S3.topp.224.cum", section=TOP_P, claim='After "2 + 2 equals" the words add up to 95, 98, 99 and 100%.',
        formula="95, 95 + 3, 98 + 1, 99 + 1", printed=(95, 98, 99, 100), exact=(95.0, 98.0, 99.0, 100.0),
        tolerance=0.5, verdict="exact", kind="computed", compute=lambda: masses(SUM_OF_2_AND_2),
        source=F + "distribution.top_k", planted={"k": 2}),
    entry(
        id="S3.topp.224.n", section=TOP_P, claim='With top-p at 0.9, only "4" is left of "2 + 2 equals".',
        formula="the fewest words that hold 0.9", printed=1, exact=1, tolerance=0.5, verdict="exact",
        kind="computed", compute=lambda: kept(distribution.top_p(SUM_OF_2_AND_2, 0.9)),
        source=F + "distribution.top_p", planted={"p": 0.96}),
    row("S3.topp.movie.p", TOP_P, 'the words after "The movie was"', *MOVIE, printed=1.0),
    entry(
        id="S3.topp.movie.cum", section=TOP_P,
        claim='After "The movie was" the words add up to 25, 45, 63, 78, 90, 95, 98 and 100%.',
        formula="25, 25 + 20, 45 + 18, ...", printed=(25, 45, 63, 78, 90, 95, 98, 100),
        exact=(25.0, 45.0, 63.0, 78.0, 90.0, 95.0, 98.0, 100.0), tolerance=0.5, verdict="exact", kind="computed",
        compute=lambda: masses(MOVIE), source=F + "distribution.top_k", planted={"k": 2}),
    entry(
        id="S3.topp.movie.n", section=TOP_P,
        claim="With top-p at 0.9 five words stay, the fifth because it reaches 90% exactly.",
        formula="words with less than 0.9 before them: 0, 25, 45, 63, 78", printed=5, exact=5, tolerance=0.5,
        verdict="convention", kind="computed", compute=lambda: kept(distribution.top_p(MOVIE, 0.9)),
        otherwise=lambda: kept(distribution.top_p(MOVIE, 0.9, rule="hf")),
        source=F + "distribution.top_p", planted={"rule": "hf", "p": 0.95},
        note='Exact on paper, a borderline in floating point: "mass before it < p", summed in double with a margin of '
             "1e-6, keeps five in float32 and float64. Hugging Face's rule, which sums from the other end, keeps six "
             "in float64 and five in float32."),
    entry(
        id="S3.topp.movie.renorm", section=TOP_P, claim="The five words that stay share the whole.",
        formula="25/90, 20/90, 18/90, 15/90, 12/90", printed=None,
        exact=(0.277778, 0.222222, 0.2, 0.166667, 0.133333), tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: distribution.top_p(MOVIE, 0.9)[:5], source=F + "distribution.top_p",
        planted={"rule": "hf"}),
    entry(
        id="S3.beam.step1", section=BEAM, claim="Three beams score 8.2, 7.9 and 7.1.",
        formula="score of a beam", printed=(8.2, 7.9, 7.1), exact=(8.2, 7.9, 7.1), tolerance=0.05,
        verdict="convention", kind="input", otherwise=lambda: np.minimum((8.2, 7.9, 7.1), 0.0),
        note="Abstract scores that are added. Beam search adds log-probabilities, which are never above 0: e^8.2 "
             "would be a probability of 3641. Beams here are ranked by the sum of log-probabilities."),
    entry(
        id="S3.beam.step2", section=BEAM,
        claim="One word later the three best beams, grown from the first, the second and the first, score 15.8, 15.2 "
              "and 14.9.",
        formula="8.2 + 7.6, 7.9 + 7.3, 8.2 + 6.7", printed=(15.8, 15.2, 14.9), exact=(15.8, 15.2, 14.9),
        tolerance=0.05, verdict="convention", kind="input",
        otherwise=lambda: np.minimum((15.8, 15.2, 14.9), (8.2, 7.9, 8.2)),
        note="Holds for scores that grow by 7.6, 7.3 and 6.7. A sum of log-probabilities never grows: no beam could "
             "score above its parent. The third beam (7.1) is dropped if it gains less than 7.8."),
)

QUESTIONS = (
    entry(
        id="S3.temp.zero", section="Common Questions", claim="Temperature 0 makes the output deterministic.",
        formula="softmax(z/T), T → 0: all on the arg-max", printed="temperature=0", exact=(1.0, 0.0, 0.0, 0.0),
        tolerance=PINNED, verdict="convention", kind="statement",
        compute=lambda: distribution.softmax(LOGITS, temperature=0.01),
        otherwise=lambda: distribution.softmax(LOGITS), source=F + "distribution.softmax",
        planted={"temperature": 1.0},
        note="The document's own code divides the logits by the temperature, which fails at 0. T = 0 is a rule of its "
             "own, take the arg-max: sampling for evaluation has it, softmax and every training loop refuse it."),
    row("S3.compare.p", COMPARED, 'the words after "The capital of France is"', *FRANCE),
    entry(
        id="S3.compare.topk", section=COMPARED, claim="Top-k with k = 3 leaves 87.6%, 8.2% and 4.1%.",
        formula="85/97, 8/97, 4/97", printed=(0.876, 0.082, 0.041), exact=(0.876289, 0.082474, 0.041237),
        tolerance=0.0005, verdict="rounds", kind="computed", compute=lambda: distribution.top_k(FRANCE, 3)[:3],
        source=F + "distribution.top_k", planted={"k": 2}, note="The rounded three add to 99.9%."),
    entry(
        id="S3.compare.topp.cum", section=COMPARED, claim="Paris and Lyon together have 93%, past the 90% of top-p.",
        formula="0.85 + 0.08", printed=0.93, exact=0.93, tolerance=0.005, verdict="exact", kind="computed",
        compute=lambda: FRANCE[0] / distribution.top_p(FRANCE, 0.9)[0], source=F + "distribution.top_p",
        planted={"p": 0.8}),
    entry(
        id="S3.compare.topp.n", section=COMPARED, claim="Top-p at 0.9 keeps two words.",
        formula="the fewest words that hold 0.9", printed=2, exact=2, tolerance=0.5, verdict="exact",
        kind="computed", compute=lambda: kept(distribution.top_p(FRANCE, 0.9)), source=F + "distribution.top_p",
        planted={"p": 0.8}, note="A filter that keeps words while the sum stays at or below 0.9 would keep one."),
    entry(
        id="S3.compare.topp", section=COMPARED, claim="Top-p at 0.9 leaves Paris 91.4% and Lyon 8.6%.",
        formula="85/93, 8/93", printed=(0.914, 0.086), exact=(0.913978, 0.086022), tolerance=0.0005,
        verdict="rounds", kind="computed", compute=lambda: distribution.top_p(FRANCE, 0.9)[:2],
        source=F + "distribution.top_p", planted={"p": 0.8}),
    entry(
        id="S3.ifeel.partial", section=COMPARED, claim='The seven words printed for "I feel" hold 72%.',
        formula="15 + 12 + 11 + 10 + 9 + 8 + 7", printed=None, exact=72.0, tolerance=PINNED, verdict="derived",
        kind="computed", compute=lambda: mass(I_FEEL, 7), source=F + "distribution.top_k", planted={"k": 6}),
    entry(
        id="S3.ifeel.topp", section=COMPARED, claim='Nine words after "I feel" reach the 90% of top-p.',
        formula="0.72 + 0.07 + 0.07, at most", printed=0.9, exact=0.86, tolerance=0.005, verdict="differs",
        kind="computed", compute=lambda: mass(I_FEEL, 9) / 100, source=F + "distribution.top_k", planted={"k": 10},
        note="In a sorted row no word after the seventh has more than 7%, so nine hold 86% at most; 90% takes ten "
             "words or more. Nine holds for a top-p up to 0.86."),
    entry(
        id="S3.ifeel.topk", section=COMPARED, claim='Top-k with k = 3 leaves good, bad and happy after "I feel".',
        formula="15/38, 12/38, 11/38", printed=None, exact=(0.394737, 0.315789, 0.289474), tolerance=PINNED,
        verdict="derived", kind="computed", compute=lambda: distribution.top_k(I_FEEL, 3)[:3],
        source=F + "distribution.top_k", planted={"k": 4}),
)

ENTRIES = (*ROWS, *FILTERS)           # the questions come at the end of the document
