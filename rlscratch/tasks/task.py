"""What a task is: prompts, a reward for an answer, and whether the answer is right.

Every method of training meets its task in this shape.  The reward is what training maximises;
`check` is what held-out accuracy counts, a question with yes or no for an answer.

A reward function is written by hand or learned, and it may break in the middle of a run: it
divides by the length of an empty answer, or a model behind it overflows.  A NaN that enters a
gradient ruins every parameter and says nothing of where it came from.  So each call is checked,
and the first answer that has no finite reward stops the run with its prompt and its text.  So does a
teacher that fails to answer a prompt with a text.

Held-out prompts.  `split` decides by the text of a prompt alone, from its hash: the same prompt
lies on the same side in every run, and adding prompts never moves one across.

Leaves out: where prompts come from, and what judges an answer (each task's own module).
"""
import hashlib
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array

PACKAGE = Path(__file__).resolve().parents[1]
LONGEST = 200                                       # characters of a prompt or an answer in a message


class RewardError(ValueError):
    """A task's own function failed; the message shows the prompt, and the answer where there was one."""


@dataclass(frozen=True)
class Task:
    """Frozen; the functions are kept in a form that checks what they return.

    name      as --task has it
    prompts   what is asked in training, at least one
    reward    (prompt, answer) -> a finite number, in units of reward
    check     (prompt, answer) -> True if the answer is right
    answers   every answer there is, where they can be listed; empty: any text
    held_out  prompts that are never trained on, may be empty
    teacher   (prompt, generator) -> an answer to imitate, which need not be right; None where nobody shows how
    tool      the text of a call -> the text of its result, where answers may ask one (tasks.tools); else None

    Raises ValueError or TypeError for prompts or answers that are not texts or come twice, and for a
    prompt on both sides.  The functions raise RewardError, a ValueError.

    >>> sums = Task("sums", ("1+1=",), lambda prompt, answer: -abs(int(answer) - 2),
    ...             lambda prompt, answer: answer == "2")
    >>> sums.reward("1+1=", "5"), sums.check("1+1=", "2")
    (-3.0, True)
    >>> sums.reward("1+1=", "two")
    Traceback (most recent call last):
    ...
    rlscratch.tasks.task.RewardError: the reward of the answer 'two' to the prompt '1+1=' is an error, \
ValueError: invalid literal for int() with base 10: 'two'; expected a finite number
    """

    name: str
    prompts: tuple[str, ...]
    reward: Callable[[str, str], float]
    check: Callable[[str, str], bool]
    answers: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    teacher: Callable[[str, np.random.Generator], str] | None = None
    tool: Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        prompts, answers, held_out = (_texts(name, getattr(self, name)) for name in ("prompts", "answers", "held_out"))
        if not prompts:
            check.fail("prompts", prompts, "at least one")
        if both := sorted(set(prompts) & set(held_out)):
            check.fail("held_out", both[0], "prompts that are not trained on")
        kept = dict(prompts=prompts, answers=answers, held_out=held_out,
                    reward=_checked("reward", self.reward, "a finite number", _finite),
                    check=_checked("check", self.check, "True or False", _boolean))
        if self.tool is not None and not callable(self.tool):
            check.fail("tool", self.tool, "a function of the text of a call", TypeError)
        if self.teacher is not None:
            kept["teacher"] = _checked("teacher", self.teacher, "a text", _text, "a prompt and a generator", _shown_by)
        for name, value in kept.items():
            object.__setattr__(self, name, value)       # the one way into a frozen dataclass

    def rewards(self, prompts: Sequence[str], answers: Sequence[str]) -> Array:
        """The reward of each answer to the prompt beside it, float64."""
        return np.array([self.reward(p, a) for p, a in zip(prompts, answers, strict=True)])

    def demonstrations(self, prompts: Sequence[str], rng: np.random.Generator) -> list[str]:
        """What the teacher answers to each prompt.  Raises ValueError for a task that has no teacher."""
        if self.teacher is None:
            check.fail("task.teacher", None, f"somebody who shows how; {self.name} has prompts and rewards alone")
        return [self.teacher(prompt, rng) for prompt in prompts]

    def accuracy(self, prompts: Sequence[str], answers: Sequence[str]) -> float:
        """The share of answers that are right, each to the prompt beside it."""
        check.positive(n=len(answers), called="the number of answers")
        return self.right(prompts, answers).mean().item()

    def right(self, prompts: Sequence[str], answers: Sequence[str]) -> Array:
        """1 for each answer that is right, else 0; float64."""
        return np.array([self.check(p, a) for p, a in zip(prompts, answers, strict=True)], float)


def split(prompts: Iterable[str], share: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Prompts to train on, and about `share` of them held out: by each one's text, whatever the others are.

    share  in (0, 1]

    >>> train, held_out = split([f"{a}+{b}=" for a in range(10) for b in range(10)], 1/4)
    >>> len(train), len(held_out), "3+4=" in held_out
    (82, 18, False)
    """
    share = check.fraction(share=share)
    sides: tuple[list[str], list[str]] = [], []
    for prompt in _texts("prompts", prompts):
        place = int.from_bytes(hashlib.blake2b(prompt.encode(), digest_size=8).digest(), "big") / 2**64
        sides[place < share].append(prompt)
    return tuple(sides[0]), tuple(sides[1])


def numbers(given: Any, prompts: Sequence[str], answers: Sequence[str]) -> Array:
    """What a function gave as the rewards of answers, float64: as many as there are answers, and finite.

    Raises RewardError, with the prompt and the answer, where one is not.
    """
    try:
        rewards = np.asarray(given, float)
    except (TypeError, ValueError, OverflowError):
        rewards = None
    if rewards is None or rewards.shape != (len(answers),):
        found = f"are {given!r:.80}" if rewards is None else f"have the shape {rewards.shape}"
        raise RewardError(f"the rewards {found}; expected the shape ({len(answers)},), a number for each answer; the "
                          f"first answer is {answers[0]!r} to the prompt {prompts[0]!r}")
    if not np.isfinite(rewards).all():
        i = int(np.isfinite(rewards).argmin())
        raise RewardError(f"the reward of the answer {answers[i]!r} to the prompt {prompts[i]!r} is {rewards[i]}; "
                          "expected a finite number")
    return rewards


def failure(error: Exception) -> str:
    """What a user's function raised, on one line, and where: the last line of theirs that was run.

    Theirs is the file of the first function outside this package; what that calls may be anybody's.
    """
    outside = [frame for frame in traceback.extract_tb(error.__traceback__)
               if (path := Path(frame.filename).resolve()).is_file() and not path.is_relative_to(PACKAGE)]
    theirs = [frame for frame in outside if frame.filename == outside[0].filename]
    place = f" in {theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else ""
    return f"an error{place}, {type(error).__name__}: {' '.join(str(error).split())}"


def _texts(name: str, texts: Any) -> tuple[str, ...]:
    if isinstance(texts, str):
        check.fail(name, texts, "a sequence of texts", TypeError)
    texts, seen = tuple(texts), set()
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            check.fail(f"{name}[{i}]", text, "a text", TypeError)
        if text in seen:
            check.fail(f"{name}[{i}]", text, "texts that differ")
        seen.add(text)
    return texts


def _judged(what: str, prompt: str, answer: str) -> str:
    return f"the {what} of the answer {_shown(answer)} to the prompt {_shown(prompt)}"


def _shown_by(what: str, prompt: str, _: np.random.Generator) -> str:
    return f"the {what}'s answer to the prompt {_shown(prompt)}"


def _checked(what: str, function: Any, expected: str, convert: Callable[[Any], Any],
             takes: str = "a prompt and an answer", subject: Callable[..., str] = _judged) -> Callable[[str, Any], Any]:
    """The function, with its failures and what is not `expected` turned into RewardErrors about the subject."""
    if not callable(function):
        check.fail(what, function, f"a function of {takes}", TypeError)

    def call(prompt: str, second: Any) -> Any:
        def wrong(found: str) -> RewardError:
            return RewardError(f"{subject(what, prompt, second)} is {found}; expected {expected}")
        try:
            value = function(prompt, second)
        except RewardError:
            raise                                       # already says all this
        except Exception as error:
            raise wrong(failure(error)) from error
        try:
            return convert(value)
        except (TypeError, ValueError):
            raise wrong(_shown(value)) from None

    return call


def _finite(value: Any) -> float:
    return check.number(value=value)


def _boolean(value: Any) -> bool:
    return bool(check.one_of((True, False), value=value.item() if isinstance(value, np.bool_) else value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return str(value)                               # of NumPy's texts, Python's


def _shown(value: object) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= LONGEST else text[:LONGEST - 3] + "..."
