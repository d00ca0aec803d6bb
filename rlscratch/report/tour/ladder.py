"""The ladder of examples: finds its rungs, runs each in a process of its own, and keeps what it showed.

A rung is a script examples/NN_name.py.  Its docstring has the title in the first line and the lesson
below; BUDGET is how many seconds of processor time it may take.  Both are read without running it.  The
figures that it saves go to the folder that the environment calls RLSCRATCH_OUT (figures.save).  What it
prints is recorded in examples/expected/, which a page shows of a rung that it did not run.
"""
import ast
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from rlscratch import check
from rlscratch.report.tour.processes import Processes, terminated_as_interrupted

ROOT = Path(__file__).resolve().parents[3]      # where the package stands; a checkout has examples/ beside it
LONG = 9                                        # seconds: a rung with a larger budget belongs to `tour --all`
PATIENCE, LEAST = 20, 60                        # budgets, and seconds, after which a rung is stopped; slow machines
                                                # are no error
ABSENT = ("The examples are not installed with the package: they stand in examples/ of the source distribution and "
          "of the repository. Unpack it and run this command there.")

# The course's chapters, each with the numbers of its rungs in the order of reading.  A rung that stands in none of them
# belongs to "Beyond".
CHAPTERS = {
    "Sampling": (1, 2, 34, 14, 43), "Values and exploration": (3, 4, 5, 6, 26, 27, 28, 35, 42),
    "Policy gradients": (7, 18, 8, 10, 19, 20, 16, 17, 21, 22), "PPO, GRPO and KL": (11, 12, 9, 23, 24, 37, 41, 47),
    "Language models": (29, 30, 31, 32, 49, 33, 50, 51),
    "Preferences and RLHF": (13, 53, 54, 38, 39, 52, 40, 15, 25, 36),
    "Beyond": (45, 46, 55, 56, 44, 48, 57), "The referee": ()}
BEYOND = "Beyond"


@dataclass(frozen=True)
class Rung:
    """One example, read and not run; `fault` says why it cannot be run, if so."""

    path: Path
    title: str
    lesson: str
    budget: float
    source: str
    fault: str = ""

    @property
    def name(self) -> str:
        """The file's name without its ending, such as "04_frozen_lake_exact"."""
        return self.path.stem

    @property
    def number(self) -> int:
        """Its place on the ladder."""
        return int(self.name[:2])

    @property
    def label(self) -> str:
        """What a link to it says: its number, and its title up to a colon."""
        return f"{self.name[:2]} {self.title.split(':')[0]}"

    @property
    def command(self) -> list[str]:
        """What Python is given to run it."""
        return [str(self.path)]

    @property
    def expected(self) -> str:
        """What it is recorded to print; "" if nothing is."""
        path = self.path.parent / "expected" / f"{self.name}.txt"
        return path.read_text("utf-8").rstrip() if path.exists() else ""


@dataclass(frozen=True)
class Figure:
    """An SVG that a rung saved, and its caption; `narrow` is the same for a telephone, if it was drawn."""

    name: str
    svg: bytes
    caption: str
    narrow: bytes = b""


@dataclass(frozen=True)
class Result:
    """What a rung showed: what it printed, its figures, its processor time; `error` is empty if it went well.

    `recorded`: it was not run, and the output is the one that examples/expected/ holds.
    """

    rung: Rung
    output: str
    seconds: float
    error: str = ""
    figures: tuple[Figure, ...] = ()
    recorded: bool = False


def folder() -> Path | None:
    """examples/ beside the package; None where only the package is installed."""
    path = ROOT / "examples"
    return path if path.is_dir() else None


def shipped() -> list[Rung]:
    """The ladder beside the package, by number.  Raises FileNotFoundError where only the package is installed."""
    if (examples := folder()) is None:
        raise FileNotFoundError(ABSENT)
    return rungs(examples)


def rungs(examples: Path) -> list[Rung]:
    """Every script NN_name.py of a folder, by number; one that is not made as told above has a fault."""
    return [_read_or_fault(path) for path in sorted(examples.glob("[0-9][0-9]_*.py"))]


def read(path: Path) -> Rung:
    """A rung from its file.  Raises ValueError, naming the file, unless it is Python with a docstring and a BUDGET."""
    source = path.read_text("utf-8")
    try:
        tree = ast.parse(source, str(path))
    except SyntaxError as error:
        raise ValueError(f"{path} is not Python: {error.msg}, line {error.lineno}") from None
    title, _, lesson = (ast.get_docstring(tree) or "").partition("\n")
    budgets = [node.value.value for node in tree.body
               if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
               and any(isinstance(target, ast.Name) and target.id == "BUDGET" for target in node.targets)]
    if not title:
        raise ValueError(f"{path} has no docstring; expected a title in its first line")
    if len(budgets) != 1 or type(budgets[0]) not in (int, float) or not budgets[0] > 0:
        raise ValueError(f"BUDGET in {path} is {budgets or 'missing'}; expected one line, BUDGET = seconds > 0")
    return Rung(path, title.rstrip("."), lesson.strip(), budgets[0], source)


def numbered(ladder: Iterable[Rung], only: str) -> list[Rung]:
    """The rungs whose numbers a list such as "05,38" names.  Raises ValueError for one that is not there."""
    ladder = list(ladder)
    found = {f"{rung.number:02d}": rung for rung in ladder}
    wanted = [number.strip().zfill(2) for number in only.split(",")]
    for number in wanted:
        if number not in found:
            check.fail("only", only, f"numbers of examples, such as 05,38; there is no {number}")
    return [rung for number, rung in found.items() if number in wanted]


def in_chapter(ladder: Iterable[Rung], chapter: str) -> list[Rung]:
    """The rungs of a chapter, given by its number from 1 or by a part of its name.  Raises ValueError for another."""
    names = list(CHAPTERS)
    fitting = [name for i, name in enumerate(names, 1) if chapter == str(i) or chapter.lower() in name.lower()]
    if len(fitting) != 1:
        check.fail("chapter", chapter, "one of " + "; ".join(f"{i} {name}" for i, name in enumerate(names, 1)))
    order = CHAPTERS[fitting[0]]
    mine = [rung for rung in ladder if chapter_of(rung) == fitting[0]]
    return sorted(mine, key=lambda rung: order.index(rung.number) if rung.number in order else 100 + rung.number)


def chapter_of(rung: Rung) -> str:
    """The name of the chapter that has it."""
    return next((name for name, numbers in CHAPTERS.items() if rung.number in numbers), BEYOND)


def recorded(rung: Rung) -> Result:
    """What a rung that is not run is expected to print."""
    return Result(rung, rung.expected, 0.0, recorded=True)


def run_all(ladder: Iterable[Rung], quiet: bool = False) -> list[Result]:
    """Run the rungs two at a time, with a progress bar on standard error; results in the ladder's order.

    The long ones start first, so that none of them is left to run alone at the end.  Whatever stops this,
    Ctrl-C or SIGTERM, stops the rungs that run.
    """
    ladder = list(ladder)
    workers = max(1, min(2, os.cpu_count() or 1, len(ladder)))
    environment, children = _environment(workers), Processes()
    jobs = {}
    with terminated_as_interrupted(), ThreadPoolExecutor(workers) as pool, tqdm(
            total=len(ladder), desc="ladder", unit="rung", disable=quiet, file=sys.stderr) as bar:
        try:
            for rung in sorted(ladder, key=lambda rung: -rung.budget):
                jobs[pool.submit(run, rung, environment, children)] = rung
            for job in as_completed(jobs):
                bar.set_postfix_str(jobs[job].name)
                bar.update()
        except BaseException:
            for job in jobs:
                job.cancel()
            children.end()
            raise
    results = {rung.name: job.result() for job, rung in jobs.items()}
    return [results[rung.name] for rung in ladder]


def run(rung: Rung, environment: dict[str, str] | None = None, children: Processes | None = None) -> Result:
    """Run one rung to its end, or as long as patience lasts; a failure is a result, not an exception."""
    if rung.fault:
        return Result(rung, "", 0.0, rung.fault)
    environment, children = environment or _environment(1), children or Processes()
    patience = max(LEAST, PATIENCE * rung.budget)
    with (tempfile.TemporaryDirectory(prefix="rlscratch-") as out, tempfile.TemporaryFile() as output,
          tempfile.TemporaryFile() as errors):
        status, seconds = children.run([sys.executable, *rung.command], patience, stdout=output, stderr=errors,
                                       env=environment | {"RLSCRATCH_OUT": out, "RLSCRATCH_NARROW": f"{out}/narrow"})
        said = f"exit status {status}" if status >= 0 else f"stopped by signal {-status}"
        if status == -signal.SIGKILL:
            said += f"; patience ends after {patience:g} s"
        error = "" if status == 0 else f"{said}\n{_text(errors)}".strip()
        return Result(rung, _text(output).rstrip(), seconds, error, tuple(_figures(Path(out))))


def _read_or_fault(path: Path) -> Rung:
    try:
        return read(path)
    except ValueError as error:
        return Rung(path, path.stem, "", 0, path.read_text("utf-8", "replace"), str(error))


def _environment(workers: int) -> dict[str, str]:
    """This process's environment: the same package first, UTF-8, and the cores shared out among the rungs."""
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    shared = {name: threads for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name not in os.environ}
    return os.environ | shared | {"PYTHONPATH": os.pathsep.join(path), "PYTHONIOENCODING": "utf-8"}


def _figures(out: Path) -> Iterator[Figure]:
    for path in sorted(out.glob("*.svg")):
        said, narrow = path.with_suffix(".json"), out / "narrow" / path.name
        caption = json.loads(said.read_text("utf-8")).get("caption", "") if said.exists() else ""
        yield Figure(path.stem, path.read_bytes(), caption, narrow.read_bytes() if narrow.exists() else b"")


def _text(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "replace")
