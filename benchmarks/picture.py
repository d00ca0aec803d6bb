"""The ratios of all benchmarks as one figure: how many times as long the other side takes, work by work.

A row counts if it has such a ratio: to PyTorch or TRL (sides.compared), in the kernels to NumPy where torch is not
installed, and of Q-learning's loops to the plain one.
"""
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlscratch.report import figures

MARKS = {"one thread, processor": ("o", figures.BLUE, 0), "two threads, clock": ("D", figures.ORANGE, 0.3),
         "all threads, clock": ("s", figures.GREEN, 0)}          # mark, colour, how far below the middle of a line
CPU, WALL, ALL = MARKS
CAPTION = ("How many times as long the other side takes, medians of rounds in turns: PyTorch, or what the name says.  "
           "Right of the line we are faster.  Whiskers, of circles and diamonds, are the least and the greatest round.")


class Ratio(NamedTuple):
    """What was done, on which count (of MARKS), and how many times as long the other side takes: median, range."""

    work: str
    count: str
    median: float
    least: float
    greatest: float


def ratios(results: Mapping[str, Mapping[str, Any]]) -> Iterator[Ratio]:
    """{benchmark: what its measure returns} -> the ratios, in their order."""
    for name, result in results.items():
        called = "" if name == "kernels" else f"{name.replace('_', ' ')}, "
        for row in result["rows"]:
            work = called + ", ".join(f"{key} {row[key]}" for key in ("shape", "batch", "step", "beside") if key in row)
            if "cpu times" in row:
                for key, count in (("cpu", CPU), ("wall", WALL)):
                    yield Ratio(work, count, row[f"{key} times"], *map(float, row[f"{key} range"].split("-")))
            elif isinstance(ratio := row.get("times torch", row.get("times")), float) and "what" in row:
                yield Ratio(called + row["what"], ALL, ratio, ratio, ratio)


def draw(results: Mapping[str, Mapping[str, Any]], folder: Path, name: str = "speed") -> Path | None:
    """Write NAME.svg into the folder; returns its path, or None where nothing was compared."""
    found = list(ratios(results))
    if not found:
        return None
    places = {work: y for y, work in enumerate(dict.fromkeys(ratio.work for ratio in found))}
    figure, ax = figures.new(height=0.8 + 0.19 * len(places))
    for count, (mark, colour, lower) in MARKS.items():
        if these := [ratio for ratio in found if ratio.count == count]:
            middle, least, most = np.array([ratio[2:] for ratio in these]).T
            ax.errorbar(middle, [places[ratio.work] + lower for ratio in these], xerr=[middle - least, most - middle],
                        fmt=mark, color=colour, markersize=4, elinewidth=1, label=count)
    ax.axvline(1, color=figures.BLACK, linewidth=1)
    ax.set(xscale="log", yticks=range(len(places)), yticklabels=list(places), ylim=(len(places) - 0.3, -0.7),
           xlabel="times as long as ours")
    ax.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=3)
    return figures.save(figure, name, CAPTION, folder)
