"""The first time that a word is typed.

By hand: HH after 6 throws of a coin, HT after 4; "hello" on 27 keys 27^5, "abab" 27^4 + 27^2.
"""
import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.formulas.waiting import waiting_time
from rlscratch.mdp import MDP
from rlscratch.tasks.typewriter import typewriter

KEYS = "abc"


def by_chain(word, probs):
    """Steps to the end of the word, by linear equations."""
    mdp = typewriter(word, KEYS)
    steps = MDP(mdp.transition, 1.0 * ~mdp.terminal, 1.0, 0, mdp.terminal)
    return steps.evaluate(np.tile(probs, (len(word) + 1, 1)))[0]


@given(st.text("abc", min_size=1, max_size=7), st.lists(st.integers(1, 5), min_size=3, max_size=3))
@example("abab", [1, 1, 1])
@example("aaaa", [1, 2, 3])
def test_the_time_is_that_of_the_chain_of_what_is_typed_so_far(word, odds):
    probs = np.array(odds) / sum(odds)
    found = waiting_time(word, dict(zip(KEYS, probs, strict=True)))
    assert_allclose(found, by_chain(word, probs), rtol=1e-8)
    planted = np.prod([1 / probs[KEYS.index(letter)] for letter in word])               # borders forgotten
    assert (found > planted * (1 + 1e-12)) == any(word.endswith(word[:k]) for k in range(1, len(word)))


def test_words_by_hand():
    keys = dict.fromkeys("abcdefghijklmnopqrstuvwxyz ", 1 / 27)
    assert_allclose(waiting_time("hello", keys), 27**5)
    assert_allclose(waiting_time("abab", keys), 27**4 + 27**2)


@pytest.mark.parametrize("word", ["ab", "aab", "abab", "ccc"])
def test_a_typewriter_ends_when_the_word_is_typed_and_not_before(word):
    """All that can be typed with seven keys, one by one."""
    mdp = typewriter(word, KEYS)
    for typed in itertools.product(range(3), repeat=7):
        s, text = 0, ""
        for a in typed:
            s, text = int(mdp.transition[s, a].argmax()), text + KEYS[a]
            assert (s == len(word)) == text.endswith(word)
            if s == len(word):
                break


@pytest.mark.parametrize(("call", "message"), [
    (lambda: waiting_time("ax", {"a": 1.0}), "the probability of 'x' is 0; expected a finite number > 0"),
    (lambda: waiting_time("", {"a": 1.0}), "the probability of '' is 0"),
    (lambda: waiting_time("a" * 2000, {"a": 0.5, "b": 0.5}), "word is 'aaa.*; expected one that takes fewer"),
    (lambda: waiting_time("a", {"a": 0.5}), "the sum of probs is 0.5"),
    (lambda: typewriter("ax", "ab"), r"word\[1\] is 'x'; expected one of the keys, 'ab'"),
    (lambda: typewriter("", "ab"), r"word\[0\] is ''"),
    (lambda: typewriter("a", "aa"), "keys is 'aa'; expected letters that are all different")])
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
