"""A student's file in a process of its own: it may loop for ever, exhaust memory or exit, and harms nobody.

The parent starts `python -m rlscratch.cli.exercises.alone FILE SECONDS STAGE` and reads lines of JSON: before each
call {"at": ...}, at the end {"state": ..., "sentences": [...]}.  What a child does not live to say, its parent
concludes from the last line and from how the child ended.  A line that is none of these is the student's.

Limits are those of tasks.code_runner; their signals may be ignored, so the parent ends the whole group of processes
soon after.  Nothing is started from the file: a fork would go on with the marking, twice.

Stages: "cases" is marks.mark; "proofs" runs tests of `rlscratch verify` with the student's function in the place of the
formula, where there is a checkout that has them.
"""
import contextlib
import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import rlscratch
from rlscratch import kernels
from rlscratch.cli import verify
from rlscratch.cli.exercises import catalogue
from rlscratch.cli.exercises.marks import RIGHT, WRONG, Exercise, Mark, described, mark
from rlscratch.tasks.code_runner import limit

SECONDS = 10.0
OUT_OF_MEMORY = 77                          # the exit status that says so
LIMITS = {"bytes": 1 << 30, "largest": 1 << 24, "out_of_memory": OUT_OF_MEMORY}
GRACE = 2                                   # seconds after which the parent ends what its own signal did not
STARTS = ("os.fork", "os.forkpty", "os.posix_spawn", "os.system", "subprocess.Popen")   # names of Python's audit
running: set[int] = set()                   # groups of the children that are at work


def marked(file: Path, seconds: float = SECONDS) -> Mark:
    """The mark of a file.

    A file that is not there or cannot be read has one, too.  Raises ValueError if its name is no exercise's.
    """
    exercise = catalogue.of(file)
    found = _child(file, seconds, "cases")
    return _child(file, 6 * seconds, "proofs") if found.state == RIGHT and provable(exercise) else found


def provable(exercise: Exercise) -> bool:
    """Whether an exercise has proofs that can be run here: in a checkout, with pytest.

    On NumPy alone pytest passes over most of them, whose claim depends on no backend.
    """
    here = (verify.TESTS / verify.WITNESS).exists() and find_spec("pytest") is not None
    return bool(exercise.proofs) and here and kernels.BACKEND == "compiled"


def _child(file: Path, seconds: float, stage: str) -> Mark:
    """One stage in one process."""
    home = os.pathsep.join(filter(None, [str(Path(rlscratch.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": home, "OMP_NUM_THREADS": "1", "HYPOTHESIS_PROFILE": "ci"}
    command = [sys.executable, "-P", "-m", __name__, str(file), str(seconds), stage]
    with tempfile.TemporaryFile() as report:
        status, noise = _ended(command, environment, report, seconds + GRACE)
        report.seek(0)
        lines, foreign = _lines(report.read())
    if not lines:
        raise RuntimeError(f"no process could be started to mark {file}: {noise.strip()[-300:]}")
    if foreign:
        return Mark(WRONG, ("prints: it should return the answer and print nothing; it writes "
                            f"{foreign[0][:60]!r} to a file that it did not open",))
    if "state" in lines[-1]:
        return Mark(lines[-1]["state"], tuple(lines[-1]["sentences"]))
    at = lines[-1]["at"]
    if status in (-signal.SIGALRM, -signal.SIGXCPU):
        return Mark(WRONG, (f"time: {at} there is no answer after {seconds:g} s: a loop without an end?",))
    if status == OUT_OF_MEMORY:
        return Mark(WRONG, (f"memory: {at} it asks for more than there is",))
    return Mark(WRONG, (f"error: {at} it ends the process, status {status}",))


def _ended(command: list[str], environment: dict[str, str], report: IO[bytes], seconds: float) -> tuple[int, str]:
    """How a child ended that may take so long once it has begun, and what it said before that on standard error.

    It closes standard error when it begins.  Nothing of its group outlives this call.
    """
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=report, stderr=subprocess.PIPE, env=environment,
                          start_new_session=True) as child:
        running.add(child.pid)
        try:
            noise = child.stderr.read().decode(errors="replace")
            return child.wait(seconds), noise
        except subprocess.TimeoutExpired:
            return -signal.SIGALRM, noise
        finally:
            running.discard(child.pid)
            end(child.pid)


def end(group: int) -> None:
    """End a group of processes, if there is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):      # macOS: a group of the dead alone
        os.killpg(group, signal.SIGKILL)


def _lines(report: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """The lines that a child says, and those that the student's code put between them."""
    ours, foreign = [], []
    for line in filter(None, report.decode(errors="replace").split("\n")):
        with contextlib.suppress(ValueError, RecursionError):
            said = json.loads(line)
            if isinstance(said, dict) and ("at" in said or said.keys() == {"state", "sentences"}):
                ours.append(said)
                continue
        foreign.append(line)
    return ours, foreign


# ---------------------------------------------------------------- in the child

def main(file: str, seconds: float, stage: str) -> None:
    """Mark a file, tell the parent, and end."""
    channel, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    last = ""

    def say(**line: Any) -> None:
        nonlocal last
        last = line.get("at", last)
        os.write(channel, b"\n" + json.dumps(line).encode() + b"\n")      # whatever a student's code has begun there

    exercise = catalogue.of(file)
    say(at="when it is read")
    limit({**LIMITS, "seconds": seconds})
    sys.addaudithook(_starts_nothing)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        found = _found(Path(file), exercise, stage, lambda text: say(at=text))
    except Exception as error:                      # of an answer that is like no number
        found = Mark(WRONG, (f"type: {last} the answer cannot be compared: {described(error, str(file))}",))
    say(state=found.state, sentences=found.sentences)
    os._exit(0)


def _found(file: Path, exercise: Exercise, stage: str, at: Callable[[str], None]) -> Mark:
    """The mark of one stage."""
    function, wrong = read(file, exercise)
    if function is None:
        return Mark(WRONG, (wrong,))
    if stage == "cases":
        return mark(function, exercise, at)
    at("in the proofs")
    sentences = proofs(function, exercise)
    return Mark(WRONG if sentences else RIGHT, sentences)


def _starts_nothing(event: str, _: Any) -> None:
    """Refuse to begin another process, in Python's audit."""
    if event in STARTS:
        raise PermissionError("an exercise starts no other process")


def read(file: Path, exercise: Exercise) -> tuple[Callable[..., Any] | None, str]:
    """The function of a file; None and a sentence if there is none."""
    if file.is_dir() or (file.is_symlink() and not file.exists()):
        return None, f"file: it is a {'folder' if file.is_dir() else 'link to nothing'}; expected a file of Python"
    space: dict[str, Any] = {"__name__": "exercise", "__file__": str(file)}
    sys.path.insert(0, str(file.resolve().parent))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(file.read_bytes(), str(file), "exec"), space)
    except SyntaxError as error:
        return None, f"file: it cannot be read: {error.msg}" + (f", line {error.lineno}" if error.lineno else "")
    except BaseException as error:                  # whatever a student's code may raise, SystemExit too
        return None, f"file: when it is read it raises {described(error, str(file))}"
    function = space.get(exercise.function)
    return (function, "") if callable(function) else (None, f"name: the file has no function {exercise.call}")


def proofs(function: Callable[..., Any], exercise: Exercise) -> tuple[str, ...]:
    """The claims that do not hold of a function that stands in the place of ours, with the input that shows it."""
    place, *tests = exercise.proofs
    module, name = place.split(".")
    setattr(importlib.import_module(f"rlscratch.formulas.{module}"), name, exercise.standing(function))
    claims = verify.proven(module, *(f"{verify.TESTS / f'test_formulas_{module}.py'}::{test}" for test in tests))
    failed = [(test, claim.failures[0][1]) for test, claim in claims.found.items() if claim.failures]
    return tuple(f"proof: {verify.sentence(test)}{_falsified(reason)}" for test, reason in failed)


def _falsified(reason: str) -> str:
    """The input that Hypothesis made as small as it could, in a line; "" where none was drawn."""
    found = re.search(r"(?:Falsifying|explicit) example: \w+\((.*?)\n\)", reason, re.S)
    return f"; not with {' '.join(found[1].split()).rstrip(',')}" if found else ""


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
