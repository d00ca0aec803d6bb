"""Five cups, a ball under one of them, six swaps: "abdeacbdceab:c" -> "6ccaaab", a task for more than one token.

    prompt    abdeacbdceab:c      six swaps of two cups, in order; the cup under which the ball begins
    answer    6ccaaab             n, how many places it will write; the places; the last one is what counts     (1)

n is 1, 2, 3 or 6, and a place is written after every 6/n swaps.  So "1b" answers at once, and "6ccaaab" thinks: each
of its letters needs the letter before it and one swap.

Why one token is not enough.  Where the ball ends is a product of permutations of five things, applied to its place.
A transformer does a fixed amount of work for each token: once through its layers.  Products of permutations of five
things are as hard as any circuit of logarithmic depth (NC1: Barrington 1989), and transformers of fixed depth compute
what is in TC0, which is believed to be less (Merrill and Sabharwal 2023, arXiv:2207.00729).  That speaks of ever longer
products.  Six swaps could be done by some number of layers; what one and two of them learn is measured in example 55.
With a scratchpad the same network is deep: it reads what it wrote, so n letters go n times through all layers.

    the teacher   each n as often as the others, all places right: he shows how to think, not whether it pays   (2)
    the reward    1 if the last letter is right, less `price` for each character                                (3)

(3) looks at the answer alone.  No letter on the way is judged.  If thinking is to grow, being right has to pay for it.

    >>> places("abdeacbdceab:c"), worked("abdeacbdceab:c", 3), worked("abdeacbdceab:c", 1)
    ('ccaaab', '3cab', '1b')

Held out: about an eighth of the prompts, which are drawn from 5 million by one generator.

Source: document 004, 2.3.1 and 2.3.2 (so much computation per token; models need tokens to think).
Leaves out: scratchpads that find and mend an error; other numbers of cups and swaps.
"""
from collections.abc import Sequence

import numpy as np

from rlscratch import check
from rlscratch.tasks.task import Task, split

CUPS, SWAPS = "abcde", 6
PLANS = (1, 2, 3, 6)                # places that an answer may write
PAIRS = tuple(x + y for x in CUPS for y in CUPS if x < y)


def places(question: str) -> str:
    """Where the ball is after each swap.

    Raises ValueError or TypeError for what is no prompt of this task.
    """
    if not isinstance(question, str):
        check.fail("question", question, "a text such as 'abdeacbdceab:c'", TypeError)
    swaps, colon, at = question[:2 * SWAPS], question[2 * SWAPS:-1], question[-1:]
    pairs = [swaps[i:i + 2] for i in range(0, 2 * SWAPS, 2)]
    if colon != ":" or at not in CUPS or not set(pairs) <= set(PAIRS):
        check.fail("question", question, f"{SWAPS} swaps, a colon and a cup, as in 'abdeacbdceab:c'")
    found = []
    for pair in pairs:
        at = pair.replace(at, "") if at in pair else at
        found.append(at)
    return "".join(found)


def worked(question: str, plan: int) -> str:
    """The right answer that writes so many places.  Raises ValueError for a number that is no plan."""
    every = SWAPS // check.one_of(PLANS, plan=plan)
    return f"{plan}{places(question)[every - 1::every]}"


def right(question: str, answer: str) -> bool:
    """Whether an answer has the letters that it announced, and ends with the right one."""
    return answer[:1] in map(str, PLANS) and len(answer) == 1 + int(answer[0]) and answer[-1] == places(question)[-1]


def task(count: int = 8000, held_out: float = 1 / 8, price: float = 0.0, plans: Sequence[int] = PLANS) -> Task:
    """The task "cups".

    count     prompts that are drawn, at most a million; the few that come twice count once
    held_out  the share that is not trained on, in (0, 1)
    price     of a character, >= 0, in units of reward
    plans     those that the teacher shows

    >>> six = task(price=0.125)
    >>> six.reward("abdeacbdceab:c", "6ccaaab"), six.reward("abdeacbdceab:c", "1b"), six.reward("abdeacbdceab:c", "1c")
    (0.125, 0.75, -0.25)
    """
    check.integer(2, 10**6, count=count)
    check.non_negative(price=price)
    shown = tuple(check.one_of(PLANS, plan=plan) for plan in plans)
    if not shown:
        check.fail("plans", plans, "at least one")
    rng = np.random.default_rng(0)
    swaps, starts = rng.integers(len(PAIRS), size=(count, SWAPS)), rng.integers(len(CUPS), size=count)
    prompts = dict.fromkeys("".join(PAIRS[i] for i in row) + f":{CUPS[start]}"
                            for row, start in zip(swaps, starts, strict=True))
    sides = split(prompts, held_out)
    return Task("cups", sides[0], lambda question, answer: float(right(question, answer)) - price * len(answer), right,
                held_out=sides[1], teacher=lambda question, rng: worked(question, shown[rng.integers(len(shown))]))
