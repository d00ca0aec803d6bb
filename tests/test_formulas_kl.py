"""KL(pi || q), its estimators, the penalised objective and its optimum.

Document 003, one sample: R = 1, pi = .6, q = .5, beta = .01.

    log .6 = -.511,  log .5 = -.693,  1 + (-.511) - (-.693) = 1.182,  1 - .01 * 1.182 = .988

The capital of France, before [.4, .3, .2, .1] and after [.8, .1, .05, .05]: KL(after || before)
= .340684, E[R] from .43 to .815, so the penalty eats the gain of .385 at beta = 1.130078.  (With
the rounded .340684 the quotient is 1.130079.)

The policy settings 50/20/30 become 75/10/15: exactly q exp(R / beta) / Z for R = [.9, .1, .1]
and beta = .8 / ln 3.
"""
import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from derivatives import central_difference, complex_step
from rlscratch.formulas.kl import (
    adaptive_beta,
    kl,
    kl_coefficient,
    kl_k1,
    kl_k1_grad,
    kl_k2,
    kl_k2_grad,
    kl_k3,
    kl_k3_grad,
    kl_objective,
    kl_objective_grad,
    kl_optimal_policy,
)
from rlscratch.formulas.policy_gradient import score
from strategies import arrays, batches_bt, eighths, logits_nv, probs_of

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

BEFORE, AFTER, R_FRANCE = np.array([.4, .3, .2, .1]), np.array([.8, .1, .05, .05]), np.array([1., 0., 0., .3])
SETTINGS, R_SETTINGS, BETA_SETTINGS = np.array([.5, .2, .3]), np.array([.9, .1, .1]), .8 / np.log(3)

betas = st.integers(1, 32).map(lambda k: k / 8)
policies = st.integers(2, 5).flatmap(lambda v: st.tuples(arrays((v,), eighths(-2, 2)), probs_of(v)))
bandits = st.integers(2, 5).flatmap(
    lambda v: st.tuples(arrays((v,), eighths(-2, 2)), probs_of(v), arrays((v,), eighths(-4, 4)), betas))
FRANCE = np.log(BEFORE), AFTER, R_FRANCE, 0.5


def probabilities(z):
    w = np.exp(z - z.real.max(axis=-1, keepdims=True))
    return w / w.sum(axis=-1, keepdims=True)


def forward_kl(z, q):
    """KL(pi || q) as a function of the logits, written a second time."""
    p = probabilities(z)
    return (p * (np.log(p) - np.log(q))).sum()


def reverse_kl(z, q):
    return (q * (np.log(q) - np.log(probabilities(z)))).sum()


def gradient(f, z, q):
    return complex_step(lambda y: f(y, q), z)


def mean_score_times(z, values):
    """E[values(a) score(a)] by enumeration of the answers."""
    scores = np.array([score(z, a) for a in range(z.size)])
    return (probabilities(z) * values) @ scores


def in_the_loss(grad, z, q):
    """The mean gradient when k is a differentiated term of the loss."""
    return mean_score_times(z, grad(np.log(probabilities(z)), np.log(q)))


def in_the_reward(k, z, q):
    """The mean gradient when k is a number that is subtracted from the reward (sign left out)."""
    return mean_score_times(z, k(np.log(probabilities(z)), np.log(q)))


def assert_is_gradient(grad, f, x):
    assert_allclose(grad, complex_step(f, x), rtol=1e-9, atol=1e-12)
    assert_allclose(grad, central_difference(lambda y: np.real(f(y)), x), rtol=1e-6, atol=1e-8)


# ---------------------------------------------------------------- exact KL

def test_the_price_of_the_france_update():
    assert_allclose(kl(AFTER, BEFORE), .340684, atol=5e-7)
    gain = AFTER @ R_FRANCE - BEFORE @ R_FRANCE
    assert_allclose(gain / kl(AFTER, BEFORE), 1.130078, rtol=0, atol=5e-7)
    assert_allclose(gain / .340684, 1.130079, rtol=0, atol=5e-7)
    assert kl_objective(AFTER, BEFORE, R_FRANCE, 1.130078) > .43 > kl_objective(AFTER, BEFORE, R_FRANCE, 1.130079)


@given(policies)
@example((np.log(AFTER), BEFORE))
def test_kl_is_the_sum_it_says_is_never_negative_and_is_zero_at_home(policy):
    z, q = policy
    p = probabilities(z)
    assert_allclose(kl(p, q), sum(a * np.log(a / b) for a, b in zip(p, q, strict=True)), rtol=1e-12, atol=1e-15)
    assert kl(p, q) > -1e-15
    assert kl(p, p) == 0


@given(policies, policies)
def test_the_kl_of_independent_tokens_adds_up(first, second):
    (z1, q1), (z2, q2) = first, second
    p1, p2 = probabilities(z1), probabilities(z2)
    assert_allclose(kl(np.outer(p1, p2).ravel(), np.outer(q1, q2).ravel()), kl(p1, q1) + kl(p2, q2), atol=1e-12)


def test_zeros_of_the_policy_are_free_and_zeros_of_the_reference_are_infinite():
    p, q = [[.5, .5, 0], [1, 0, 0], [0, 0, 1], [.5, .5, 0]], [[.25, .25, .5], [.5, .5, 0], [.5, .5, 0], [.5, .5, 0]]
    assert_allclose(kl(p, q), [np.log(2), np.log(2), np.inf, 0])


def test_kl_is_not_symmetric_and_takes_the_policy_first():
    assert_allclose(kl([1., 0.], [.5, .5]), np.log(2))
    assert kl([.5, .5], [1., 0.]) == np.inf


# ---------------------------------------------------------------- k1, k2, k3: values and derivatives

@given(policies)
@example((np.log([.6, .4]), np.array([.5, .5])))
@example((np.log(AFTER), BEFORE))
def test_k1_and_k3_are_unbiased(policy):
    z, q = policy
    p = probabilities(z)
    for k in (kl_k1, kl_k3):
        assert_allclose(p @ k(np.log(p), np.log(q)), kl(p, q), rtol=1e-9, atol=1e-14)


def test_k3_misses_the_mass_that_the_policy_never_samples():
    p, q = np.array([.75, .25, 0]), np.array([.5, .25, .25])
    sampled = p > 0
    logp, logp_ref = np.log(p[sampled]), np.log(q[sampled])
    assert_allclose(p[sampled] @ kl_k1(logp, logp_ref), kl(p, q))
    assert_allclose(p[sampled] @ kl_k3(logp, logp_ref), kl(p, q) - .25)


def test_k2_is_wrong_in_the_third_order_only():
    direction, q = np.array([1.0, -.5, .25]), np.array([.5, .3, .2])

    def error(step):
        p = probabilities(np.log(q) + step * direction)
        return p @ kl_k2(np.log(p), np.log(q)) - kl(p, q)

    assert abs(error(.01)) > 1e-8
    assert_allclose(error(.01) / error(.005), 8, rtol=.02)


@given(arrays((4,), eighths(-3, 0)), arrays((4,), eighths(-3, 0)))
def test_k2_and_k3_are_never_negative_and_zero_at_home(logp, logp_ref):
    for k in (kl_k2, kl_k3):
        assert (k(logp, logp_ref) >= 0).all()
        assert ((k(logp, logp_ref) == 0) == (logp == logp_ref)).all()


@pytest.mark.parametrize(("k", "grad"), [(kl_k1, kl_k1_grad), (kl_k2, kl_k2_grad), (kl_k3, kl_k3_grad)])
@given(batch=batches_bt("logp", "ref"))
def test_each_derivative_is_the_derivative(k, grad, batch):
    got = grad(batch["logp"], batch["ref"])
    assert got.shape == batch["logp"].shape
    assert_is_gradient(got, lambda y: k(y, batch["ref"]).sum(), batch["logp"])


def test_k3_keeps_its_digits_near_home():
    tiny = 1e-9
    assert_allclose(kl_k3(tiny, 0.0), tiny ** 2 / 2, rtol=1e-6)
    assert abs(np.exp(-tiny) - 1 + tiny - tiny ** 2 / 2) > tiny ** 2          # without expm1: none left
    assert_allclose(kl_k3_grad(tiny, 0.0), tiny, rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_from_home_k3_is_infinite_without_a_warning(dtype):
    far, home = np.array([-1000.0], dtype), np.zeros(1, dtype)
    assert kl_k3(far, home) == np.inf and kl_k3_grad(far, home) == -np.inf
    assert_allclose(kl_k3(home, far), 999)


def test_types_follow_the_first_argument():
    logp = np.log(BEFORE).astype(np.float32)
    for f in (kl_k1, kl_k2, kl_k3, kl_k1_grad, kl_k2_grad, kl_k3_grad):
        assert f(logp, logp).dtype == np.float32
    for grad in (kl_k1_grad, kl_k2_grad, kl_k3_grad):
        assert grad(logp, np.log(AFTER)).dtype == np.float32
    assert kl_objective_grad(logp, AFTER, R_FRANCE, .5).dtype == np.float32
    assert type(kl_objective(BEFORE, AFTER, R_FRANCE, .5)) is float
    single = [a.astype(np.float32) for a in (AFTER, BEFORE)]
    assert kl(*single).dtype == np.float32
    assert_allclose(kl(*single), kl(AFTER, BEFORE), rtol=1e-6)
    assert kl_optimal_policy(single[0], R_FRANCE.astype(np.float32), .5).dtype == np.float32


# ---------------------------------------------------------------- which divergence descends

@given(policies)
@example((np.log(AFTER), BEFORE))
def test_in_the_loss_k1_does_nothing(policy):
    assert_allclose(in_the_loss(kl_k1_grad, *policy), 0, atol=1e-15)


@given(policies)
@example((np.log(AFTER), BEFORE))
def test_in_the_loss_k2_descends_the_kl_of_policy_to_reference(policy):
    assert_allclose(in_the_loss(kl_k2_grad, *policy), gradient(forward_kl, *policy), rtol=1e-9, atol=1e-12)


@given(policies)
@example((np.log(AFTER), BEFORE))
def test_in_the_loss_k3_descends_the_reverse_kl(policy):
    assert_allclose(in_the_loss(kl_k3_grad, *policy), gradient(reverse_kl, *policy), rtol=1e-9, atol=1e-12)


@given(policies)
@example((np.log(AFTER), BEFORE))
def test_in_the_reward_k1_descends_the_kl_of_policy_to_reference(policy):
    assert_allclose(in_the_reward(kl_k1, *policy), gradient(forward_kl, *policy), rtol=1e-9, atol=1e-12)


@given(policies)
@example((np.log(AFTER), BEFORE))
def test_in_the_reward_k2_descends_its_own_mean_minus_the_kl(policy):
    def mean_k2(z, q):
        p = probabilities(z)
        return (p * kl_k2(np.log(p), np.log(q))).sum()

    want = gradient(mean_k2, *policy) - gradient(forward_kl, *policy)
    assert_allclose(in_the_reward(kl_k2, *policy), want, rtol=1e-9, atol=1e-12)


@given(policies)
@example((np.log(AFTER), BEFORE))
def test_in_the_reward_k3_descends_one_kl_and_climbs_the_other(policy):
    want = gradient(forward_kl, *policy) - gradient(reverse_kl, *policy)
    assert_allclose(in_the_reward(kl_k3, *policy), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("k", "grad"), [(kl_k1, kl_k1_grad), (kl_k2, kl_k2_grad), (kl_k3, kl_k3_grad)])
@given(policy=policies)
def test_loss_and_reward_together_are_the_gradient_of_the_mean(k, grad, policy):
    def mean(z, q):
        p = probabilities(z)
        return (p * k(np.log(p), np.log(q))).sum()

    both = in_the_loss(grad, *policy) + in_the_reward(k, *policy)
    assert_allclose(both, gradient(mean, *policy), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("k", [kl_k2, kl_k3])
@pytest.mark.parametrize(("p", "q", "away"), [
    ([.82, .18], [.8, .2], True), ([.78, .22], [.8, .2], False),               # the same way on both sides
    ([.6, .4], [.5, .5], True), ([.4, .6], [.5, .5], True),                    # away on both sides
])
def test_k2_and_k3_in_the_reward_do_not_pull_back(k, p, q, away):
    z = np.log(p)
    pull = gradient(forward_kl, z, q)[0]
    assert np.sign(pull) == np.sign(p[0] - q[0])                # descending KL returns to q
    assert (np.sign(in_the_reward(k, z, q)[0]) != np.sign(pull)) == away


def test_in_sequences_the_reward_needs_later_tokens_and_the_loss_misses_them():
    z = np.array([[.5, -.5], [1.0, 0.0], [-.25, .75]])          # prefix: empty, first token 0, first token 1
    log_q = np.log([[.3, .7], [.5, .5], [.8, .2]])

    def sequence_kl(y, frozen=None):
        p = probabilities(y)
        reached = p[0] if frozen is None else frozen
        each = (p * (np.log(p) - log_q)).sum(axis=1)
        return each[0] + reached @ each[1:]

    reward, loss = np.zeros_like(z), np.zeros_like(z)
    p = probabilities(z)
    for first, second in itertools.product((0, 1), repeat=2):
        here = np.array([0, 1 + first]), np.array([first, second])
        probability, d = p[here].prod(), kl_k1(np.log(p[here]), log_q[here])
        scores = score(z[here[0]], here[1])
        np.add.at(reward, here[0], probability * np.array([d.sum(), d[1]])[:, None] * scores)
        np.add.at(loss, here[0], probability * kl_k2_grad(np.log(p[here]), log_q[here])[:, None] * scores)
    assert_allclose(reward, complex_step(sequence_kl, z), rtol=1e-9, atol=1e-12)
    assert_allclose(loss, complex_step(lambda y: sequence_kl(y, frozen=p[0]), z), rtol=1e-9, atol=1e-12)
    assert abs(reward - loss).max() > .01


# ---------------------------------------------------------------- the coefficient

def test_the_document_s_coefficient_and_its_steps():
    assert_allclose([np.log(.6), np.log(.5)], [-.511, -.693], atol=5e-4)
    assert_allclose(1 + kl_k1(np.log(.6), np.log(.5)), 1.182, atol=5e-4)
    assert_allclose(kl_coefficient(1.0, np.log(.6), np.log(.5), .01), .988177, atol=5e-7)
    assert_allclose(1.0 - .01 * kl_k1(np.log(.6), np.log(.5)), .998177, atol=5e-7)


@given(bandits)
@example(FRANCE)
def test_the_coefficient_times_the_score_is_the_gradient_and_the_1_is_a_baseline(bandit):
    z, q, rewards, beta = bandit
    logp = np.log(probabilities(z))
    exact = kl_objective_grad(z, q, rewards, beta)
    coefficient = kl_coefficient(rewards, logp, np.log(q), beta)
    assert_allclose(mean_score_times(z, coefficient), exact, rtol=1e-9, atol=1e-12)
    assert_allclose(mean_score_times(z, coefficient + beta), exact, rtol=1e-9, atol=1e-12)
    assert_allclose(coefficient + beta, rewards - beta * kl_k1(logp, np.log(q)), atol=1e-12)


def test_a_reward_for_the_whole_answer_spreads_over_its_tokens():
    logp = np.log([[.5, .25], [.2, .1]])
    assert_allclose(kl_coefficient([[1.], [2.]], logp, logp, .5), [[.5, .5], [1.5, 1.5]])


# ---------------------------------------------------------------- the objective and its gradient

@given(bandits)
@example(FRANCE)
def test_the_gradient_is_the_gradient_of_the_objective(bandit):
    z, *arguments = bandit
    assert_is_gradient(kl_objective_grad(z, *arguments), lambda y: kl_objective(probabilities(y), *arguments), z)


@given(logits_nv(), st.data())
def test_queries_are_averaged_with_their_probabilities(z, data):
    x, y = z.shape
    ref = np.array([data.draw(probs_of(y)) for _ in range(x)])
    rewards, share, beta = data.draw(arrays((x, y))), data.draw(probs_of(x)), data.draw(betas)
    p = probabilities(z)
    rows = [kl_objective(p[i], ref[i], rewards[i], beta) for i in range(x)]
    assert_allclose(kl_objective(p, ref, rewards, beta, query_probs=share), share @ rows, rtol=1e-9, atol=1e-12)
    assert_is_gradient(kl_objective_grad(z, ref, rewards, beta, share),
                       lambda y: kl_objective(probabilities(y), ref, rewards, beta, share), z)


def test_without_penalty_the_gradient_is_the_one_of_expected_reward():
    assert_allclose(kl_objective(BEFORE, AFTER, R_FRANCE, 0), .43)
    assert_allclose(kl_objective_grad(np.log(BEFORE), AFTER, R_FRANCE, 0), [.228, -.129, -.086, -.013], atol=1e-15)


def test_a_policy_outside_the_reference_is_infinitely_bad_and_has_no_gradient():
    p, ref, rewards = [.5, .25, .25], [.5, 0, .5], [1., 2., 3.]
    assert kl_objective(p, ref, rewards, .5) == -np.inf
    assert_allclose(kl_objective(p, ref, rewards, 0), 1.75)
    with pytest.raises(ValueError, match=r"ref\[1\] is 0.0; expected > 0 where the policy is > 0"):
        kl_objective_grad(np.log(p), ref, rewards, .5)
    assert np.isfinite(kl_objective_grad(np.log(p), ref, rewards, 0)).all()
    z = np.array([0, -np.inf, 1.0])
    inside = kl_objective_grad(z, ref, rewards, .5)
    assert_allclose(inside, np.insert(kl_objective_grad(z[[0, 2]], [.5, .5], [1., 3.], .5), 1, 0), atol=1e-15)


def test_a_query_that_never_comes_costs_nothing():
    p, ref, rewards = [[.5, .5], [.5, .5]], [[1., 0.], [.25, .75]], [[1., 0.], [1., 0.]]
    alone = kl_objective(p[1], ref[1], rewards[1], 2.)
    assert_allclose(kl_objective(p, ref, rewards, 2., query_probs=[0, 1]), alone)
    assert kl_objective(p, ref, rewards, 2., query_probs=[.5, .5]) == -np.inf
    grad = kl_objective_grad(np.log(p), ref, rewards, 2., [0, 1])
    assert_allclose(grad, [[0, 0], kl_objective_grad(np.log(p[1]), ref[1], rewards[1], 2.)])


# ---------------------------------------------------------------- the optimal policy

def test_the_policy_settings_are_an_optimum():
    assert_allclose(kl_optimal_policy(SETTINGS, R_SETTINGS, BETA_SETTINGS), [.75, .1, .15], rtol=1e-12)


def test_the_france_update_is_the_optimum_of_no_beta():
    assert R_FRANCE[1] == R_FRANCE[2]
    assert_allclose((AFTER / BEFORE)[1:3], [1 / 3, 1 / 4])
    for beta in (.1, .5, 1., 2.):
        tilt = kl_optimal_policy(BEFORE, R_FRANCE, beta) / BEFORE
        assert_allclose(tilt[1], tilt[2])


@given(bandits)
@example((np.log(SETTINGS), SETTINGS, R_SETTINGS, BETA_SETTINGS))
@example(FRANCE)
def test_the_optimum_is_worth_beta_log_z_and_every_other_policy_less_by_its_kl(bandit):
    z, q, rewards, beta = bandit
    best = kl_optimal_policy(q, rewards, beta)
    worth = beta * np.log((q * np.exp(rewards / beta)).sum())
    assert_allclose(kl_objective(best, q, rewards, beta), worth, rtol=1e-9, atol=1e-9)
    p = probabilities(z)
    assert_allclose(kl_objective(p, q, rewards, beta), worth - beta * kl(p, best), rtol=1e-9, atol=1e-9)


@given(bandits)
@example((np.log(SETTINGS), SETTINGS, R_SETTINGS, BETA_SETTINGS))
def test_the_gradient_vanishes_at_the_optimum(bandit):
    _, q, rewards, beta = bandit
    with np.errstate(divide="ignore"):
        z = np.log(kl_optimal_policy(q, rewards, beta))
    assert_allclose(kl_objective_grad(z, q, rewards, beta), 0, atol=1e-12)


@given(bandits, eighths(-10, 10))
def test_the_optimum_ignores_the_origin_of_reward(bandit, shift):
    _, q, rewards, beta = bandit
    assert_allclose(kl_optimal_policy(q, rewards + shift, beta), kl_optimal_policy(q, rewards, beta), atol=1e-14)


def test_the_optimum_between_no_penalty_and_all_penalty():
    ref, rewards = np.array([.5, .125, .375]), [0., 1., 1.]
    for tiny in (1e-3, 1e-300, 5e-324):
        assert_allclose(kl_optimal_policy(ref, rewards, tiny), [0, .25, .75])
    assert_allclose(kl_optimal_policy(ref, rewards, 1e12), ref)
    assert_allclose(kl_optimal_policy(ref, [1000., 0., 2000.], 1.), [0, 0, 1])


def test_what_the_reference_cannot_say_stays_impossible_whatever_it_earns():
    for beta in (.5, 1e-308):
        best = kl_optimal_policy([[.5, 0, .5]], [[0., 100., 0.]], beta)
        assert_allclose(best, [[.5, 0, .5]])
    best = kl_optimal_policy([.5, 0, .5], [1., 100., 0.], .5)
    assert_allclose(kl_objective(best, [.5, 0, .5], [1., 100., 0.], .5), .5 * np.log(.5 * np.exp(2) + .5))


# ---------------------------------------------------------------- bad input

ROW = [.5, .5]


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: kl([.5, .6], ROW), ValueError, r"the sum of p is 1.1; expected 1, as for probabilities"),
    (lambda: kl(ROW, [1.5, -.5]), ValueError, r"q\[1\] is -0.5; expected probabilities >= 0"),
    (lambda: kl([ROW, ROW], ROW), ValueError, r"the shape of q is \(2,\); expected \(2, 2\), like p"),
    (lambda: kl([ROW, ROW], [[1.], [1.]]), ValueError, r"the shape of q is \(2, 1\); expected \(2, 2\), like p"),
    (lambda: kl(["a", "b"], ROW), TypeError, r"p is .*; expected an array of real or complex numbers"),
    (lambda: kl_k1([[-1., -2.]], [-1., -2.]), ValueError, r"the shape of logp_ref is \(2,\); expected \(1, 2\)"),
    (lambda: kl_k2([-1.], [-np.inf]), ValueError, r"logp_ref\[0\] is -inf; expected finite numbers"),
    (lambda: kl_k3([np.nan], [-1.]), ValueError, r"logp_policy\[0\] is nan; expected finite numbers"),
    (lambda: kl_k1([-1., .4], [-1., -1.]), ValueError, r"logp_policy\[1\] is 0.4; expected a log-probability"),
    (lambda: kl_k2_grad([-1., -1.], [-1., .4]), ValueError, r"logp_ref\[1\] is 0.4; expected a log-probability"),
    (lambda: kl_coefficient(1., .6, -1., .1), ValueError, r"logp_policy is 0.6; expected a log-probability"),
    (lambda: kl_k1_grad([], []), ValueError, r"the shape of logp_policy is \(0,\); expected at least one entry"),
    (lambda: kl_k2_grad([-1., -2.], [-1., -2., -3.]), ValueError, r"the shape of logp_ref is \(3,\)"),
    (lambda: kl_k3_grad([True], [-1.]), TypeError, r"logp_policy is \[True\]; expected an array of real"),
    (lambda: kl_coefficient(1., -1., -1., -.1), ValueError, r"beta is -0.1; expected a finite number >= 0"),
    (lambda: kl_coefficient([1., 2.], [[-1., -1.]], 0., .1), ValueError, r"the shape of reward is \(2,\)"),
    (lambda: kl_objective(ROW, ROW, [1.], 0.), ValueError, r"the shape of rewards is \(1,\); expected \(2,\), one"),
    (lambda: kl_objective(ROW, [1.], ROW, 0.), ValueError, r"the shape of ref is \(1,\); expected \(2,\), one"),
    (lambda: kl_objective([.5, .4], ROW, ROW, 0.), ValueError, r"the sum of probs is 0.9; expected 1"),
    (lambda: kl_objective(ROW, ROW, [0., np.inf], 0.), ValueError, r"rewards\[1\] is inf; expected finite"),
    (lambda: kl_objective(ROW, ROW, ROW, np.nan), ValueError, r"beta is nan; expected a finite number >= 0"),
    (lambda: kl_objective([ROW], [ROW], [ROW], 0.), ValueError, r"the shape of the policy is \(1, 2\); expected"),
    (lambda: kl_objective(ROW, ROW, ROW, 0., [1.]), ValueError, r"the shape of the policy is \(2,\); expected \(Y,\)"),
    (lambda: kl_objective([ROW], [ROW], [ROW], 0., ROW), ValueError, r"the shape of query_probs is \(2,\); expected"),
    (lambda: kl_objective_grad([ROW], [ROW], [ROW], 0., [.5]), ValueError, r"the sum of query_probs is 0.5"),
    (lambda: kl_objective_grad([0., np.nan], ROW, ROW, 0.), ValueError, r"logits\[1\] is nan; expected no NaN"),
    (lambda: kl_objective_grad([0., 0.], ROW, ROW, "1"), TypeError, r"beta is '1'; expected a finite number >= 0"),
    (lambda: kl_optimal_policy(ROW, ROW, 0.), ValueError, r"beta is 0.0; expected a finite number > 0"),
    (lambda: kl_optimal_policy(ROW, [1.], 1.), ValueError, r"the shape of rewards is \(1,\); expected \(2,\)"),
    (lambda: kl_optimal_policy([.5, .6], ROW, 1.), ValueError, r"the sum of ref is 1.1; expected 1"),
])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- the checks are checked

@pytest.mark.parametrize("broken", [
    lambda z, q, r, b: -kl_objective_grad(z, q, r, b),                        # the sign
    lambda z, q, r, b: kl_objective_grad(z, q, r, 0),                         # no penalty
    lambda z, q, r, b: kl_objective_grad(z, probabilities(-np.log(q)), r, b), # d upside down
    lambda z, q, r, b: 1.001 * kl_objective_grad(z, q, r, b),
    lambda z, q, r, b: kl_objective_grad(z, q, r, 1.001 * b),
    lambda z, q, r, b: probabilities(z) * (r - b * (np.log(probabilities(z)) - np.log(q))),   # no centring
])
def test_a_broken_gradient_is_caught(broken):
    with pytest.raises(AssertionError):
        assert_is_gradient(broken(*FRANCE), lambda y: kl_objective(probabilities(y), *FRANCE[1:]), FRANCE[0])


@pytest.mark.parametrize(("k", "broken"), [
    (kl_k1, lambda d: 0 * d), (kl_k2, lambda d: -d), (kl_k2, lambda d: 2 * d), (kl_k2, lambda d: 1 + d),
    (kl_k3, lambda d: np.expm1(-d)), (kl_k3, lambda d: 1 - np.exp(d)), (kl_k3, lambda d: 1.001 * -np.expm1(-d)),
])
def test_a_broken_derivative_is_caught(k, broken):
    logp, logp_ref = np.log(AFTER), np.log(BEFORE)
    with pytest.raises(AssertionError):
        assert_is_gradient(broken(logp - logp_ref), lambda y: k(y, logp_ref).sum(), logp)


def test_the_divergences_are_told_apart():
    z, q = np.log(AFTER), BEFORE
    forward, reverse = gradient(forward_kl, z, q), gradient(reverse_kl, z, q)
    assert abs(forward - reverse).max() > .01
    for wrong, right in ((reverse, in_the_loss(kl_k2_grad, z, q)), (forward, in_the_loss(kl_k3_grad, z, q)),
                         (forward, in_the_reward(kl_k2, z, q)), (forward, in_the_reward(kl_k3, z, q)),
                         (reverse - forward, in_the_reward(kl_k3, z, q))):
        with pytest.raises(AssertionError):
            assert_allclose(right, wrong, rtol=1e-2)


# ---------------------------------------------------------------- a beta that is steered

def test_beta_follows_its_target_by_at_most_gain_times_widest():
    assert adaptive_beta(0.5, 3.3, 3.0, gain=0.2) == pytest.approx(0.5 * 1.02)
    assert [round(adaptive_beta(1.0, measured, 2.0), 9) for measured in (2.0, 100.0, -5.0)] == [1.0, 1.02, 0.98]
    assert adaptive_beta(1.0, 100.0, 2.0, widest=1.0) == pytest.approx(1.1)


@given(st.integers(1, 64), st.integers(-64, 512), st.integers(1, 64))
def test_beta_grows_exactly_where_the_kl_is_above_its_target(beta, measured, target):
    after = adaptive_beta(beta / 8, measured / 8, target / 8)
    assert np.sign(after - beta / 8) == np.sign(measured - target)
    assert abs(after / (beta / 8) - 1) <= 0.02 + 1e-12


@pytest.mark.parametrize(("wrong", "message"), [
    ({"beta": 0.0}, "beta is 0.0; expected a finite number > 0"), ({"target": 0.0}, "target is 0.0; expected"),
    ({"kl": np.nan}, "kl is nan; expected a finite number"), ({"gain": -1.0}, "gain is -1.0; expected")])
def test_what_cannot_be_steered_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        adaptive_beta(**{"beta": 1.0, "kl": 1.0, "target": 1.0} | wrong)
