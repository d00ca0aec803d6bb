"""TRPO's step on one row: the Fisher matrix, the natural gradient, the region.

By hand.  Three equally likely answers worth 10, 5 and -10: J = 5/3, g = (25, 10, -35) / 9, n = r - 5/3.
"""
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from derivatives import complex_step
from rlscratch.formulas.distribution import expected_reward, expected_reward_grad, softmax
from rlscratch.formulas.kl import kl, kl_optimal_policy
from rlscratch.formulas.policy_gradient import score
from rlscratch.formulas.trust_region import fisher, natural_gradient, trust_region_step
from strategies import arrays, eighths, logits_v

pairs = logits_v().flatmap(lambda z: st.tuples(st.just(z), arrays(z.shape, eighths(-8, 8))))


@given(logits_v())
def test_the_fisher_matrix_is_the_mean_of_scores_and_the_curvature_of_the_kl(z):
    p, scores = softmax(z), np.array([score(z, a) for a in range(len(z))])
    assert_allclose(fisher(z), np.einsum("a,ai,aj->ij", p, scores, scores), atol=1e-14)
    slopes = [complex_step(lambda x, i=i: np.exp(x[i]) / np.exp(x).sum() - p[i], z) for i in range(len(z))]
    assert_allclose(fisher(z), slopes, atol=1e-12)          # since dKL(p || softmax(x)) / dx_i = softmax(x)_i - p_i


@given(pairs)
def test_the_natural_gradient_of_expected_reward_is_the_reward_itself(pair):
    z, r = pair
    n = natural_gradient(z, expected_reward_grad(z, r))
    assert_allclose(n, r - r.mean(), atol=1e-9)
    assert_allclose(fisher(z) @ n, expected_reward_grad(z, r), atol=1e-10)
    assert_allclose(softmax(z + n / 4), kl_optimal_policy(softmax(z), r, beta=4.0), atol=1e-10)     # equation (3)


@given(pairs, st.sampled_from([1e-4, 0.01, 0.5]))
@example((np.array([0.0, 0.375]), np.array([0.125, 0.125])), 1e-4)          # on NumPy a gradient of rounding alone
def test_a_step_stays_in_its_region_and_never_loses(pair, delta):
    z, r = pair
    new = trust_region_step(z, expected_reward_grad(z, r), delta, lambda x: expected_reward(softmax(x), r))
    assert kl(softmax(z), softmax(new)) <= delta
    assert expected_reward(softmax(new), r) >= expected_reward(softmax(z), r) - 1e-12
    if delta == 1e-4 and np.ptp(r) > 0:
        assert kl(softmax(z), softmax(new)) > delta / 16    # it is used, not merely kept


def test_without_the_line_search_the_region_would_be_left():
    z, r = np.array([4.0, 0.0]), np.array([0.0, 1.0])
    g = expected_reward_grad(z, r)
    n = natural_gradient(z, g)
    planted = z + np.sqrt(2 * 0.5 / (g @ n)) * n
    assert kl(softmax(z), softmax(planted)) > 0.5


@pytest.mark.parametrize("scale", [1e-320, 1e-200, 1e300, 1.7e308])
def test_the_step_is_that_of_every_multiple_of_the_gradient(scale):
    def step(g):
        return trust_region_step([0.0, 0.0], [g, -g], 0.01, lambda z: z[0])
    assert_allclose(step(scale), step(1.0), rtol=1e-12)
    assert step(1.0)[0] > 0.1


def test_no_gradient_no_step():
    assert trust_region_step([1.0, 2.0], [0.0, 0.0], 0.1, lambda x: 0.0).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: natural_gradient([0.0, 0.0], [1.0, 1.0]), "the sum of grad is 2.0"),
    (lambda: natural_gradient([0.0, 0.0], [[1.0, -1.0]]), "the shape of grad"),
    (lambda: natural_gradient([-800.0, 0.0], [0.0, 0.0]), "logits is .*; expected logits that give every answer"),
    (lambda: trust_region_step([-800.0, 0.0], [1.0, -1.0], 0.1, lambda x: 0.0), "logits is .*; expected logits that"),
    (lambda: trust_region_step([0.0, 0.0], [1.0, -1.0], 0.0, lambda x: 0.0), "delta is 0.0; expected a finite"),
    (lambda: fisher([0.0, np.inf]), r"logits\[1\] is inf")])
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
