"""Answers that are programs, judged by running them.

One answer runs once, in an interpreter of its own (code_runner.py): its function is called with
each case's arguments, and what it returns is compared here with what the case expects.  Whatever
an answer does, the result is a verdict with a reason; a loop, a bomb or an exit ends with the
process it is in.

Two rules keep the reward honest.  The expected values never leave this process, so an answer that
prints a verdict, forges the report or returns an object equal to everything gains nothing: it has
to name the right value.  And a returned value counts only if it is a plain one (numbers, text,
None, and lists, tuples, sets and dicts of them) of the expected type.

Limits, set before the first line of the answer runs:

    time       an alarm ends the process; processor time and this process stand in if it is disarmed
    memory     Linux: the address space may grow by so much.  macOS takes that limit and ignores it:
               there a thread looks at the resident memory every 10 ms, and cannot interrupt a single
               long call in C, which the alarm then ends
    files      the working directory is an empty one, deleted afterwards; no file above 1 MB
    the rest   no environment, no input, output thrown away, no core dump; its process group is ended

This protects a training run from bad answers.  It is no sandbox against hostile ones: they can
read files, use the network, and leave processes behind.

Source: document 003, "Why Rollouts Matter" and part 5; document 004, 2.4.1 (verifiable domains).
Leaves out: a network or file system of its own, Windows, languages other than Python.
"""
import ast
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rlscratch import check

RUNNER = Path(__file__).with_name("code_runner.py")
START = 10.0                                        # seconds an interpreter may take to start
DAY = 86400
LARGEST = 1 << 20                                   # bytes of a report, and of any file an answer writes
OUT_OF_MEMORY = 86                                  # exit status of a run without memory for a report
KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")     # an interpreter may need these to start


@dataclass(frozen=True)
class Verdict:
    """What became of one answer.

    right    every case returned what it should
    reason   "right", or what went wrong first, in one line
    mutates  a call changed an argument that it was given
    """

    right: bool
    reason: str
    mutates: bool = False


def run(answer_source: str, function: str, cases: Sequence[tuple], seconds: float = 2.0,
        megabytes: int = 256) -> Verdict:
    """Define `function` by running the answer, call it for each case in turn, and judge the results.

    answer_source  Python source text; anything at all
    function       the name that the answer should define
    cases          (arguments, expected) pairs: a tuple, and what the function should return for it;
                   plain values.  Equality is exact, also of floats
    seconds        [0.001, 86400]  for the definition and all calls together
    megabytes      >= 1            on top of what a bare interpreter takes

    Raises ValueError or TypeError for bad arguments, RuntimeError if no interpreter can be started:
    a judge that is broken must not look like a wrong answer.

    >>> run("def double(x): return 2 * x", "double", [((3,), 6), (("ab",), "abab")])
    Verdict(right=True, reason='right', mutates=False)
    >>> run("def double(x): return x + 2", "double", [((2,), 4), ((3,), 6)]).reason
    'double(3) returned 5; expected 6'
    """
    order, expected = _order(answer_source, function, cases, seconds, megabytes)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, tempfile.TemporaryFile() as report:
        status = _execute(order, seconds, folder, report)
        report.seek(0)
        found = _read(report.read(LARGEST + 1))
    return _judge(found, status, function, cases, expected, seconds, megabytes)


def _order(answer_source: Any, function: Any, cases: Any, seconds: Any, megabytes: Any) -> tuple[bytes, list]:
    """What the runner gets, and what it does not: the expected values."""
    if not isinstance(answer_source, str):
        check.fail("answer_source", answer_source, "source text", TypeError)
    if not isinstance(function, str) or not function.isidentifier():
        check.fail("function", function, "a name", TypeError if not isinstance(function, str) else ValueError)
    seconds, megabytes = check.between(0.001, DAY, seconds=seconds), check.integer(1, 1 << 20, megabytes=megabytes)
    if not isinstance(cases, Sequence) or not cases:
        check.fail("cases", cases, "a sequence of at least one (arguments, expected) pair")
    for i, case in enumerate(cases):
        if not (isinstance(case, tuple) and len(case) == 2 and isinstance(case[0], tuple)):
            check.fail(f"cases[{i}]", case, "a pair: the tuple of arguments, and what to return for it", TypeError)
        if not _same(_plain(repr(case)), case):
            check.fail(f"cases[{i}]", case, "plain values, that their repr gives back", TypeError)
    order = {"source": answer_source, "function": function, "arguments": [repr(a) for a, _ in cases],
             "seconds": seconds, "bytes": megabytes << 20, "largest": LARGEST, "out_of_memory": OUT_OF_MEMORY}
    return json.dumps(order).encode(), [expected for _, expected in cases]


def _execute(order: bytes, seconds: float, folder: str, report: IO[bytes]) -> int | None:
    """Run the runner on an order; its exit status, None if it had to be stopped from here."""
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    status = None
    with subprocess.Popen([sys.executable, "-I", "-B", "-X", "utf8", str(RUNNER)], stdin=subprocess.PIPE, stdout=report,
                          stderr=subprocess.PIPE, cwd=folder, env=environment, start_new_session=True) as process:
        try:
            _, said = process.communicate(order, timeout=START + seconds)
            status = process.returncode
        except subprocess.TimeoutExpired:
            _end_group(process.pid)
            _, said = process.communicate()
        finally:
            _end_group(process.pid)         # whatever the answer left running, also on Ctrl-C
    if said != b"ready\n":                  # the runner's last word to us, before the answer begins
        raise RuntimeError(f"the interpreter that runs answers did not start: {said.decode(errors='replace').strip()}")
    return status


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):      # macOS: a group of the dead alone
        os.killpg(pid, signal.SIGKILL)


def _read(report: bytes) -> dict | None:
    """The report, if there is one that has the form of one."""
    try:
        found = json.loads(report)
        right_form = (isinstance(found["returned"], list) and all(isinstance(r, str) for r in found["returned"])
                      and isinstance(found["error"], str | None) and isinstance(found["mutates"], bool))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return found if right_form else None


def _judge(found: dict | None, status: int | None, function: str, cases: Sequence[tuple], expected: list,
           seconds: float, megabytes: int) -> Verdict:
    if status in (None, -signal.SIGALRM, -signal.SIGXCPU):
        return Verdict(False, f"no result within {seconds:g} s")
    if status == OUT_OF_MEMORY:
        return Verdict(False, f"more than {megabytes} MB of memory")
    if found is None:
        return Verdict(False, f"the process left no readable result ({_status(status)})")
    mutates = found["mutates"]
    for (arguments, _), result, wanted in zip(cases, found["returned"], expected, strict=False):
        if not _same(_plain(result), wanted):
            call = f"{function}({', '.join(map(repr, arguments))})"
            return Verdict(False, f"{_short(call)} returned {_short(result)}; expected {_short(repr(wanted))}", mutates)
    if found["error"] is not None or len(found["returned"]) != len(cases):
        return Verdict(False, _short(found["error"] or "the report is incomplete", 200), mutates)
    return Verdict(True, "right", mutates)


def _plain(text: str) -> Any:
    """The plain value that is written so; _plain itself, which equals nothing, if there is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return _plain


def _same(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and value == wanted


def _status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    return signal.Signals(-status).name if -status in iter(signal.Signals) else f"signal {-status}"


def _short(text: str, length: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= length else line[:length - 3] + "..."
