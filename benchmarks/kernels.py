"""The kernels of a transformer, beside NumPy and, if installed, PyTorch.

    python -m benchmarks.kernels [--quick]

Each side runs in a process of its own, because two thread pools in one starve each other, and sides
take turns.  In a turn each case runs for a while untimed, then timed; a figure is the median over
turns.  All in float32, results into buffers where a side can.  NumPy's side is what one would write
with it: its BLAS for products, whole-array expressions for the rest (the twins of the kernels).
"""
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import sides
from rlscratch import kernels
from rlscratch.kernels import reference

TITLE = "Kernels, microseconds a call"
LEAST = 0.7             # of the speed of NumPy's BLAS, in the least favourable of the large square products
# M, N, K, transpose_a, transpose_b: squares, then a layer's products in training, a weight's gradient, decoding
PRODUCTS = [*((n, n, n, False, False) for n in (64, 128, 256, 512, 1024, 1536)), (2048, 384, 128, False, False),
            (128, 512, 2048, True, False), (2048, 128, 512, False, True), (1, 1536, 384, False, False),
            (8, 1536, 384, False, False), (64, 1536, 384, False, False)]
B, T, H, D, V = 32, 64, 4, 32, 256
N, C = B * T, H * D
LONG, MANY = 50257, 64                                  # GPT-2's vocabulary, and so many rows of it
WIDTHS = (2, 8, 64, 512, 4096, LONG)                    # of softmax: a million entries in all, at each
FAR = (4, 256, 4, 64)                                   # B, T, H, D of a longer attention


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def squares() -> dict[int, np.ndarray]:
    """A million logits in rows of each width."""
    return {n: normal(1_000_000 // n, n) for n in WIDTHS}


def product_name(M: int, N: int, K: int, turn_a: bool, turn_b: bool) -> str:
    return f"({M}, {K}){' turned' * turn_a} x ({K}, {N}){' turned' * turn_b}"


def arrays_side(module: Any) -> dict[str, Callable[[], Any]]:
    """The cases with our kernels, or with their twins in NumPy."""
    cases = {}
    for M, N_, K, turn_a, turn_b in PRODUCTS:
        a, b = normal(*(M, K)[::-1 if turn_a else 1]), normal(*(K, N_)[::-1 if turn_b else 1])
        out = np.empty((M, N_), np.float32)
        cases[product_name(M, N_, K, turn_a, turn_b)] = (
            lambda a=a, b=b, turn_a=turn_a, turn_b=turn_b, out=out: module.matmul(a, b, turn_a, turn_b, out))
    qkv, x, wide, row, long_row = normal(B, T, 3, H, D), normal(N, C), normal(N, 4 * C), normal(C), normal(4 * C)
    (out, lse), (_, stats) = module.attention(qkv), module.layer_norm(x, row, row)
    dqkv, y, wide_y, table_ = np.empty_like(qkv), np.empty_like(x), np.empty_like(wide), normal(V, C)
    turns, places, halves = normal(T, D), np.tile(np.arange(T), B), normal(N, 2 * C)
    ids, weights = np.random.default_rng(0).integers(0, V, N), [np.abs(normal(1_000_000)) for _ in range(4)]
    logits, target, u = normal(MANY, LONG), np.random.default_rng(1).integers(0, LONG, MANY), np.full(MANY, 0.5)
    long_qkv, dlogp, nothing = normal(*FAR[:2], 3, *FAR[2:]), np.ones(MANY, np.float32), np.zeros(MANY, np.float32)
    (long_out, long_lse), (_, entropy, lse_) = module.attention(long_qkv), module.chosen_logp(logits, target)
    step = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1, "step": 1}
    return cases | {
        "attention": lambda: module.attention(qkv, out=out),
        "attention, backward": lambda: module.attention_backward(out, qkv, out, lse, dqkv=dqkv),
        "rotary positions": lambda: module.rotary(x.reshape(N, H, D), turns, places, H),
        "layer norm": lambda: module.layer_norm(x, row, row, out=y),
        "layer norm, backward": lambda: module.layer_norm_backward(x, x, row, stats, y),
        "RMS norm": lambda: module.rms_norm(x, row, out=y),
        "RMS norm, backward": lambda: module.rms_norm_backward(x, x, row, stats[:, 0], y),
        "SwiGLU": lambda: module.swiglu(halves, y),
        "SwiGLU, backward": lambda: module.swiglu_backward(x, halves),
        "bias + GELU": lambda: module.bias_gelu(wide, long_row, out=wide_y),
        "bias + GELU, backward": lambda: module.bias_gelu_backward(wide, wide, long_row, out=wide_y),
        "embedding, backward": lambda: module.embedding_backward(x, ids, V, table_),
        "AdamW, a million weights": lambda: module.adamw(*weights, **step),
        "attention, T 256": lambda: module.attention(long_qkv, out=long_out),
        "attention, T 256, backward": lambda: module.attention_backward(long_out, long_qkv, long_out, long_lse),
        "cross-entropy, V 50257": lambda: module.chosen_logp(logits, target),
        "cross-entropy, V 50257, backward": lambda: module.chosen_logp_backward(dlogp, nothing, logits, target, entropy,
                                                                                lse_),
        **{f"a token of V 50257, batch {n}{told}": lambda n=n, kept=kept: module.sample(logits[:n], u[:n], **kept)
           for n in (1, MANY) for told, kept in KEPT.items()},
        **{f"softmax, width {n}": lambda x=x: module.softmax(x) for n, x in squares().items()},
    }


KEPT = {"": {}, ", top-k 50, top-p .9": {"top_k": 50, "top_p": 0.9}}


def torch_side() -> dict[str, Callable[[], Any]]:
    """The cases that PyTorch has as one function; a backward is autograd's, of a graph made before."""
    import torch
    from torch.nn import functional

    def backward(y: Any, *inputs: Any) -> Callable[[], Any]:
        dy = torch.ones_like(y)
        return lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)

    def leaf(*shape: int) -> Any:
        return torch.from_numpy(normal(*shape)).requires_grad_()

    cases = {}
    for M, N_, K, turn_a, turn_b in PRODUCTS:
        a, b = (torch.from_numpy(normal(*shape[::-1 if turned else 1]))
                for shape, turned in (((M, K), turn_a), ((K, N_), turn_b)))
        a, b, out = a.T if turn_a else a, b.T if turn_b else b, torch.empty(M, N_)
        cases[product_name(M, N_, K, turn_a, turn_b)] = lambda a=a, b=b, out=out: torch.mm(a, b, out=out)
    qkv, x, wide, row, long_row, ids = (leaf(B, T, 3, H, D), leaf(N, C), leaf(N, 4 * C), leaf(C), leaf(4 * C),
                                        torch.from_numpy(np.random.default_rng(0).integers(0, V, N)))
    attend = functional.scaled_dot_product_attention
    long_qkv, logits = leaf(*FAR[:2], 3, *FAR[2:]), leaf(MANY, LONG)
    target = torch.from_numpy(np.random.default_rng(1).integers(0, LONG, MANY))
    calls = {
        "attention": (lambda: attend(*qkv.permute(2, 0, 3, 1, 4), is_causal=True), qkv),
        "attention, T 256": (lambda: attend(*long_qkv.permute(2, 0, 3, 1, 4), is_causal=True), long_qkv),
        "cross-entropy, V 50257": (lambda: functional.cross_entropy(logits, target, reduction="none"), logits),
        "layer norm": (lambda: functional.layer_norm(x, (C,), row, row), x, row),
        "RMS norm": (lambda: functional.rms_norm(x, (C,), row), x, row),
        "SwiGLU": (lambda: functional.silu(wide[:, :C]) * wide[:, C:2 * C], wide),
        "bias + GELU": (lambda: functional.gelu(wide + long_row, approximate="tanh"), wide, long_row),
    }
    for what, (call, *inputs) in calls.items():
        cases[what] = torch.no_grad()(call)
        cases[f"{what}, backward"] = backward(call(), *inputs)

    def token(n: int, filtered: bool) -> Any:
        rows = logits.detach()[:n]
        if filtered:                                    # as transformers does: the best k, then their mass
            rows, places = rows.topk(50)
            probs = rows.softmax(-1)
            probs[probs.cumsum(-1) - probs >= 0.9] = 0
            return places.gather(1, probs.multinomial(1))
        return rows.softmax(-1).multinomial(1)

    cases |= {f"a token of V 50257, batch {n}{told}": torch.no_grad()(lambda n=n, told=told: token(n, bool(told)))
              for n in (1, MANY) for told in KEPT}
    cases |= {f"softmax, width {n}": partial(torch.softmax, torch.from_numpy(x), -1)
              for n, x in squares().items()}
    words, weight = leaf(V, C), leaf(1_000_000)
    cases["embedding, backward"] = backward(functional.embedding(ids, words), words)
    weight.grad = torch.ones_like(weight)
    cases["AdamW, a million weights"] = torch.optim.AdamW([weight], weight_decay=0.1, fused=True).step
    return cases


SIDES = {"ours": lambda: arrays_side(kernels), "numpy": lambda: arrays_side(reference), "torch": torch_side}


def serve(side: str, seconds: float) -> None:
    """In a side's process: answer each line with the seconds a call of every case."""
    cases = SIDES[side]()
    for _ in sys.stdin:
        figures = {}
        for what, call in cases.items():
            end, count = time.perf_counter() + seconds / 2, 0
            while time.perf_counter() < end or not count:
                call()
                count += 1
            begin = time.perf_counter()
            for _ in range(count):
                call()
            figures[what] = (time.perf_counter() - begin) / count
        print(json.dumps(figures), flush=True)


def measure(quick: bool = False) -> dict:
    """{"title", "rows": [{"what", "ours", "numpy", "times", ...}], "bar": {"what", "value", "least", "met"}}."""
    command = "benchmarks.kernels", "--worker"
    who = {side: ((*command, side, "0.01" if quick else "0.05"), kernels.threads())
           for side in ("ours", "numpy", *["torch"] * sides.HAS_TORCH)}
    with sides.started(who) as processes:
        turns = sides.ask(processes, 2 if quick else 7)
    median = {side: {what: statistics.median(t[what] for t in turns[side]) for what in turns[side][0]}
              for side in turns}
    rows = []
    for what, ours in median["ours"].items():
        ratios = [n[what] / o[what] for n, o in zip(turns["numpy"], turns["ours"], strict=True)]
        rows.append({"what": what, "ours": round(1e6 * ours, 1), "numpy": round(1e6 * median["numpy"][what], 1),
                     "times": round(median["numpy"][what] / ours, 2),
                     "range": f"{min(ratios):.2f}..{max(ratios):.2f}"})
        if sides.HAS_TORCH:
            there = median["torch"].get(what)
            rows[-1] |= {"torch": round(1e6 * there, 1), "times torch": round(there / ours, 2)} if there else {
                "torch": "-", "times torch": "-"}
    least = min((row for row in rows if row["what"] in LARGE), key=lambda row: row["times"])
    return {"title": TITLE + ("" if sides.HAS_TORCH else "; PyTorch is not installed, so NumPy alone is beside it"),
            "rows": rows, "bar": {"what": f"{least['what']} against NumPy's BLAS", "value": least["times"],
                                  "least": LEAST, "met": least["times"] >= LEAST}}


LARGE = {product_name(n, n, n, False, False) for n in (512, 1024, 1536)}


if __name__ == "__main__":
    sys.exit(sides.main("benchmarks.kernels", "Kernels beside NumPy's.", measure,
                        lambda side, seconds: serve(side, float(seconds)), ("SIDE", "SECONDS")))
