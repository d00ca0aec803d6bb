"""Two sides of a comparison, each in processes of its own, taking turns.

The threads of two libraries in one process starve each other, and may spin for a while after their work is done.  So
each side waits in its own process until it is asked, works once or twice untimed, then for a time that is measured; the
others sleep meanwhile.  Each is asked several times, in turns, and then for the next work, since starting PyTorch takes
longer than most of what is measured.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlscratch.report.table import table

HAS_TORCH = find_spec("torch") is not None
TURN = 0.4              # seconds of one turn


def serve(make: Callable[..., Callable[[], Any]], seconds: float, needs: Sequence[str]) -> None:
    """In a side's process: each line names a work; answer with milliseconds on the clock, of the processor, and the
    megabytes that the process has taken at most since the modules that it needs were there.
    """
    for module in needs:
        import_module(module)
    before, made, work = taken(), None, None
    for line in sys.stdin:
        if line != made:
            work = None                         # its memory is free before the next one's is taken
            work, made = make(*line.split()), line
        begin = time.perf_counter()
        work()
        if time.perf_counter() - begin < seconds:
            begin = time.perf_counter()
            work()
        count = max(1, round(seconds / (time.perf_counter() - begin)))
        begin, processor = time.perf_counter(), time.process_time()
        for _ in range(count):
            work()
        wall, cpu = time.perf_counter() - begin, time.process_time() - processor
        print(json.dumps([1e3 * wall / count, 1e3 * cpu / count, (taken() - before) / 1024]), flush=True)


def taken() -> int:
    """Kilobytes that this process has taken at most; what getrusage says may be those of the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextmanager
def started(sides: Mapping[str, tuple[Sequence[str], int]]) -> Iterator[Mapping[str, subprocess.Popen]]:
    """{side: (arguments of `python -m`, threads)} -> {side: its process}, which ends with the block."""
    processes = {name: subprocess.Popen([sys.executable, "-m", *command], stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": str(threads)})
                 for name, (command, threads) in sides.items()}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.stdin.close()
            process.wait()


def ask(processes: Mapping[str, subprocess.Popen], rounds: int, *work: Any) -> dict[str, list[list[float]]]:
    """{side: its answers, one a round}, when they take turns with that work."""
    answers: dict[str, list[list[float]]] = {name: [] for name in processes}
    for _ in range(rounds):
        for name, process in processes.items():
            process.stdin.write(" ".join(map(str, work)) + "\n")
            process.stdin.flush()
            answers[name].append(json.loads(process.stdout.readline()))
    return answers


def both(module: str, quick: bool, other: str = "torch") -> AbstractContextManager[Mapping[str, subprocess.Popen]]:
    """Ours and the other side, where that is installed, on one thread and on two: what the module's --worker starts."""
    return started({f"{side} {threads}": ((module, "--worker", side, str(TURN / 4 if quick else TURN)), threads)
                    for threads in (1, 2) for side in ("rlscratch", other)[:1 + bool(find_spec(other))]})


def compared(processes: Mapping[str, subprocess.Popen], rounds: int, *work: Any) -> dict[str, Any]:
    """Columns of a table: both sides on one thread in processor time, on two on the clock, and the ratios' range."""
    answers, row = ask(processes, rounds, *work), {}
    theirs = {name.split()[1]: answers[name] for name in answers if not name.startswith("rlscratch")}
    for threads, column, name in (("1", 1, "cpu"), ("2", 0, "wall")):
        ours = [answer[column] for answer in answers[f"rlscratch {threads}"]]
        row[f"{name} ms"] = round(statistics.median(ours), 3)
        if theirs:
            there = [answer[column] for answer in theirs[threads]]
            ratios = sorted(b / a for a, b in zip(ours, there, strict=True))
            row[f"their {name} ms"] = round(statistics.median(there), 3)
            row[f"{name} times"] = round(statistics.median(ratios), 2)
            row[f"{name} range"] = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
    row["MB"] = round(answers["rlscratch 1"][-1][2])
    if theirs:
        row["their MB"] = round(theirs["1"][-1][2])
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
