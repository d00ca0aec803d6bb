"""Best-of-N: what it is worth, how far it is from its policy, and both from a pool.

By hand.  Two answers, each with probability 1/2 and scores 0 and 1: the best of 2 is the first one with 1/4, so

    KL = 1/4 log(1/2) + 3/4 log(3/2) = .1308        log 2 - 1/2 = .1931, an upper bound

Of three answers in a pool that the score puts in the order x, y, z, the pairs {x, y} and {x, z} have x for their best
and {y, z} has y, so with worth 6, 3, 0 the best of 2 has (6 + 6 + 3) / 3 = 5.
"""
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.formulas import distribution
from rlscratch.formulas.best_of_n import (
    best_of_n,
    best_of_n_by_prompt,
    best_of_n_from_pool,
    best_of_n_kl,
    best_of_n_kl_bound,
    best_of_n_policy,
    pass_at_k,
)
from rlscratch.formulas.kl import kl
from strategies import arrays, probs_of

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())


def by_listing_draws(p, scores, n):
    """The distribution of the best, (Y,): every one of the Y^n draws, with its probability; the first of equals."""
    q = np.zeros(len(p))
    for draw in itertools.product(range(len(p)), repeat=n):
        q[max(draw, key=lambda y: scores[y])] += np.prod([p[y] for y in draw])
    return q


def cases(scores):
    """p, scores, n with up to four answers."""
    return st.integers(2, 4).flatmap(lambda Y: st.tuples(probs_of(Y), scores(Y), st.integers(1, 4)))


@given(cases(lambda Y: arrays((Y,), st.sampled_from([0.0, 1.0, 2.5]))))
@example((np.array([.5, .5]), np.array([0.0, 1.0]), 2))
@example((np.array([.5, .25, .25]), np.array([1.0, 0.0, 1.0]), 3))
@example((np.array([.5, .5]), np.array([1.0, 1.0]), 4))                         # one score for all: nothing is chosen
def test_the_policy_of_the_best_is_that_of_all_draws(case):
    p, scores, n = case
    q = best_of_n_policy(p, scores, n)
    assert_allclose(q, by_listing_draws(p, scores, n), rtol=1e-12, atol=1e-14)
    assert_allclose(q @ scores, best_of_n(p, scores, n), rtol=1e-12, atol=1e-14)
    assert_allclose(best_of_n_kl(p, scores, n), kl(q / q.sum(), p), rtol=1e-9, atol=1e-12)


@given(cases(lambda Y: st.permutations(range(Y)).map(lambda order: np.array(order, float))))
@example((np.array([.5, .5]), np.array([0.0, 1.0]), 2))
def test_without_ties_the_best_is_a_difference_of_powers_and_nearer_than_the_bound(case):
    p, scores, n = case
    at_most, below = (np.array([p[holds(scores, s)].sum() for s in scores]) for holds in (np.less_equal, np.less))
    assert_allclose(best_of_n_policy(p, scores, n), at_most ** n - below ** n, rtol=1e-12, atol=1e-14)
    assert best_of_n_kl(p, scores, n) <= best_of_n_kl_bound(n) + 1e-14
    assert n == 1 or best_of_n_kl(p, scores, n) < best_of_n_kl_bound(n)


def test_the_kl_by_hand():
    assert best_of_n_policy([.5, .5], [0.0, 1.0], 2).tolist() == [.25, .75]
    assert round(best_of_n_kl([.5, .5], [0.0, 1.0], 2), 4) == .1308 and round(best_of_n_kl_bound(2), 4) == .1931
    assert best_of_n_kl_bound(1) == 0 and best_of_n_policy([.5, .5], [0.0, 1.0], 2).dtype == float


@pytest.mark.parametrize("n", [2, 4, 16])
def test_where_no_answer_comes_twice_the_bound_is_reached(n):
    gaps = [best_of_n_kl_bound(n) - best_of_n_kl(np.full(Y, 1 / Y), np.arange(float(Y)), n)
            for Y in (10, 100, 1000, 10_000)]
    assert all(before > 5 * after > 0 for before, after in itertools.pairwise(gaps)) and gaps[-1] < 1e-3
    u = (np.arange(10 ** 6) + .5) / 10 ** 6                                     # the integral of equation (3)
    assert_allclose(np.mean(n * u ** (n - 1) * np.log(n * u ** (n - 1))), best_of_n_kl_bound(n), rtol=1e-9)


def test_distribution_has_the_same_function():
    assert distribution.best_of_n is best_of_n


# ---------------------------------------------------------------- from a pool

pools = st.tuples(st.integers(1, 3), st.integers(1, 5)).flatmap(lambda shape: st.tuples(arrays(shape), arrays(shape)))


def by_listing_sets(scores, worth, n):
    """The mean over all sets of n answers of the worth of their best, the first among equals."""
    return np.mean([[row[max(chosen, key=lambda i: (s[i], -i))] for chosen in itertools.combinations(range(len(s)), n)]
                    for s, row in zip(scores, worth, strict=True)])


@given(pools)
@example((np.array([[3.0, 2.0, 1.0]]), np.array([[6.0, 3.0, 0.0]])))
@example((np.array([[1.0, 1.0, 1.0]]), np.array([[6.0, 3.0, 0.0]])))            # equals: the first
def test_the_worth_of_the_best_is_the_mean_over_all_sets_of_answers(pool):
    scores, worth = pool
    for n in range(1, scores.shape[1] + 1):
        assert_allclose(best_of_n_from_pool(scores, worth, n), by_listing_sets(scores, worth, n), rtol=1e-12,
                        atol=1e-12)
        for i, mean in enumerate(best_of_n_by_prompt(scores, worth, n)):
            assert_allclose(mean, by_listing_sets(scores[i:i + 1], worth[i:i + 1], n), rtol=1e-12, atol=1e-12)


def test_the_listing_would_notice_another_n_another_order_and_drawing_with_replacement():
    scores, worth = np.array([[3.0, 2.0, 1.0]]), np.array([[6.0, 3.0, 0.0]])
    assert best_of_n_from_pool(scores, worth, 2) == by_listing_sets(scores, worth, 2) == 5
    others = [best_of_n_from_pool(scores, worth, 3), best_of_n_from_pool(-scores, worth, 2),
              best_of_n(np.full(3, 1 / 3), worth[0], 2)]
    assert_allclose(others, [6, 1, (5 * 6 + 3 * 3) / 9])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_one_pool_estimates_every_n_without_bias(n):
    """All pools of three answers, with their probabilities, against all draws of n."""
    chance, score, gold = np.array([0.5, 0.25, 0.25]), np.array([0.0, 1.0, 2.0]), np.array([4.0, 6.0, -1.0])
    expected = sum(chance[list(drawn)].prod() * gold[max(drawn)] for drawn in itertools.product(range(3), repeat=n))
    found = sum(chance[list(drawn)].prod() * best_of_n_from_pool(score[None, drawn], gold[None, drawn], n)
                for drawn in itertools.product(range(3), repeat=3))
    assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize(("N", "k"), [(8, 4), (5, 1), (5, 5), (6, 2)])
def test_pass_at_k_is_unbiased_and_the_share_to_the_power_k_is_not(N, k):
    p = Fraction(1, 5)
    law = [math.comb(N, c) * p**c * (1 - p)**(N - c) for c in range(N + 1)]
    exact = 1 - (1 - p)**k
    assert_allclose(sum(float(w) * pass_at_k(N, c, k) for c, w in enumerate(law)), float(exact), rtol=1e-12)
    naive = sum(w * (1 - (1 - Fraction(c, N))**k) for c, w in enumerate(law))
    assert (naive == exact) == (k == 1) and naive <= exact
    if (N, k) == (8, 4):
        assert round(float(exact), 4) == .5904 and round(float(naive), 3) == .517


def test_pass_at_k_is_the_best_of_a_pool_of_zeros_and_ones():
    right = np.array([[1.0, 0, 0, 1, 0, 0, 1, 0, 0, 0]])
    for k in range(1, 11):
        assert_allclose(pass_at_k(10, 3, k), best_of_n_from_pool(right, right, k), rtol=1e-12)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: best_of_n_kl_bound(0), ValueError, "n is 0; expected an integer >= 1"),
    (lambda: best_of_n_kl_bound(2.0), TypeError, "n is 2.0; expected an integer >= 1"),
    (lambda: best_of_n_policy([.5, .6], [1.0, 2.0], 2), ValueError, "the sum of probs is 1.1; expected 1"),
    (lambda: best_of_n_from_pool([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]], 0), ValueError,
     r"n is 0; expected an integer in \[1, 3\]"),
    (lambda: best_of_n_from_pool([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]], 4), ValueError,
     r"n is 4; expected an integer in \[1, 3\]"),
    (lambda: best_of_n_from_pool([[1.0, 2.0, 3.0]], [[1.0, 2.0]], 2), ValueError,
     r"the shape of worth is \(1, 2\); expected \(1, 3\), like scores"),
    (lambda: best_of_n_from_pool([1.0, 2.0], [1.0, 2.0], 2), ValueError,
     r"the shape of scores is \(2,\); expected 2 dimensions"),
    (lambda: best_of_n_from_pool([[1.0, math.nan]], [[1.0, 2.0]], 2), ValueError, r"scores\[0, 1\] is nan"),
    (lambda: pass_at_k(4, 5, 1), ValueError, r"right is 5; expected an integer in \[0, 4\]"),
    (lambda: pass_at_k(4, 2, 5), ValueError, r"k is 5; expected an integer in \[1, 4\]")])
def test_what_no_best_can_be_taken_of_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
