"""Speed, side by side: python -m benchmarks [--quick] [--json] [--only NAME] [--out FOLDER].

Each benchmark is a module with a function measure(quick) that returns its title, its rows and the
bar it has to clear.  What they found goes into FOLDER/speed.json, the ratios into FOLDER/speed.svg;
with --only they are called by its name.
Exit status 1 if a bar is missed, 2 on bad arguments.
"""
import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from benchmarks import picture
from rlscratch import kernels
from rlscratch.files import write_json
from rlscratch.report.table import table

NAMES = ("attention_memory", "bpe", "decoding", "kernels", "limits", "neighbour", "pretrain", "q_learning", "rl_step",
         "scaling", "tape", "training_step")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed, side by side.",
                                     epilog="example: python -m benchmarks --quick --json")
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; figures are rougher")
    parser.add_argument("--json", action="store_true", help="end with the figures as one line of JSON")
    parser.add_argument("--only", choices=NAMES, metavar="NAME", help="one of " + ", ".join(NAMES))
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"), metavar="FOLDER",
                        help="where the figure and the JSON go (%(default)s)")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for name in tqdm([args.only] if args.only else NAMES, desc="benchmarks", file=sys.stderr):
        results[name] = importlib.import_module(f"benchmarks.{name}").measure(args.quick)
    found = {"backend": kernels.BACKEND, "isa": kernels.ISA, **results}
    called = args.only or "speed"
    write_json(args.out / f"{called}.json", found)
    figure = picture.draw(results, args.out, called)
    print(json.dumps(found) if args.json else "\n\n".join(map(_shown, results.values())))
    print(f"the figures: {args.out / f'{called}.json'}" + (f", {figure}" if figure else ""), file=sys.stderr)
    return 0 if all(result["bar"]["met"] for result in results.values()) else 1


def _shown(result: dict) -> str:
    bar, tables = result["bar"], [(result["title"], result["rows"]), *result.get("more", [])]
    verdict = "met" if bar["met"] else "MISSED"
    shown = "\n\n".join(f"{title}\n\n{table(list(rows[0]), [list(row.values()) for row in rows])}"
                        for title, rows in tables)
    return (f"{shown}\n\n{bar['what']}: {bar['value']}, at least {bar['least']} wanted: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
