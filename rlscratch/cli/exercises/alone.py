"""A student's file in a process of its own: it may loop for ever, exhaust memory or exit, and harms nobody.

The parent starts `python -m rlscratch.cli.exercises.alone FILE SECONDS STAGE` and reads lines of JSON: before each
call {"at": ...}, at the end {"state": ..., "sentences": [...]}.  What a child does not live to say, its parent
concludes from the last line and from how the child ended.  Limits are those of tasks.code_runner.

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
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import rlscratch
from rlscratch import kernels
from rlscratch.cli import verify
from rlscratch.cli.exercises import catalogue
from rlscratch.cli.exercises.marks import RIGHT, WRONG, Exercise, Mark, described, mark
from rlscratch.tasks.code_runner import limit

SECONDS = 10.0
OUT_OF_MEMORY = 77                          # the exit status that says so
LIMITS = {"bytes": 1 << 30, "largest": 1 << 24, "out_of_memory": OUT_OF_MEMORY}
START = 120                                 # seconds that a busy machine may take to start Python


def marked(file: Path, seconds: float = SECONDS) -> Mark:
    """The mark of a file.

    Raises ValueError if its name is no exercise's, FileNotFoundError if it is not there.
    """
    exercise = catalogue.of(file)
    file.stat()
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
    try:
        done = subprocess.run([sys.executable, "-P", "-m", __name__, str(file), str(seconds), stage], text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=seconds + START)
        out, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        out, status = (late.stdout or b"").decode(), -signal.SIGALRM
    lines = [json.loads(line) for line in out.splitlines()]
    if lines and "state" in lines[-1]:
        return Mark(lines[-1]["state"], tuple(lines[-1]["sentences"]))
    if not lines:
        raise RuntimeError(f"no process could be started to mark {file}: {done.stderr.strip()[-300:]}")
    at = lines[-1]["at"]
    if status in (-signal.SIGALRM, -signal.SIGXCPU):
        return Mark(WRONG, (f"time: {at} there is no answer after {seconds:g} s: a loop without an end?",))
    if status == OUT_OF_MEMORY:
        return Mark(WRONG, (f"memory: {at} it asks for more than there is",))
    return Mark(WRONG, (f"error: {at} it ends the process, status {status}",))


# ---------------------------------------------------------------- in the child

def main(file: str, seconds: float, stage: str) -> None:
    """Mark a file, tell the parent, and end."""
    channel, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)

    def say(**line: Any) -> None:
        os.write(channel, json.dumps(line).encode() + b"\n")

    exercise = catalogue.of(file)
    say(at="when it is read")
    limit({**LIMITS, "seconds": seconds})
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    function, wrong = read(Path(file), exercise)
    if function is None:
        found = Mark(WRONG, (wrong,))
    elif stage == "cases":
        found = mark(function, exercise, lambda text: say(at=text))
    else:
        say(at="in the proofs")
        sentences = proofs(function, exercise)
        found = Mark(WRONG if sentences else RIGHT, sentences)
    say(state=found.state, sentences=found.sentences)
    os._exit(0)


def read(file: Path, exercise: Exercise) -> tuple[Callable[..., Any] | None, str]:
    """The function of a file; None and a sentence if there is none."""
    space: dict[str, Any] = {"__name__": "exercise", "__file__": str(file)}
    sys.path.insert(0, str(file.resolve().parent))
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(file.read_bytes(), str(file), "exec"), space)
    except SyntaxError as error:
        return None, f"file: it cannot be read: {error.msg}, line {error.lineno}"
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
