"""Document 003, parts 4 and 5 and its quick reference: rollouts, and answers that can be run.

The code answers are restated here as small callables: what they return is what matters.
"""
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from rlscratch.documents.d003_distributions_to_policies.distributions import row
from rlscratch.documents.entry import PINNED, Entry
from rlscratch.formulas import cross_entropy

PART_4, ROLLOUTS = "Part 4: From Text Generation to AI Policies", "Part 4: Rollouts"
entry = partial(Entry, document="003")


def path(*p: float) -> float:
    """The probability of a sequence, from those of its steps."""
    return np.exp(-cross_entropy.cross_entropy_loss(np.log([p]), np.ones((1, len(p)))))


# ---------------------------------------------------------------- answers that can be run

def in_place(items: list) -> list:
    items.sort()
    return items


def undefined_helper(items: list) -> list:
    raise NameError("name 'bubble_sort' is not defined")


SORTS: tuple[Callable[[list], Any], ...] = (sorted, in_place, undefined_helper, list.sort, sorted)


def sorts(answer: Callable[[list], Any], argument: Sequence, keeps_argument: bool = False) -> bool:
    """Whether an answer returns the sorted list (and, if asked, leaves its argument alone).

    Proof: tests/test_documents.py, test_code_answers_are_judged_by_running_them
    """
    given = list(argument)
    try:
        right = answer(given) == sorted(argument)
    except NameError:
        return False
    return right and (not keeps_argument or given == list(argument))


def recursive(n: int) -> int:
    return n if n <= 1 else recursive(n - 1) + recursive(n - 2)


def iterative(n: int) -> int:
    pair = (0, 1)
    for _ in range(n):
        pair = (pair[1], sum(pair))
    return pair[0]


def memoised(n: int, known: dict[int, int] | None = None) -> int:
    known = {} if known is None else known
    if n not in known:
        known[n] = n if n <= 1 else memoised(n - 1, known) + memoised(n - 2, known)
    return known[n]


FIBONACCI = (recursive, iterative, memoised)


def sorted_by(answers: Sequence[Callable[[list], Any]], **choice: bool) -> list[int]:
    """Which answers sort (3, 1, 2), counted from 1.  choice: keeps_argument of `sorts`."""
    return [i for i, answer in enumerate(answers, 1) if sorts(answer, (3, 1, 2), **choice)]


def agree(answers: Sequence[Callable[[int], int]], arguments: Iterable[int]) -> bool:
    """Whether all answers return the same for every argument.

    Proof: tests/test_documents.py, test_code_answers_are_judged_by_running_them
    """
    return all(len({answer(n) for answer in answers}) == 1 for n in arguments)


# ---------------------------------------------------------------- entries

POLICIES = tuple(entry(
    id=f"S3.pi.{word}", section=PART_4, claim=f'After "The weather is", {word} has {p:.0%}.',
    formula=f"π({word} | The weather is)", printed=p, exact=p, tolerance=0.005, verdict="exact", kind="input",
    note='From the row of part 2, whose sum is checked; the row of part 3 for the same words differs.')
    for word, p in (("sunny", 0.40), ("rainy", 0.24)))

RANDOM_CHOICES = (
    row("S3.rollout.greet1", ROLLOUTS, "the first word of a greeting", 0.40, 0.30, 0.20, 0.10),
    row("S3.rollout.greet2", ROLLOUTS, 'what follows "Hello"', 0.50, 0.30, 0.20),
    row("S3.rollout.greet3", ROLLOUTS, 'what follows "Hello!"', 0.60, 0.25, 0.15),
    row("S3.rollout.hi2", ROLLOUTS, 'what follows "Hi"', 0.70, 0.20, 0.10),
    row("S3.rollout.hi3", ROLLOUTS, 'what follows "Hi there"', 0.80, 0.20),
    entry(
        id="S3.rollout1.prob", section=ROLLOUTS, claim='The first rollout draws "Hello", "!" and "How".',
        formula="0.40·0.50·0.60", printed=None, exact=0.12, tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: path(0.40, 0.50, 0.60), source="rlscratch.formulas.cross_entropy.cross_entropy_loss"),
    entry(
        id="S3.rollout2.prob", section=ROLLOUTS, claim='The second rollout draws "Hi", "there" and "!".',
        formula="0.30·0.70·0.80", printed=None, exact=0.168, tolerance=PINNED, verdict="derived", kind="computed",
        compute=lambda: path(0.30, 0.70, 0.80), source="rlscratch.formulas.cross_entropy.cross_entropy_loss",
        note="Its first word is the less likely one, the whole the more likely (0.168 against 0.12): the best word at "
             "every step need not be the best sequence."),
    entry(
        id="S3.params.rollouts", section="Part 4: Change Generation Parameters",
        claim="Rollouts are also varied by temperature 0.2, 0.8 and 1.2, by k = 3 and by p = 0.95; otherwise the "
              "temperature is 0.7.",
        formula="T, T, T, k, p, T", printed=(0.2, 0.8, 1.2, 3, 0.95, 0.7), exact=(0.2, 0.8, 1.2, 3, 0.95, 0.7),
        tolerance=0.05, verdict="exact", kind="input", note="Settings with which the sampling examples run."),
    entry(
        id="S3.params.seeds", section="Part 4: The Random Seed Effect",
        claim="The seeds 12345, 67890 and 24680 give three different texts.",
        formula="seed", printed=(12345, 67890, 24680), exact=(12345, 67890, 24680), tolerance=0.5, verdict="exact",
        kind="input", note="Seeds of the rollout example: the same seed gives the same text, another usually another."),
)

CODE = (
    entry(
        id="S3.rollout.sort", section="Part 4: Why Rollouts Matter",
        claim="Of five functions that sort a list, the first and the fifth are the correct ones to choose.",
        formula="answers with answer([3, 1, 2]) = [1, 2, 3]", printed=(1, 5), exact=(1, 2, 5), tolerance=0,
        verdict="convention", kind="computed", compute=lambda: sorted_by(SORTS),
        otherwise=lambda: sorted_by(SORTS, keeps_argument=True),
        source=f"{__name__}.sorts", planted={"keeps_argument": True},
        note="Run, the second sorts too: in place, and it returns its argument. The printed choice holds if "
             "an answer must leave its argument alone. The third needs a bubble_sort that the answer does not bring "
             "(NameError), and the fourth returns None, as the document says."),
    entry(
        id="S3.fib", section="Part 5: Code Generation Example",
        claim="Three functions compute Fibonacci numbers: by recursion, by a loop, with a memory.",
        formula="all three equal for n = 0 ... 19", printed=None, exact=True, tolerance=0, verdict="derived",
        kind="computed", compute=lambda: agree(FIBONACCI, range(20)), source=f"{__name__}.agree",
        planted={"arguments": (-1,)},
        note="They agree for n >= 0. Below 0 the first and the third return n, the second 0."),
)

REFERENCE = (
    entry(
        id="S3.table.settings", section="Quick Reference Tables",
        claim="Factual answers want T 0.1 to 0.3 and k = 10, creative ones T 0.7 to 1.0 and p = 0.9, code T 0.2 to "
              "0.5, brainstorming k = 10 to 20.",
        formula="recommended ranges", printed="T .1-.3, k 10; T .7-1, p .9; T .2-.5; k 10-20",
        exact="T .1-.3, k 10; T .7-1, p .9; T .2-.5; k 10-20", tolerance=0, verdict="exact", kind="input",
        note="Presets for sampling; nothing to compute."),
)

ENTRIES = (*POLICIES, *RANDOM_CHOICES, *CODE, *REFERENCE)
