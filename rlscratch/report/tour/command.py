"""The tour: computes the ledger, runs the ladder, and writes one page that shows both."""
import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from rlscratch.documents import ledger
from rlscratch.documents.ledger import LedgerRow
from rlscratch.report.tour import ladder, page
from rlscratch.report.tour.ladder import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m rlscratch tour`."""
    parser.add_argument("--all", action="store_true", help=f"also examples with a budget over {ladder.LONG} s")
    parser.add_argument("--out", type=Path, default=Path("out/tour"), metavar="FOLDER",
                        help="where index.html goes")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="the last line on standard output is one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the page; 0 if every number holds and every example ran to its end, else 1."""
    start = time.perf_counter()
    if args.out.exists() and not args.out.is_dir():
        print(f"tour: --out {args.out} is a file; expected a folder", file=sys.stderr)
        return 2
    index = args.out / "index.html"
    try:                                        # known now, and not when the ladder has run for a minute
        args.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=args.out).close()
    except OSError as error:
        return _cannot_write(index, error)
    rows, hint = ledger.table(), ""
    examples = ladder.folder()
    rungs = ladder.rungs(examples) if examples else []
    if not rungs:
        hint = ladder.ABSENT
    elif not args.all:
        left_out = sum(rung.budget > ladder.LONG for rung in rungs)
        rungs = [rung for rung in rungs if rung.budget <= ladder.LONG]
        waits = "longer example waits" if left_out == 1 else "longer examples wait"
        hint = f"{left_out} {waits} for python -m rlscratch tour --all." if left_out else ""
    results = ladder.run_all(rungs, quiet=args.quiet)
    try:
        page.write(index, page.build(rows, results, hint))
    except OSError as error:
        return _cannot_write(index, error)
    return _report(args, index, rows, results, time.perf_counter() - start)


def _cannot_write(index: Path, error: OSError) -> int:
    print(f"tour: cannot write {index}: {error.strerror}; choose another folder with --out", file=sys.stderr)
    return 1


def _report(args: argparse.Namespace, index: Path, rows: Sequence[LedgerRow], results: Sequence[Result],
            seconds: float) -> int:
    """Say on standard output what was done, and on standard error what failed."""
    numbers = [row.entry.id for row in rows if row.complaints]
    examples = [result.rung.name for result in results if result.error]
    tqdm.write(ledger.headline(rows))
    tqdm.write(f"{len(results)} examples in {seconds:.0f} s; the page is {index}")
    if numbers or examples:
        print(f"tour: {', '.join(numbers + examples)} failed; the page shows how", file=sys.stderr)
    if args.json:
        print(json.dumps({
            "page": str(index), "entries": len(rows), "counts": ledger.counts(rows), "failed_entries": numbers,
            "rungs": {result.rung.name: round(result.seconds, 3) for result in results}, "failed_rungs": examples,
            "seconds": round(seconds, 3)}))
    return 1 if numbers or examples else 0
