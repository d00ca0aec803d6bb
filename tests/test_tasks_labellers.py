"""Labellers rank by Plackett and Luce, and grade with an error.

The worked sheet: three answers with e^(g / noise) = 3, 2, 1.  The first draw is 3/6, 2/6
or 1/6, the second is between those left:

    1 2 3    3/6 2/3 = 1/3      2 1 3    2/6 3/4 = 1/4      3 1 2    1/6 3/5 = 1/10
    1 3 2    3/6 1/3 = 1/6      2 3 1    2/6 1/4 = 1/12     3 2 1    1/6 2/5 = 1/15

A ranking of three takes two uniforms.  On the midpoints of a grid that is fine enough, each of them stands for
an equal share of the unit square, and counting is exact.
"""
import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.formulas.preference import bradley_terry, plackett_luce_loss
from rlscratch.tasks import labellers, preferences
from rlscratch.tasks.labellers import rank, rate
from rlscratch.tasks.task import Task
from strategies import eighths, rewards_g

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

LENGTH = Task("length", ("p", "q"), lambda prompt, answer: len(answer), lambda prompt, answer: True)


class Planted(np.random.Generator):
    """A generator whose uniforms and normal numbers are given."""

    def __init__(self, *numbers):
        super().__init__(np.random.PCG64(0))
        self.numbers = list(numbers)

    def random(self, size):
        assert size == len(self.numbers)
        return np.array(self.numbers)

    def standard_normal(self):
        return self.numbers.pop(0)


def enumerated(scores, noise, cells):
    """The probability of each ranking: its share of a grid whose axes have so many cells."""
    counts = Counter()
    for place in itertools.product(*map(range, cells)):
        uniforms = [(i + 0.5) / n for i, n in zip(place, cells, strict=True)]
        counts[tuple(rank(scores, Planted(*uniforms), noise).tolist())] += 1
    return {order: Fraction(n, math.prod(cells)) for order, n in counts.items()}


def cells_for(odds):
    """Cells that no boundary of the draws among three cuts through."""
    return sum(odds), math.lcm(*(sum(odds) - one for one in odds))


def by_the_formula(scores, noise):
    s = np.asarray(scores) / noise
    return {order: np.exp(-plackett_luce_loss(s[list(order)])) for order in itertools.permutations(range(len(s)))}


def agree(found, expected):
    orders = sorted({*found, *expected})
    assert_allclose([float(found.get(o, 0)) for o in orders], [expected.get(o, 0) for o in orders], rtol=0, atol=1e-12)


# ---------------------------------------------------------------- rankings

def test_the_worked_sheet():
    assert enumerated(np.log([3.0, 2.0, 1.0]), 1.0, cells_for([3, 2, 1])) == {
        (0, 1, 2): Fraction(1, 3), (0, 2, 1): Fraction(1, 6), (1, 0, 2): Fraction(1, 4),
        (1, 2, 0): Fraction(1, 12), (2, 0, 1): Fraction(1, 10), (2, 1, 0): Fraction(1, 15)}


@given(st.lists(st.integers(1, 3), min_size=3, max_size=3), st.sampled_from([0.5, 1.0, 2.0]), eighths())
@example([3, 2, 1], 1.0, 0.0)
@example([1, 1, 1], 0.5, -4.0)
def test_a_ranking_has_the_probability_that_plackett_and_luce_give_it(odds, noise, shift):
    scores = noise * np.log(odds) + shift
    found = enumerated(scores, noise, cells_for(odds))
    agree(found, by_the_formula(scores, noise))
    for i, j in itertools.permutations(range(3), 2):                # and any two answers duel as by Bradley and Terry
        wins = sum(p for order, p in found.items() if order.index(i) < order.index(j))
        assert_allclose(float(wins), bradley_terry((scores[i] - scores[j]) / noise), rtol=1e-12)


def test_four_answers_take_three_draws():
    odds = [2, 2, 1, 1]
    found = enumerated(np.log(odds), 1.0, (6, math.lcm(4, 5), 3 * math.lcm(2, 3, 4)))
    assert len(found) == 24
    agree(found, by_the_formula(np.log(odds), 1.0))


@pytest.mark.parametrize("broken", [
    lambda scores, noise: by_the_formula(-scores, noise),           # worst first
    lambda scores, noise: by_the_formula(scores, 2 * noise),
    lambda scores, noise: by_the_formula(scores * 1.001, noise),
    lambda scores, noise: {o[::-1]: p for o, p in by_the_formula(scores, noise).items()}])
def test_the_comparison_would_notice_another_distribution(broken):
    scores = np.log([3.0, 2.0, 1.0])
    with pytest.raises(AssertionError):
        agree(enumerated(scores, 1.0, cells_for([3, 2, 1])), broken(scores, 1.0))


def test_without_noise_the_best_goes_first_and_equals_share():
    third, sixth = Fraction(1, 3), Fraction(1, 6)
    assert enumerated([1.0, 3.0, 2.0], 0.0, (6, 6)) == {(1, 2, 0): 1}
    assert enumerated([2.0, 1.0, 2.0], 0.0, (6, 6)) == {(0, 2, 1): third + sixth, (2, 0, 1): third + sixth}
    assert enumerated([0.0, 0.0, 0.0], 0.0, (6, 6)) == dict.fromkeys(itertools.permutations(range(3)), sixth)


@given(rewards_g(), st.integers(0, 1000), st.sampled_from([0.0, 1e-6, 1e-30]))
@example(np.array([1.0, 1.0]), 0, 1e-30)
@example(np.array([1e6, -1e6]), 0, 1e-30)
def test_little_noise_sorts(scores, seed, noise):
    order = rank(scores, np.random.default_rng(seed), noise)
    assert sorted(order.tolist()) == list(range(len(scores))) and order.dtype.kind == "i"
    assert (np.diff(scores[order]) <= 0).all()


@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2.0**-53])
def test_what_has_no_probability_is_never_drawn_first(u):
    assert rank([-1e6, 0.0, -1e6], Planted(u, 0.0), 1.0).tolist() == [1, 0, 2]
    assert rank([-1e6, 0.1, 0.2, -1e6], Planted(u, u, 0.0), 1.0).tolist()[2:] == [0, 3]


def test_a_uniform_above_the_rounded_sum_falls_on_an_answer_that_has_probability():
    assert np.cumsum(labellers._chances(np.zeros(10), 1.0))[-1] < 1
    order = rank([0.0] * 10 + [-1e6], Planted(*[1 - 2.0**-53] * 10))
    assert order.tolist() == [*range(9, -1, -1), 10]


@given(rewards_g(), st.integers(0, 1000))
def test_the_same_generator_ranks_the_same_and_much_noise_forgets_the_scores(scores, seed):
    draw = [rank(scores, np.random.default_rng(seed), noise).tolist() for noise in (1.0, 1.0, 1e9)]
    assert draw[0] == draw[1]
    assert draw[2] == rank(np.zeros(len(scores)), np.random.default_rng(seed)).tolist()


# ---------------------------------------------------------------- grades

@pytest.mark.parametrize(("score", "error", "grade"), [
    (6.0, 0.0, 1.0), (3.0, 0.0, 0.5), (0.0, 0.0, 0.0), (-2.0, 0.0, 0.0),
    (3.0, 1.0, 0.6), (3.0, -2.0, 0.3), (6.0, 1.0, 1.0), (6.0, -1.0, 0.9), (-6.0, 5.0, 0.0), (0.0, -1.0, 0.0)])
def test_a_grade_is_the_share_of_the_best_and_an_error(score, error, grade):
    assert_allclose(rate(score, Planted(error), noise=0.1), grade, atol=1e-12)
    assert type(rate(score, Planted(error))) is float


@given(eighths(-20, 20), st.integers(0, 1000), eighths(0, 2))
def test_a_grade_lies_between_0_and_1_and_without_noise_the_generator_has_no_say(score, seed, noise):
    assert 0 <= rate(score, np.random.default_rng(seed), noise) <= 1
    assert rate(score, np.random.default_rng(seed), 0.0) == min(max(score / preferences.BEST, 0), 1)
    assert rate(score, Planted(0.0), best=10.0) == min(max(score / 10, 0), 1)


# ---------------------------------------------------------------- records

# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize(("arguments", "error", "message"), [
    (dict(scores=[1.0]), ValueError, r"the shape of scores is \(1,\); expected at least 2 answers"),
    (dict(scores=[[1.0, 2.0]]), ValueError, r"the shape of scores is \(1, 2\); expected \(K,\)"),
    (dict(scores=[1.0, float("nan")]), ValueError, r"scores\[1\] is nan; expected finite numbers"),
    (dict(scores=[1.0, float("inf")]), ValueError, r"scores\[1\] is inf; expected finite numbers"),
    (dict(scores=[1.0, 1j]), TypeError, r"scores is .*; expected an array of real numbers"),
    (dict(scores=["a", "b"]), TypeError, r"scores is .*; expected an array of real or complex numbers"),
    (dict(noise=-1.0), ValueError, r"noise is -1.0; expected a finite number >= 0"),
    (dict(noise=1e-31), ValueError, r"noise is 1e-31; expected 0, or at least 1e-30"),
    (dict(noise=float("inf")), ValueError, r"noise is inf; expected a finite number"),
    (dict(rng=0), TypeError, r"rng is 0; expected a numpy.random.Generator")])
def test_what_cannot_be_ranked_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        rank(**{"scores": [1.0, 2.0], "rng": np.random.default_rng(0), **arguments})


@pytest.mark.parametrize(("arguments", "error", "message"), [
    (dict(score=float("nan")), ValueError, r"score is nan; expected a finite number"),
    (dict(score="good"), TypeError, r"score is 'good'; expected a finite number"),
    (dict(noise=-0.1), ValueError, r"noise is -0.1; expected a finite number >= 0"),
    (dict(best=0.0), ValueError, r"best is 0.0; expected a finite number > 0"),
    (dict(rng=None), TypeError, r"rng is None; expected a numpy.random.Generator")])
def test_what_cannot_be_graded_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        rate(**{"score": 1.0, "rng": np.random.default_rng(0), **arguments})


def test_the_chances_of_equation_1_add_to_1():
    assert_allclose(labellers._chances(np.log([3.0, 1.0]), 1.0), [0.75, 0.25])
    assert labellers._chances(np.array([2.0, 1.0, 2.0]), 0.0).tolist() == [0.5, 0.0, 0.5]
