"""Two numbers to add, "27+15=" -> "42": a teacher that is usually wrong, and a check that never is.

    the reward    1 for the sum in decimals, 0 for any other text, "042" and " 42" among them         (1)
    the teacher   right 4 times in 10; else it confuses the carry of the ones: it drops the one where
                  there is one to carry, and carries one where there is none                         (2)

          2 7      carry 1                2 4      no carry
        + 1 5                           + 1 5
        -----                           -----
          4 2      right                  3 9      right
          3 2      dropped                4 9      made up

The wrong answer is 10 off, so it is never right by accident.  A perfect imitator of (2) is right with
probability .4 if it samples at temperature 1, and never if it takes the likeliest answer, which is the
wrong one on every prompt.  No number of demonstrations changes either figure: the teacher is the
ceiling.  (1) asks for no teacher, only for a comparison, and finds 4 answers in 10 to reward; so nothing
keeps reinforcement below 1.

Held out.  a+b and b+a lie on one side (task.split of the one whose first number is not the greater), so a
held-out sum was never seen, in either order.

Source: document 004, 2.4.1 (domains where an answer can be verified) and 1.2 (imitation does not get beyond
        its expert).
Leaves out: negative numbers, more than two of them, more than three digits; writing the carry down before
the sum, which would spread the work over more tokens (document 004, 2.3.1).
"""
import re

import numpy as np

from rlscratch import check
from rlscratch.tasks.task import Task, split

LARGEST = 999                       # that two numbers may be; a million prompts
RIGHT = 0.4                         # how often the teacher is

_PROMPT = re.compile(r"([0-9]+)\+([0-9]+)=")


def prompt(a: int, b: int) -> str:
    """The question.

    >>> prompt(27, 15)
    '27+15='
    """
    return f"{a}+{b}="


def right(question: str) -> str:
    """The sum that a prompt asks for.

    >>> right("27+15=")
    '42'
    """
    return str(sum(_numbers(question)))


def wrong_carry(question: str) -> str:
    """The sum with the carry of the ones dropped, or with one where there is none.

    >>> wrong_carry("27+15="), wrong_carry("24+15=")
    ('32', '49')
    """
    a, b = _numbers(question)
    return str(a + b - 10 if a % 10 + b % 10 >= 10 else a + b + 10)


def teacher(question: str, rng: np.random.Generator) -> str:
    """Equation (2).

    >>> rng = np.random.default_rng(0)
    >>> [teacher("27+15=", rng) for _ in range(5)]
    ['32', '42', '42', '42', '32']
    """
    check.generator(rng=rng)
    return right(question) if rng.random() < RIGHT else wrong_carry(question)


def task(highest: int = 99, held_out: float = 1 / 8) -> Task:
    """The task "addition": all sums of two numbers from 0 to `highest`.

    highest   in [1, 999]
    held_out  share of the sums, in (0, 1)

    >>> sums = task(9)
    >>> sums.reward("3+4=", "7"), sums.reward("3+4=", "07"), len(sums.prompts) + len(sums.held_out)
    (1.0, 0.0, 100)
    """
    numbers = range(check.integer(1, LARGEST, highest=highest) + 1)
    apart = set(split((prompt(a, b) for a in numbers for b in numbers if a <= b), held_out)[1])
    sides: tuple[list[str], list[str]] = [], []
    for a in numbers:
        for b in numbers:
            sides[prompt(min(a, b), max(a, b)) in apart].append(prompt(a, b))
    if not sides[0]:
        check.fail("held_out", held_out, f"a share that leaves some of the {len(sides[1])} sums to train on")
    return Task("addition", tuple(sides[0]), lambda question, answer: float(answer == right(question)),
                lambda question, answer: answer == right(question), held_out=tuple(sides[1]), teacher=teacher)


def _numbers(question: str) -> tuple[int, int]:
    if not isinstance(question, str):
        check.fail("question", question, "a text such as '27+15='", TypeError)
    match = _PROMPT.fullmatch(question)
    if match is None:
        check.fail("question", question, "two numbers to add, as in '27+15='")
    return int(match[1]), int(match[2])
