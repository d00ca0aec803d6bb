"""The tape: what recording a node and walking back through it costs on top of NumPy's own work.

A chain of operations on 8 numbers is run forward and backward; the same NumPy calls without a tape are timed
beside it and taken off.  Each figure is the least of its rounds: whatever else the machine does only adds.
"""
import statistics
import time
from collections.abc import Callable

import numpy as np

from rlscratch.autograd import Tensor, no_grad
from rlscratch.check import Array

TITLE = "The tape, microseconds a node on a chain of small operations"
LEAST = 0.25                                     # nodes a microsecond, forward and backward, over NumPy's own time
NODES = 400
ONE = np.ones(8, np.float32)

# what, the operation on a tensor, NumPy's work for it forward, NumPy's work backward
CHAINS: tuple[tuple[str, Callable, Callable, Callable], ...] = (
    ("y + 1", lambda y: y + 1.0, lambda a: a + 1.0, lambda a: a),
    ("-y", lambda y: -y, lambda a: -a, lambda a: -a),
    ("y * 1", lambda y: y * 1.0, lambda a: a * 1.0, lambda a: a * 1.0),
    ("tanh y", lambda y: y.tanh(), lambda a: np.tanh(a), lambda a: a * (1 - a * a)),
)


def chain(operation: Callable, nodes: int = NODES) -> tuple[float, float]:
    """Microseconds a node, forward and backward."""
    y = Tensor(ONE, requires_grad=True)
    begin = time.perf_counter()
    for _ in range(nodes):
        y = operation(y)
    middle = time.perf_counter()
    y.backward(ONE)
    end = time.perf_counter()
    return (middle - begin) / nodes * 1e6, (end - middle) / nodes * 1e6


def plain(work: Callable, nodes: int = NODES) -> float:
    """Microseconds of the same work without a tape."""
    begin = time.perf_counter()
    for _ in range(nodes):
        work(ONE)
    return (time.perf_counter() - begin) / nodes * 1e6


def unrecorded(operation: Callable, nodes: int = NODES) -> float:
    """Microseconds of an operation inside no_grad."""
    y = Tensor(ONE, requires_grad=True)
    with no_grad():
        begin = time.perf_counter()
        for _ in range(nodes):
            y = operation(y)
        return (time.perf_counter() - begin) / nodes * 1e6


def measure(quick: bool = False) -> dict:
    """{"title", "rows": [{"what", ...microseconds}], "bar": {"what", "value", "least", "met"}}."""
    rounds, rows = 20 if quick else 100, []
    for what, operation, forward_work, backward_work in CHAINS:
        times: list[Array] = [np.array([*chain(operation), unrecorded(operation), plain(forward_work) +
                                        plain(backward_work)]) for _ in range(rounds)]
        forward, backward, without, numpys = np.min(times, axis=0).tolist()
        rows.append({"what": what, "forward": round(forward, 2), "backward": round(backward, 2),
                     "NumPy's part": round(numpys, 2), "tape": round(forward + backward - numpys, 2),
                     "no_grad, forward": round(without, 2)})
    value = round(1 / statistics.median(row["tape"] for row in rows), 2)
    bar = {"what": "nodes a microsecond", "value": value, "least": LEAST, "met": value >= LEAST}
    return {"title": TITLE, "rows": rows, "bar": bar}
