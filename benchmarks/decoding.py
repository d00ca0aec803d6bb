"""Sampling with a cache: tokens per second at batch 1, 8 and 64, beside PyTorch where it is installed.

    python -m benchmarks.decoding [--quick] [--json]

Three shapes: A = 2 layers, width 64, 4 heads, vocabulary 64, T 32; B = 4 layers, 128, 4 heads, 256, T 64;
C = 6 layers, 384, 6 heads, 65, T 256.  A prompt of one token, then T - 1 more, float32, temperature 1.

The other side is the same architecture in plain torch, its cache preallocated and its attention torch's own.
It runs in a process of its own: two OpenMP runtimes in one starve each other.  Sides take turns and each
figure is the median of its rounds.  Beside tokens stands what generate adds to the model's own steps:
filters, draws, bookkeeping.
"""
import argparse
import json
import statistics
import subprocess
import sys
import time
from importlib.util import find_spec

import numpy as np

from rlscratch.generate import generate
from rlscratch.report.table import table
from rlscratch.transformer import Config, Transformer

TITLE = "Sampling with a cache, tokens per second"
SHAPES = {"A": (64, 32, 64, 2, 4), "B": (256, 64, 128, 4, 4), "C": (65, 256, 384, 6, 6)}   # V, T, C, layers, heads
BATCHES = (1, 8, 64)

TORCH = '''
import sys, time, torch
from torch.nn import functional as F
V, T, C, L, H, B, calls = map(int, sys.argv[1:])
torch.manual_seed(0)
def block():
    return {"n1": torch.nn.LayerNorm(C), "qkv": torch.nn.Linear(C, 3 * C), "proj": torch.nn.Linear(C, C),
            "n2": torch.nn.LayerNorm(C), "fc": torch.nn.Linear(C, 4 * C), "out": torch.nn.Linear(4 * C, C)}
wte, wpe, norm, blocks = torch.nn.Embedding(V, C), torch.nn.Embedding(T, C), torch.nn.LayerNorm(C), [
    block() for _ in range(L)]
keys, values = torch.zeros(L, B, H, T, C // H), torch.zeros(L, B, H, T, C // H)
@torch.inference_mode()
def sample():
    tokens = torch.zeros(B, dtype=torch.long)
    for t in range(T - 1):
        x = wte(tokens) + wpe.weight[t]
        for l, b in enumerate(blocks):
            q, k, v = b["qkv"](b["n1"](x)).view(B, 3, H, 1, C // H).unbind(1)
            keys[l, :, :, t], values[l, :, :, t] = k[:, :, 0], v[:, :, 0]
            a = F.scaled_dot_product_attention(q, keys[l, :, :, :t + 1], values[l, :, :, :t + 1])
            x = x + b["proj"](a.reshape(B, C))
            x = x + b["out"](F.gelu(b["fc"](b["n2"](x)), approximate="tanh"))
        tokens = torch.multinomial(torch.softmax(F.linear(norm(x), wte.weight), -1), 1)[:, 0]
sample()
begin = time.perf_counter()
for _ in range(calls):
    sample()
print((time.perf_counter() - begin) / calls)
'''


def ours(shape: tuple[int, ...], batch: int, calls: int) -> tuple[float, float]:
    """Seconds of one call of generate, and of the model's own part of it."""
    V, T, *_ = shape
    model, rng = Transformer(Config(*shape), np.random.default_rng(0)), np.random.default_rng(1)
    prompts = [[i % V] for i in range(batch)]

    def sample() -> None:
        generate(model, prompts, max_new_tokens=T - 1, rng=rng)

    def steps() -> None:
        _, cache = model.start(np.array(prompts), room=T)
        for _ in range(T - 2):
            model.step(cache, np.zeros(batch, np.int64))

    return seconds(sample, calls), seconds(steps, calls)


def seconds(work: object, calls: int) -> float:
    """Of one call, after one to warm up."""
    work()
    begin = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - begin) / calls


def theirs(shape: tuple[int, ...], batch: int, calls: int) -> float:
    """Seconds of the torch loop, in a process of its own."""
    command = [sys.executable, "-c", TORCH, *map(str, (*shape, batch, calls))]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def measure(quick: bool = False) -> dict:
    """{"title", "rows": one a shape and batch, "bar": {"what", "value", "least", "met"}}."""
    peers, rows, shares = find_spec("torch") is not None, [], {}
    for name, shape in SHAPES.items():
        for batch in BATCHES:
            calls = max(1, round((0.2 if quick else 1.0) / (2e-3 * batch**0.5 * shape[1] / 32 * shape[3])))
            here, there = [], []
            for _ in range(2 if quick else 5):
                here.append(ours(shape, batch, calls))
                if peers:
                    there.append(theirs(shape, batch, calls))
            whole, model = (statistics.median(times) for times in zip(*here, strict=True))
            tokens = batch * (shape[1] - 1)
            row = {"shape": name, "batch": batch, "rlscratch": round(tokens / whole),
                   "in the model": f"{min(1, model / whole):.0%}", "torch": "", "times": ""}
            if peers:
                share = statistics.median(there) / whole
                row |= {"torch": round(tokens / statistics.median(there)), "times": round(share, 2)}
                shares[f"{name} at batch {batch}"] = share
            rows.append(row)
    worst = min(shares, key=shares.get, default=None)
    bar = {"what": f"{worst}, times torch" if peers else "torch is not installed; nothing to compare with",
           "value": round(shares[worst], 2) if peers else 1, "least": 1, "met": not peers or shares[worst] >= 1}
    return {"title": TITLE, "rows": rows, "bar": bar}


def main() -> int:
    """Measure and print; exit status 1 if the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=TITLE,
                                     epilog="example: python -m benchmarks.decoding --quick")
    parser.add_argument("--quick", action="store_true", help="fewer rounds; figures are rougher")
    parser.add_argument("--json", action="store_true", help="end with the figures as one line of JSON")
    arguments = parser.parse_args()
    result = measure(arguments.quick)
    rows, bar = result["rows"], result["bar"]
    print(f"{TITLE}\n\n{table(list(rows[0]), [list(row.values()) for row in rows])}\n\n"
          f"{bar['what']}: {bar['value']}, at least {bar['least']} wanted: {'met' if bar['met'] else 'MISSED'}")
    if arguments.json:
        print(json.dumps(result))
    return 0 if bar["met"] else 1


if __name__ == "__main__":
    sys.exit(main())
