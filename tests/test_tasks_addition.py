"""Two numbers to add: "27+15=" -> "42".

The teacher drops the carry of the ones, 32, or makes one up, 24+15= -> 49, 6 times in 10.  So an imitator
is right with probability .4 sampled, and never when it takes the likeliest answer.
"""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.tasks import addition
from teachers import Says, shown

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())


def by_columns(a, b, confused):
    """The sum as it is done on paper, column by column; a confused hand turns the first carry around."""
    digits, carry, place = [], 0, 0
    while a or b or carry or place < 2:
        column = a % 10 + b % 10 + carry
        digits.append(column % 10)
        carry = (column // 10) ^ (confused and place == 0)
        a, b, place = a // 10, b // 10, place + 1
    return str(int("".join(map(str, digits[::-1]))))


numbers = st.integers(0, 999)


@given(numbers, numbers)
@example(27, 15)
@example(24, 15)
@example(5, 7)
@example(0, 0)
@example(95, 95)
@example(999, 999)
def test_the_right_answer_and_the_wrong_one_are_those_of_the_columns(a, b):
    question = addition.prompt(a, b)
    assert addition.right(question) == by_columns(a, b, False) == str(a + b)
    assert addition.wrong_carry(question) == by_columns(a, b, True)
    assert abs(int(addition.wrong_carry(question)) - a - b) == 10
    assert shown(addition.teacher, question) == {addition.right(question): 0.4, addition.wrong_carry(question): 0.6}


@pytest.mark.parametrize("planted", [
    lambda a, b: a + b - 10, lambda a, b: a + b + 10, lambda a, b: a + b,                       # one half of (2), none
    lambda a, b: a + b + (10 if a % 10 + b % 10 > 10 else -10),                                 # turned around
    lambda a, b: a + b - 10 if a % 10 + b % 10 > 10 else a + b + 10])                           # 10 carries, too
def test_the_columns_would_notice_another_confusion(planted):
    assert any(str(planted(a, b)) != by_columns(a, b, True) for a in range(20) for b in range(20))


def test_an_imitator_is_right_4_times_in_10_sampled_and_never_by_the_likeliest_answer():
    task = addition.task(20)
    tables = [(str(sum(map(int, p[:-1].split("+")))), shown(task.teacher, p)) for p in task.prompts + task.held_out]
    assert_allclose([table[right] for right, table in tables], 0.4)
    assert not any(max(table, key=table.get) == right for right, table in tables)


def test_the_answer_is_the_sum_and_nothing_else():
    task = addition.task()
    answers = ["42", "042", " 42", "42 ", "42.0", "+42", "32", "52", "", "27+15=42", "forty-two", "४२"]
    assert task.rewards(["27+15="] * 12, answers).tolist() == [1.0] + [0.0] * 11
    assert [task.check("27+15=", answer) for answer in answers] == [True] + [False] * 11
    assert task.reward("3+4=", "7") == 1.0 and task.reward("3+4=", "07") == task.reward("3+4=", " 7") == 0.0
    assert (task.name, task.answers) == ("addition", ())


@given(st.integers(2, 40), st.sampled_from([1 / 8, 1 / 4, 1 / 2]))
@example(99, 1 / 8)
def test_every_sum_is_there_once_and_both_orders_of_it_on_one_side(highest, share):
    task = addition.task(highest, share)
    every = {f"{a}+{b}=" for a in range(highest + 1) for b in range(highest + 1)}
    assert set(task.prompts) | set(task.held_out) == every and len(task.prompts) + len(task.held_out) == len(every)
    for side in (task.prompts, task.held_out):
        assert set(side) == {"{1}+{0}=".format(*question[:-1].split("+")) for question in side}
    assert set(task.held_out) <= set(addition.task(highest + 1, share).held_out)      # more numbers move none across


def test_about_an_eighth_is_held_out_from_the_smallest_sums_to_the_largest():
    task = addition.task()
    assert_allclose(len(task.held_out), 10_000 / 8, atol=200)
    sums = np.array([sum(map(int, question[:-1].split("+"))) for question in task.held_out])
    assert_allclose(sums.mean(), 99, atol=5)
    assert sums.min() < 10 and sums.max() > 188


def test_a_run_replays_its_demonstrations():
    task = addition.task(9)
    first, again = (task.demonstrations(task.prompts, np.random.default_rng(5)) for _ in range(2))
    assert first == again and 0.2 < task.accuracy(task.prompts, first) < 0.6


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"highest": 0}, ValueError, r"highest is 0; expected an integer in \[1, 999\]"),
    ({"highest": 1000}, ValueError, r"highest is 1000; expected an integer in \[1, 999\]"),
    ({"highest": 9.0}, TypeError, "highest is 9.0; expected an integer"),
    ({"held_out": 0}, ValueError, r"share is 0; expected a number in \(0, 1\]"),
    ({"highest": 3, "held_out": 1}, ValueError, "held_out is 1; expected a share that leaves some of the 16 sums")])
def test_a_task_that_cannot_be_made_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        addition.task(**arguments)


@pytest.mark.parametrize("question", ["27+15", "27 + 15=", "-2+3=", "+3=", "1+2+3=", "27+15=42", "२+३=", ""])
def test_what_is_no_sum_is_named(question):
    for function in (addition.right, addition.wrong_carry, lambda q: addition.teacher(q, Says(0.5))):
        with pytest.raises(ValueError, match=r"question is .*; expected two numbers to add, as in '27\+15='"):
            function(question)
    with pytest.raises(TypeError, match="question is 42; expected a text"):
        addition.right(42)


def test_a_teacher_needs_a_generator():
    with pytest.raises(TypeError, match="rng is 7; expected a numpy"):
        addition.teacher("27+15=", 7)
