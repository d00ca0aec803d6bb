"""A tool that an answer may ask: how a call is written, what its interpreter may cost, and a task that has one.

    prompt     317*24=
    answer     <|tool|>317*24<|result|>7608<|assistant|>7608             the policy writes a call and "7608"; the
               --------chosen----------====result======-chosen-          interpreter writes what is between         (1)

A tool is a function from the text of a call to the text of its result.  There is no shell and no eval: ours reads two
numbers and a sign, and the work it may be asked for is bounded by the size of a call.

Nothing that a policy writes can stop a run.  `asked` refuses a call that is too long before the tool sees it; a
tool that raises, that takes too long, that gives no text or too much of it gives an error, and the error is the
result, which the policy reads as any other where it has room for it.  A tool works in a thread of its own.  One that
hangs is left there, since no thread can be ended; until it comes back every call has that for a result.

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
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

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
    result = _ask(tool, call)
    plain = "".join(letter if " " <= letter <= "~" else " " if letter.isspace() else "?" for letter in result)
    return " ".join(plain.split())[:LONGEST_RESULT]


class _Thread:
    """A thread that asks tools, one call after the other; one that hangs is left behind, alone."""

    def __init__(self) -> None:
        self.calls: SimpleQueue = SimpleQueue()
        self.results: SimpleQueue = SimpleQueue()
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while True:
            tool, call = self.calls.get()
            try:
                result = tool(call)
            except BaseException as wrong:              # whatever a tool raises is its result
                result = wrong
            self.results.put(_told(result))

    def ask(self, tool: Callable[[str], str], call: str) -> str:
        """What the tool says.  Raises queue.Empty where it says nothing for SECONDS."""
        self.calls.put((tool, call))
        return self.results.get(timeout=SECONDS)


class _Asker:
    """Has a thread for calls, and knows the one that has not come back."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.free: _Thread | None = None
        self.hangs: _Thread | None = None

    def __call__(self, tool: Callable[[str], str], call: str) -> str:
        """What the tool says, or what went wrong."""
        with self.lock:
            if self.hangs and self.hangs.thread.is_alive() and self.hangs.results.empty():
                return "error: an earlier call has not come back"
            if self.free is None or not self.free.thread.is_alive():        # no thread survives a fork
                self.free = _Thread()
            thread, self.free = self.free, None
            try:
                said = thread.ask(tool, call)
            except Empty:
                self.hangs = thread
                return f"error: no result within {SECONDS:g} s"
            self.free = thread
            return said


_ask = _Asker()


def _told(result: object) -> str:
    """A result, or the error in its place."""
    if isinstance(result, BaseException):
        try:
            return f"error: {result}"
        except BaseException:
            return f"error: {type(result).__name__}"
    if type(result) is not str:
        return f"error: the tool gave {type(result).__name__}, no text"
    return result if len(result) <= LONGEST_RESULT else f"error: a result of {len(result)} characters"


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
