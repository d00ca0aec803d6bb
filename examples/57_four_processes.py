"""Four processes, one run: why the gradient does not depend on how the batch is cut

Document 004, 2.1, pretrains in parallel, on tens of thousands of processors.  The gradient of a
batch is a sum over its rows, so four processes can each take a quarter of them.  Two things can go
wrong.  A mean of means is no mean: the weights must be made for the whole batch,
before it is cut.  And floating-point sums depend on their order: ((a + b) + c) + d is not
(a + b) + (c + d) in the last bits, and training makes last bits into other answers.

The remedy for the second is a cut and an order that do not know how many processes there are.
Where mpi4py is installed, the end runs the real thing on four processes, and says so on stderr.
"""
import hashlib
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rlscratch.formulas.cross_entropy import cross_entropy_grad
from rlscratch.formulas.weights import token_mean
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train import distributed
from rlscratch.transformer import Config, Transformer

BUDGET = 20  # seconds of processor time
B, T, SHARDS = 24, 10, distributed.SHARDS

# %% A batch: 24 rows of 2 to 10 tokens, and a model.  Weights: 1 / all tokens of the batch.
rng = np.random.default_rng(0)
model = Transformer(Config(vocab_size=20, context=T, width=16, layers=2, heads=2), rng)
tokens, lengths = rng.integers(20, size=(B, T)), np.linspace(2, T, B).astype(int)
mask = (np.arange(T) > 0) * (np.arange(T) < lengths[:, None]) * 1.0
weight = token_mean(mask)


def gradient(rows: slice, w: np.ndarray) -> np.ndarray:
    """dL/dparameters of some rows, flat."""
    for parameter in model.parameters().values():
        parameter.grad = None
    logp = model.logp(tokens[rows])
    logp.backward(cross_entropy_grad(logp.data, w))
    return np.concatenate([p.grad.ravel() for p in model.parameters().values()])


whole = gradient(slice(0, B), weight)
quarters = [slice(6 * r, 6 * r + 6) for r in range(4)]
apart = sum(gradient(rows, token_mean(mask[rows])) for rows in quarters) / 4
summed = sum(gradient(rows, weight[rows]) for rows in quarters)


def off(other: np.ndarray) -> float:
    return np.linalg.norm(other - whole) / np.linalg.norm(whole)


print("Four quarters against the whole batch\n")
print(table(("each quarter's weights", "tokens of the quarters", "relative error"), [
    ("1 / its own tokens, then the mean of four",
     " ".join(f"{mask[rows].sum():.0f}" for rows in quarters), f"{off(apart):.3f}"),
    ("1 / all tokens, then the sum", f"{mask.sum():.0f}", f"below {10 * 2.0**-24:.0e}"
     if off(summed) < 10 * 2.0**-24 else "large")]))

# %% The order.  The plain way: every process adds up its rows, and the sums are added in turn.
naive = {n: sum(gradient(rows, weight[rows])
                for rows in [slice(B * r // n, B * (r + 1) // n) for r in range(n)])
         for n in (1, 2, 3, 4)}

# %% A fixed cut, 12 shards, and a fixed order: halves of halves.
shards = [gradient(rows, weight[rows]) for rows in distributed.shards(B)]


def roots(r: int, n: int, low: int = 0, high: int = SHARDS) -> list[tuple[int, int]]:
    """The largest subtrees that lie within the shards of process r of n."""
    first, last = SHARDS * r // n, SHARDS * (r + 1) // n
    if first <= low and high <= last:
        return [(low, high)]
    if high <= first or last <= low:
        return []
    middle = (low + high) // 2
    return roots(r, n, low, middle) + roots(r, n, middle, high)


def tree(low: int, high: int, known: dict) -> np.ndarray:
    """The sum over shards low to high - 1: as some process sent it, or of both halves."""
    if (low, high) in known or high - low == 1:
        return known.get((low, high), shards[low])
    middle = (low + high) // 2
    return tree(low, middle, known) + tree(middle, high, known)


fixed = {n: tree(0, SHARDS, {root: tree(*root, {}) for r in range(n) for root in roots(r, n)})
         for n in (1, 2, 3, 4)}
print(f"\nEntries whose bits differ from those on one process, of {len(whole)}\n")
print(table(("processes", "rows / N, in turn", "12 shards, halves", "sent by process 1, roots"), [
    (n, int((naive[n] != naive[1]).sum()), int((fixed[n] != fixed[1]).sum()),
     " ".join(f"{a}-{b - 1}" for a, b in roots(min(1, n - 1), n))) for n in (1, 2, 3, 4)]))

# %% The library does the same: one process, cut as many would be.
with distributed.among(distributed.Alone()):
    for parameter in model.parameters().values():
        parameter.grad = None
    with distributed.gradient(model.parameters(), B, B) as (mine, losses):
        for part in mine:
            logp = model.logp(tokens[part])
            losses.append(-(logp.data * weight[part]).sum())
            logp.backward(cross_entropy_grad(logp.data, weight[part]))
ours = np.concatenate([p.grad.ravel() for p in model.parameters().values()])
print(f"\ntrain.distributed has the same bits: {(ours == fixed[4]).all()}")


# %% The real thing, where it is installed: SFT on one process and on four.
def trained(n: int, folder: str) -> str:
    """The SHA-256 of the weights after three steps."""
    subprocess.run([sys.executable, "-m", "rlscratch", "train", "sft", "--task", "ice-cream-text",
                    "--steps", "3", "--processes", str(n), "--run-dir", folder, "--quiet"],
                   check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    (weights,) = Path(folder).glob("model-*.safetensors")
    return hashlib.sha256(weights.read_bytes()).hexdigest()


if find_spec("mpi4py"):
    with tempfile.TemporaryDirectory() as home:
        one, four = (trained(n, f"{home}/{n}") for n in (1, 4))
    assert one == four
    print(f"SFT on 1 and on 4 processes: weights with SHA-256 {one[:16]}...", file=sys.stderr)


# %% What a process sends for a gradient, by the number of processes.
def draw() -> None:
    fig, ax = figures.new(width=6.0, height=3.2)
    counts = np.arange(1, SHARDS + 1)
    most = [max(len(roots(r, n)) for r in range(n)) for n in counts]
    ax.plot(counts, (1 + np.array(most)) * (counts - 1) / counts, "o-", label="halves, the most")
    ax.plot(counts, 2 * (counts - 1) / counts, "k--", label="a ring, no fixed order")
    ax.set(title="what the order costs", xlabel="processes", ylabel="gradients sent by a process")
    ax.legend()
    figures.save(fig, "57_four_processes", "How often the size of a gradient a process sends. "
                 "Where its shards are one subtree, as for 2, 4, 6 and 12 processes, a fixed order "
                 "costs nothing.")


draw()

# %% Try it.  Make all rows equally long: lengths = np.full(B, T).
# Predict: what becomes of the mean of four means?
# What came out: its error falls to rounding.  Equal parts hide the mistake.
