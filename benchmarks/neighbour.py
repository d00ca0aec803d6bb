"""Two threads beside another program that wants the cores: `python -m benchmarks --only neighbour`.

A training step with one thread and with two, first with nothing beside it, then with one process that never sleeps.
Threads that wait for each other by spinning collapse there: the one that the system keeps from a core is waited for
by one that holds the other core for nothing.
"""
import statistics
import subprocess
import sys

from benchmarks import sides
from benchmarks.training_step import SHAPES

TITLE = "A training step beside a busy process, milliseconds on the clock"
MOST = 1.15             # two threads by one, with a neighbour


def measure(quick: bool = False) -> dict:
    """{"title", "rows": one a shape and neighbourhood, "bar": {"what", "value", "least", "met"}}."""
    rows = []
    for shape in [*SHAPES][:2]:
        for busy in (False, True):
            neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
            try:
                step = "benchmarks.training_step", "--worker", "rlscratch", "0.1" if quick else "0.4"
                with sides.started({"1": (step, 1), "2": (step, 2)}) as processes:
                    answers = sides.ask(processes, 3 if quick else 9, shape)
            finally:
                if neighbour:
                    neighbour.kill()
                    neighbour.wait()
            one, two = ([answer[0] for answer in answers[threads]] for threads in "12")
            ratios = sorted(b / a for a, b in zip(one, two, strict=True))
            rows.append({"shape": shape, "beside it": "a busy process" if busy else "nothing",
                         "one thread": round(statistics.median(one), 2), "two": round(statistics.median(two), 2),
                         "two by one": round(statistics.median(ratios), 2),
                         "range": f"{ratios[0]:.2f}-{ratios[-1]:.2f}"})
    value = max(row["two by one"] for row in rows)
    return {"title": TITLE, "rows": rows, "bar": {"what": "one thread's time by two threads', at worst",
                                                  "value": round(1 / value, 2), "least": round(1 / MOST, 2),
                                                  "met": value <= MOST}}
