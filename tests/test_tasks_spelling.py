"""Every third character: "Ubiquitous" -> "Uqts", where the document's model said "Uiis" (004, figure 1).

    letters           0 1 2 3 4 5 6 7 8 9
                      U b i q u i t o u s
    right             U     q     t     s     "Uqts"
    the wrong step    U     q       o         "Uqo"

The teacher is right on 5 to 8 letters, on 9 to 12 with probability .3: together (4 * 1 + 4 * .3) / 8 = .65
sampled, and 4 / 8 = .5 for the likeliest answer.
"""
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.tasks import spelling
from rlscratch.tasks.task import split
from teachers import Says, shown

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

ascii_words = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=5, max_size=12)


# ---------------------------------------------------------------- the question

@given(ascii_words)
@example("Ubiquitous")
def test_the_right_answer_has_the_letters_at_multiples_of_three(word):
    assert spelling.every_third(word) == "".join(letter for i, letter in enumerate(word) if i in (0, 3, 6, 9))


def test_the_document_s_word_is_right_and_what_its_model_said_is_not():
    task = spelling.task(["Ubiquitous", "transformer", "reward"])
    answers = ["Uqts", "Uiis", "Uqo", "uqts", "Uqts ", " Uqts", "Uqt", "", "Ubiquitous"]
    assert [task.reward("Ubiquitous", answer) for answer in answers] == [1.0] + [0.0] * 8
    assert [task.check("Ubiquitous", answer) for answer in answers] == [True] + [False] * 8


# ---------------------------------------------------------------- the teacher

@given(ascii_words)
@example("Ubiquitous")
@example("kangaroos")
@example("mnopqrstuvwx")
def test_the_wrong_step_is_one_place_too_far_from_the_third_letter_on(word):
    wrong = "".join(letter for i, letter in enumerate(word) if i in (0, 3, 7, 10))
    assert spelling.wrong_step(word) == wrong
    right = spelling.every_third(word)
    if len(word) < 9 or wrong == right:             # the wrong step arrives by accident, over repeated letters
        assert shown(spelling.teacher, word) == {right: 1.0}
    else:
        assert shown(spelling.teacher, word) == {right: 0.3, wrong: 0.7}


def test_a_wrong_step_that_meets_the_right_letters_earns_the_reward():
    task = spelling.task(["kangaroos", "transformer", "reward"])
    assert spelling.wrong_step("kangaroos") == spelling.every_third("kangaroos") == "kgo"
    assert shown(task.teacher, "kangaroos") == {"kgo": 1.0} and task.reward("kangaroos", "kgo") == 1.0


def by_length(teacher):
    """(length, right if sampled, right if the likeliest answer is taken) of the teacher's answers, averaged."""
    rows = []
    for length in range(5, 13):
        words = spelling.words(40, np.random.default_rng(0), length, length)
        tables = [(spelling.every_third(word), shown(teacher, word)) for word in words]
        rows.append((length, np.mean([table.get(right, 0) for right, table in tables]),
                     np.mean([max(table, key=table.get) == right for right, table in tables])))
    return np.array(rows)


def test_how_often_the_teacher_is_right_by_length_is_what_the_module_says():
    _, sampled, greedy = by_length(spelling.teacher).T
    assert_allclose(sampled, [1] * 4 + [0.3] * 4)
    assert_allclose(greedy, [1] * 4 + [0] * 4)
    assert_allclose([sampled.mean(), greedy.mean()], [0.65, 0.5])


@pytest.mark.parametrize("planted", [
    lambda word, rng: word[::3] if rng.random() < 0.3 else spelling.wrong_step(word),                  # on all lengths
    lambda word, rng: word[::3] if len(word) < 10 or rng.random() < 0.3 else spelling.wrong_step(word),
    lambda word, rng: word[::3] if len(word) < 9 or rng.random() < 0.4 else spelling.wrong_step(word),
    lambda word, rng: word[::3]])
def test_another_teacher_would_be_noticed(planted):
    assert not np.allclose(by_length(planted)[:, 1], [1] * 4 + [0.3] * 4)


# ---------------------------------------------------------------- words by the rule

@given(st.integers(0, 50), st.integers(5, 12), st.integers(0, 7))
@example(0, 5, 7)
def test_words_follow_the_rule(seed, shortest, more):
    longest = min(12, shortest + more)
    words = spelling.words(30, np.random.default_rng(seed), shortest, longest)
    assert words == spelling.words(30, np.random.default_rng(seed), shortest, longest)
    assert len({word.lower() for word in words}) == 30
    for word in words:
        assert shortest <= len(word) <= longest and word.isascii() and word.isalpha() and word[1:].islower()
        kinds = "".join("v" if letter in "aeiou" else "c" for letter in word.lower())
        assert "cc" not in kinds and "vvv" not in kinds
        assert all(a != b for a, b in zip(word.lower(), word.lower()[1:], strict=False))


def test_lengths_are_equally_likely_half_the_words_have_a_capital_half_begin_with_a_vowel_and_every_letter_occurs():
    words = spelling.words(8000, np.random.default_rng(0))
    lengths = Counter(map(len, words))
    assert sorted(lengths) == list(range(5, 13))
    assert_allclose(list(lengths.values()), 1000, atol=120)         # 4 standard deviations
    assert_allclose(sum(word[0].isupper() for word in words), 4000, atol=180)
    assert_allclose(sum(word[0] in "aeiouAEIOU" for word in words), 4000, atol=180)
    assert set("".join(words).lower()) == set("abcdefghijklmnopqrstuvwxyz")


def test_words_differ_even_when_the_rule_has_drawn_many_of_them_before():
    words = spelling.words(20_000, np.random.default_rng(0), 5, 5)
    assert len({word.lower() for word in words}) == len(words) == 20_000
    assert set(map(len, words)) == {5}


def test_the_rule_has_many_more_words_of_the_shortest_length_than_it_is_asked_for():
    ways = {"c": 21, "v": 5, "vv": 0}               # words of a length, by how they end
    for _ in range(4):
        ways = {"c": 21 * (ways["v"] + ways["vv"]), "v": 5 * ways["c"], "vv": 4 * ways["v"]}
    assert sum(ways.values()) > 4 * spelling.MOST


# ---------------------------------------------------------------- the task

def test_the_task_is_the_words_some_of_them_held_out():
    task = spelling.task(seed=3, count=400)
    words = spelling.words(400, np.random.default_rng(3))
    assert (task.name, task.answers) == ("every-third-character", ())
    assert (task.prompts, task.held_out) == split(words, 1 / 8)
    assert task.prompts != spelling.task(seed=4, count=400).prompts
    assert task.teacher("Ubiquitous", Says(0.5)) == "Uqo"


def test_by_default_there_are_7000_words_to_learn_from_and_1000_held_out_that_the_first_do_not_contain():
    task = spelling.task()
    assert len(task.prompts) + len(task.held_out) == 8000
    assert_allclose(len(task.held_out), 1000, atol=90)
    assert not {word.lower() for word in task.prompts} & {word.lower() for word in task.held_out}


def test_the_users_own_words_are_taken_as_they_are():
    words = ["Ubiquitous", "transformer", "reward", "POLICY", "tokenization"]
    task = spelling.task(iter(words), held_out=1 / 4)
    assert sorted(task.prompts + task.held_out) == sorted(words)
    assert task.rewards(words, ["Uqts", "tnoe", "ra", "PI", "tezi"]).tolist() == [1.0] * 5
    assert len(task.demonstrations(words, np.random.default_rng(0))) == 5


LETTERS = "expected 5 to 12 ASCII letters and nothing else"


@pytest.mark.parametrize(("words", "error", "message"), [
    ("Ubiquitous", TypeError, "words is 'Ubiquitous'; expected a sequence of words"),
    (["reward", 7], TypeError, r"words\[1\] is 7; expected a text"),
    (["reward", "four"], ValueError, rf"words\[1\] is 'four'; {LETTERS}"),
    (["abcdefghijklm"], ValueError, rf"words\[0\] is 'abcdefghijklm'; {LETTERS}"),
    (["reward", "isn't it"], ValueError, LETTERS), (["naïveté"], ValueError, LETTERS),
    (["reward1"], ValueError, LETTERS), ([""], ValueError, LETTERS),
    (["reward", "reward"], ValueError, r"words\[1\] is 'reward'; expected words that differ, also in lower case"),
    (["reward", "Reward"], ValueError, r"words\[1\] is 'Reward'; expected words that differ, also in lower case"),
    (["POLICY", "policy"], ValueError, r"words\[1\] is 'policy'; expected words that differ, also in lower case"),
    ([], ValueError, r"words is \[\]; expected at least one word")])
def test_words_that_the_task_does_not_take_are_named(words, error, message):
    with pytest.raises(error, match=message):
        spelling.task(words)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ({"count": 0}, ValueError, r"count is 0; expected an integer in \[1, 100000\]"),
    ({"seed": -1}, ValueError, "seed is -1; expected an integer >= 0"),
    ({"seed": 0.5}, TypeError, "seed is 0.5; expected an integer >= 0"),
    ({"held_out": 0}, ValueError, r"share is 0; expected a number in \(0, 1\]"),
    ({"held_out": 1, "count": 9}, ValueError, "expected more words: a share of 1 is held out")])
def test_a_task_that_cannot_be_made_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        spelling.task(**arguments)


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((0, np.random.default_rng(0)), ValueError, "count is 0"),
    ((5, 0), TypeError, "rng is 0; expected a numpy.random.Generator"),
    ((5, np.random.default_rng(0), 4), ValueError, r"shortest is 4; expected an integer in \[5, 12\]"),
    ((5, np.random.default_rng(0), 5, 13), ValueError, r"longest is 13; expected an integer in \[5, 12\]"),
    ((5, np.random.default_rng(0), 9, 8), ValueError, r"longest is 8; expected an integer in \[9, 12\]")])
def test_words_that_cannot_be_made_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        spelling.words(*arguments)


def test_what_is_no_word_has_no_letters_to_take_and_a_teacher_needs_a_generator():
    for function in (spelling.every_third, spelling.wrong_step):
        with pytest.raises(TypeError, match=r"word is \['a'\]; expected a text"):
            function(["a"])
    with pytest.raises(TypeError, match="rng is None; expected a numpy"):
        spelling.teacher("Ubiquitous", None)
