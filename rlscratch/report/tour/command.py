"""The tour: computes the ledger, runs the ladder, and writes the course that shows both."""
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
from rlscratch.report.tour import course, ladder, moving, questions
from rlscratch.report.tour.ladder import Result, Rung
from rlscratch.train.settings import UNSAID


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m rlscratch tour`."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help=f"also examples with a budget over {ladder.LONG} s")
    which.add_argument("--only", metavar="NN,NN", help=f"these examples, by number, however long they take{UNSAID}")
    which.add_argument("--chapter", metavar="NAME", help="one chapter's examples, by its number or a part of its name: "
                       + ", ".join(f"{i} {name!r}" for i, name in enumerate(ladder.CHAPTERS, 1)) + UNSAID)
    parser.add_argument("--out", type=Path, default=Path("out/tour"), metavar="FOLDER",
                        help="where index.html and the chapters go")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="the last line on standard output is one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the pages; 0 if every number holds and every example ran to its end, else 1."""
    start = time.perf_counter()
    if args.out.exists() and not args.out.is_dir():
        print(f"tour: --out {args.out} is a file; expected a folder", file=sys.stderr)
        return 2
    index = args.out / "index.html"
    examples = ladder.folder()
    rungs = ladder.rungs(examples) if examples else []
    wanted, asked = _wanted(args, rungs), questions.shipped()
    running = [*wanted, *asked] if args.only is args.chapter is None else wanted
    try:                                        # known now, and not when the ladder has run for a minute
        args.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=args.out).close()
    except OSError as error:
        return _cannot_write(index, error)
    trained = moving.shipped()
    rows, ran = ledger.table(), {result.rung.name: result for result in ladder.run_all(
        [*running, *trained], quiet=args.quiet)}
    made = [ran.pop(rung.name) for rung in trained]
    figures = {one.rung.name: course.unmade(one) if one.error else one.output for one in made}
    results, answers = ([ran.get(rung.name) or ladder.recorded(rung) for rung in each] for each in (rungs, asked))
    pages = course.build(rows, results, _hint(rungs, wanted), _reference(args.out), answers, figures)
    try:
        course.write(args.out, pages)
    except OSError as error:
        return _cannot_write(index, error)
    return _report(args, index, rows, [*ran.values(), *(one for one in made if one.error)], time.perf_counter() - start)


def _wanted(args: argparse.Namespace, rungs: list[Rung]) -> list[Rung]:
    """The rungs to run: the short ones, if nothing else is said."""
    if args.only is not None:
        return ladder.numbered(rungs, args.only)
    if args.chapter is not None:
        return ladder.in_chapter(rungs, args.chapter)
    return [rung for rung in rungs if args.all or rung.budget <= ladder.LONG]


def _reference(tour: Path) -> str:
    """The API reference beside the tour's folder, as `make docs` writes it; "" if it is not there."""
    return "../docs/index.html" if (tour.parent / "docs" / "index.html").exists() else ""


def _hint(rungs: list[Rung], wanted: list[Rung]) -> str:
    """What a reader should know of the rungs that were not run."""
    if not rungs:
        return ladder.ABSENT
    left_out = [rung.name[:2] for rung in rungs if rung not in wanted]
    return f"Not run for this course, and shown as recorded: {', '.join(left_out)}." if left_out else ""


def _cannot_write(index: Path, error: OSError) -> int:
    print(f"tour: cannot write {index}: {error.strerror}; choose another folder with --out", file=sys.stderr)
    return 1


def _report(args: argparse.Namespace, index: Path, rows: Sequence[LedgerRow], results: Sequence[Result],
            seconds: float) -> int:
    """Say on standard output what was done, and on standard error what failed."""
    numbers = [row.entry.id for row in rows if row.complaints]
    examples = [result.rung.name for result in results if result.error]
    over = [result for result in results if result.seconds > result.rung.budget]
    tqdm.write(ledger.headline(rows))
    took: dict[bool, dict[str, float]] = {False: {}, True: {}}
    for result in results:
        took[isinstance(result.rung, questions.Question)][result.rung.name] = round(result.seconds, 3)
    tqdm.write(f"{len(took[False])} examples and {len(took[True])} findings in {seconds:.0f} s; "
               f"the course begins at {index}")
    if over:
        tqdm.write("over budget, in seconds of processor time: " + ", ".join(
            f"{result.rung.name} {result.seconds:.1f} of {result.rung.budget:g}" for result in over))
    if numbers or examples:
        print(f"tour: {', '.join(numbers + examples)} failed; the course shows how", file=sys.stderr)
    if args.json:
        print(json.dumps({
            "page": str(index), "entries": len(rows), "counts": ledger.counts(rows), "failed_entries": numbers,
            "rungs": took[False], "findings": took[True], "failed_rungs": examples,
            "over_budget": [result.rung.name for result in over], "seconds": round(seconds, 3)}))
    return 1 if numbers or examples else 0
