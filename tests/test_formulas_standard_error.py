"""The standard error of a mean of answers to prompts, and of a share of pairs.

By hand.  Two prompts, two answers each: 1 and 3, 10 and 10.  The variances are 2 and 0, their mean is 1, and of four
numbers the error is sqrt(1/4).  Of 3 pairs all in order and of 2 none: a = 3/5, off by 6/5 and -6/5, so the
error is sqrt(2 x 2 x 36/25) / 5.
"""
import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.formulas.standard_error import listed_mean, mean_error, ratio_error
from strategies import arrays

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

numbers = st.tuples(st.integers(2, 8), st.just(1)).flatmap(arrays)


def test_by_hand():
    assert mean_error([[1.0, 3.0], [10.0, 10.0]]) == 0.5
    assert ratio_error([3.0, 0.0], [3.0, 2.0]) == pytest.approx(math.sqrt(2 * 2 * 36 / 25) / 5)


def test_its_square_is_on_average_the_variance_of_the_mean():
    """Two prompts whose answers are worth 0 or 1, and 4, 6 or 7, each equally often: all ways to ask each twice."""
    first, second = (0.0, 1.0), (4.0, 6.0, 7.0)
    drawn = [np.array([x[:2], x[2:]]) for x in itertools.product(first, first, second, second)]
    assert_allclose(np.mean([mean_error(x) ** 2 for x in drawn]), np.var([x.mean() for x in drawn]), rtol=1e-12)
    planted = [np.std(x, ddof=1) ** 2 / x.size for x in drawn]                  # all numbers thrown together
    assert np.mean(planted) > 2 * np.var([x.mean() for x in drawn])


def test_one_answer_to_each_prompt_overstates_it_by_the_variance_of_the_prompts():
    first, second = (0.0, 1.0), (4.0, 6.0)
    drawn = [np.array([[x], [y]]) for x, y in itertools.product(first, second)]
    between = np.var([0.5, 5.0], ddof=1) / 2
    assert_allclose(np.mean([mean_error(x) ** 2 for x in drawn]), np.var([x.mean() for x in drawn]) + between)


@given(numbers, st.integers(2, 4))
@example(np.array([[1.0], [1.0]]), 2)
def test_of_single_answers_it_is_that_of_independent_numbers_and_equal_answers_add_nothing(x, R):
    assert_allclose(mean_error(x), np.std(x, ddof=1) / math.sqrt(len(x)), atol=1e-12)
    assert_allclose(mean_error(x.T), mean_error(x), atol=1e-12)                 # one prompt, several answers
    assert_allclose(mean_error(np.repeat(x, R, axis=1)), 0, atol=1e-12)         # no answer to a prompt differs


@given(numbers, st.integers(1, 4))
def test_a_ratio_of_groups_of_one_size_is_a_mean_of_groups(x, n):
    assert_allclose(ratio_error(n * x[:, 0], np.full(len(x), float(n))), mean_error(x), atol=1e-12)


@given(numbers)
def test_a_ratio_that_every_group_has_is_sure(x):
    sizes = 1 + np.abs(x[:, 0])
    assert_allclose(ratio_error(0.25 * sizes, sizes), 0, atol=1e-12)


def test_listed_answers_need_no_sampling():
    """Answers of 10 and 2 with p = 1/2 and 1/4 are listed; 1, 3 and 8 share the rest: all ways to draw two of them."""
    logp, values, others = np.log([[1/2, 1/4]]), np.array([[10.0, 2.0]]), (1.0, 3.0, 8.0)
    drawn = [listed_mean(logp, values, pair) for pair in itertools.product(others, repeat=2)]
    assert_allclose(np.mean([mean for mean, _ in drawn]), 5 + 1/2 + np.mean(others) / 4, rtol=1e-14)
    assert_allclose(np.mean([error ** 2 for _, error in drawn]), np.var([mean for mean, _ in drawn]), rtol=1e-14)
    assert_allclose(listed_mean(logp, values, [3.0]), (5 + 1/2 + 3/4, 8/4))                 # no s: from 2 to 10
    assert_allclose(listed_mean(logp, values), ((5 + 1/2) / .75, 8/4))
    assert_allclose(listed_mean(np.repeat(logp, 2, axis=0), np.tile(values, (2, 1)), [3.0, 3.0]), (6.25, 0))
    assert listed_mean([[0.0], [0.0]], [[3.0], [4.0]]) == (3.5, 0)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: listed_mean([[0.5]], [[1.0]]), "0.5; expected a log-probability"),
    (lambda: listed_mean(np.log([[0.75, 0.5]]), [[1.0, 1.0]]), "of the probabilities is 1.25; expected at most 1"),
    (lambda: listed_mean([[-0.5]], [[1.0, 2.0]]), r"the shape of logp is \(1, 1\); expected \(1, 2\), like values"),
    (lambda: listed_mean([[-0.5]], [[1.0]], [np.nan]), r"others\[0\] is nan"),
    (lambda: mean_error([[1.0]]), "the number of values is 1; expected an integer >= 2"),
    (lambda: mean_error([1.0, 2.0]), r"the shape of values is \(2,\); expected 2 dimensions"),
    (lambda: mean_error([[1.0, np.nan]]), r"values\[0, 1\] is nan"),
    (lambda: ratio_error([1.0], [1.0]), "the number of groups is 1; expected an integer >= 2"),
    (lambda: ratio_error([1.0, 1.0], [1.0, 0.0]), "the least of sizes is 0.0; expected a finite number > 0"),
    (lambda: ratio_error([1.0, 1.0], [1.0]), r"the shape of sizes is \(1,\); expected \(2,\), like counts")])
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
