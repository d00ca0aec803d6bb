"""What every training command shares: its options, its folder, its progress, and how it resumes.

A run lives in one folder, by default runs/NAME, or runs/NAME-2, -3, ... if that is taken:

    config.json    the command and every choice that its numbers depend on, under a seal (files); written first
    metrics.jsonl  one JSON object a line for each save, or for each step that was recorded
    state.npz      the last state: arrays, and all else as JSON in the array "facts"
    result.json    the final figures
    .lock          held by the process that runs, with its number in it

Files are written beside their place and renamed, so a killed run leaves the state of its last
save, never half of one.  The state is one file for the same reason: tables and the generator that
goes with them cannot part.  What a killed process left half-written, the next one removes.

One process runs in a folder at a time.  The lock is the system's, so it ends with the process that holds it, however
that ends; the file stays, and says nothing then.

The promise of --resume: if the facts hold all that the next step depends on, the state of the
random generator above all, a run that was stopped and resumed ends in the same bits as one that
was not.  --resume needs no other option: config.json has them, and another choice than there is an error.
Metrics younger than the state are dropped, for the resumed run writes them again.  A run that was killed before its
first save begins again; where files or metrics tell of a save and there is none, that is an error, and nothing changes.

Leaves out: two threads of one process that run in one folder; file systems without locks, where a line says so.
"""
import argparse
import errno
import fcntl
import itertools
import json
import math
import os
import sys
import weakref
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from rlscratch import __version__, check
from rlscratch.check import Array
from rlscratch.files import Fields, append_line, parsed, read_json, remove_parts, write_atomic, write_json
from rlscratch.train import distributed
from rlscratch.train.settings import TAKES, UNSAID

RUNS = Path("runs")
PATHS = ("words", "init", "reward_model", "prompts", "demonstrations", "preferences", "labels")     # options: files


def add_arguments(parser: argparse.ArgumentParser, name: str, *, explain_steps: str, save_every: int = 1000,
                  shared: bool = False) -> None:
    """Add the options of every training command.

    name           of the command, and of its folder
    explain_steps  the default of --steps, which depends on other options
    save_every     default of --save-every, in steps
    shared         whether many processes can share the run
    """
    group = parser.add_argument_group("the run")
    group.add_argument("--steps", type=int, help=f"train for so many steps (default: {explain_steps}; "
                       f"processor time: {TAKES[name]}){UNSAID}")
    group.add_argument("--seed", type=int, default=0, help="same seed, same run")
    group.add_argument("--run-dir", metavar="FOLDER",
                       help=f"folder of the run (default: {RUNS / name}, or the first of {RUNS / name}-2, -3, ... "
                            f"that is free){UNSAID}")
    group.add_argument("--save-every", type=int, default=save_every, metavar="STEPS", help="steps between two saves")
    group.add_argument("--resume", action="store_true",
                       help="go on from the last save of the run in --run-dir, or of the newest by that name")
    if shared:
        group.add_argument("--processes", type=int, metavar="N",
                           help=f"share the work, the same bits for any N from 1 to {distributed.SHARDS}; more than 1 "
                                f"need pip install 'rlscratch[distributed]'{UNSAID}")
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")
    group.add_argument("--json", action="store_true", help="end with the figures as one line of JSON")
    group.add_argument("--page", action="store_true", help="write a page about the run when it ends: its index.html")
    group.add_argument("--live", nargs="?", const=8000, type=int, metavar="PORT",
                       help="serve that page at 127.0.0.1 while the run goes on (the port when it is left out: 8000)"
                            f"{UNSAID}")


class Run:
    """The folder of one training run, new or resumed.

    args    with the options of add_arguments
    name    of the command
    config  every choice that the run's numbers depend on, by the name of its option; JSON types
    command  as the user gives it; None: train NAME
    goal    how far to train, {"steps": n}, kept beside the config; a resumed run may go farther

    args.run_dir is its folder from then on, and args.began, a function if there is one, is told.
    After a resume, `arrays` and `facts` are what `save` was given last; otherwise both are empty.
    Raises ValueError for a folder that already holds a run, or one to resume that holds none or another.
    """

    def __init__(self, args: argparse.Namespace, name: str, config: dict[str, Any],
                 command: str | None = None, goal: dict[str, int] | None = None) -> None:
        self.save_every = check.integer(1, save_every=args.save_every)
        self.quiet, self.json = args.quiet, args.json
        self.config = {"command": command or f"train {name}", **config}
        if distributed.sharing():
            self.config["shards"] = distributed.SHARDS      # its sums have another order
        self.arrays: dict[str, Array] = {}
        self.facts: Fields | dict[str, Any] = {}
        self.folder = distributed.agreed(lambda: self._opened(args, name, goal))
        if not distributed.leads():
            args.run_dir = str(self.folder)
            if args.resume:
                self._load()

    def _opened(self, args: argparse.Namespace, name: str, goal: dict[str, int] | None) -> Path:
        """The folder, locked, with config.json or with all that it had, as one process finds it."""
        self.folder = _existing(args.run_dir, name) if args.resume else _new(args.run_dir, name)
        if args.resume:
            self._agree()
        self._lock = _locked(self.folder)
        if not args.resume:
            refuse_run_in(self.folder)                     # one that came between the first look and the lock
        remove_parts(self.folder)
        args.run_dir = str(self.folder)                     # where to look, too, if nobody named it
        if args.resume:
            step = self._load()
            self._forget(after=step)
            self._go_on_to(goal or {}, anew=step < 0)
        else:
            write_json(self.folder / "config.json",
                       {**self.config, "goal": goal, "said": _said(args), "version": __version__}, seal=True)
        if (began := getattr(args, "began", None)) is not None:
            began(self.folder)
        return self.folder

    def progress(self, total: int, done: int = 0, unit: str = "step") -> tqdm:
        """A bar on standard error, unless --quiet."""
        return tqdm(total=total, initial=done, unit=unit, desc=self.config["command"], file=sys.stderr,
                    disable=self.quiet, dynamic_ncols=True)

    def record(self, step: int, **figures: Any) -> None:
        """Add a line to the metrics."""
        if distributed.leads():
            append_line(self.folder / "metrics.jsonl", {"step": step, **figures})

    def save(self, step: int, arrays: dict[str, Array], facts: dict[str, Any], **figures: Any) -> None:
        """Add a line to the metrics, then replace the state: in this order, no state is without its line."""
        self.record(step, **figures)

        def write(part: Path) -> None:
            with open(part, "wb") as file:
                np.savez(file, facts=np.array(json.dumps({"step": step, **facts})), **arrays)

        write_atomic(self.folder / "state.npz", write)

    def measured(self, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Figures of what is saved.  Raises RuntimeError, which says that it is, where an environment fails, say."""
        try:
            return measure()
        except RuntimeError as wrong:
            raise RuntimeError(f"{wrong}; all that was learned is saved in {self.folder}, and --resume with this "
                               "--run-dir goes on from there") from wrong

    def finish(self, result: dict[str, Any], show: bool = True) -> None:
        """Keep the final figures and print them if `show`, as the last line on standard output with --json."""
        settings = {**self.config, "run_dir": str(self.folder)}
        distributed.agreed(lambda: write_json(self.folder / "result.json", settings | result))      # all wait for it
        if show and distributed.leads():
            print(json.dumps(settings | result) if self.json else told({"settings": settings, "results": result}))

    def _agree(self) -> None:
        before = read_json(self.folder / "config.json", sealed=True)
        for key, value in ({"shards": None} | self.config).items():
            if before.get(key) != value:
                check.fail(key, value, f"{before.get(key)!r}, with which the run in {self.folder} was started")

    def _go_on_to(self, goal: dict[str, int], anew: bool) -> None:
        """Keep a goal that lies farther than the one before: resumed once more, the run goes on to it, too.

        anew  it begins again; keep, too, how often it saves, by which `_unsaved` reads the metrics
        """
        path = self.folder / "config.json"
        before = read_json(path, sealed=True)
        known, said = before.get("goal") or {}, before.get("said", {}) | {"save_every": self.save_every}
        farther = any(count > known.get(unit, 0) for unit, count in goal.items())
        changed = before | ({"goal": goal} if farther else {}) | ({"said": said} if anew else {})
        if changed != before:
            write_json(path, changed, seal=True)

    def _load(self) -> int:
        """Take up the last state; its step, or -1 if there is none."""
        state = self.folder / "state.npz"
        if not state.exists():
            return self._unsaved(state, [])
        try:
            with open(state, "rb") as file, np.load(file) as saved:
                self.arrays = {key: saved[key] for key in saved.files if key != "facts"}
                facts = str(saved["facts"])
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as damage:
            check.fail(str(state), str(damage), "a state that this command saved; start anew in another run_dir")
        self.facts = parsed(facts, f"facts in {state}")
        return self.facts.get_as(int, "step")

    def _unsaved(self, missing: Path, left: list[str]) -> int:
        """-1: killed before its first save, a run begins again.  Raises ValueError where something tells of a save.

        left  names of files that a save has left

        A line of a step that is saved stands in the metrics before its save, and the next line after it.  A road,
        whose stages are runs, has a result and no metrics.
        """
        every = read_json(self.folder / "config.json", sealed=True).get("said", {}).get("save_every", self.save_every)
        steps = [step for step, _ in _lines(self.folder / "metrics.jsonl")]
        told = [*left, *["result.json"] * (steps != [] and (self.folder / "result.json").exists()),
                *["metrics.jsonl"] * any(step % every == 0 for step in steps[:-1])]
        if told:
            check.fail(str(missing), "missing", f"the last save, of which {', '.join(told)} in the same folder "
                       f"tell{'s' * (len(told) == 1)}: put it back, or start anew in another run_dir")
        return -1

    def _forget(self, after: int) -> None:
        """Drop the metrics that are younger than the state."""
        metrics = self.folder / "metrics.jsonl"
        if metrics.exists():
            kept = b"".join(line for step, line in _lines(metrics) if step <= after)
            write_atomic(metrics, lambda part: part.write_bytes(kept))


def _lines(metrics: Path) -> list[tuple[int, bytes]]:
    """The steps and lines of metrics; a killed process may have left the last one unfinished."""
    text = metrics.read_bytes() if metrics.exists() else b""
    lines = enumerate(text[:text.rfind(b"\n") + 1].splitlines(keepends=True), 1)
    return [(parsed(line, f"line {number} of {metrics}").get_as(int, "step"), line) for number, line in lines]


def _numbered(name: str) -> "itertools.chain[Path]":
    return itertools.chain([RUNS / name], (RUNS / f"{name}-{n}" for n in itertools.count(2)))


def _new(run_dir: str | None, name: str) -> Path:
    if run_dir is not None:
        folder = Path(run_dir)
        if folder.exists() and not folder.is_dir():
            check.fail("run_dir", run_dir, "a folder; this is a file")
        refuse_run_in(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    RUNS.mkdir(parents=True, exist_ok=True)
    for folder in _numbered(name):
        try:
            folder.mkdir()                                  # succeeds for one process only
        except FileExistsError:
            continue
        return folder
    raise AssertionError("unreachable: the numbers do not end")


def refuse_run_in(folder: Path) -> None:
    """Raise ValueError for a folder where no new run can begin."""
    if (folder / "config.json").exists():
        check.fail("run_dir", str(folder), "a folder that holds no run yet; resume continues the one in it")


class _Lock:
    """A lock on a folder that other processes see; it ends with this object, or with the process."""

    def __init__(self, handle: int) -> None:
        self.release = weakref.finalize(self, os.close, handle)


_held: "weakref.WeakValueDictionary[tuple[int, int], _Lock]" = weakref.WeakValueDictionary()


def _locked(folder: Path) -> _Lock:
    """The lock on a folder.  Raises ValueError where another process has it."""
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    place = (os.fstat(handle).st_dev, os.fstat(handle).st_ino)
    if place in _held:                                      # by a run of this process that failed, say
        os.close(handle)
        return _held[place]
    lock = _held[place] = _Lock(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        check.fail("run_dir", str(folder), "a folder in which no other process runs; process "
                   f"{os.read(handle, 20).decode('ascii', 'replace') or '?'} does: wait for its end, or stop it")
    except OSError as none:
        if none.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        print(f"rlscratch: the file system of {folder} has no locks; start no second run in it", file=sys.stderr)
    os.truncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return lock


def _release_all() -> None:
    """In a forked child: the locks are its parent's, and end with it."""
    for lock in list(_held.values()):
        lock.release()


os.register_at_fork(after_in_child=_release_all)


def _existing(run_dir: str | None, name: str) -> Path:
    taken = [Path(run_dir)] if run_dir is not None else list(itertools.takewhile(Path.exists, _numbered(name)))
    started = [folder for folder in taken if (folder / "config.json").exists()]
    if not started:
        check.fail("run_dir", run_dir or str(RUNS / name),
                   "a folder that holds a run; without resume one is started")
    return started[-1]


def recall(args: argparse.Namespace, name: str, said: Collection[str]) -> None:
    """Give the options that were not said the values that the run to be resumed has in its config.json.

    name  of the command
    said  the options that were given; they must agree with the run, or say how far to go on

    Files are looked for where they were; `config` knows them by their content, so changed ones are refused later.
    """
    folder = _existing(args.run_dir, name)
    config = read_json(folder / "config.json", sealed=True)
    goal, before = config.pop("goal", None) or {}, config.pop("said", {})
    if not {"steps", *goal}.isdisjoint(said):               # another number of steps, or steps in place of episodes
        goal = {}
    args.shards = config.get("shards")                      # whether its sums are those of a shared run
    if args.shards is None and "processes" in said:
        check.fail("processes", args.processes, f"none: the run in {folder} was begun without")
    for key, value in (config | goal).items():
        if key in vars(args) and key not in said and "SHA-256" not in str(value):
            setattr(args, key, value)
    for key, value in before.items():
        if key not in said:
            setattr(args, key, Path(value) if key in PATHS else value)


def _said(args: argparse.Namespace) -> dict[str, Any]:
    """Options that a run does not depend on, or knows by content: where its files are, how often it saves."""
    def place(value: Any) -> Any:
        file, _, name = str(value).rpartition(":")                  # FILE.py:name, or a path
        return f"{Path(file).resolve()}:{name}" if file.endswith(".py") else str(Path(value).resolve())

    given = {name: getattr(args, name, None) for name in (*PATHS, "text")}
    named = {name: value for name in ("task", "env", "reward_function")
             if ".py:" in str(value := getattr(args, name, None))}
    files = {name: [*map(place, value)] if isinstance(value, list) else place(value)
             for name, value in (given | named).items() if value is not None}
    return {"save_every": args.save_every, **files}


# ---------------------------------------------------------------- how figures are printed

# Figures whose name does not say enough.
EXPLAINED = {"max_error": "the largest |Q - Q*| in the table, in units of reward, rarely tried moves included",
             "path_error": "the largest |max Q - V*| on the greedy path, in units of reward",
             "path_length": "moves of the greedy path",
             "listed_probability": "of the answers that the task lists, which count exactly",
             "policy_entropy": "nats, the mean over states; 0: no chance is left in it"}
MEASURED = "measured_"      # what a run's means are over: measured_answers, say


def told(blocks: dict[str, dict[str, Any]]) -> str:
    """Figures under headings, in two columns; a mean with its standard error and the number of what it is a mean of.

    >>> print(told({"settings": {"task": "addition"}, "results": {"reward": 0.61, "reward_error": 0.0154,
    ...                                                           "measured_answers": 1000, "steps": 5}}))
    settings
      task    addition
    results
      reward  0.610 +- 0.015 (1000 answers)
      steps   5
    """
    each = {heading: lines(figures) for heading, figures in blocks.items()}
    width = max(len(name) for rows in each.values() for name, _ in rows)
    return "\n".join(line for heading, rows in each.items()
                     for line in (heading, *(f"  {name:<{width}}  {value}" for name, value in rows)))


def plus_minus(mean: float, error: float | None) -> str:
    """A mean and its standard error, to two digits of the error.

    >>> plus_minus(0.6104, 0.0154), plus_minus(-152.3, 12.0), plus_minus(1.0, 0.0)
    ('0.610 +- 0.015', '-152 +- 12', '1 +- 0')
    """
    if error is None:
        return shown(mean)
    if not error or not math.isfinite(error):
        return f"{mean:.6g} +- {error:g}"
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{mean:.{places}f} +- {error:.{places}f}"


def lines(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each line."""
    over = [f" ({value} {key[len(MEASURED):]})" for key, value in figures.items() if key.startswith(MEASURED)]
    found = []
    for key, value in figures.items():
        if value is None or key.startswith(MEASURED) or key.removesuffix("_error") in set(figures) - {key}:
            continue
        error = figures.get(f"{key}_error")
        said = shown(value) if error is None else plus_minus(value, error) + "".join(over)
        if key in EXPLAINED and value is not None:
            said += f" ({EXPLAINED[key]})"
        found.append((key.replace("_", " "), said))
    return found


def shown(value: Any) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.6g}"
        case dict():
            return ", ".join(f"{key} {shown(one)}" for key, one in value.items())
        case list():
            return " ".join(map(shown, value))
        case _:
            return str(value)
