"""A student's function, marked: the claim that fails, on the smallest input on which it does, in a sentence.

An exercise has inputs from small to large, each with a word and the claim that it shows: "mask", a masked token counts
neither in the sum nor in the number of tokens.  Our own function is asked the same.  Where answers differ, what is said
is the first of these that holds:

    shape     the answer has another shape
    finite    the answer is not finite, and ours is, where the claim is not about just that
    the word and the claim of a known mistake that gives the same answers on every input
    sign      every answer is the negative of ours
    factor    every answer is one and the same multiple of ours
    sum       a row that should add up to 1 is a multiple of ours
    the word and the claim of the first input on which they differ

Nothing says what ours gives.  Where the referee (rlscratch.conformance) knows the kind of function, it adds which other
convention was written, if it is one; and a function whose answers are all right is asked for its laws.

Leaves out: a student who cheats.  A file that imports rlscratch has solved nothing, and passes.
"""
import contextlib
import copy
import inspect
import io
import numbers
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rlscratch.conformance.examination import Verdict, examine, said

RIGHT, WRONG, BEGUN = "done", "not yet", "not begun"
NUMBERS = (int, float, np.integer, np.floating, np.ndarray)     # a Fraction is none: NumPy computes with none
ENDS = ("edge", "mask", "overflow", "tie", "zero")      # the words of claims that say why an answer is not finite


class Case(NamedTuple):
    """One input: the word for what it shows, the claim, the arguments."""

    word: str
    claim: str
    given: tuple


class Exercise(NamedTuple):
    """What is to be written, and what it is held against.

    name       of the file, without .py
    function   in it
    arguments  their names
    ours       the same function, made of rlscratch's own
    cases      from small to large
    like       what the referee calls it, if it knows the kind
    proofs     module.function of rlscratch.formulas for which it stands in, and tests of that module which prove it
    standing   student's function -> one with the arguments of that formula
    row        whether answers are rows that add up to 1
    mistakes   (word, claim, the function that is written then), where no input shows that mistake alone
    """

    name: str
    function: str
    arguments: tuple[str, ...]
    ours: Callable[..., Any]
    cases: tuple[Case, ...]
    like: str | None = None
    proofs: tuple[str, ...] = ()
    standing: Callable[[Callable], Callable] = lambda function: function
    row: bool = False
    mistakes: tuple[tuple[str, str, Callable[..., Any]], ...] = ()

    @property
    def call(self) -> str:
        """How it is called."""
        return f"{self.function}({', '.join(self.arguments)})"


class Mark(NamedTuple):
    """The outcome for one exercise, RIGHT, WRONG or BEGUN, and what is said of it."""

    state: str
    sentences: tuple[str, ...] = ()


class Breach(Exception):
    """What the function did in place of an answer."""


@np.errstate(all="ignore")
def mark(function: Callable[..., Any], exercise: Exercise, at: Callable[[str], None] = lambda text: None) -> Mark:
    """The mark of a function.

    at  is told each call before it is made
    """
    answers, expected = [], [exercise.ours(*copy.deepcopy(case.given)) for case in exercise.cases]
    try:
        for case, ours in zip(exercise.cases, expected, strict=True):
            answers.append(asked(function, exercise, case, ours, at))
    except NotImplementedError:
        return Mark(BEGUN, (f"{exercise.call} is still to be written",))
    except Breach as breach:
        return Mark(WRONG, (str(breach),))
    wrong = [i for i, (answer, ours) in enumerate(zip(answers, expected, strict=True)) if not same(answer, ours)]
    if wrong:
        shapes = [i for i in wrong if np.shape(answers[i]) != np.shape(expected[i])]
        first = (shapes or wrong)[0]
        sentence = told(exercise, answers, expected, first)
        return Mark(WRONG, (f"{sentence}; {_with(exercise, exercise.cases[first])} yours gives {shown(answers[first])}",
                            *_convention(function, exercise, at)))
    broken = _laws(function, exercise, at)
    return Mark(WRONG, broken) if broken else Mark(RIGHT)


def told(exercise: Exercise, answers: Sequence[Any], expected: Sequence[Any], first: int) -> str:
    """What differs, as the module says; first is the case to speak of."""
    case, answer, ours = exercise.cases[first], answers[first], expected[first]
    if np.shape(answer) != np.shape(ours) and not isinstance(ours, list):
        here, there = (str(np.shape(x)) if np.ndim(x) else "(), one number" for x in (answer, ours))
        return f"shape: the answer has the shape {here}; expected {there}"
    if not isinstance(ours, list):
        if case.word not in ENDS and np.isfinite(ours).all() and not np.isfinite(answer).all():
            return "finite: the answer should be finite"
        for word, claim, known in exercise.mistakes:
            if all(same(x, known(*copy.deepcopy(one.given))) for x, one in zip(answers, exercise.cases, strict=True)):
                return f"{word}: {claim}"
        factors = [_factor(*pair) for pair in zip(answers, expected, strict=True)]
        known = [factor for factor in factors if factor is not None]
        if len(known) > 1 and np.ptp(known) <= 1e-6 * abs(known[0]) and abs(known[0] - 1) > 1e-6:
            return ("sign: the answer is right but for its sign" if abs(known[0] + 1) < 1e-6 else
                    f"factor: every answer is {known[0]:.6g} times what it should be")
        if exercise.row and factors[first] is not None and np.isfinite(factors[first]):
            return f"sum: the answer should add up to 1, and adds up to {np.sum(answer):.6g}"
    return f"{case.word}: {case.claim}"


def asked(function: Callable[..., Any], exercise: Exercise, case: Case, ours: Any, at: Callable[[str], None]) -> Any:
    """The answer to one case.  Raises Breach for what is no answer, NotImplementedError as the function does."""
    given, before = copy.deepcopy(case.given), _with(exercise, case)
    at(before)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            answer = function(*given)
    except NotImplementedError:
        raise
    except MemoryError:
        raise Breach(f"memory: {before} it asks for more than there is") from None
    except BaseException as error:                  # whatever a student's code may raise, SystemExit too
        raise Breach(f"error: {before} it raises {described(error, function)}") from None
    if printed.getvalue():
        raise Breach(f"prints: it should return the answer and print nothing; {before} it prints "
                     f"{printed.getvalue().strip()[:60]!r}")
    for name, now, then in zip(exercise.arguments, given, case.given, strict=True):
        if not _equal(now, then):
            raise Breach(f"argument: it changes its argument {name}, which the caller still needs: make a new one; "
                         f"{before} {name} is then {shown(now)}")
    return _typed(answer, ours, before)


def _typed(answer: Any, ours: Any, before: str) -> Any:
    """The answer, if it is of the kind of ours; Breach if not."""
    wanted = "a list" if isinstance(ours, list) else "an array" if np.ndim(ours) else "a number, int or float"
    number = isinstance(answer, NUMBERS) and not isinstance(answer, bool)     # the shape comes later
    right = isinstance(answer, list) if isinstance(ours, list) else number
    if answer is None:
        raise Breach(f"type: {before} it returns None; expected {wanted}: is a return missing?")
    if not right:
        raise Breach(f"type: {before} it returns a {type(answer).__name__}; expected {wanted}")
    if isinstance(answer, np.ndarray) and answer.dtype.kind not in "fiub":
        raise Breach(f"type: {before} it returns an array of {answer.dtype}; expected real numbers")
    if not isinstance(answer, numbers.Real):
        return answer
    try:
        return float(answer)
    except Exception as error:                      # 10**400
        raise Breach(f"type: {before} it returns a number that no float can hold: {described(error, '')}") from None


def same(answer: Any, ours: Any) -> bool:
    """Equal to seven digits, inf where ours is inf; lists word for word."""
    if isinstance(ours, list):
        return answer == ours
    return np.shape(answer) == np.shape(ours) and bool(np.allclose(answer, ours, rtol=1e-6, atol=1e-9))


def shown(value: Any) -> str:
    """An argument or an answer as it is typed, four digits of each number.

    >>> shown(np.array([[1 / 3, -np.inf]])), shown(2.0), shown(["a", "b"])
    ('[[0.3333, -inf]]', '2', "['a', 'b']")
    """
    if isinstance(value, np.ndarray):
        return f"[{', '.join(map(shown, value))}]" if value.ndim else shown(value.item())
    return f"{value:.4g}" if isinstance(value, numbers.Real) and not isinstance(value, bool) else repr(value)


# ---------------------------------------------------------------- the referee

def _referee(function: Callable[..., Any], exercise: Exercise) -> Verdict:
    """The verdict of rlscratch.conformance, whatever the student calls the arguments."""
    def called(**given: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return function(*(given[name] for name in exercise.arguments))

    called.__signature__ = inspect.Signature(
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in exercise.arguments])
    called.__name__ = exercise.function
    return examine(called, exercise.like)


def _convention(function: Callable[..., Any], exercise: Exercise, at: Callable[[str], None]) -> tuple[str, ...]:
    """What a wrong function is instead, if it is another convention."""
    if exercise.like is None:
        return ()
    at("with the batch of the referee")
    try:
        verdict = _referee(function, exercise)
    except Exception:                               # it cannot be asked, and enough was said
        return ()
    if not verdict.agrees or verdict.agrees[0].factor < 0:
        return ()
    return (f"what you wrote is {said(verdict.agrees[0])}",)


def _laws(function: Callable[..., Any], exercise: Exercise, at: Callable[[str], None]) -> tuple[str, ...]:
    """The laws that a function breaks though its answers are right."""
    if exercise.like is None:
        return ()
    at("with the batch of the referee")
    try:
        verdict = _referee(function, exercise)
    except Exception as error:                      # whatever a student's code may raise
        return (f"error: on larger inputs it raises {described(error, function)}",)
    if verdict.ok:
        return ()
    return tuple(f"law of {sentence}" for _, sentence in verdict.breaches) or (str(verdict).splitlines()[0],)


# ---------------------------------------------------------------- small things

def _with(exercise: Exercise, case: Case) -> str:
    return "with " + ", ".join(f"{name} = {shown(value)}" for name, value in zip(
        exercise.arguments, case.given, strict=True))


def _factor(answer: Any, ours: Any) -> float | None:
    """What ours is multiplied with; None where that says nothing (0, inf), NaN where it is no multiple."""
    answer, ours = np.asarray(answer, float), np.asarray(ours, float)
    live, told = np.abs(ours) > 1e-9, np.abs(answer) > 1e-9
    if not np.isfinite(ours).all() or not (live.any() or told.any()):
        return None
    if not live.any() or told[~live].any():
        return np.nan
    factors = answer[live] / ours[live]
    return float(factors[0]) if np.ptp(factors) <= 1e-6 * abs(factors[0]) and factors[0] else np.nan


def _equal(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=True) if isinstance(b, np.ndarray) else a == b


def described(error: BaseException, where: Callable[..., Any] | str) -> str:
    """An error in a line, with the line of the file, or of the file in which the function stands."""
    try:
        text = str(error)
    except BaseException:                           # it is the student's own class
        text = "an error that cannot say what it is"
    name = f"{type(error).__name__}: {text}" if text else type(error).__name__
    file = where if isinstance(where, str) else getattr(getattr(where, "__code__", None), "co_filename", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return " ".join(name.split())[:300] + (f", in line {lines[-1]}" if lines else "")
