"""A reward model: scores from a ranking and from ratings, fitted along hand-derived gradients

Document 002, step 2 (a labeler ranks D > C > A > B); document 003, part 6, step 2 (six rated
answers); document 004, 2.4.2.  Here a reward model is a table, one score an answer: nothing hides
the loss.

Look for three things.  One ranking fixes no scale: the order is learned at once and the scores
then grow for ever.  Labelers who disagree fix it, and the two losses for rankings, all pairs and
Plackett-Luce, give nearly the same scores.  Ratings fix the zero as well: the scores become the
ratings.
"""
import numpy as np

from rlscratch import documents
from rlscratch.formulas import preference
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 3  # seconds of processor time
LEDGER = {entry.id: entry for entry in documents.entries()}
A, B, C, D = range(4)
LOSSES = {"all pairs": (preference.ranking_loss, preference.ranking_grad),
          "Plackett-Luce": (preference.plackett_luce_loss, preference.plackett_luce_grad)}


def descend(loss_grad: tuple, rankings: np.ndarray, steps: int, rate: float) -> tuple[np.ndarray,
                                                                                      list]:
    """Scores of A, B, C, D, and after 1, 10, 100, ... steps the loss and the scores.

    rankings  (K, 4)  best first
    """
    loss, grad = loss_grad
    scores, seen = np.zeros(4), []
    for step in range(1, steps + 1):
        slope = np.zeros(4)
        np.add.at(slope, rankings, grad(scores[rankings]))  # each ranking's gradient to its answers
        scores = scores - rate * slope
        if step in (1, 10, 100, 1000, 10000):
            seen.append((step, loss(scores[rankings]), scores))
    return scores, seen


# %% One ranking, D > C > A > B.
RANKING = np.array([[D, C, A, B]])
pairs = LEDGER["S2.rank.pairs"].computed()
growth, rows = {}, []
for name, loss_grad in LOSSES.items():
    _, growth[name] = descend(loss_grad, RANKING, 10_000, 1.0)
    for step, value, scores in growth[name]:
        beats = preference.bradley_terry(scores[D] - scores[C])         # 1 / (1 + exp(s_C - s_D))
        rows.append((name, step, f"{value:.4f}", *(f"{x:+.2f}" for x in scores), f"{beats:.3f}"))
print(f"One ranking D > C > A > B makes {pairs:g} pairs: DC DA DB CA CB AB\n")
print(table(("loss", "steps", "value", "A", "B", "C", "D", "P(D beats C)"), rows))
print("\nThe order is right after one step; "
      "the loss falls towards 0 only because the scores drift apart.")

# %% Twenty labelers: now the scores settle.
VOTES = {(D, C, A, B): 12, (C, D, A, B): 4, (D, A, C, B): 2, (D, C, B, A): 2}
PANEL = np.repeat(list(VOTES), list(VOTES.values()), axis=0)
place = np.argsort(PANEL, axis=1)                       # place[k, a]: where labeler k puts answer a
fitted, rows = {}, []
for name, loss_grad in LOSSES.items():
    fitted[name], _ = descend(loss_grad, PANEL, 5000, 2.0)
    rows.append((name, *(f"{x:+.2f}" for x in fitted[name])))
print("\nTwenty labelers\n")
print(table(("loss", "A", "B", "C", "D"), rows))
rows = []
for a, b in ((D, C), (D, A), (D, B), (C, A), (C, B), (A, B)):
    said = (place[:, a] < place[:, b]).mean()
    by_pairs, by_order = (preference.bradley_terry(s[a] - s[b]) for s in fitted.values())
    rows.append((f"{'ABCD'[a]} beats {'ABCD'[b]}", f"{said:.2f}", f"{by_pairs:.2f}",
                 f"{by_order:.2f}"))
print()
print(table(("pair", "labelers", "model, all pairs", "model, Plackett-Luce"), rows))

# %% Ratings: six answers to two questions, half the mean squared error.
RATED = ("?9dfsa", "No country owns Antarctica", "Antarctica is governed by ...", "Fish", "4",
         "The answer is 4")
ratings, scores, curve = np.array(LEDGER["S3.rm.train"].printed), np.zeros(6), []
for _ in range(60):
    curve.append(preference.rating_loss(scores, ratings))
    scores = scores - preference.rating_grad(scores, ratings)
possible = LEDGER["S3.rm.pairs"].computed()
print(f"\nRatings: {possible:g} pairs could be made of them, but the numbers say more\n")
print(table(("answer", "document", "score after 60 steps"), [
    (answer, f"{ratings[i]:.2f}", f"{scores[i]:.2f}") for i, answer in enumerate(RATED)]))
print(f"\nThe loss fell from {curve[0]:.4f} to {curve[-1]:.1e}: "
      "each step takes off a sixth of every error.")


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.4, height=3.4)
    steps = [step for step, *_ in growth["all pairs"]]
    for i, name, color, marker in ((0, "A", figures.BLUE, "o"), (1, "B", figures.ORANGE, "s"),
                                   (2, "C", figures.GREEN, "^"), (3, "D", figures.RED, "D")):
        line = [scores[i] for *_, scores in growth["all pairs"]]
        axes[0].semilogx(steps, line, marker=marker, color=color)
        axes[0].annotate(name, (steps[-1], line[-1]), (8, 0), textcoords="offset points",
                         color=color, va="center")
    axes[0].set(title="One ranking: the scores never settle", xlabel="steps",
                ylabel="score, in log-odds")
    place = np.arange(4)
    axes[1].bar(place - 0.2, fitted["all pairs"], 0.38, color=figures.BLUE, label="all pairs")
    axes[1].bar(place + 0.2, fitted["Plackett-Luce"], 0.38, color=figures.ORANGE, hatch="///",
                edgecolor="white", label="Plackett-Luce")
    axes[1].axhline(0, color=figures.BLACK, lw=0.8)
    axes[1].set(title="Twenty labelers: they do", ylabel="score, in log-odds", xticks=place,
                xticklabels="ABCD")
    axes[1].legend(loc="upper left")
    figures.save(fig, "13_reward_model", "Left: the scores of four answers trained on the one "
                 "ranking D > C > A > B with all pairs; they keep the order and grow with the "
                 "logarithm of the steps. Right: where labelers disagree the scores are finite, "
                 "and both losses find nearly the same.")


draw()

# %% Try it.  Add a twenty-first labeler to VOTES who turns the order round: (B, A, C, D): 1.  What
# happens to the scores?
# What came out: D falls from +2.98 to +1.99 and B rises from -3.38 to -2.21 with all pairs.  No
# pair is unanimous any more, and the two losses now differ by up to .33.
