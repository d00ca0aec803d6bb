"""grad J = E[grad log pi(a) R(a)], and what a baseline does to its mean and to its variance.

Document 003, the capital of France: p = [.4, .3, .2, .1] for Paris, London, Banana, "I don't
know", rewards [1, 0, 0, .3], E[R] = .43.

    score of Paris      [.6, -.3, -.2, -.1]          (the document draws [.1, -.2, .3])
    exact gradient      [.228, -.129, -.086, -.013]
    total variance      .13371 without a baseline, .06276 with E[R], .05615 with b* = .33286

Document 002, ice cream: uniform over rewards [10, 5, -10], gradient [25, 10, -35] / 9.
Document 003, one update: .9 * [.1, -.2, .3] = [.09, -.18, .27].
Document 004, 1.5.3 (c): the batch-mean baseline gives (1 - 1/N) of the gradient: .5, .667, .75.
"""
import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from derivatives import central_difference, complex_step
from rlscratch.formulas.policy_gradient import (
    batch_mean_baseline,
    leave_one_out_advantage,
    leave_one_out_baseline,
    log_derivative_estimate,
    reinforce_grad,
    reinforce_loss,
    score,
)
from strategies import arrays, batches_bt, eighths, logits_nv, logits_v, rewards_g

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

P_FRANCE = np.array([.4, .3, .2, .1])
R_FRANCE = np.array([1.0, 0.0, 0.0, 0.3])
GRADIENT_FRANCE = np.array([.228, -.129, -.086, -.013])
PROGRAMMING = np.array([.2, 0.0, .7, .9])

bandits = st.integers(2, 5).flatmap(lambda v: st.tuples(arrays((v,)), arrays((v,), eighths(-10, 10))))
small_bandits = st.tuples(arrays((3,)), arrays((3,), eighths(-10, 10)))


def probabilities(z):
    w = np.exp(z - z.real.max(axis=-1, keepdims=True))
    return w / w.sum(axis=-1, keepdims=True)


def expected(z, rewards):
    return (probabilities(z) * rewards).sum()


def log_pi(z, a):
    return z[a] - np.log(np.exp(z).sum())


def all_scores(z):
    return np.array([score(z, a) for a in range(z.size)])


def assert_is_gradient(grad, f, x):
    assert_allclose(grad, complex_step(f, x), rtol=1e-9, atol=1e-12)
    assert_allclose(grad, central_difference(lambda y: np.real(f(y)), x), rtol=1e-6, atol=1e-8)


def total_variance(z, rewards, baseline):
    """sum over the coordinates of var(score (R - b)), by enumeration of the actions."""
    g = all_scores(z) * (rewards - baseline)[:, None]
    p = probabilities(z)
    return (p[:, None] * (g - p @ g) ** 2).sum()


def best_baseline(z, rewards):
    mass = probabilities(z) * (all_scores(z) ** 2).sum(axis=1)
    return (mass * rewards).sum() / mass.sum()


# ---------------------------------------------------------------- the documents' numbers

def test_the_score_of_paris():
    assert_allclose(score(np.log(P_FRANCE), 0), [.6, -.3, -.2, -.1], atol=1e-15)


def test_the_exact_gradients_of_france_and_of_ice_cream():
    france = log_derivative_estimate(all_scores(np.log(P_FRANCE)), R_FRANCE, P_FRANCE)
    assert_allclose(france, GRADIENT_FRANCE, atol=1e-15)
    ice_cream = log_derivative_estimate(all_scores(np.zeros(3)), [10., 5., -10.], np.full(3, 1 / 3))
    assert_allclose(ice_cream, [2.777778, 1.111111, -3.888889], atol=5e-7)


def test_the_update_scales_the_direction_and_the_final_update_does_not():
    direction = np.array([.1, -.2, .3])
    assert_allclose(log_derivative_estimate([direction], [.9]), [.09, -.18, .27], atol=1e-15)
    printed = np.array([.08, -.15, .22])
    assert_allclose(printed / direction, [.8, .75, .733333], atol=5e-7)
    consistent = log_derivative_estimate([direction], [.8])
    assert_allclose(consistent, [.08, -.16, .24], atol=1e-15)
    assert np.ptp(printed / direction) > .06 and np.ptp(consistent / direction) < 1e-15


def test_programming_answers_go_the_way_the_text_says_only_with_a_baseline():
    logp, weight = np.full((4, 1), np.log(.25)), np.full((4, 1), .25)
    returns = PROGRAMMING[:, None]
    b = batch_mean_baseline(returns, np.ones((4, 1)))
    assert_allclose(returns[:, 0] - b, [-.25, -.45, .25, .45], atol=1e-15)
    up = -reinforce_grad(logp, returns, weight, baseline=b)[:, 0] > 0
    assert up.tolist() == [False, False, True, True]
    assert -reinforce_grad(logp, returns, weight)[0, 0] > 0        # A, worth .2, is reinforced


# ---------------------------------------------------------------- score and log-derivative trick

@given(logits_v())
@example(np.log(P_FRANCE))
def test_score_is_the_gradient_of_log_pi(z):
    for a in range(z.size):
        assert_is_gradient(score(z, a), lambda y, a=a: log_pi(y, a), z)


@given(logits_nv(), st.data())
def test_score_of_a_batch_is_the_score_of_each_row(z, data):
    action = np.array(data.draw(st.lists(st.integers(0, z.shape[1] - 1), min_size=len(z), max_size=len(z))))
    assert_allclose(score(z, action), [score(row, a) for row, a in zip(z, action, strict=True)], atol=1e-15)


def test_an_impossible_token_has_score_zero_beside_the_chosen_one():
    assert_allclose(score([0.0, -np.inf, 0.0], 0), [.5, 0, -.5])


@given(bandits)
@example((np.log(P_FRANCE), R_FRANCE))
@example((np.zeros(3), np.array([10., 5., -10.])))
def test_the_log_derivative_trick_gives_the_gradient_of_expected_reward(bandit):
    z, rewards = bandit
    exact = log_derivative_estimate(all_scores(z), rewards, probabilities(z))
    assert_is_gradient(exact, lambda y: expected(y, rewards), z)
    assert_allclose(exact, probabilities(z) * (rewards - expected(z, rewards)), atol=1e-12)     # (4)


@given(bandits)
@example((np.log(P_FRANCE), R_FRANCE))
def test_the_mean_over_samples_has_the_gradient_as_its_expectation(bandit):
    z, rewards = bandit
    p, scores, mean = probabilities(z), all_scores(z), 0.0
    for batch in itertools.product(range(z.size), repeat=2):
        batch = list(batch)
        mean = mean + p[batch].prod() * log_derivative_estimate(scores[batch], rewards[batch])
    assert_allclose(mean, complex_step(lambda y: expected(y, rewards), z), rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- REINFORCE: loss and gradient

@given(batches_bt("logp", "returns", "baseline", "size"))
def test_reinforce_loss_is_the_sum_over_tokens_that_it_says(batch):
    logp, returns, baseline = batch["logp"], batch["returns"], batch["baseline"]
    weight = batch["mask"] * abs(batch["size"])
    tokens = [-weight[i] * (returns[i] - baseline[i]) * logp[i] for i in np.ndindex(logp.shape)]
    assert_allclose(reinforce_loss(logp, returns, weight, baseline), sum(tokens), rtol=1e-12, atol=1e-11)


@given(batches_bt("logp", "returns", "baseline", "size"))
def test_reinforce_grad_is_the_gradient_of_reinforce_loss(batch):
    weight = batch["mask"] * (1 + abs(batch["size"]))
    arguments = batch["returns"], weight, batch["baseline"]
    grad = reinforce_grad(batch["logp"], *arguments)
    assert_is_gradient(grad, lambda y: reinforce_loss(y, *arguments), batch["logp"])
    assert (grad[batch["mask"] == 0] == 0).all()


@given(logits_nv(), st.data())
def test_reinforce_grad_times_score_is_the_gradient_in_the_logits(z, data):
    n = len(z)
    action = np.array(data.draw(st.lists(st.integers(0, z.shape[1] - 1), min_size=n, max_size=n)))
    returns, weight = data.draw(arrays((n, 1))), np.full((n, 1), 1 / n)

    def loss(y):
        logp = np.array([[log_pi(row, a)] for row, a in zip(y, action, strict=True)])
        return reinforce_loss(logp, returns, weight, baseline=.5)

    logp = np.array([[log_pi(row, a)] for row, a in zip(z, action, strict=True)])
    grad = reinforce_grad(logp, returns, weight, baseline=.5) * score(z, action)
    assert_is_gradient(grad, loss, z)


def test_baselines_spread_over_tokens_from_a_scalar_and_from_a_column():
    logp, returns, weight = np.log([[.5, .25], [.2, .1]]), np.array([[1., 2.], [3., 4.]]), np.full((2, 2), .25)
    assert_allclose(reinforce_grad(logp, returns, weight, 2.), [[.25, 0], [-.25, -.5]])
    assert_allclose(reinforce_grad(logp, returns, weight, [[1.], [4.]]), [[0, -.25], [.25, 0]])
    assert_allclose(reinforce_grad(logp, [[1.], [2.]], .25), [[-.25, -.25], [-.5, -.5]])


def test_where_no_baseline_is_given_it_is_0():
    logp, returns, weight = np.log([[.5, .25]]), np.array([[1., 3.]]), np.full((1, 2), .5)
    assert_allclose(reinforce_loss(logp, returns, weight), 3.5 * np.log(2))            # (1 log 2 + 3 log 4) / 2
    assert_allclose(reinforce_grad(logp, returns, weight), [[-.5, -1.5]])


def test_micro_batches_add_up_to_the_whole_batch():
    rng = np.random.default_rng(0)
    logp, returns, weight = -rng.random((6, 3)), rng.normal(size=(6, 3)), rng.random((6, 3))
    whole = reinforce_grad(logp, returns, weight, .3)
    parts = [slice(0, 1), slice(1, 5), slice(5, 6)]
    assert_allclose(np.vstack([reinforce_grad(logp[s], returns[s], weight[s], .3) for s in parts]), whole)
    assert_allclose(sum(reinforce_loss(logp[s], returns[s], weight[s], .3) for s in parts),
                    reinforce_loss(logp, returns, weight, .3))


def test_a_micro_batch_that_is_all_masked_gives_zero():
    zeros = np.zeros((2, 3))
    assert reinforce_loss(zeros, zeros, zeros, 5.0) == 0
    assert not reinforce_grad(zeros, zeros, zeros, 5.0).any()


def test_types_are_float_and_the_dtype_of_the_first_argument():
    logp = np.log([[.5, .25]]).astype(np.float32)
    assert type(reinforce_loss(logp, logp, np.ones((1, 2)))) is float
    assert reinforce_grad(logp, [[1., 2.]], np.ones((1, 2)), 0.5).dtype == np.float32
    assert score(logp, [0]).dtype == np.float32
    assert type(batch_mean_baseline([[1, 2]], [[True, False]])) is float
    assert leave_one_out_baseline(logp).dtype == np.float32
    assert log_derivative_estimate(logp, [1.]).dtype == np.float32


# ---------------------------------------------------------------- constant baselines

@given(bandits, eighths(-10, 10))
@example((np.log(P_FRANCE), R_FRANCE), 0.43)
def test_the_mean_score_is_zero_so_no_constant_changes_the_mean_gradient(bandit, b):
    z, rewards = bandit
    p, scores = probabilities(z), all_scores(z)
    assert_allclose(p @ scores, 0, atol=1e-15)
    assert_allclose(log_derivative_estimate(scores, rewards - b, p),
                    complex_step(lambda y: expected(y, rewards), z), rtol=1e-9, atol=1e-12)


@given(bandits, eighths(-10, 10))
@example((np.log(P_FRANCE), R_FRANCE), 0.43)
def test_the_variance_is_a_parabola_around_the_best_baseline(bandit, b):
    z, rewards = bandit
    best, length = best_baseline(z, rewards), probabilities(z) @ (all_scores(z) ** 2).sum(axis=1)
    lowest = total_variance(z, rewards, best)
    assert_allclose(total_variance(z, rewards, b), lowest + length * (b - best) ** 2, rtol=1e-9, atol=1e-9)
    assert all(lowest <= total_variance(z, rewards, c) + 1e-12 for c in np.linspace(-10, 10, 41))


def test_the_variances_of_france():
    z = np.log(P_FRANCE)
    assert_allclose(best_baseline(z, R_FRANCE), .233 / .7, rtol=1e-12)
    variances = [total_variance(z, R_FRANCE, b) for b in (0, .43, .233 / .7)]
    assert_allclose(variances, [.13371, .06276, .05615], atol=5e-6)


def test_the_expected_reward_as_baseline_can_raise_the_variance():
    z, rewards = np.log([.9, .1]), np.array([1., 0.])
    assert_allclose(best_baseline(z, rewards), .1)
    assert_allclose([total_variance(z, rewards, b) for b in (0, .9)], [.0018, .1152], rtol=1e-9)


@given(st.tuples(arrays((2,)), arrays((2,), eighths(-10, 10))))
def test_between_two_answers_the_best_baseline_makes_every_sample_exact(bandit):
    z, rewards = bandit
    g = all_scores(z) * (rewards - best_baseline(z, rewards))[:, None]
    exact = complex_step(lambda y: expected(y, rewards), z)
    assert_allclose(g, [exact, exact], rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------- baselines from the batch

def mean_gradient(z, rewards, n, baseline):
    """E[g] over every batch of n one-step episodes; g is what a training loop would ascend."""
    p, scores, mean = probabilities(z), all_scores(z), 0.0
    logp, weight = np.log(p), np.full((n, 1), 1 / n)
    for batch in itertools.product(range(z.size), repeat=n):
        batch = list(batch)
        returns = rewards[batch][:, None]
        dlogp = reinforce_grad(logp[batch][:, None], returns, weight, baseline(returns))
        mean = mean - p[batch].prod() * (dlogp * scores[batch]).sum(axis=0)
    return mean


def batch_mean(returns):
    return batch_mean_baseline(returns, np.ones_like(returns))


def leave_one_out(returns):
    return leave_one_out_baseline(returns[:, 0])[:, None]


@pytest.mark.parametrize(("n", "factor"), [(2, .5), (3, .666667), (4, .75)])
def test_the_batch_mean_shrinks_the_gradient_by_one_in_n(n, factor):
    mean = mean_gradient(np.log(P_FRANCE), R_FRANCE, n, batch_mean)
    assert_allclose(mean, (1 - 1 / n) * GRADIENT_FRANCE, rtol=1e-12)
    assert_allclose(mean / GRADIENT_FRANCE, factor, atol=5e-7)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_leave_one_out_has_no_bias(n):
    assert_allclose(mean_gradient(np.log(P_FRANCE), R_FRANCE, n, leave_one_out), GRADIENT_FRANCE, rtol=1e-12)


@given(small_bandits, st.integers(2, 3))
def test_both_factors_hold_on_every_bandit(bandit, n):
    z, rewards = bandit
    exact = complex_step(lambda y: expected(y, rewards), z)
    assert_allclose(mean_gradient(z, rewards, n, batch_mean), (1 - 1 / n) * exact, rtol=1e-9, atol=1e-11)
    assert_allclose(mean_gradient(z, rewards, n, leave_one_out), exact, rtol=1e-9, atol=1e-11)


@given(rewards_g())
@example(PROGRAMMING)
def test_the_two_baselines_differ_by_the_factor_in_every_sample(rewards):
    g = rewards.size
    centred = rewards - batch_mean(rewards[:, None])
    assert_allclose(centred, (1 - 1 / g) * (rewards - leave_one_out_baseline(rewards)), atol=1e-12)


@given(rewards_g())
def test_leave_one_out_is_the_mean_of_the_others(rewards):
    others = [np.delete(rewards, i).mean() for i in range(rewards.size)]
    assert_allclose(leave_one_out_baseline(rewards), others, atol=1e-12)
    assert_allclose(leave_one_out_advantage(rewards), rewards - others, atol=1e-12)
    assert_allclose(leave_one_out_baseline([rewards, 2 * rewards]), [others, 2 * np.array(others)], atol=1e-12)


@given(batches_bt("returns"))
def test_the_batch_mean_counts_chosen_tokens_of_the_whole_batch(batch):
    chosen = [r for r, m in zip(batch["returns"].ravel(), batch["mask"].ravel(), strict=True) if m]
    assert_allclose(batch_mean_baseline(batch["returns"], batch["mask"]), np.mean(chosen), atol=1e-12)


# ---------------------------------------------------------------- episodes of two steps

START = np.array([.6, .4])
TRANSITION = np.array([[[.7, .3], [.2, .8]], [[.5, .5], [.9, .1]]])             # s, a, next s
REWARD = np.array([[1.0, -.5], [.25, 2.0]])                                     # s, a
Z = np.array([[.5, -.25], [-1.0, .75]])


def episodes(z):
    """(probability, score summed over steps, score at each step, rewards-to-go) of every episode."""
    p = probabilities(z)
    for s0, a0, s1, a1 in itertools.product((0, 1), repeat=4):
        probability = START[s0] * p[s0, a0] * TRANSITION[s0, a0, s1] * p[s1, a1]
        steps = np.zeros((2, 2, 2))
        if not np.iscomplexobj(z):
            steps[0, s0], steps[1, s1] = score(z[s0], a0), score(z[s1], a1)
        r0, r1 = REWARD[s0, a0], REWARD[s1, a1]
        yield probability, steps, np.array([r0 + r1, r1])


def test_the_environment_drops_out_and_past_rewards_too():
    exact = complex_step(lambda y: sum(p * g[0] for p, _, g in episodes(y)), Z)
    total = sum(p * steps.sum(axis=0) * g[0] for p, steps, g in episodes(Z))
    to_go = sum(p * np.tensordot(g, steps, 1) for p, steps, g in episodes(Z))
    assert_allclose(total, exact, rtol=1e-9)
    assert_allclose(to_go, exact, rtol=1e-9)
    with pytest.raises(AssertionError):                              # but not the rewards to come
        assert_allclose(sum(p * np.tensordot([g[0] - g[1], g[1]], steps, 1) for p, steps, g in episodes(Z)),
                        exact, rtol=1e-3)


@pytest.mark.parametrize("n", [1, 2])
def test_in_longer_episodes_the_batch_mean_bends_the_direction_too(n):
    gradient = complex_step(lambda y: sum(p * g[0] for p, _, g in episodes(y)), Z)
    average_to_go = complex_step(lambda y: sum(p * g.mean() for p, _, g in episodes(y)), Z)
    mean = np.zeros_like(Z)
    for batch in itertools.product(list(episodes(Z)), repeat=n):
        probability, returns = np.prod([p for p, _, _ in batch]), np.array([g for _, _, g in batch])
        b = batch_mean_baseline(returns, np.ones((n, 2)))
        dlogp = reinforce_grad(np.zeros((n, 2)), returns, np.full((n, 2), 1 / n), b)
        mean -= probability * np.tensordot(dlogp, np.array([steps for _, steps, _ in batch]), 2)
    assert_allclose(mean, gradient - average_to_go / n, rtol=1e-9, atol=1e-12)      # (12)
    assert np.ptp(mean[:, 0] / gradient[:, 0]) > .01                # the two states shrink unequally


# ---------------------------------------------------------------- bad input

ONES = np.ones((2, 3))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: score([0., 1.], 2), ValueError, r"action is 2; expected an integer in \[0, 2\)"),
    (lambda: score([0., 1.], -1), ValueError, r"action is -1; expected an integer in \[0, 2\)"),
    (lambda: score([0., 1.], 1.0), TypeError, r"action is 1.0; expected integers in \[0, 2\)"),
    (lambda: score([[0., 1.]], 0), ValueError, r"the shape of action is \(\); expected \(1,\), one action"),
    (lambda: score([[0., -np.inf]], [1]), ValueError, r"the logit of action\[0\] is -inf; expected finite"),
    (lambda: score([np.nan, 0.], 1), ValueError, r"logits\[0\] is nan; expected no NaN"),
    (lambda: log_derivative_estimate([1., 2.], [1.]), ValueError, r"the shape of scores is \(2,\); expected 2 dim"),
    (lambda: log_derivative_estimate([[1., 2.]], [1., 2.]), ValueError, r"the shape of coefficients is \(2,\)"),
    (lambda: log_derivative_estimate([[1.], [2.]], [1., 2.], [1., -1.]), ValueError, r"weight\[1\] is -1.0"),
    (lambda: reinforce_loss(ONES, np.ones(3), ONES), ValueError, r"the shape of returns is \(3,\); expected \(2, 3\)"),
    (lambda: reinforce_grad(ONES, ONES, np.ones(2)), ValueError, r"the shape of weight is \(2,\); expected \(2, 3\)"),
    (lambda: reinforce_grad(ONES, ONES, ONES, np.ones(3)), ValueError, r"the shape of baseline is \(3,\); expected"),
    (lambda: reinforce_loss(ONES, ONES, -ONES), ValueError, r"weight\[0, 0\] is -1.0; expected weights >= 0"),
    (lambda: reinforce_grad(-np.inf * ONES, ONES, ONES), ValueError, r"logp\[0, 0\] is -inf; expected finite"),
    (lambda: reinforce_loss([[-1., .4]], [[1., 1.]], [[1., 1.]]), ValueError,
     r"logp\[0, 1\] is 0.4; expected a log-probability, at most 0 \(take the log of a probability\)"),
    (lambda: reinforce_grad(ONES, ONES, ONES, np.nan), ValueError, r"baseline is nan; expected finite numbers"),
    (lambda: reinforce_loss([["a"]], ONES, ONES), TypeError, r"logp is .*; expected an array of real or complex"),
    (lambda: batch_mean_baseline(ONES, 0 * ONES), ValueError, r"the sum of mask is 0; expected at least 1"),
    (lambda: batch_mean_baseline(ONES, 2 * ONES), ValueError, r"mask\[0, 0\] is 2.0; expected 0 or 1"),
    (lambda: batch_mean_baseline(ONES, np.ones(3)), ValueError, r"the shape of mask is \(3,\); expected \(2, 3\)"),
    (lambda: batch_mean_baseline([[np.inf]], [[1]]), ValueError, r"returns\[0, 0\] is inf; expected finite"),
    (lambda: leave_one_out_baseline([1.]), ValueError, r"the shape of rewards is \(1,\); expected at least 2"),
    (lambda: leave_one_out_baseline(1.), ValueError, r"the shape of rewards is \(\); expected at least 1 dimension"),
    (lambda: leave_one_out_baseline([1., np.nan]), ValueError, r"rewards\[1\] is nan; expected finite numbers"),
])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- the checks are checked

@pytest.mark.parametrize("broken", [
    lambda logp, r, w, b: w * (r - b),                               # the sign
    lambda logp, r, w, b: -w * (r + b),                              # the baseline's sign
    lambda logp, r, w, b: -w * r,                                    # no baseline
    lambda logp, r, w, b: -(r - b),                                  # no weight
    lambda logp, r, w, b: -1.001 * w * (r - b),
    lambda logp, r, w, b: -w * (r - b) * np.exp(logp),               # grad p in place of grad log p
    lambda logp, r, w, b: np.roll(-w * (r - b), 1, axis=1),          # off by one token
])
def test_a_broken_gradient_is_caught(broken):
    rng = np.random.default_rng(1)
    logp, r, w = -rng.random((2, 3)), rng.normal(size=(2, 3)), rng.random((2, 3))
    assert_is_gradient(reinforce_grad(logp, r, w, .3), lambda y: reinforce_loss(y, r, w, .3), logp)
    with pytest.raises(AssertionError):
        assert_is_gradient(broken(logp, r, w, .3), lambda y: reinforce_loss(y, r, w, .3), logp)


@pytest.mark.parametrize("broken", [
    lambda p, a: p - np.eye(4)[a],
    lambda p, a: np.eye(4)[a],
    lambda p, a: 1.001 * (np.eye(4)[a] - p),
    lambda p, a: np.eye(4)[(a + 1) % 4] - p,
])
def test_a_broken_score_is_caught(broken):
    with pytest.raises(AssertionError):
        assert_is_gradient(broken(P_FRANCE, 1), lambda y: log_pi(y, 1), np.log(P_FRANCE))


def test_a_leave_one_out_that_keeps_the_own_reward_is_caught():
    with pytest.raises(AssertionError):
        assert_allclose(mean_gradient(np.log(P_FRANCE), R_FRANCE, 4, batch_mean), GRADIENT_FRANCE, rtol=1e-3)

    def own_reward_over_n_minus_one(r):
        return r.sum() / (len(r) - 1)

    with pytest.raises(AssertionError):
        assert_allclose(mean_gradient(np.log(P_FRANCE), R_FRANCE, 4, own_reward_over_n_minus_one),
                        GRADIENT_FRANCE, rtol=1e-3)
