"""How near the work comes to what the machine can do, and how its cost grows: `python -m benchmarks --only limits`.

On one thread, in processor time.  Two limits: multiplications a second, of a large matrix product; bytes a second, of
copying an array that no cache holds.  A training step is compared with the first, and a token at batch 1, which reads
each weight once, with the second; weights that a cache holds come faster.

Then one size of a training step is doubled at a time.  The exponent e of  time ~ size^e  is the slope of a straight
line through log time over log size, at the larger half of the sizes; of two, through both.
"""
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import decoding, training_step
from rlscratch import kernels
from rlscratch.transformer import Config, Transformer

TITLE = "Limits of the machine and growth of the cost, one thread"
BASE = {"layers": 2, "width": 128, "heads": 4, "V": 256, "T": 64, "B": 8}
GROWTH = {"T": (64, 128, 256, 512, 1024), "width": (64, 128, 256, 512), "B": (4, 8, 16, 32, 64),
          "V": (256, 1024, 4096, 16384)}
PER_TOKEN = 6           # multiply-adds of a weight in a step: one forward, two backward; an addition counts, too


def seconds(work: Callable[[], Any], rounds: int) -> float:
    """Processor time of one call, the median of so many, after one to warm up."""
    work()
    taken = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


def step_of(**sizes: int) -> Callable[[], Any]:
    """A training step of the base shape with some sizes changed."""
    s = BASE | sizes
    return training_step.ours(s["layers"], s["width"], s["heads"], s["V"], s["T"], s["B"])


def exponent(name: str, sizes: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """How the step's time grows with one size."""
    times = [seconds(step_of(**{name: size}), rounds) for size in sizes]
    upper = slice((len(sizes) - 1) // 2, None)
    slope = np.polyfit(np.log(sizes[upper]), np.log(times[upper]), 1)[0]
    return {"what": f"training step, {name} from {sizes[0]} to {sizes[-1]}",
            "figure": f"{1e3 * times[0]:.1f} to {1e3 * times[-1]:.1f} ms", "of the limit": f"exponent {slope:.2f}"}


def measure(quick: bool = False) -> dict:
    """{"title", "rows", "bar": {"what", "value", "least", "met"}}."""
    rounds, before = 1 if quick else 5, kernels.threads()
    kernels.set_threads(1)
    try:
        rows = _limits(rounds, "AB" if quick else "ABC")
        rows += [exponent(name, sizes[:2] if quick else sizes, rounds) for name, sizes in GROWTH.items()]
    finally:
        kernels.set_threads(before)
    return {"title": TITLE, "rows": rows, "bar": {"what": "nothing is asked for", "value": 1, "least": 1, "met": True}}


def _limits(rounds: int, shapes: str) -> list[dict[str, Any]]:
    a, long = np.ones((1024, 1024), np.float32), np.ones(2**26, np.float32)
    copy = np.zeros_like(long)
    products = 2 * 1024**3 / seconds(lambda: kernels.matmul(a, a), rounds)
    moving = 2 * long.nbytes / seconds(lambda: np.copyto(copy, long), rounds)
    rows = [{"what": "matrix product, 1024 x 1024 x 1024", "figure": f"{products / 1e9:.0f} GFLOP/s",
             "of the limit": ""},
            {"what": "copying 256 MB, read and written", "figure": f"{moving / 1e9:.1f} GB/s", "of the limit": ""}]
    for name in shapes:
        layers, width, heads, V, T, B = training_step.SHAPES[name]
        weights = 12 * layers * width**2 + V * width
        operations = B * T * (PER_TOKEN * weights + 6 * layers * T * width)         # attention: half of T x T, thrice
        rate = operations / seconds(training_step.ours(layers, width, heads, V, T, B), rounds)
        rows.append({"what": f"training step {name}", "figure": f"{rate / 1e9:.0f} GFLOP/s",
                     "of the limit": f"{rate / products:.0%}"})
    for name, sizes in decoding.SHAPES.items():
        model = Transformer(Config(*sizes), np.random.default_rng(0))
        size, tokens = 4 * model.num_params, sizes[1] - 1
        rate = size * tokens / seconds(decoding.ours(*sizes, 1), rounds)
        rows.append({"what": f"token at batch 1, {name}: {size / 1e6:.1f} MB of weights",
                     "figure": f"{rate / 1e9:.1f} GB/s", "of the limit": f"{rate / moving:.0%}"})
    return rows
