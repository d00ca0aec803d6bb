"""One step of training a transformer, forward, backward and AdamW, beside PyTorch if installed.

    python -m benchmarks.training_step [--quick] [--json]

Both train the same shape on the same kind of tokens in float32: PyTorch with scaled_dot_product_attention, the tanh
GELU and its fused AdamW; we keep freed memory, as the commands that train do.  Memory is what a process's peak lies
above its size with its modules alone; shapes come in the order of size.  sides.py tells how sides take turns.

--quick leaves out C, whose steps take seconds.  With COMPILED=1 PyTorch's loss goes through torch.compile, which takes
a C++ compiler and a minute or more a shape.
"""
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import sides

TITLE = "Training a transformer, one step: forward, backward and AdamW"
# name: layers, width, heads, vocabulary, T, B
SHAPES = {"A": (2, 64, 4, 64, 32, 16), "B": (4, 128, 4, 256, 64, 32), "C": (6, 384, 6, 65, 256, 16)}
COMPILED = os.environ.get("COMPILED") == "1"


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

    def loss() -> Any:
        logits = norm(blocks(words(tokens) + places(where))) @ words.weight.T
        return functional.cross_entropy(logits.view(-1, vocabulary), tokens.roll(-1, 1).view(-1))

    if COMPILED:
        loss = torch.compile(loss)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def worker(side: str, seconds: str) -> None:
    """The process of one side."""
    make, needs = (torchs, ["torch"]) if side == "torch" else (ours, ["rlscratch.optim", "rlscratch.transformer"])
    sides.serve(lambda shape: make(*SHAPES[shape]), float(seconds), needs)


def measure(quick: bool = False) -> dict:
    """{"title", "rows": one a shape, "bar": {"what", "value", "least", "met"}}."""
    with sides.both("benchmarks.training_step", quick) as processes:
        rows = [{"shape": shape, "layers, width, heads, V, T, B": ", ".join(map(str, sizes)),
                 **sides.compared(processes, 3 if shape == "C" else 2 if quick else 5, shape)}
                for shape, sizes in SHAPES.items() if not (quick and shape == "C")]
    return {"title": f"{TITLE} ({sides.versions()}{', compiled' * COMPILED})", "rows": rows,
            "bar": sides.worst(rows, lambda row: f"shape {row['shape']}")}


if __name__ == "__main__":
    sys.exit(sides.main("benchmarks.training_step", TITLE, measure, worker, ("SIDE", "SECONDS")))
