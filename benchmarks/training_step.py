"""One step of training a transformer, forward, backward and AdamW, beside PyTorch if installed.

    python -m benchmarks.training_step [--quick] [--json]

Each side runs in a process of its own, since two OpenMP runtimes in one disturb each other.  Sides take
turns; a turn begins with untimed steps, for the other side's threads may spin for a while; each figure
is the median over turns.  Both train the same shape on the same kind of tokens in float32: PyTorch with
scaled_dot_product_attention, the tanh GELU and its fused AdamW; we keep freed memory, as the commands that
train do.  Memory is what a process's peak lies
above its size before the model was made.
"""
import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rlscratch.report.table import table

TITLE = "Training a transformer, one step: forward, backward and AdamW"
# name: layers, width, heads, vocabulary, T, B
SHAPES = {"A": (2, 64, 4, 64, 32, 16), "B": (4, 128, 4, 256, 64, 32), "C": (6, 384, 6, 65, 256, 16)}
SECONDS = 0.5           # of one turn
HAS_TORCH = importlib.util.find_spec("torch") is not None


def ours(layers: int, width: int, heads: int, vocabulary: int, T: int, B: int) -> Callable[[], Any]:
    """One step here, as a function."""
    from rlscratch import memory
    from rlscratch.optim import AdamW
    from rlscratch.transformer import Config, Transformer
    memory.keep_freed()
    rng = np.random.default_rng(0)
    model = Transformer(Config(vocabulary, T, width, layers, heads), rng)
    optimizer = AdamW(model.parameters(), lr=1e-4)
    tokens, dlogp = rng.integers(vocabulary, size=(B, T)), np.full((B, T), -1 / (B * T), np.float32)

    def step() -> None:
        optimizer.zero_grad()
        model.logp(tokens).backward(dlogp)
        optimizer.step()

    return step


def torchs(layers: int, width: int, heads: int, vocabulary: int, T: int, B: int) -> Callable[[], Any]:
    """One step there: a plain loop over plain modules."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attn, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            q, k, v = self.attn(self.ln_1(x)).view(B, T, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            a = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(a.transpose(1, 2).reshape(B, T, width))
            return x + self.out(functional.gelu(self.fc(self.ln_2(x)), approximate="tanh"))

    torch.manual_seed(0)
    words, places = nn.Embedding(vocabulary, width), nn.Embedding(T, width)
    blocks, norm = nn.Sequential(*(Block() for _ in range(layers))), nn.LayerNorm(width)
    optimizer = torch.optim.AdamW([p for part in (words, places, blocks, norm) for p in part.parameters()], lr=1e-4,
                                  fused=True)
    tokens, where = torch.randint(vocabulary, (B, T)), torch.arange(T)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        logits = norm(blocks(words(tokens) + places(where))) @ words.weight.T
        functional.cross_entropy(logits.view(-1, vocabulary), tokens.roll(-1, 1).view(-1)).backward()
        optimizer.step()

    return step


def worker(side: str, shape: str) -> None:
    """Answer each line on standard input with the milliseconds of a step and the megabytes of the peak."""
    if side == "torch":
        import torch
        torch.ones(2).sum()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = (torchs if side == "torch" else ours)(*SHAPES[shape])
    for _ in sys.stdin:
        begin = time.perf_counter()
        for _ in range(3):
            step()
        count = max(3, round(SECONDS / ((time.perf_counter() - begin) / 3)))
        begin = time.perf_counter()
        for _ in range(count):
            step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(json.dumps([1e3 * (time.perf_counter() - begin) / count, peak / 1024]), flush=True)


def one_shape(shape: str, rounds: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds and peak megabytes of each side."""
    sides = {side: subprocess.Popen([sys.executable, "-m", "benchmarks.training_step", "--worker", side, shape],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
             for side in ("rlscratch", "torch")[:1 + HAS_TORCH]}
    answers = {side: [] for side in sides}
    for _ in range(rounds):
        for side, process in sides.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            answers[side].append(json.loads(process.stdout.readline()))
    for process in sides.values():
        process.stdin.close()
        process.wait()
    return {side: (statistics.median(ms for ms, _ in given), given[-1][1]) for side, given in answers.items()}


def measure(quick: bool = False) -> dict:
    """{"title", "rows": one a shape, "bar": {"what", "value", "least", "met"}}."""
    rows = []
    for shape, sizes in SHAPES.items():
        result = one_shape(shape, 3 if quick else 9)
        row = {"shape": shape, "layers, width, heads, V, T, B": ", ".join(map(str, sizes)),
               "ms": round(result["rlscratch"][0], 2), "MB": round(result["rlscratch"][1])}
        if HAS_TORCH:
            there, memory = result["torch"]
            row |= {"torch ms": round(there, 2), "torch MB": round(memory), "times": round(there / row["ms"], 2)}
        rows.append(row)
    slowest = min(rows, key=lambda row: row.get("times", 1))
    what = f"torch's time by ours at {slowest['shape']}" if HAS_TORCH else "torch is not installed, nothing to compare"
    value = slowest.get("times", 1)
    return {"title": TITLE, "rows": rows, "bar": {"what": what, "value": value, "least": 1, "met": value >= 1}}


def main() -> int:
    """Measure and print; exit status 1 if the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__.split("\n")[0],
                                     epilog="example: python -m benchmarks.training_step --quick")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; figures are rougher")
    parser.add_argument("--json", action="store_true", help="end with the figures as one line of JSON")
    parser.add_argument("--worker", nargs=2, metavar=("SIDE", "SHAPE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(*arguments.worker)
        return 0
    result = measure(arguments.quick)
    rows, bar = result["rows"], result["bar"]
    print(f"{TITLE}\n\n{table(list(rows[0]), [list(row.values()) for row in rows])}\n\n"
          f"{bar['what']}: {bar['value']}, at least {bar['least']} wanted: {'met' if bar['met'] else 'MISSED'}")
    if arguments.json:
        print(json.dumps(result))
    return 0 if bar["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
