"""Expected reward: the one number that training raises, before and after, over one query and several

Document 003, part 6, "The Math Behind RLHF" and "Expanding the Expected Reward".  Each answer adds its
probability times its reward; training moves probability, the rewards stay.

Look for the double sum at the end: what counts as better depends on how often each query comes.  And
the document's "after" is higher but is no optimum: the gradient goes on, to all weight on Paris.
"""
import numpy as np

from rlscratch import documents
from rlscratch.formulas.distribution import expected_reward, expected_reward_grad, softmax
from rlscratch.formulas.kl import kl
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
PRINTED = {entry.id: entry.printed for entry in documents.entries()}

# %% Two queries of four answers each: rewards, probabilities before training and after.
QUERIES = {
    "france": (("Paris", "London", "Banana", "I don't know"), (1.0, 0.0, 0.0, 0.3),
               (0.4, 0.3, 0.2, 0.1), (0.8, 0.1, 0.05, 0.05)),
    "pasta": (("Boil water, add pasta, ...", "Pasta is bad for you", "I love spaghetti!", "Buy it from store"),
              (0.9, 0.1, 0.2, 0.4), (0.3, 0.3, 0.2, 0.2), (0.7, 0.1, 0.1, 0.1)),
}
R, before, after = (np.array([query[i] for query in QUERIES.values()]) for i in (1, 2, 3))     # (X, Y) each
for x, (name, (answers, *_)) in enumerate(QUERIES.items()):
    print(table((f"{name}: answer", "reward", "before", "adds", "after", "adds "), [
        (answer, f"{R[x, y]:.1f}", f"{before[x, y]:.2f}", f"{before[x, y] * R[x, y]:.3f}", f"{after[x, y]:.2f}",
         f"{after[x, y] * R[x, y]:.3f}") for y, answer in enumerate(answers)]))
    print()

# %% The sums, and what the change cost: its distance from the policy before, in nats.
print(table(("query", "when", "document", "ours", "KL(policy || before), nats"), [
    (name, when, f"{PRINTED[f'S3.{name}.{when}']:.3f}", f"{expected_reward(p[x], R[x]):.3f}",
     f"{kl(p[x], before[x]):.4f}")
    for x, name in enumerate(QUERIES) for when, p in (("before", before), ("after", after))]))

# %% Several queries: E[R] = sum over x of p(x) times sum over y of pi(y|x) R(x, y).
print("\nThe same model, asked about France and about pasta\n")
print(table(("share of France", "share of pasta", "before", "after", "gain"), [
    (f"{q:.2f}", f"{1 - q:.2f}", *(f"{value:.4f}" for value in (a, b, b - a)))
    for q in (1.0, 0.9, 0.5, 0.1, 0.0)
    for a, b in [[expected_reward(p, R, query_probs=[q, 1 - q]) for p in (before, after)]]]))

# %% Which way is up?  The gradient in the logits, and a walk along it, one unit of step at a time.
z, walk = np.log(before[0]), [before[0]]
print("\nFrance: the gradient before training: "
      + ", ".join(f"{a} {g:+.3f}" for a, g in zip(QUERIES["france"][0], expected_reward_grad(z, R[0]), strict=True)))
while expected_reward(walk[-1], R[0]) < 0.99:
    z = z + expected_reward_grad(z, R[0])
    walk.append(softmax(z))
values = [expected_reward(p, R[0]) for p in walk]
target, last = PRINTED["S3.france.after"], len(walk) - 1
passed = int(np.argmax(np.array(values) > target))
print(f"\nGradient steps to pass the document's {target}: {passed}; to pass 0.99: {last}.\n")
print(table(("policy", *QUERIES["france"][0], "expected reward"), [
    (name, *(f"{x:.3f}" for x in p), f"{expected_reward(p, R[0]):.3f}") for name, p in (
        ("document, after", after[0]), (f"walk, step {passed}", walk[passed]), (f"walk, step {last}", walk[last]))]))

# %% The same as a picture.
fig, axes = figures.new(columns=2, width=8.0, height=3.4)
bars = [(name, when, p[x] * R[x]) for x, name in enumerate(QUERIES)
        for when, p in (("before", before), ("after", after))]
floor = np.zeros(len(bars))
for y, color, hatch in ((0, figures.BLUE, ""), (1, figures.ORANGE, "///"), (2, figures.GREEN, "..."),
                        (3, figures.SKY, "xx")):
    part = np.array([parts[y] for _, _, parts in bars])
    axes[0].bar([f"{name}\n{when}" for name, when, _ in bars], part, bottom=floor, color=color, hatch=hatch,
                edgecolor="white", label=f"answer {y + 1}")
    floor += part
for place, total in enumerate(floor):
    axes[0].text(place, total + 0.015, f"{total:.3f}", ha="center")
axes[0].set(title="What each answer adds", ylabel="expected reward", ylim=(0, 1.15))
axes[0].legend(ncols=4, fontsize=8, loc="upper center", columnspacing=0.8, handlelength=1.2)
axes[1].plot(values, color=figures.BLUE)
axes[1].axhline(target, color=figures.BLACK, lw=0.8, ls=":")
axes[1].plot(passed, values[passed], "o", color=figures.RED)
axes[1].annotate(f"the document's after, {target}", (passed, values[passed]), (12, -26), textcoords="offset points")
axes[1].set(title="France: along the gradient", xlabel="steps", ylabel="expected reward", ylim=(0.4, 1.02))
figures.save(fig, "08_expected_reward", "Left: the expected reward of both queries before and after training, stacked "
             "from what each answer adds; in both the first answer makes the gain. Right: gradient ascent on France "
             "passes the document's value and goes on towards 1.")
