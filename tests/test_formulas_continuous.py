"""Gaussian policies: everything by quadrature, nothing by sampling.

Gauss-Hermite with n nodes is exact for polynomials of degree 2n - 1, and all that is asked here is a polynomial in e.
The last proof is a control problem: s' = s + a/2, reward -(s^2 + a^2/4), a drawn around k s with width sigma, three
steps.  Its J is a sum of second moments, in closed form; what REINFORCE gives on average is an integral over
three Gaussians; they agree to the last digits.
"""
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from derivatives import complex_step
from rlscratch.formulas import continuous, ppo
from strategies import arrays, eighths

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def at(mean, log_std):
    """Nodes of the Gaussian, (24, 1)."""
    return (mean + np.exp(log_std) * NODES)[:, None]


def logp(mean, log_std, a):
    return continuous.gaussian_logp(np.full(a.shape, mean), np.full(a.shape, log_std), a)


def density(mean, log_std, a):
    return np.exp(-((a - mean) / np.exp(log_std)) ** 2 / 2) / np.exp(log_std) / math.sqrt(2 * math.pi)


# ---------------------------------------------------------------- (1) to (4)

@given(eighths(), eighths(-2, 1), eighths(), eighths(-2, 1))
def test_the_density_and_its_moments_by_quadrature(mean, log_std, mean_ref, log_std_ref):
    a = at(mean, log_std)
    ours = logp(mean, log_std, a)
    assert_allclose(np.exp(ours), density(mean, log_std, a[:, 0]), rtol=1e-9)
    assert_allclose(continuous.gaussian_entropy([log_std]), -WEIGHTS @ ours, atol=1e-9)
    assert_allclose(continuous.gaussian_kl([mean], [log_std], [mean_ref], [log_std_ref]),
                    WEIGHTS @ (ours - logp(mean_ref, log_std_ref, a)), rtol=1e-9, atol=1e-9)


@given(eighths(), eighths(-2, 1))
def test_an_action_is_drawn_from_the_density(mean, log_std):
    """Moments of what is drawn, by quadrature over the noise."""
    a = continuous.gaussian_draw(np.full((24, 1), mean), [log_std], NODES[:, None])[:, 0]
    assert_allclose(a, at(mean, log_std)[:, 0], rtol=1e-12, atol=1e-12)
    assert_allclose([WEIGHTS @ a, WEIGHTS @ (a - mean) ** 2], [mean, np.exp(2 * log_std)], rtol=1e-9, atol=1e-9)


def test_several_dimensions_add_up():
    mean, log_std, a = np.arange(6.0).reshape(2, 3) / 8, np.full((1, 3), -0.5), np.ones((2, 3))
    found = continuous.gaussian_logp(mean, log_std, a)
    assert found.shape == (2,)
    assert_allclose(found, [sum(logp(m, -0.5, np.ones((1, 1)))[0] for m in row) for row in mean])


@given(arrays((2, 3)), arrays((2, 3), eighths(-2, 1)), arrays((2, 3)))
def test_the_score_is_the_derivative_of_the_log_density(mean, log_std, a):
    of_mean, of_log_std = continuous.gaussian_score(mean, log_std, a)
    assert_allclose(of_mean, complex_step(lambda m: continuous.gaussian_logp(m, log_std, a).sum(), mean), rtol=1e-9,
                    atol=1e-9)
    assert_allclose(of_log_std, complex_step(lambda m: continuous.gaussian_logp(mean, m, a).sum(), log_std), rtol=1e-9,
                    atol=1e-9)


@given(eighths(), eighths(-2, 1))
def test_both_scores_have_mean_0_and_the_fisher_information(mean, log_std):
    a = at(mean, log_std)
    u, v = (x[:, 0] for x in continuous.gaussian_score(np.full(a.shape, mean), np.full(a.shape, log_std), a))
    assert_allclose([WEIGHTS @ u, WEIGHTS @ v, WEIGHTS @ (u * v)], 0, atol=1e-9 * np.exp(-log_std))
    assert_allclose([WEIGHTS @ (u * u), WEIGHTS @ (v * v)], [np.exp(-2 * log_std), 2], rtol=1e-8)


# ---------------------------------------------------------------- two gradients, (5) and (6)

@given(eighths(), eighths(-2, 1), eighths())
def test_both_gradients_have_one_mean_and_the_variances_of_the_docstring(mean, log_std, c):
    a, s2, m = at(mean, log_std), np.exp(2 * log_std), mean - c
    f, slope = -((a[:, 0] - c) ** 2) / 2, -(a[:, 0] - c)
    score = continuous.gaussian_score(np.full(a.shape, mean), np.full(a.shape, log_std), a)[0][:, 0]
    by_score, held = f * score, (f + m * m / 2) * score
    for sample in (by_score, held, slope):
        assert_allclose(WEIGHTS @ sample, -m, atol=1e-6)
    variance = [WEIGHTS @ x**2 - m * m for x in (by_score, held, slope)]
    assert_allclose(variance[0], m**4 / (4 * s2) + 3.5 * m * m + 3.75 * s2, rtol=1e-6, atol=1e-6)
    assert_allclose(variance[1], 2 * m * m + 3.75 * s2, rtol=1e-6, atol=1e-6)
    assert_allclose(variance[2], s2, rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------- tanh

@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.75, -1.0), (-1.0, -0.25)])
def test_a_squashed_action_has_a_density_that_adds_to_1(mean, log_std):
    x, w = np.polynomial.legendre.leggauss(400)
    u = np.arctanh(x)[:, None]
    found = np.exp(logp(mean, log_std, u) - continuous.tanh_correction(u))
    assert_allclose(w @ found, 1, atol=1e-5)
    assert_allclose(w @ (found * x), WEIGHTS @ np.tanh(at(mean, log_std)[:, 0]), atol=1e-4)     # the mean action
    assert abs(w @ np.exp(logp(mean, log_std, u)) - 1) > 0.01                                   # planted: forgotten


@given(arrays((4,), eighths(-5, 5)))
def test_the_correction_is_the_logarithm_of_the_slope(u):
    assert_allclose(continuous.tanh_correction(u), np.log(1 - np.tanh(u) ** 2).sum(), rtol=1e-6, atol=1e-9)
    assert np.isfinite(continuous.tanh_correction(200 * u))


# ---------------------------------------------------------------- PPO

@given(arrays((2, 3), eighths(-3, 0)), arrays((2, 3), eighths(-3, 0)), arrays((2, 3)), st.sampled_from([0.0, 4.0]))
def test_ppo_on_densities_is_ppo_wherever_both_are_defined(new, old, advantage, up):
    weight = np.ones((2, 3)) / 6
    assert_allclose(continuous.density_clip_loss(new + up, old + up, advantage, weight),
                    ppo.ppo_clip_loss(new, old, advantage, weight), rtol=1e-12, atol=1e-12)
    assert_allclose(continuous.density_clip_grad(new + up, old + up, advantage, weight),
                    ppo.ppo_clip_grad(new, old, advantage, weight), rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- a linear-quadratic problem, exactly

S0, SIGMA, STEPS = 1.5, 0.5, 3


def total(k):
    """J: E s_t^2 goes from step to step, as s' = (1 + k/2) s + sigma e / 2; E a^2 = k^2 s^2 + sigma^2."""
    second, j = S0 * S0, 0.0
    for _ in range(STEPS):
        j = j - (second + (k * k * second + SIGMA**2) / 4)
        second = (1 + k / 2) ** 2 * second + SIGMA**2 / 4
    return j


def by_quadrature(k, to_go=True, wrong=0.0):
    """E of REINFORCE's estimate of dJ/dk, over the three Gaussians: 6^3 nodes are exact for degree 11."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    weights = weights / weights.sum()
    mean = 0.0
    for picks in itertools.product(range(6), repeat=STEPS):
        s, scores, rewards = S0, [], []
        for i in picks:
            a = k * s + SIGMA * nodes[i]
            of_mean = continuous.gaussian_score([k * s], [math.log(SIGMA) + wrong], [a])[0][0]
            scores.append(of_mean * s)                                      # d(k s) / dk = s
            rewards.append(-(s * s + a * a / 4))
            s = s + a / 2
        weigh = [sum(rewards[t:]) if to_go else sum(rewards) for t in range(STEPS)]
        mean += math.prod(weights[i] for i in picks) * np.dot(scores, weigh)
    return mean


@pytest.mark.parametrize("k", [-1.5, -0.5, 0.25])
@pytest.mark.parametrize("to_go", [True, False])
def test_the_policy_gradient_of_a_control_problem_is_what_reinforce_gives_on_average(k, to_go):
    exact = complex_step(lambda x: total(x[0]), np.array([k]))[0]
    assert_allclose(by_quadrature(k, to_go), exact, rtol=1e-10)
    assert abs(by_quadrature(k, to_go, wrong=0.01) - exact) > 1e-3 * abs(exact)     # planted: a width that is not sigma


# ---------------------------------------------------------------- far out

@pytest.mark.parametrize(("found", "expected"), [
    (continuous.gaussian_logp([0.0], [-710.0], [0.0]), 710 - math.log(2 * math.pi) / 2),
    (continuous.gaussian_logp(*np.float32([[0], [-90], [0]])), 90 - math.log(2 * math.pi) / 2),
    (continuous.gaussian_logp([1.5e308], [800.0], [-1.5e308]), -800 - math.log(2 * math.pi) / 2),
    (continuous.gaussian_score([0.0], [-800.0], [0.0]), [[0.0], [-1.0]]),
    (continuous.gaussian_kl([0.1], [-710.0], [0.1], [-710.0]), 0.0),
    (continuous.gaussian_kl([0.0], [0.0], [0.0], [-800.0]), np.inf),
    (continuous.gaussian_kl([0.0], [1.7e308], [0.0], [-1.7e308]), np.inf),
    (continuous.gaussian_draw([1.0], [800.0], [0.0]), [1.0]),
    (continuous.gaussian_draw([0.0], [720.0], [1e-10]), [math.exp(720 - math.log(1e10))])])
def test_a_width_whose_exponential_is_no_double_gives_the_value_that_is_one(found, expected):
    assert_allclose(found, expected, rtol=1e-6)


# ---------------------------------------------------------------- what is refused

@pytest.mark.parametrize(("call", "message"), [
    (lambda: continuous.gaussian_logp([0.0], [0.0], [np.nan]), r"action\[0\] is nan; expected finite numbers"),
    (lambda: continuous.gaussian_logp([[0.0, 0.0]], [0.0], [[0.0, 0.0]]), "the shape of log_std"),
    (lambda: continuous.gaussian_draw([1.0], [0.0, 1.0], [0.0]), r"the shape of log_std is \(2,\); expected \(1,\)"),
    (lambda: continuous.gaussian_draw([[1.0], [1.0]], np.zeros((3, 1)), [[0.0], [0.0]]), "the shape of log_std"),
    (lambda: continuous.tanh_correction(0.0), "the shape of u"),
    (lambda: continuous.density_clip_loss([1.0], [1.0], [1.0], [-1.0]), r"weight\[0\] is -1.0; expected weights >= 0"),
    (lambda: continuous.density_clip_grad([900.0], [1.0], [1.0], [1.0]), r"\(logp - logp_old\)\[0\] is 899.0")])
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_distance_that_is_no_double_is_measured_in_sigmas():
    """3e308 is beyond the doubles; by hand e = exp(log 3 + 308 log 10 - 700) = 29,579 of these sigmas."""
    e = math.exp(math.log(3) + 308 * math.log(10) - 700)
    _, by_log_std = continuous.gaussian_score([-1.5e308], [700.0], [1.5e308])
    assert_allclose(by_log_std, [e * e - 1], rtol=1e-12)
    assert_allclose(continuous.gaussian_kl([1.5e308], [700.0], [-1.5e308], [700.0]), e * e / 2, rtol=1e-12)
