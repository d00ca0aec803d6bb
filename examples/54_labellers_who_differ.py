"""Labellers who differ: how reliable each one is, found without the truth, and what it buys

Document 002, step 2 has one kind of labeler.  Here are three, who rank the same answers: one errs
little, one more, one is near chance.  Labellers are formulas, so what they are is known, and none
of it is used: agreement shows that somebody is bad, EM says who, from their rankings alone.

Look for the reward model.  Trained on all rankings alike it believes the third as much as the
first; trained with the estimated reliabilities, a duel of labeller j is lost with sigma(-a_j m).
Both are measured on gold, at prompts that neither has seen.
"""
import numpy as np

from rlscratch.formulas import annotators
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks import labellers, preferences
from rlscratch.train.language.scoring import accuracy

BUDGET = 10  # seconds of processor time
NAMES, NOISE = ("first", "second", "third"), (1.5, 5.0, 30.0)   # temperature, in points of gold
N, K = 300, 4

task, rng = preferences.task(seed=0), np.random.default_rng(0)


def answers(prompts: tuple) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K answers of the teacher to each prompt: texts, gold, features; (N, K), (N, K), (N, K, F)."""
    texts = np.array([task.demonstrations([prompt] * K, rng) for prompt in prompts], dtype=object)
    gold = np.array([[task.reward(p, t) for t in row] for p, row in zip(prompts, texts,
                                                                      strict=True)])
    words = sorted(preferences.VOCABULARY)
    x = np.array([[[*map(t.split().count, words), len(set(t.split()) & set(p.split()))]
                   for t in row] for p, row in zip(prompts, texts, strict=True)], float)
    return texts, gold, x


# %% Three people rank four answers to each of 300 prompts.
texts, gold, x = answers(task.prompts[:N])
places = np.array([[np.argsort(labellers.rank(row, rng, noise)) for noise in NOISE]
                   for row in gold])
wins = annotators.wins(places)
w = np.mean([annotators.kendall_w(ranked) for ranked in places])
print(f"Kendall's W, mean of {N} prompts: {w:.3f}; chance gives {1 / 3:.3f}\n")
print(table(("two of them", "share of pairs in one order"), [
    (f"{NAMES[i]} and {NAMES[j]}", f"{annotators.agreement(places[:, [i, j]]):.3f}")
    for i, j in ((0, 1), (0, 2), (1, 2))]))

# %% EM: the margins of pairs given the reliabilities, these given the margins.  No gold.
a, losses = annotators.panel(wins, sweeps=400)
spread = gold.std()
print(f"\nEM: {losses[0]:.4f} nats a pair after one sweep, {losses[-1]:.4f} after {len(losses)}; "
      f"no sweep raised it: {bool((np.diff(losses) < 1e-12).all())}")
print(table(("labeller", "reliability found", "what it is", "own pairs in gold's order"), [
    (NAMES[j], f"{a[j]:.2f}", f"{spread / NOISE[j]:.2f}", f"{accuracy(-places[:, j], gold):.3f}")
    for j in range(3)]))

# %% What the answers are worth, by all three rankings of each prompt.
TRUE = spread / np.array(NOISE)
kinds = {"all alike": np.ones(3), "with what EM found": a, "with what is true": TRUE}
print("\npairs of these answers in gold's order, by the three rankings of a prompt")
print(table(("worths", "share"), [
    (name, f"{accuracy(annotators.worths(r, wins), gold):.3f}") for name, r in kinds.items()]))

# %% Reward models: a weight for each word, and one for words of the prompt that are said again.
# The gradient of equation (11) goes to the scores, and on to the weights.  Six models of a kind, of
# 50 prompts each, show how sure the difference is.
_, held_gold, held_x = answers(task.held_out[:500])
STEPS, RATE, PARTS = 500, 0.02, 6


def measured(reliability: np.ndarray, said: np.ndarray) -> np.ndarray:
    """The share of held-out pairs that each of six models puts in gold's order."""
    seen = x.reshape(PARTS, N // PARTS * K, -1)
    weights = np.zeros((PARTS, seen.shape[-1], 1))
    for _ in range(STEPS):
        slope = annotators.worth_grad((seen @ weights).reshape(N, K), reliability, said)
        slope = PARTS * slope.reshape(PARTS, -1, 1)         # a mean over a part, not over all N
        weights -= RATE * seen.swapaxes(1, 2) @ slope
    return np.array([accuracy(held_x @ w, held_gold) for w in weights[:, :, 0]])


shares = {name: measured(r, wins) for name, r in kinds.items()}
shares["the first labeller alone"] = measured(TRUE[:1], wins[:, :1])
print(f"\npairs of {len(held_gold)} held-out prompts in gold's order, by six reward models each")
rows = []
for name, values in shares.items():
    more = values - shares["all alike"]
    rows.append((name, f"{values.mean():.3f}", f"{more.mean():+.3f}",
                 f"{more.std(ddof=1) / np.sqrt(len(more)):.3f}"))
print(table(("trained on", "share", "more than all alike", "+-"), rows))

# %% Labels.  Three people say of each answer whether it is good (gold of 4 or more), and each errs
# in a way of their own: Dawid and Skene's EM finds the ways and the truth.
good = (gold.ravel() >= 4).astype(int)
says = np.array([[0.10, 0.90], [0.55, 0.95], [0.30, 0.50]])       # P("good") of what is bad, good
labels = (rng.random((len(good), 3)) < says[:, good].T).astype(int)
q, confusion, prior, _ = annotators.dawid_skene(labels, 2, sweeps=500)
print(f"\n{len(good)} answers, {good.mean():.3f} of them good; found: {prior[1]:.3f}")
print(table(("labeller", "says good of bad", "found", "says good of good", "found"), [
    (NAMES[j], f"{says[j, 0]:.2f}", f"{confusion[j, 0, 1]:.2f}", f"{says[j, 1]:.2f}",
     f"{confusion[j, 1, 1]:.2f}") for j in range(3)]))
vote = (labels.mean(1) > 0.5) == good
print(f"right: the majority {vote.mean():.3f}, EM {(q.argmax(1) == good).mean():.3f}")


# %% Reliabilities, and what they buy.
def draw() -> None:
    fig, (left, right) = figures.new(columns=2, width=9.0, height=3.4)
    left.bar(np.arange(3) - 0.2, TRUE, 0.38, color=figures.ORANGE, hatch="///", edgecolor="white",
             label="what it is")
    left.bar(np.arange(3) + 0.2, a, 0.38, color=figures.BLUE, label="found by EM")
    left.set(xticks=range(3), xticklabels=NAMES, ylabel="reliability")
    left.legend()
    right.barh(list(shares)[::-1], [values.mean() for values in shares.values()][::-1],
               color=figures.BLUE)
    right.set(xlim=(0.5, 1), xlabel="held-out pairs in gold's order")
    figures.save(fig, "54_labellers_who_differ", "Left: the reliability of each labeller, one over "
                 "the temperature in standard deviations of gold, and what EM finds from rankings "
                 "alone. Right: the accuracy of reward models on held-out pairs.")


draw()

# %% Try it.  Let the second be near chance, too: 30.0 for 5.0 in NOISE.  Can two coins be told from
# one who knows, when nobody agrees with him by more than chance?
# What came out: reliabilities .81, .06 and .14, for 1.34, .07 and .07: hardly, and enough.  The
# models gain .100 on those that take all alike, with what is true .104.
