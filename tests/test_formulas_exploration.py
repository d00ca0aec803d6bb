"""Exploration: the index of an optimist, the probability that Thompson sampling takes an arm, and exact regrets.

By hand.  sqrt(2 ln 5 / 4) = .897.  With densities 1 and 2 (1 - p), P(Y > X) = int (1 - x) 2 (1 - x) dx = 2/3.  Greedy
from zeros on arms that pay .7 and .5: it stays with the arm that pays first, which is the worse one in the share that
the test works out.
"""
import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.expectations import bandits
from rlscratch.formulas import td
from rlscratch.formulas.exploration import thompson, ucb_index

counts = st.lists(st.integers(0, 12), min_size=4, max_size=4)


# ---------------------------------------------------------------- the index

@pytest.mark.parametrize("p", [1 / 8, 1 / 2, 7 / 8])
@pytest.mark.parametrize("t", [2, 5, 20])
def test_an_arm_is_worth_more_than_its_index_in_one_case_of_t_to_the_fourth(p, t):
    most, planted = 0.0, 0.0
    for n in range(1, 31):
        ones = np.arange(n + 1)
        chance = np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in ones])
        index = ucb_index(ones / n, np.full(n + 1, n), t)
        assert_allclose(np.exp(-2 * n * (index - ones / n) ** 2), t**-4.0)         # Hoeffding's bound, met exactly
        most = max(most, chance[index <= p].sum())
        planted = max(planted, chance[ones / n + (index - ones / n) / 4 <= p].sum())    # a quarter of the margin
    assert 0 <= most <= t**-4.0 < planted
    assert np.isinf(ucb_index([0.0], [0], t)).all()


# ---------------------------------------------------------------- Thompson sampling

def integral(a, b, c, d):
    """P(Y > X) by Gauss-Legendre: exact, for whole parameters make polynomials."""
    x, w = np.polynomial.legendre.leggauss(60)
    x, w = (x + 1) / 2, w / 2

    def density(y, a, b):
        return math.gamma(a + b) / math.gamma(a) / math.gamma(b) * y ** (a - 1) * (1 - y) ** (b - 1)

    above = [(w * (1 - low) * density(low + (1 - low) * x, c, d)).sum() for low in x]
    return (w * density(x, a, b) * above).sum()


@given(counts)
@example([0, 0, 1, 0])
@example([12, 0, 0, 12])
def test_thompson_is_the_integral_over_both_posteriors(n):
    s0, s1, f0, f1 = n
    found = thompson([s0, s1], [f0, f1])
    assert_allclose(found[1], integral(s0 + 1, f0 + 1, s1 + 1, f1 + 1), rtol=1e-9, atol=1e-12)
    assert_allclose(found, thompson([s1, s0], [f1, f0])[::-1], atol=1e-12)              # the arms' names do not matter
    assert_allclose(found, thompson([f0, f1], [s0, s1])[::-1], atol=1e-12)              # nor whether 1 is good


def test_a_planted_success_too_many_is_seen():
    assert abs(thompson([3, 2], [1, 2])[1] - integral(4, 2, 4, 3)) > 0.05


def test_thompson_takes_rows_of_any_shape():
    s, f = np.arange(12).reshape(2, 3, 2), np.ones((2, 3, 2), int)
    found = thompson(s, f)
    assert found.shape == (2, 3, 2)
    assert_allclose(found[1, 2], thompson(s[1, 2], f[1, 2]), rtol=1e-13)


# ---------------------------------------------------------------- exact regrets

def greedy(epsilon):
    def rule(successes, failures, t):
        mean = successes / np.maximum(successes + failures, 1)
        return td.epsilon_greedy(mean, epsilon, ties="share")

    return rule


def optimist(successes, failures, t):
    n = successes + failures
    return td.epsilon_greedy(np.minimum(ucb_index(successes / np.maximum(n, 1), n, t + 1), 1e9), 0.0, ties="share")


def by_draws(successes, failures, t):
    return thompson(successes, failures)


RULES = {"greedy": greedy(0.0), "epsilon": greedy(0.25), "optimist": optimist, "thompson": by_draws}


def enumerated(probs, rule, horizon):
    """Regret over all sequences of arms and rewards, one by one."""
    total = np.zeros(horizon)
    for arms in itertools.product((0, 1), repeat=horizon):
        for rewards in itertools.product((0, 1), repeat=horizon):
            chance, missed, seen = 1.0, [], np.zeros((2, 1, 2), int)
            for t, (a, r) in enumerate(zip(arms, rewards, strict=True)):
                chance *= rule(seen[0], seen[1], t)[0, a] * (probs[a] if r else 1 - probs[a])
                seen[1 - r, 0, a] += 1
                missed.append(max(probs) - probs[a])
            total += chance * np.cumsum(missed)
    return total


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("probs", [(0.7, 0.5), (0.125, 0.25), (1.0, 0.0), (0.5, 0.5)])
def test_the_regret_is_that_of_all_sequences_one_by_one(name, probs):
    assert_allclose(bandits.regret(probs, RULES[name], 4), enumerated(probs, RULES[name], 4), atol=1e-12)


def test_greedy_stays_for_good_with_the_arm_that_pays_first():
    """Ties are shared until the first 1: arm 1 is it with probability .5 / 1.2.  From there each step misses .2."""
    steps = np.diff(bandits.regret([0.7, 0.5], greedy(0.0), 60))
    assert_allclose(steps[-1], 0.2 * 0.5 / 1.2, atol=1e-9)


@pytest.mark.parametrize("p", [(0.75, 0.25), (0.25, 0.5)])
def test_the_optimist_keeps_the_bound_that_is_proven_of_it(p):
    found, gap, t = bandits.regret(p, optimist, 50), abs(p[0] - p[1]), np.arange(1, 51)
    assert (found <= 8 * np.log(t) / gap + (1 + np.pi**2 / 3) * gap).all()
    assert found[-1] - found[24] < 0.9 * found[24]                      # less than half of it falls in the second half
    fixed = np.diff(bandits.regret(p, greedy(0.25), 50))
    assert (fixed > 0.25 / 2 * gap - 1e-12).all()                       # epsilon's grows by epsilon gap / 2 a step


# ---------------------------------------------------------------- what is refused

@pytest.mark.parametrize(("call", "message"), [
    (lambda: ucb_index([0.5], [-1], 1), r"tries\[0\] is -1.0; expected a number in \[0, inf\]"),
    (lambda: ucb_index([1.5], [1], 1), r"mean\[0\] is 1.5; expected a number in \[0, 1\]"),
    (lambda: ucb_index([0.5], [1], 0), "t is 0; expected an integer >= 1"),
    (lambda: thompson([1, 2, 3], [1, 2, 3]), r"the shape of successes is \(3,\); expected \(..., 2\)"),
    (lambda: thompson([1, 2], [-1, 2]), r"failures\[0\] is -1"),
    (lambda: thompson([1, 2], [[1, 2]]), "the shape of failures"),
    (lambda: bandits.tries([0.5, 1.5], by_draws, 2), r"probs\[1\] is 1.5"),
    (lambda: bandits.tries([0.5], by_draws, 2), "the shape of probs"),
    (lambda: bandits.tries([0.5, 0.5], by_draws, 0), "horizon is 0"),
    (lambda: bandits.tries([0.5, 0.5], lambda s, f, t: np.ones((len(s), 2)), 2), r"the sum of rule\[0\] is 2.0"),
    (lambda: bandits.tries([0.5, 0.5], lambda s, f, t: np.array([[1.0]]), 2), "the shape of rule")])
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
