"""Cups: where the ball is after six swaps, answered at once or place by place."""
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlscratch.tasks import cups

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

TASK = cups.task(200)
swaps = st.lists(st.sampled_from(cups.PAIRS), min_size=6, max_size=6)


@given(swaps, st.sampled_from(cups.CUPS))
def test_the_places_are_those_of_the_product_of_permutations(pairs, start):
    ball, places = np.array([cup == start for cup in cups.CUPS], float), ""
    for x, y in pairs:
        swap = np.eye(5)
        i, j = cups.CUPS.index(x), cups.CUPS.index(y)
        swap[[i, j]] = swap[[j, i]]
        ball = swap @ ball
        places += cups.CUPS[ball.argmax()]
    assert cups.places("".join(pairs) + ":" + start) == places


@given(swaps, st.sampled_from(cups.CUPS), st.sampled_from(cups.PLANS))
def test_a_worked_answer_is_right_and_with_any_other_last_letter_or_length_it_is_not(pairs, start, plan):
    question = "".join(pairs) + ":" + start
    answer = cups.worked(question, plan)
    assert cups.right(question, answer) and len(answer) == 1 + plan
    assert not any(cups.right(question, answer[:-1] + cup) for cup in cups.CUPS if cup != answer[-1])
    assert not any(cups.right(question, wrong) for wrong in (
        "", answer[1:], answer[:-1], answer + answer[-1], "4" + answer[1:], "²" + answer[1:]))


def test_letters_on_the_way_are_not_judged_but_each_has_its_price():
    dear = cups.task(200, price=0.125)
    question = dear.prompts[0]
    answer = cups.worked(question, 6)
    otherwise = "6" + 5 * "e" + answer[-1]
    assert TASK.reward(question, answer) == TASK.reward(question, otherwise) == 1
    assert dear.reward(question, answer) == dear.reward(question, otherwise) == 1 - 7 / 8
    assert dear.reward(question, "") == 0 and dear.reward(question, "1?") == -0.25


def test_the_teacher_shows_each_plan_as_often_as_the_others():
    question, rng = TASK.prompts[0], np.random.default_rng(0)
    said = Counter(TASK.teacher(question, rng) for _ in range(4000))
    assert said == pytest.approx({cups.worked(question, plan): 1000 for plan in cups.PLANS}, abs=100)
    assert cups.task(200, plans=[1]).teacher(question, rng) == cups.worked(question, 1)


def test_prompts_are_the_same_each_time_and_on_one_side_alone():
    again = cups.task(200)
    assert again.prompts == TASK.prompts and again.held_out == TASK.held_out
    assert 10 <= len(TASK.held_out) <= 45 and len(TASK.prompts) + len(TASK.held_out) == 200


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: cups.places("abab:c"), ValueError, "question is 'abab:c'; expected 6 swaps, a colon and a cup"),
    (lambda: cups.places("abababababab:f"), ValueError, "question is 'abababababab:f'"),
    (lambda: cups.places("abababababba:a"), ValueError, "question is 'abababababba:a'"),
    (lambda: cups.places(""), ValueError, "question is ''"),
    (lambda: cups.places(3), TypeError, "question is 3; expected a text"),
    (lambda: cups.worked(TASK.prompts[0], 4), ValueError, "plan is 4; expected one of 1, 2, 3, 6"),
    (lambda: cups.task(plans=[1, 4]), ValueError, "plan is 4; expected one of 1, 2, 3, 6"),
    (lambda: cups.task(plans=[]), ValueError, r"plans is \[\]; expected at least one"),
    (lambda: cups.task(1), ValueError, "count is 1; expected"),
    (lambda: cups.task(price=-1), ValueError, "price is -1; expected"),
])
def test_what_is_no_prompt_plan_or_price_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
