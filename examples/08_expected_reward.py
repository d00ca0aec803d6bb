"""Expected reward: the number that training raises, before and after, over one query and several

Document 003, part 6, "The Math Behind RLHF" and "Expanding the Expected Reward".  Each answer
adds its probability times its reward; training moves probability, the rewards stay.

Look for the double sum at the end: what counts as better depends on how often each query comes.
And the document's "after" is higher but is no optimum: the gradient goes on, to all weight on
Paris.
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
    "france": ("Paris", "London", "Banana", "I don't know"),
    "pasta": ("Boil water, add pasta, ...", "Pasta is bad for you", "I love spaghetti!",
              "Buy it from store"),
}
R = np.array([[1.0, 0.0, 0.0, 0.3], [0.9, 0.1, 0.2, 0.4]])             # (X, Y)
before = np.array([[0.4, 0.3, 0.2, 0.1], [0.3, 0.3, 0.2, 0.2]])
after = np.array([[0.8, 0.1, 0.05, 0.05], [0.7, 0.1, 0.1, 0.1]])
adds_before, adds_after = before * R, after * R
for x, (name, answers) in enumerate(QUERIES.items()):
    rows = []
    for y, answer in enumerate(answers):
        rows.append((answer, f"{R[x, y]:.1f}", f"{before[x, y]:.2f}", f"{adds_before[x, y]:.3f}",
                     f"{after[x, y]:.2f}", f"{adds_after[x, y]:.3f}"))
    print(table((f"{name}: answer", "reward", "before", "adds", "after", "adds "), rows))
    print()

# %% The sums, and what the change cost: its distance from the policy before, in nats.
rows = []
for x, name in enumerate(QUERIES):
    for when, p in (("before", before), ("after", after)):
        document = PRINTED[f"S3.{name}.{when}"]
        ours = expected_reward(p[x], R[x])
        distance = kl(p[x], before[x])
        rows.append((name, when, f"{document:.3f}", f"{ours:.3f}", f"{distance:.4f}"))
print(table(("query", "when", "document", "ours", "KL(policy || before), nats"), rows))

# %% Several queries: E[R] = sum over x of p(x) times sum over y of pi(y|x) R(x, y).
rows = []
for france in (1.0, 0.9, 0.5, 0.1, 0.0):
    shares = [france, 1 - france]
    a = expected_reward(before, R, query_probs=shares)
    b = expected_reward(after, R, query_probs=shares)
    rows.append((f"{france:.2f}", f"{1 - france:.2f}", f"{a:.4f}", f"{b:.4f}", f"{b - a:.4f}"))
print("\nThe same model, asked about France and about pasta\n")
print(table(("share of France", "share of pasta", "before", "after", "gain"), rows))

# %% Which way is up?  The gradient in the logits, and a walk along it, one unit of step at a time.
z, walk = np.log(before[0]), [before[0]]
first = expected_reward_grad(z, R[0])
print("\nFrance: the gradient before training: "
      + ", ".join(f"{answer} {first[y]:+.3f}" for y, answer in enumerate(QUERIES["france"])))
while expected_reward(walk[-1], R[0]) < 0.99:
    z = z + expected_reward_grad(z, R[0])
    walk.append(softmax(z))
values = np.array([expected_reward(p, R[0]) for p in walk])
target, last = PRINTED["S3.france.after"], len(walk) - 1
passed = int(np.argmax(values > target))
policies = {"document, after": after[0], f"walk, step {passed}": walk[passed],
            f"walk, step {last}": walk[last]}
rows = []
for name, p in policies.items():
    rows.append((name, *(f"{x:.3f}" for x in p), f"{expected_reward(p, R[0]):.3f}"))
print(f"\nGradient steps to pass the document's {target}: {passed}; to pass 0.99: {last}.\n")
print(table(("policy", *QUERIES["france"], "expected reward"), rows))


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.0, height=3.4)
    bars = [(name, when, p[x] * R[x]) for x, name in enumerate(QUERIES)
            for when, p in (("before", before), ("after", after))]
    floor = np.zeros(len(bars))
    for y, color, hatch in ((0, figures.BLUE, ""), (1, figures.ORANGE, "///"),
                            (2, figures.GREEN, "..."),
                            (3, figures.SKY, "xx")):
        part = np.array([parts[y] for _, _, parts in bars])
        axes[0].bar([f"{name}\n{when}" for name, when, _ in bars], part, bottom=floor, color=color,
                    hatch=hatch, edgecolor="white", label=f"answer {y + 1}")
        floor += part
    for place, total in enumerate(floor):
        axes[0].text(place, total + 0.015, f"{total:.3f}", ha="center")
    axes[0].set(title="What each answer adds", ylabel="expected reward", ylim=(0, 1.15))
    axes[0].legend(ncols=4, fontsize=8, loc="upper center", columnspacing=0.8, handlelength=1.2)
    axes[1].plot(values, color=figures.BLUE)
    axes[1].axhline(target, color=figures.BLACK, lw=0.8, ls=":")
    axes[1].plot(passed, values[passed], "o", color=figures.RED)
    axes[1].annotate(f"the document's after, {target}", (passed, values[passed]), (12, -26),
                     textcoords="offset points")
    axes[1].set(title="France: along the gradient", xlabel="steps", ylabel="expected reward",
                ylim=(0.4, 1.02))
    figures.save(fig, "08_expected_reward", "Left: the expected reward of both queries before and "
                 "after training, stacked from what each answer adds; in both the first answer "
                 "makes the gain. Right: gradient ascent on France passes the document's value and "
                 "goes on towards 1.")


draw()

# %% Try it.  Pay "I don't know" 1 instead of .3, as much as Paris.  Which way does its logit go,
# and where does the walk end?
# What came out: up, +.050 instead of -.013.  The walk ends at .975 Paris and .015 "I don't know":
# the gradient is p (r - J), so of two answers that pay alike the likelier one grows faster.
