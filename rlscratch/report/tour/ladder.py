"""The ladder of examples: finds its rungs, runs each in a process of its own, and keeps what it showed.

A rung is a script examples/NN_name.py.  Its docstring has the title in the first line and the lesson
below; BUDGET is how many seconds it may take on two cores.  Both are read without running it.  The
figures that it saves go to the folder that the environment calls RLSCRATCH_OUT (figures.save).
"""
import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[3]      # where the package stands; a checkout has examples/ beside it
LONG = 30                                       # seconds: a rung with a larger budget belongs to `tour --all`
PATIENCE = 20                                   # budgets after which a rung is stopped; slow machines are no error
ABSENT = ("The examples are not installed with the package: they stand in examples/ of the source distribution and "
          "of the repository. Unpack it and run this command there.")


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


@dataclass(frozen=True)
class Figure:
    """An SVG that a rung saved, and its caption."""

    name: str
    svg: bytes
    caption: str


@dataclass(frozen=True)
class Result:
    """What a rung showed: what it printed, its figures, how long it took; `error` is empty if it went well."""

    rung: Rung
    output: str
    seconds: float
    error: str = ""
    figures: tuple[Figure, ...] = ()


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


def run_all(ladder: Iterable[Rung], quiet: bool = False) -> list[Result]:
    """Run the rungs two at a time, with a progress bar on standard error; results in the ladder's order.

    The long ones start first, so that none of them is left to run alone at the end.
    """
    ladder = list(ladder)
    workers = max(1, min(2, os.cpu_count() or 1, len(ladder)))
    environment = _environment(workers)
    with ThreadPoolExecutor(workers) as pool, tqdm(total=len(ladder), desc="ladder", unit="rung", disable=quiet,
                                                   file=sys.stderr) as bar:
        jobs = {pool.submit(run, rung, environment): rung for rung in sorted(ladder, key=lambda rung: -rung.budget)}
        for job in _finished(jobs):
            bar.set_postfix_str(jobs[job].name)
            bar.update()
    results = {rung.name: job.result() for job, rung in jobs.items()}
    return [results[rung.name] for rung in ladder]


def run(rung: Rung, environment: dict[str, str] | None = None) -> Result:
    """Run one rung to its end, or to PATIENCE times its budget; a failure is a result, not an exception."""
    if rung.fault:
        return Result(rung, "", 0.0, rung.fault)
    environment = _environment(1) if environment is None else environment
    with tempfile.TemporaryDirectory(prefix="rlscratch-") as out:
        start = time.perf_counter()
        try:
            done = subprocess.run([sys.executable, str(rung.path)], env=environment | {"RLSCRATCH_OUT": out},
                                  capture_output=True, timeout=PATIENCE * rung.budget, check=False,
                                  stdin=subprocess.DEVNULL)
            output, errors, status = done.stdout, done.stderr, done.returncode
        except subprocess.TimeoutExpired as late:
            output, errors, status = late.stdout or b"", b"", f"none after {PATIENCE} times its budget"
        seconds = time.perf_counter() - start
        error = "" if status == 0 else f"exit status {status}\n{_text(errors)}".strip()
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


def _finished(jobs: Iterable) -> Iterator:
    """as_completed, which leaves nothing queued behind when the reader stops the tour."""
    try:
        yield from as_completed(jobs)
    except KeyboardInterrupt:
        for job in jobs:
            job.cancel()
        raise


def _figures(out: Path) -> Iterator[Figure]:
    for path in sorted(out.rglob("*.svg")):
        said = path.with_suffix(".json")
        caption = json.loads(said.read_text("utf-8")).get("caption", "") if said.exists() else ""
        yield Figure(path.stem, path.read_bytes(), caption)


def _text(stream: bytes) -> str:
    return stream.decode("utf-8", "replace")
