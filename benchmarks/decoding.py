"""Sampling with a cache: milliseconds a token of the batch, at batch 1, 8 and 64, beside PyTorch where it is installed.

    python -m benchmarks.decoding [--quick] [--json]

Three shapes: A = 2 layers, width 64, 4 heads, vocabulary 64, T 32; B = 4 layers, 128, 4 heads, 256, T 64;
C = 6 layers, 384, 6 heads, 65, T 256.  A prompt of one token, then T - 1 more, float32, temperature 1.  We keep
freed memory, as the commands that train do.

The other side is the same architecture in plain torch, its cache preallocated and its attention torch's own.
sides.py tells how the sides take turns.
"""
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import sides

TITLE = "Sampling with a cache, a whole answer to each prompt of a batch"
SHAPES = {"A": (64, 32, 64, 2, 4), "B": (256, 64, 128, 4, 4), "C": (65, 256, 384, 6, 6)}   # V, T, C, layers, heads
BATCHES = (1, 8, 64)


def ours(V: int, T: int, C: int, layers: int, heads: int, batch: int) -> Callable[[], Any]:
    """T - 1 tokens for each prompt here, as a function."""
    from rlscratch import memory
    from rlscratch.generate import generate
    from rlscratch.transformer import Config, Transformer
    memory.keep_freed()
    model, rng = Transformer(Config(V, T, C, layers, heads), np.random.default_rng(0)), np.random.default_rng(1)
    prompts = [[i % V] for i in range(batch)]
    return lambda: generate(model, prompts, max_new_tokens=T - 1, rng=rng)


def torchs(V: int, T: int, C: int, layers: int, heads: int, batch: int) -> Callable[[], Any]:
    """The same there."""
    import torch
    from torch import nn
    from torch.nn import functional
    torch.manual_seed(0)
    wte, wpe, norm = nn.Embedding(V, C), nn.Embedding(T, C), nn.LayerNorm(C)
    blocks = [{"n1": nn.LayerNorm(C), "qkv": nn.Linear(C, 3 * C), "proj": nn.Linear(C, C), "n2": nn.LayerNorm(C),
               "fc": nn.Linear(C, 4 * C), "out": nn.Linear(4 * C, C)} for _ in range(layers)]
    keys, values = (torch.zeros(layers, batch, heads, T, C // heads) for _ in range(2))

    @torch.inference_mode()
    def sample() -> None:
        tokens = torch.zeros(batch, dtype=torch.long)
        for t in range(T - 1):
            x = wte(tokens) + wpe.weight[t]
            for layer, b in enumerate(blocks):
                q, k, v = b["qkv"](b["n1"](x)).view(batch, 3, heads, 1, C // heads).unbind(1)
                keys[layer, :, :, t], values[layer, :, :, t] = k[:, :, 0], v[:, :, 0]
                a = functional.scaled_dot_product_attention(q, keys[layer, :, :, :t + 1], values[layer, :, :, :t + 1])
                x = x + b["proj"](a.reshape(batch, C))
                x = x + b["out"](functional.gelu(b["fc"](b["n2"](x)), approximate="tanh"))
            tokens = torch.multinomial(torch.softmax(functional.linear(norm(x), wte.weight), -1), 1)[:, 0]

    return sample


def worker(side: str, seconds: str) -> None:
    """The process of one side."""
    make, needs = (torchs, ["torch"]) if side == "torch" else (ours, ["rlscratch.generate"])
    sides.serve(lambda shape, batch: make(*SHAPES[shape], int(batch)), float(seconds), needs)


def measure(quick: bool = False) -> dict:
    """{"title", "rows": one a shape and batch, "bar": {"what", "value", "least", "met"}}."""
    rows = []
    with sides.both("benchmarks.decoding", quick) as processes:
        for name, (_, T, *_) in SHAPES.items():
            for batch in BATCHES[::2][:1 if name == "C" else 2] if quick else BATCHES:
                rounds = 1 if name == "C" and (quick or batch > 1) else 2 if quick else 3
                row = sides.compared(processes, rounds, name, batch)
                tokens = round(1e3 * batch * (T - 1) / row["wall ms"])
                rows.append({"shape": name, "batch": batch, "tokens a second": tokens} | row)
    return {"title": f"{TITLE} ({sides.versions()})", "rows": rows,
            "bar": sides.worst(rows, lambda row: f"shape {row['shape']} at batch {row['batch']}")}


if __name__ == "__main__":
    sys.exit(sides.main("benchmarks.decoding", TITLE, measure, worker, ("SIDE", "SECONDS")))
