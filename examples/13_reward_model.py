"""A reward model: scores from a ranking and from ratings, fitted by descent on hand-derived gradients

Document 002, step 2 (a labeler ranks D > C > A > B); document 003, part 6, step 2 (six rated answers);
document 004, 2.4.2.  Here a reward model is a table, one score an answer: nothing hides the loss.

Look for three things.  One ranking fixes no scale: the order is learned at once and the scores then grow
for ever.  Labelers who disagree fix it, and the two losses for rankings, all pairs and Plackett-Luce,
give nearly the same scores.  Ratings fix the zero as well: the scores become the ratings.
"""
import numpy as np

from rlscratch import documents
from rlscratch.formulas import preference
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 3  # seconds of processor time
LEDGER = {entry.id: entry for entry in documents.entries()}
LOSSES = {"all pairs": (preference.ranking_loss, preference.ranking_grad),
          "Plackett-Luce": (preference.plackett_luce_loss, preference.plackett_luce_grad)}


def descend(loss_grad: tuple, places: np.ndarray, steps: int, rate: float) -> tuple[np.ndarray, list]:
    """Scores of A, B, C, D, and after 1, 10, 100, ... steps the loss and the scores.

    places  (K, 4)  K rankings, best first, as places in the table of scores
    """
    loss, grad = loss_grad
    scores, seen = np.zeros(4), []
    for step in range(1, steps + 1):
        slope = np.zeros(4)
        np.add.at(slope, places, grad(scores[places]))          # each ranking sends its gradient to its answers
        scores = scores - rate * slope
        if step in (1, 10, 100, 1000, 10000):
            seen.append((step, loss(scores[places]), scores))
    return scores, seen


# %% One ranking, D > C > A > B.
RANKING = np.array([[3, 2, 0, 1]])
print(f"One ranking D > C > A > B makes {LEDGER['S2.rank.pairs'].computed():g} pairs: DC DA DB CA CB AB\n")
growth = {name: descend(pair, RANKING, 10_000, 1.0)[1] for name, pair in LOSSES.items()}
print(table(("loss", "steps", "value", "A", "B", "C", "D", "P(D beats C)"), [
    (name, step, f"{value:.4f}", *(f"{x:+.2f}" for x in scores),
     f"{preference.bradley_terry(scores[3] - scores[2]):.3f}")
    for name, seen in growth.items() for step, value, scores in seen]))
print("\nThe order is right after one step; the loss falls towards 0 only because the scores drift apart.")

# %% Twenty labelers.  Twelve say D C A B, four C D A B, two D A C B, two D C B A: now the scores settle.
VOTES = {(3, 2, 0, 1): 12, (2, 3, 0, 1): 4, (3, 0, 2, 1): 2, (3, 2, 1, 0): 2}
PANEL = np.repeat(list(VOTES), list(VOTES.values()), axis=0)
fitted = {name: descend(pair, PANEL, 5000, 2.0)[0] for name, pair in LOSSES.items()}
position = np.argsort(PANEL, axis=1)                            # position[k, a]: where labeler k puts answer a
print("\nTwenty labelers\n")
print(table(("loss", "A", "B", "C", "D"), [
    (name, *(f"{x:+.2f}" for x in scores)) for name, scores in fitted.items()]))
print()
print(table(("pair", "labelers", *(f"model, {name}" for name in fitted)), [
    (f"{'ABCD'[a]} beats {'ABCD'[b]}", f"{(position[:, a] < position[:, b]).mean():.2f}",
     *(f"{preference.bradley_terry(scores[a] - scores[b]):.2f}" for scores in fitted.values()))
    for a, b in ((3, 2), (3, 0), (3, 1), (2, 0), (2, 1), (0, 1))]))

# %% Ratings: six answers to two questions, half the mean squared error.
RATED = ("?9dfsa", "No country owns Antarctica", "Antarctica is governed by ...", "Fish", "4", "The answer is 4")
ratings, scores, curve = np.array(LEDGER["S3.rm.train"].printed), np.zeros(6), []
for _ in range(60):
    curve.append(preference.rating_loss(scores, ratings))
    scores = scores - preference.rating_grad(scores, ratings)
print(f"\nRatings: {LEDGER['S3.rm.pairs'].computed():g} pairs could be made of them, but the numbers say more\n")
print(table(("answer", "document", "score after 60 steps"), [
    (answer, f"{r:.2f}", f"{s:.2f}") for answer, r, s in zip(RATED, ratings, scores, strict=True)]))
print(f"\nThe loss fell from {curve[0]:.4f} to {curve[-1]:.1e}: each step takes off a sixth of every error.")

# %% The same as a picture.
fig, axes = figures.new(columns=2, width=8.4, height=3.4)
steps = [step for step, *_ in growth["all pairs"]]
for i, name, color, marker in ((0, "A", figures.BLUE, "o"), (1, "B", figures.ORANGE, "s"),
                               (2, "C", figures.GREEN, "^"), (3, "D", figures.RED, "D")):
    line = [scores[i] for *_, scores in growth["all pairs"]]
    axes[0].semilogx(steps, line, marker=marker, color=color)
    axes[0].annotate(name, (steps[-1], line[-1]), (8, 0), textcoords="offset points", color=color, va="center")
axes[0].set(title="One ranking: the scores never settle", xlabel="steps", ylabel="score, in log-odds")
place = np.arange(4)
axes[1].bar(place - 0.2, fitted["all pairs"], 0.38, color=figures.BLUE, label="all pairs")
axes[1].bar(place + 0.2, fitted["Plackett-Luce"], 0.38, color=figures.ORANGE, hatch="///", edgecolor="white",
            label="Plackett-Luce")
axes[1].axhline(0, color=figures.BLACK, lw=0.8)
axes[1].set(title="Twenty labelers: they do", ylabel="score, in log-odds", xticks=place, xticklabels="ABCD")
axes[1].legend(loc="upper left")
figures.save(fig, "13_reward_model", "Left: the scores of four answers trained on the one ranking D > C > A > B with "
             "all pairs; they keep the order and grow with the logarithm of the steps. Right: where labelers disagree "
             "the scores are finite, and both losses find nearly the same.")
