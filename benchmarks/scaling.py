"""One run on 1 to 4 processes: time and bytes of a step, a model of them, and what it says of larger machines.

    python -m benchmarks --only scaling [--quick]       prints the tables of docs/SCALING.md; --quick: up to 2 processes

Every number of processes has a group of its own, started once; the groups take turns and sleep meanwhile.  `work` is
processor time of the busiest process without what it spends waiting: it can be trusted on a busy machine, too.
`clock` is what people see, and means something on a machine that does nothing else, with as many cores as processes.

The model of a step with P parameters on D tokens, by N processes:

    work(N)  = a P D l(N)                       shared: forward and backward; l(N) is the share of the busiest
               + (b P + c L) 12 / N             each shard: matrices packed, a gradient written and added; L layers
               + d P                            each process: AdamW, clipping
    talk(N)  = 2 (N - 1) alpha + bytes / beta   one exchange and one gather; bytes that a process sends

a, b, c, d are fitted to shapes of FITTED, alpha and beta to sums of gradients alone, and HELD_OUT checks them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np

from rlscratch import memory
from rlscratch.cli import processes
from rlscratch.train import distributed

TITLE = "A step of pre-training and of GRPO on N processes, one thread each"
# name: layers, width, heads, vocabulary, T, B
FITTED = {"A": (2, 64, 4, 64, 32, 24), "B": (4, 128, 4, 256, 64, 24), "C": (2, 256, 8, 512, 32, 24)}
HELD_OUT = {"D": (3, 192, 6, 512, 48, 36), "E": (6, 96, 4, 128, 64, 12)}
SHAPES = FITTED | HELD_OUT
SUMS = (10**3, 10**5, 10**6, 4 * 10**6)                 # parameters of a gradient that is summed and no more
LEAST = 0.8             # of the ideal speed-up of the work, with two processes
# A machine on paper: a node's floating-point operations a second, bytes a second and seconds a message of its network.
NODE, NETWORK, LATENCY = 1e13, 1.25e10, 5e-6
TOKENS = 2**19          # of a step there


class Timed(distributed.Mpi if find_spec("mpi4py") else distributed.Alone):
    """Processes that know how long they have waited for each other, on the clock and of the processor."""

    waited, spun = 0.0, 0.0

    def _wait(self, request: Any) -> None:
        begin, processor = time.perf_counter(), time.process_time()
        super()._wait(request)
        self.waited += time.perf_counter() - begin
        self.spun += time.process_time() - processor

# ---------------------------------------------------------------- the processes of a group

def pretraining(layers: int, width: int, heads: int, vocabulary: int, T: int, B: int) -> Callable[[], Any]:
    """A step of the command's own loop, as a function."""
    from rlscratch.optim import AdamW
    from rlscratch.train.pretraining import pretrain
    from rlscratch.transformer import Config, Transformer
    rng = np.random.default_rng(0)
    model = Transformer(Config(vocabulary, T, width, layers, heads), rng)
    steps = pretrain.learn(model, AdamW(model.parameters(), lr=1e-4), rng.integers(vocabulary, size=100 * T), rng,
                           batch=B, lr=lambda: 1e-4)
    return lambda: next(steps)


def reinforcing() -> Callable[[], Any]:
    """A step of GRPO, rollouts and all, from a policy that has learned nothing: its answers have all lengths."""
    from rlscratch.train.language import grpo
    from rlscratch.train.language.method import Stages
    from rlscratch.train.language.policy import Policy
    from rlscratch.train.language.worlds import make
    world = make("every-third-character")
    chat = world.chat()
    stages = Stages(Policy(world.model(chat), chat, world.recipe.max_new_tokens))
    steps = grpo.METHOD.learn(world, stages, steps=10**6, lr=1e-9)
    return lambda: next(steps)


def summing(size: int) -> Callable[[], Any]:
    """The sum of a gradient that costs nothing to make."""
    from rlscratch.autograd import Tensor
    some = Tensor(np.zeros(size, np.float32), requires_grad=True)
    ready = np.ones(size, np.float32)

    def step() -> None:
        some.grad = None
        with distributed.gradient({"some": some}, distributed.SHARDS, 1) as (mine, _):
            for _ in mine:
                some.grad = ready

    return step


def worker(what: str, seconds: float, shared: bool) -> None:
    """One of a group: at each line that its first process reads, steps for so long; their figures."""
    memory.keep_freed()
    group = Timed() if any(name in os.environ for name in processes.SIZES) else distributed.Alone()
    work = {"grpo": reinforcing}.get(what) or (lambda: summing(int(what)) if what.isdigit() else
                                               pretraining(*SHAPES[what]))
    with distributed.among(group) if shared else nullcontext():
        step, patience = work(), distributed.PAUSE
        while True:
            distributed.PAUSE = 0.02                    # sleep well while others are measured
            if not distributed.agreed(sys.stdin.readline):
                return
            distributed.PAUSE = patience
            figures = distributed._told(group, timed(step, group, seconds))
            if group.rank == 0:
                print(json.dumps(np.array(figures).tolist()), flush=True)


def timed(step: Callable[[], Any], group: Any, seconds: float) -> list[float]:
    """Milliseconds a step: clock, work, waiting; and bytes sent."""
    begin = time.perf_counter()
    step()
    count = distributed.agreed(lambda: max(2, round(seconds / (time.perf_counter() - begin))))
    before = [time.perf_counter(), time.process_time() - getattr(group, "spun", 0), getattr(group, "waited", 0)]
    sent = group.sent
    for _ in range(count):
        step()
    after = [time.perf_counter(), time.process_time() - getattr(group, "spun", 0), getattr(group, "waited", 0)]
    return [1e3 * (b - a) / count for a, b in zip(before, after, strict=True)] + [(group.sent - sent) / count]


# ---------------------------------------------------------------- the groups take turns

def asked(works: Sequence[str], sizes: Sequence[int], rounds: int, seconds: float) -> dict[tuple[str, int], np.ndarray]:
    """(work, N) -> (rounds, N, 4): the figures of `timed` of each process; N = 0: a run that is not cut."""
    groups = {(work, size): _group(work, size, seconds) for work in works for size in sizes}
    found: dict[tuple[str, int], list] = {key: [] for key in groups}
    for _ in range(rounds):
        for key, group in groups.items():
            group.stdin.write("go\n")
            group.stdin.flush()
            found[key].append(json.loads(group.stdout.readline()))
    for group in groups.values():
        group.stdin.close()
        group.wait()
    return {key: np.array(answers) for key, answers in found.items()}


def _group(work: str, size: int, seconds: float) -> subprocess.Popen:
    start = [processes._mpiexec(), "-n", str(size)] if size > 1 else []
    return subprocess.Popen([*start, sys.executable, "-m", "benchmarks.scaling", "--worker", work, str(seconds),
                             str(size)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env=os.environ | {"OMP_NUM_THREADS": "1" if size else "2"})


# ---------------------------------------------------------------- the model

def parameters(shape: str) -> int:
    """P of a shape, embeddings included."""
    from rlscratch.transformer import Config, Transformer
    layers, width, heads, vocabulary, T, _ = SHAPES[shape]
    return Transformer(Config(vocabulary, T, width, layers, heads), np.random.default_rng(0)).num_params


def busiest(size: int, batch: int) -> float:
    """l(N): the largest share of the rows that a process has."""
    rows = [part.stop - part.start for part in distributed.shards(batch)]
    cuts = [distributed.SHARDS * rank // size for rank in range(size + 1)]
    return max(sum(rows[a:b]) for a, b in pairwise(cuts)) / batch


def features(shape: str, size: int) -> list[float]:
    """What a, b, c and d are multiplied with."""
    layers, *_, T, B = SHAPES[shape]
    P, each = parameters(shape), -(-distributed.SHARDS // size)
    return [P * B * T * busiest(size, B), P * each, layers * each, P]


def fitted(rows: Sequence[Sequence[float]], measured: Sequence[float]) -> np.ndarray:
    """Coefficients >= 0 of least squares of the relative error."""
    X, y = np.array(rows), np.array(measured)
    kept = list(range(X.shape[1]))
    while True:
        found = np.linalg.lstsq(X[:, kept] / y[:, None], np.ones(len(y)), rcond=None)[0]
        if (found >= 0).all():
            full = np.zeros(X.shape[1])
            full[kept] = found
            return full
        kept.pop(int(found.argmin()))


def imbalance(lengths: np.ndarray, size: int) -> tuple[float, float]:
    """The busiest process' share of the tokens by 1/N: drawn, and 1 + cv m(N) sqrt(N / B).

    A process' share has the relative deviation cv sqrt(N / B); m(N) is the mean of the largest of N standard normals.
    """
    rng, parts = np.random.default_rng(0), np.array_split(np.arange(len(lengths)), size)
    seen = [max(drawn[part].sum() for part in parts) * size / drawn.sum()
            for drawn in (rng.permutation(lengths) for _ in range(50))]
    x = np.linspace(-9, 9, 9001)
    density = np.exp(-x * x / 2) / np.exp(-x * x / 2).sum()
    m = size * (x * density * density.cumsum() ** (size - 1)).sum()
    return float(np.mean(seen)), float(1 + lengths.std() / lengths.mean() * m * np.sqrt(size / len(lengths)))


def on_paper() -> list[dict[str, Any]]:
    """Seconds of a step of TOKENS tokens on nodes of NODE, and what share of them is work."""
    rows = []
    for P in (10**7, 10**8, 10**9):
        for N in (8, 64, 512):
            work = 6 * P * TOKENS / NODE / N
            talk = 2 * (N - 1) * LATENCY + 2 * 4 * P * (N - 1) / N / NETWORK
            rows.append({"parameters": f"{P:.0e}".replace("e+0", "e"), "nodes": N, "work s": f"{work:.3g}",
                         "talk s": f"{talk:.3g}", "efficiency": round(work / (work + talk), 2),
                         "GB a process": f"{16 * P / 1e9:.3g}", "GB, AdamW shared": f"{(8 * P + 8 * P / N) / 1e9:.3g}"})
    return rows


# ---------------------------------------------------------------- what is printed

def measure(quick: bool = False) -> dict:
    """{"title", "rows": one a work and N, "more": further tables, "bar": {"what", "value", "least", "met"}}."""
    sizes = (0, 1, *((2,) if quick else (2, 3, 4)) * bool(find_spec("mpi4py")))
    rounds, seconds = (2, 0.05) if quick else (5, 0.3)
    works = [*SHAPES, "grpo"]
    found: dict[tuple[str, int], np.ndarray] = {}
    for work in works:                                  # the numbers of processes take turns, the works do not
        found |= asked([work], sizes, rounds, seconds)
    sums = asked([str(size) for size in SUMS], sizes[2:], rounds, seconds / 3) if sizes[2:] else {}
    rows = [_row(work, size, found) for work in works for size in sizes]
    more = [_checked(found, sizes[1:]), *([_talk(sums)] if sums else []), _lengths(),
            ("On paper: a step of 2^19 tokens, nodes of 10 TFLOP/s, a network of 12.5 GB/s and 5 us", on_paper())]
    if not sums:
        return {"title": f"{TITLE}; mpi4py is not installed", "rows": rows, "more": more,
                "bar": {"what": "nothing to compare", "value": 1, "least": 1, "met": True}}
    worst, work = min((_work(found, work, 1) / _work(found, work, 2) / 2, work) for work in SHAPES)
    return {"title": TITLE, "rows": rows, "more": more,
            "bar": {"what": f"work on one process by twice that of the busier of two, shape {work}",
                    "value": round(worst, 2), "least": LEAST, "met": worst >= LEAST}}


def _work(found: dict, work: str, size: int) -> float:
    """Milliseconds of the busiest process: the median of the rounds."""
    return statistics.median(found[work, size][:, :, 1].max(axis=1))


def _row(work: str, size: int, found: dict) -> dict[str, Any]:
    figures = found[work, size]
    clock = statistics.median(figures[:, 0, 0])
    alone = statistics.median(found[work, 1][:, 0, 0])
    return {"work": work, "N": size or "uncut, 2 threads", "clock ms": round(clock, 2),
            "speed-up": round(alone / clock, 2), "work ms": round(_work(found, work, size), 2),
            "work speed-up": round(_work(found, work, 1) / _work(found, work, size), 2),
            "kB sent": round(figures[:, :, 3].mean() / 1e3, 1)}


def _checked(found: dict, sizes: Sequence[int]) -> tuple[str, list[dict[str, Any]]]:
    """The model of the work on shapes that it was not fitted to."""
    pairs = [(shape, size) for shape in FITTED for size in sizes]
    coefficients = fitted([features(*pair) for pair in pairs], [_work(found, *pair) for pair in pairs])
    rows = []
    for shape in SHAPES:
        for size in sizes:
            said = float(coefficients @ features(shape, size))
            real = _work(found, shape, size)
            rows.append({"shape": shape, "": "held out" if shape in HELD_OUT else "fitted",
                         "parameters": parameters(shape), "N": size, "work ms": round(real, 2), "model": round(said, 2),
                         "error": f"{100 * (said / real - 1):+.0f}%"})
    a, b, c, d = 1e6 * coefficients
    return (f"The model of the work: a = {a:.3g} ps, b = {b:.3g} ns, c = {c / 1e3:.3g} us, d = {d:.3g} ns; 6 / a = "
            f"{6 / a if a else float('inf'):.1f} GFLOP/s".replace("ps", "ns"), rows)


def _talk(sums: dict) -> tuple[str, list[dict[str, Any]]]:
    """alpha and beta from the smaller sums; the largest is held out."""
    # The least of the rounds: what others do on the machine makes waiting longer, never shorter.
    seen = {key: (figures[:, :, 3].mean(), figures[:, 0, 2].min()) for key, figures in sums.items()}
    train = [key for key in seen if int(key[0]) != SUMS[-1]]
    alpha, per_byte = fitted([[2 * (size - 1), seen[work, size][0]] for work, size in train],
                             [seen[key][1] for key in train])
    rows = [{"parameters": int(work), "": "held out" if int(work) == SUMS[-1] else "fitted", "N": size,
             "kB sent": round(sent / 1e3, 1), "waited ms": round(waited, 3),
             "model": round(float(2 * (size - 1) * alpha + sent * per_byte), 3)}
            for (work, size), (sent, waited) in seen.items()]
    return (f"Sums alone, the least of the rounds: alpha = {1e3 * alpha:.0f} us, "
            f"beta = {1e-6 / per_byte if per_byte else float('inf'):.2f} GB/s", rows)


def _lengths() -> tuple[str, list[dict[str, Any]]]:
    """How unequal the lengths of answers make the shares: here answers that end with chance 1/8 at each token."""
    rows = []
    for answers, size in ((192, 2), (192, 3), (192, 4), (192, 12), (4096, 8), (4096, 64), (4096, 512)):
        lengths = np.minimum(np.random.default_rng(0).geometric(1 / 8, answers), 32).astype(float)
        drawn, said = imbalance(lengths, size)
        rows.append({"answers": answers, "N": size, "cv": round(float(lengths.std() / lengths.mean()), 2),
                     "busiest by mean": round(drawn, 3), "1 + cv m(N) sqrt(N / B)": round(said, 3)})
    return "Tokens of the busiest process where answers end with chance 1/8 at each token, 32 at most", rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.split("\n")[0],
                                     epilog="example: python -m benchmarks --only scaling --quick")
    parser.add_argument("--worker", nargs=3, required=True, metavar=("WORK", "SECONDS", "N"), help=argparse.SUPPRESS)
    what, how_long, size = parser.parse_args().worker
    worker(what, float(how_long), size != "0")
