"""Autograd in ten lines: the "standard backpropagation" that a policy gradient is handed to

Document 003, "The Log-Derivative Trick", ends with "grad log pi(y|x) is standard
backpropagation!"; document 004, 2.1, names backpropagation and does not say how.  It is the chain
rule, walked from the result to its causes.

Look for three things.  Ten lines get the gradient of log pi(Paris) right, the same as the
formula.  They visit a node once for every path to it, which doubles with every layer;
rlscratch.autograd visits it once.  And a loss need not be in the graph: training hands its
derivative over as a seed, logp.backward(dlogp).
"""
# ruff: noqa: ANN001, ANN201, E701      ten lines are ten
import numpy as np

from rlscratch import autograd as ag
from rlscratch import documents
from rlscratch.autograd import Tensor, no_grad
from rlscratch.formulas.distribution import expected_reward
from rlscratch.formulas.policy_gradient import reinforce_grad, score
from rlscratch.optim import SGD
from rlscratch.report import figures
from rlscratch.report.table import table

BUDGET = 2  # seconds of processor time
LEDGER = {entry.id: entry for entry in documents.entries()}


# %% The ten lines.  A number remembers the numbers it was made from, and its slope in each.
class Number:
    def __init__(self, value, *causes):
        self.value, self.causes, self.grad, self.visits = value, causes, 0.0, 0
    def __add__(self, b): return Number(self.value + b.value, (self, 1.0), (b, 1.0))
    def __mul__(self, b): return Number(self.value * b.value, (self, b.value), (b, self.value))
    def exp(self): return Number(np.exp(self.value), (self, np.exp(self.value)))
    def log(self): return Number(np.log(self.value), (self, 1 / self.value))
    def backward(self, seed=1.0):
        self.grad, self.visits = self.grad + seed, self.visits + 1
        for cause, slope in self.causes: cause.backward(seed * slope)


# %% log pi(Paris) = z_Paris - log(sum of e^z): by the ten lines, by rlscratch.autograd, by the
# formula.
ANSWERS, REWARDS = ("Paris", "London", "Banana", "I don't know"), np.array([1.0, 0.0, 0.0, 0.3])
before = np.array([0.4, 0.3, 0.2, 0.1])
numbers = [Number(z) for z in np.log(before)]
total = numbers[0].exp() + numbers[1].exp() + numbers[2].exp() + numbers[3].exp()
log_pi = numbers[0] + Number(-1.0) * total.log()
log_pi.backward()

logits = Tensor(np.log(before), requires_grad=True)
log_pi = logits[0] - ag.log(ag.exp(logits).sum())
log_pi.backward()
witnesses = {"ten lines": [number.grad for number in numbers], "rlscratch.autograd": logits.grad,
             "formula, [a = j] - p": score(np.log(before), 0)}
print("The gradient of log pi(Paris), in each logit\n")
print(table(("by", *ANSWERS), [
    (name, *(f"{g:.4f}" for g in row)) for name, row in witnesses.items()]))

# %% What ten lines leave out: x -> x x, again and again, is a chain with two paths at every link.
rows = []
for links in (1, 4, 8, 16):
    x = y = Number(1.0)
    t = z = Tensor(1.0, requires_grad=True)
    for _ in range(links):
        y, z = y * y, z * z
    y.backward()
    z.backward()
    rows.append((links, f"{t.grad:.0f}", f"{x.grad:.0f}", x.visits))
print("\nx^2, squared again and again: the slope at 1, "
      "and how often the ten lines visit x for it\n")
print(table(("links", "slope, autograd", "slope, ten lines", "visits of x"), rows))

# %% A network: the question is a row of three numbers, a hidden layer, four logits that start at
# the document's probabilities.  Each answer once, weighed by its probability, makes the policy
# gradient exact.
rng = np.random.default_rng(0)
question = np.tile(rng.normal(size=3), (4, 1))
W1 = Tensor(rng.normal(size=(3, 8)), requires_grad=True)
W2 = Tensor(np.zeros((8, 4)), requires_grad=True)
bias = Tensor(np.log(before), requires_grad=True)


def forward() -> Tensor:
    """log pi of each answer."""
    return ag.chosen_logp(ag.tanh(question @ W1) @ W2 + bias, np.arange(4))


optimizer, history = SGD({"W1": W1, "W2": W2, "bias": bias}, lr=0.5), []
for _ in range(41):
    logp = forward()
    p = np.exp(logp.data)
    history.append((expected_reward(p, REWARDS), *p))
    seed = reinforce_grad(logp.data, REWARDS, weight=p)         # the slope of a loss, by formula
    logp.backward(seed)
    optimizer.step()
    optimizer.zero_grad()
history = np.array(history)
rows = []
for step in (0, 1, 2, 5, 10, 20, 40):
    J, *policy = history[step]
    document = LEDGER["S3.france.before"].printed if step == 0 else ""
    rows.append((step, document, f"{J:.3f}", *(f"{q:.3f}" for q in policy)))
print("\nTraining it: expected reward J and the policy\n")
print(table(("step", "document, J", "J", *ANSWERS), rows))

# %% And if a saved array changes between forward and backward, the tape says so.
logp = forward()
W2.data += 1.0
try:
    logp.backward(np.ones(4))
except ag.GraphError as error:
    print(f"\n{str(error).split(';')[0]}")
with no_grad():
    print(f"inside no_grad nothing is recorded: requires_grad is {forward().requires_grad}")


# %% The same as a picture.
def draw() -> None:
    fig, axes = figures.new(columns=2, width=8.0, height=3.4)
    place = np.arange(4)
    for shift, (name, row), colour, hatch in zip((-0.27, 0, 0.27), witnesses.items(),
                                                 (figures.SKY, figures.ORANGE, figures.GREEN),
                                                 ("", "///", "..."), strict=True):
        axes[0].bar(place + shift, row, 0.25, color=colour, hatch=hatch, label=name)
    axes[0].axhline(0, color=figures.BLACK, lw=0.8)
    axes[0].set(title="Gradient of log pi(Paris)", ylabel="d log pi(Paris) / dz")
    axes[0].set_xticks(place, ANSWERS, rotation=15)
    axes[0].legend()
    axes[1].plot(history[:, 0], color=figures.BLUE, label="expected reward J")
    axes[1].plot(history[:, 1], "--", color=figures.ORANGE, label="p(Paris)")
    axes[1].set(title="A network trained by its seeds", xlabel="step",
                ylabel="J in units of reward; probability")
    axes[1].legend()
    figures.save(fig, "30_autograd_in_ten_lines", "Left: three ways to the same gradient. Right: a "
                 "network with one hidden layer learns the capital of France; its loss is no part "
                 "of the graph, only the derivative is handed in.")


draw()

# %% Try it.  Add 10 to the rewards of the network.  How does it train?
# What came out: exactly as before, .987 for Paris after 40 steps; J alone is 10 higher.  With every
# answer weighed by its probability a constant adds 10 times the sum of p grad log p, which is 0.
