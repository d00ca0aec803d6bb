"""A tool that an answer may ask: how a call is written, what its interpreter may cost, and a task that has one.

    prompt     317*24=
    answer     <|tool|>317*24<|result|>7608<|assistant|>7608             the policy writes a call and "7608"; the
               --------chosen----------====result======-chosen-          interpreter writes what is between         (1)

A tool is a function from the text of a call to the text of its result.  There is no shell and no eval: ours reads two
numbers and a sign, and the work it may be asked for is bounded by the size of a call.

Nothing that a policy writes can stop a run.  `asked` refuses a call that is too long before the tool sees it; a
tool that raises, that takes too long, that gives no text or too much of it gives an error, and the error is the
result, which the policy reads as any other.  An alarm ends a tool that hangs, in the main thread of a system that has
alarms, as Linux and macOS do; elsewhere bound a tool's work by the size of its call.

The task "products".  Facts up to 9 x 9, which a small network learns by heart; and products of three digits by two
that have five, which it cannot know:

    the teacher   writes a call half of the time, whatever is asked; else he says a fact from memory, and
                  for a large product a number of the right size                                                 (2)
    the reward    1 if the number behind the last result is right, less `price` for each call                    (3)

Where the answer is known, a call costs and brings nothing.  Where it is not, it brings 1 for `price`.  Nobody says
which is which.

    >>> answer = worked("317*24=")
    >>> answer, final(answer), calls(answer)
    ('<|tool|>317*24<|result|>7608<|assistant|>7608', '7608', 1)

Source: document 004, 2.3.2 (models that use a calculator); Schick et al. 2023, arXiv:2302.04761.
Leaves out: several tools; tools that remember.
"""
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np

from rlscratch import check
from rlscratch.tasks.task import Task

TOOL, RESULT, BACK = "<|tool|>", "<|result|>", "<|assistant|>"
LONGEST_CALL, LONGEST_RESULT = 32, 48               # characters
SECONDS = 2.0                                       # of a call; what is longer hangs
_CALL = re.compile(r"([0-9]{1,9})([-+*])([0-9]{1,9})")
_KNOWN = tuple(f"{a}*{b}=" for a in range(1, 10) for b in range(1, 10))


def calculator(call: str) -> str:
    """The value of two numbers with +, - or * between them, at most nine digits each.

    Raises ValueError for another call.

    >>> calculator("317*24"), calculator("3-10")
    ('7608', '-7')
    """
    match = _CALL.fullmatch(call) if isinstance(call, str) else None
    if match is None:
        check.fail("call", call, "two numbers and +, - or *")
    a, b = int(match[1]), int(match[3])
    return str({"+": a + b, "-": a - b, "*": a * b}[match[2]])


def asked(tool: Callable[[str], str], call: str) -> str:
    """The result of a call, printable ASCII on one line; "error: ..." where there is none.

    >>> asked(calculator, "317*24"), asked(calculator, "2**9")
    ('7608', "error: call is '2**9'; expected two numbers and ")
    >>> asked(calculator, 40 * "9")
    'error: 40 characters; expected at most 32'
    """
    if len(call) > LONGEST_CALL:
        return f"error: {len(call)} characters; expected at most {LONGEST_CALL}"
    try:
        with _alarmed():
            result = tool(call)
        if type(result) is not str:
            result = f"error: the tool gave {type(result).__name__}, no text"
        elif len(result) > LONGEST_RESULT:
            result = f"error: a result of {len(result)} characters"
    except (Exception, SystemExit) as wrong:
        result = f"error: {_said(wrong)}"
    plain = "".join(letter if " " <= letter <= "~" else " " if letter.isspace() else "?" for letter in result)
    return " ".join(plain.split())[:LONGEST_RESULT]


@contextmanager
def _alarmed() -> Iterator[None]:
    """TimeoutError for what is not done after SECONDS, where a thread can be told."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no result within {SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, late)
    try:
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _said(wrong: BaseException) -> str:
    try:
        return str(wrong)
    except Exception:
        return type(wrong).__name__


def written(tool: Callable[[str], str], call: str) -> str:
    """A call with its result, as it stands in an answer."""
    return f"{TOOL}{call}{RESULT}{asked(tool, call)}{BACK}"


def calls(answer: str) -> int:
    """How many calls an answer has made."""
    return answer.count(RESULT)


def final(answer: str) -> str:
    """What an answer says behind its last result."""
    return answer.rpartition(BACK)[2]


# ---------------------------------------------------------------- the task

def worked(question: str) -> str:
    """The answer that asks the calculator and says its result."""
    call = question.removesuffix("=")
    return written(calculator, call) + calculator(call)


def known(question: str) -> bool:
    """Whether a prompt asks for a fact that the teacher knows by heart."""
    return question in _KNOWN


def teacher(question: str, rng: np.random.Generator) -> str:
    """Equation (2)."""
    if check.generator(rng=rng).random() < 0.5:
        return worked(question)
    value = calculator(question.removesuffix("="))
    return value if known(question) else value[0] + "".join(map(str, rng.integers(10, size=len(value) - 1)))


def task(large: int = 200, price: float = 0.25) -> Task:
    """The task "products".

    large  products of three digits by two to train on, at most 10,000; as many are held out
    price  of a call, >= 0, in units of reward
    """
    check.integer(1, 10_000, large=large)
    check.non_negative(price=price)
    factors = np.random.default_rng(0).integers((100, 10), (1000, 100), size=(4 * large, 2)).tolist()
    products = list(dict.fromkeys(f"{a}*{b}=" for a, b in factors if a * b >= 10_000))[:2 * large]
    held_out, shown = products[:large], products[large:]

    def right(question: str, answer: str) -> bool:
        return final(answer) == calculator(question.removesuffix("="))

    return Task("products", (*_KNOWN, *shown), lambda question, answer: right(question, answer) - price * calls(answer),
                right, held_out=tuple(held_out), teacher=teacher, tool=calculator)
