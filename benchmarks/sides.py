"""Two sides of a comparison, each in processes of its own, taking turns.

The threads of two libraries in one process starve each other, and may spin for a while after their work is done.  So
each side waits in its own process until it is asked, works a little untimed, then for a time that is measured; the
others sleep meanwhile.  Each is asked several times, in turns.

Processor time on one thread can be trusted on a busy machine, too.  Time on the clock with two threads is what people
see.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from rlscratch.report.table import table

HAS_TORCH = find_spec("torch") is not None


def serve(work: Callable[[], Any], seconds: float, before: int) -> None:
    """In a side's process: answer each line with milliseconds on the clock, of the processor, and the peak's megabytes.

    before  kilobytes that the process had taken before its work was made
    """
    for _ in sys.stdin:
        begin = time.perf_counter()
        for _ in range(2):
            work()
        count = max(1, round(2 * seconds / (time.perf_counter() - begin)))
        begin, processor = time.perf_counter(), time.process_time()
        for _ in range(count):
            work()
        wall, cpu = time.perf_counter() - begin, time.process_time() - processor
        print(json.dumps([1e3 * wall / count, 1e3 * cpu / count, (taken() - before) / 1024]), flush=True)


def taken() -> int:
    """Kilobytes that this process has taken at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def ask(sides: Mapping[str, tuple[Sequence[str], int]], rounds: int) -> dict[str, list[list[float]]]:
    """{side: (arguments of `python -m`, threads)} -> {side: the answers of its process, one a round}."""
    processes = {name: subprocess.Popen([sys.executable, "-m", *command], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
                 for name, (command, threads) in sides.items()}
    answers: dict[str, list[list[float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, process in processes.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            answers[name].append(json.loads(process.stdout.readline()))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return answers


def compared(module: str, arguments: Sequence[str], rounds: int) -> dict[str, Any]:
    """Columns of a table: ours and torch's on one thread in processor time, on two on the clock, and the ratios' range.

    The module's --worker option takes a side and the arguments.
    """
    sides = {f"{side} {threads}": ((module, "--worker", side, *arguments), threads)
             for threads in (1, 2) for side in ("rlscratch", "torch")[:1 + HAS_TORCH]}
    answers, row = ask(sides, rounds), {}
    for threads, column, name in ((1, 1, "cpu ms"), (2, 0, "wall ms")):
        ours = [answer[column] for answer in answers[f"rlscratch {threads}"]]
        row[name] = round(statistics.median(ours), 3)
        if HAS_TORCH:
            theirs = [answer[column] for answer in answers[f"torch {threads}"]]
            ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
            row[f"torch {name}"] = round(statistics.median(theirs), 3)
            row[f"{name[:-3]} times"] = round(statistics.median(ratios), 2)
            row[f"{name[:-3]} range"] = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
    row["MB"] = round(answers["rlscratch 1"][-1][2])
    if HAS_TORCH:
        row["torch MB"] = round(answers["torch 1"][-1][2])
    return row


def versions() -> str:
    """What stands on the other side."""
    if not HAS_TORCH:
        return "torch is not installed; nothing to compare with"
    import torch
    return f"torch {torch.__version__}"


def worst(rows: Sequence[Mapping[str, Any]], called: Callable[[Mapping[str, Any]], str]) -> dict[str, Any]:
    """The bar: the least ratio of all rows, on either count."""
    if not HAS_TORCH:
        return {"what": versions(), "value": 1, "least": 1, "met": True}
    value, i, count = min((row[f"{count} times"], i, count) for i, row in enumerate(rows) for count in ("cpu", "wall"))
    return {"what": f"torch's {count} time by ours, {called(rows[i])}", "value": value, "least": 1, "met": value >= 1}


def main(name: str, about: str, measure: Callable[[bool], dict], worker: Callable[..., None], takes: Sequence[str],
         ) -> int:
    """The command of one benchmark: measure and print, or be the process of one side; exit status 1 if a bar is missed.

    takes  what the arguments of a worker are called
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=about,
                                     epilog=f"example: python -m {name} --quick")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, or shorter ones; figures are rougher")
    parser.add_argument("--json", action="store_true", help="end with the figures as one line of JSON")
    parser.add_argument("--worker", nargs=len(takes), metavar=tuple(takes), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(*arguments.worker)
        return 0
    result = measure(arguments.quick)
    rows, bar = result["rows"], result["bar"]
    print(f"{result['title']}\n\n{table(list(rows[0]), [list(row.values()) for row in rows])}\n\n"
          f"{bar['what']}: {bar['value']}, at least {bar['least']} wanted: {'met' if bar['met'] else 'MISSED'}")
    if arguments.json:
        print(json.dumps(result))
    return 0 if bar["met"] else 1
