"""L = - sum w log pi, the loss of pre-training and of fine-tuning alike (document 002, row "Loss Function").

By hand, with log 2 as the unit: probabilities 1/2 and 1/8 cost 1 and 3 bits, 2 bits on average.
Document 003's capital of France, .4 .3 .2 .1, target "Paris": the loss is -log .4 = .916 nats or
1.32 bits, the gradient in the logits p - e_Paris = [-.6, .3, .2, .1].
"""
from math import exp, log

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.formulas.cross_entropy import (
    cross_entropy_grad,
    cross_entropy_loss,
    logits_cross_entropy,
    logits_cross_entropy_grad,
)
from rlscratch.formulas.distribution import entropy, log_softmax, softmax
from rlscratch.formulas.weights import token_mean
from strategies import arrays, batches_bt, eighths, logits_v, probs_v

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

FRANCE = np.log([.4, .3, .2, .1])


@st.composite
def rows_and_targets(draw):
    """(N, V) logits and N targets."""
    n, v = draw(st.integers(1, 4)), draw(st.integers(2, 5))
    target = draw(st.lists(st.integers(0, v - 1), min_size=n, max_size=n))
    return draw(arrays((n, v))), np.array(target)


# ---------------------------------------------------------------- on log-probabilities

def test_two_tokens_by_hand():
    loss = cross_entropy_loss(np.log([[.5, .125]]), [[.5, .5]])
    assert type(loss) is float
    assert_allclose(loss / log(2), 2, rtol=1e-15)
    assert_allclose(exp(loss), 4, rtol=1e-15)                      # perplexity: the geometric mean of 2 and 8


@given(batches_bt("logp", low=-4, high=0))
def test_the_loss_is_the_weighted_sum_and_its_gradient_the_derivative(batch):
    logp, weight = batch["logp"], token_mean(batch["mask"])
    by_hand = cross_entropy_grad(logp, weight)

    def loss(x):
        return cross_entropy_loss(x, weight)

    assert_allclose(loss(logp), -logp[batch["mask"] == 1].mean(), rtol=1e-12)
    assert_array_equal(by_hand, -weight)
    assert_allclose(by_hand, complex_step(loss, logp), rtol=1e-9)
    assert_allclose(by_hand, central_difference(loss, logp), rtol=1e-6, atol=1e-9)
    assert (by_hand[batch["mask"] == 0] == 0).all()


def test_a_batch_of_masked_tokens_costs_nothing_and_teaches_nothing():
    assert cross_entropy_loss(np.zeros((2, 3)), np.zeros((2, 3))) == 0
    assert_array_equal(cross_entropy_grad(np.zeros((2, 3)), np.zeros((2, 3))), np.zeros((2, 3)))


def test_a_weight_for_each_sequence_spreads_over_its_tokens():
    logp, per_row = np.log([[.5, .25], [.125, .5]]), np.array([[1.0], [2.0]])
    spread = per_row * np.ones((2, 2))
    assert_allclose(cross_entropy_loss(logp, per_row), cross_entropy_loss(logp, spread), rtol=1e-15)
    assert_array_equal(cross_entropy_grad(logp, per_row), cross_entropy_grad(logp, spread))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_keep_dtype_and_shape(dtype):
    grad = cross_entropy_grad(np.zeros((2, 3), dtype), np.ones((2, 1)))
    assert grad.dtype == dtype and grad.shape == (2, 3)
    grad[0, 0] = 7                                                  # an array of its own: no row is a view of another
    assert grad[1, 0] == -1
    grad = logits_cross_entropy_grad(np.zeros((2, 3), dtype), [0, 1])
    assert grad.dtype == dtype and grad.shape == (2, 3)
    assert type(logits_cross_entropy(np.zeros((2, 3), dtype), [0, 1])) is float


# ---------------------------------------------------------------- on logits

def test_the_capital_of_france():
    assert_allclose(logits_cross_entropy(FRANCE, 0), .916291, atol=5e-7)
    assert_allclose(logits_cross_entropy(FRANCE, 0) / log(2), 1.321928, atol=5e-7)
    assert_allclose(logits_cross_entropy_grad(FRANCE, 0), [-.6, .3, .2, .1], atol=1e-15)


@given(rows_and_targets())
@example((FRANCE[None], np.array([0])))
def test_the_loss_on_logits_is_the_mean_and_its_gradient_the_derivative(case):
    z, target = case
    by_hand = logits_cross_entropy_grad(z, target)
    by_row = [log_softmax(row)[a] for row, a in zip(z, target, strict=True)]
    assert_allclose(logits_cross_entropy(z, target), -np.mean(by_row), rtol=1e-13)
    assert_allclose(by_hand, complex_step(lambda x: logits_cross_entropy(x, target), z), rtol=1e-9, atol=1e-15)
    assert_allclose(by_hand, central_difference(lambda x: logits_cross_entropy(x, target), z), rtol=1e-6, atol=1e-9)
    assert_allclose(by_hand.sum(axis=-1), 0, atol=1e-15)


@given(rows_and_targets())
def test_the_two_pairs_are_one_loss_by_the_chain_rule(case):
    z, target = case
    n = len(target)
    logp = log_softmax(z)[np.arange(n), target][:, None]
    weight = np.full((n, 1), 1 / n)
    assert_allclose(cross_entropy_loss(logp, weight), logits_cross_entropy(z, target), rtol=1e-13)
    score = np.eye(z.shape[1])[target] - softmax(z)                 # d logp / dz, equation (3) of distribution
    assert_allclose(cross_entropy_grad(logp, weight) * score, logits_cross_entropy_grad(z, target), atol=1e-15)


@given(probs_v(), st.data())
def test_over_targets_from_q_the_loss_is_entropy_plus_divergence(q, data):
    z = data.draw(arrays((q.size,), eighths()))
    p, tokens = softmax(z), range(q.size)
    expected = sum(q[a] * logits_cross_entropy(z, a) for a in tokens)
    assert_allclose(expected, entropy(np.log(q)) + (q * np.log(q / p)).sum(), rtol=1e-10)
    gradient = sum(q[a] * logits_cross_entropy_grad(z, a) for a in tokens)
    assert_allclose(gradient, p - q, atol=1e-14)                    # 0 exactly where the policy is the text


@given(logits_v())
def test_a_batch_of_any_shape_is_its_rows(z):
    block = np.broadcast_to(z, (2, 3, z.size))
    target = np.arange(6).reshape(2, 3) % z.size
    assert_allclose(logits_cross_entropy(block, target), logits_cross_entropy(block.reshape(6, -1), target.ravel()))
    assert_array_equal(logits_cross_entropy_grad(block, target).reshape(6, -1),
                       logits_cross_entropy_grad(block.reshape(6, -1), target.ravel()))


def test_a_token_that_cannot_be_has_no_gradient():
    z = [[0.0, -np.inf, 0.0]]
    assert_allclose(logits_cross_entropy(z, [2]), log(2), rtol=1e-15)
    assert_allclose(logits_cross_entropy_grad(z, [2]), [[.5, 0, -.5]], rtol=1e-15)


def test_a_hopeless_row_has_a_finite_loss_and_a_full_gradient():
    assert logits_cross_entropy([0.0, -2000.0], 1) == 2000
    assert_array_equal(logits_cross_entropy_grad([0.0, -2000.0], 1), [1, -1])


def test_planted_errors_are_caught():
    z, target = np.array([FRANCE, FRANCE[::-1]]), np.array([0, 1])
    p, hot = softmax(z), np.eye(4)[target]
    truth = complex_step(lambda x: logits_cross_entropy(x, target), z)
    for planted in ((hot - p) / 2, p - hot, (p - np.eye(4)[target + 1]) / 2, -hot / 2, 1.001 * (p - hot) / 2):
        assert not np.allclose(planted, truth, rtol=1e-6, atol=1e-9)
    assert np.allclose(logits_cross_entropy_grad(z, target), truth, rtol=1e-9)


# ---------------------------------------------------------------- bad input

ONE = np.zeros((1, 2))


@pytest.mark.parametrize("f", [cross_entropy_loss, cross_entropy_grad])
@pytest.mark.parametrize(("logp", "weight", "error", "message"), [
    (ONE, np.ones(2), ValueError, r"the shape of weight is \(2,\); expected \(1, 2\) like logp"),
    (ONE, -np.ones((1, 2)), ValueError, r"weight\[0, 0\] is -1\.0; expected weights >= 0"),
    ([[-1, .4]], [[1, 1]], ValueError, r"logp\[0, 1\] is 0.4; expected a log-probability, at most 0 \(take the log of"),
    (ONE, [[1, np.nan]], ValueError, r"weight\[0, 1\] is nan; expected finite numbers"),
    ([[0, -np.inf]], ONE, ValueError, r"logp\[0, 1\] is -inf; expected finite numbers"),
    (np.zeros((0, 2)), np.zeros((0, 2)), ValueError, r"the shape of logp is \(0, 2\); expected at least one entry"),
    (ONE.astype(bool), ONE, TypeError, "logp is .*; expected an array of real or complex numbers"),
])
def test_bad_log_probabilities_and_weights_are_refused(f, logp, weight, error, message):
    with pytest.raises(error, match=message):
        f(logp, weight)


@pytest.mark.parametrize("f", [logits_cross_entropy, logits_cross_entropy_grad])
@pytest.mark.parametrize(("logits", "target", "error", "message"), [
    (ONE, [2], ValueError, r"target\[0\] is 2; expected an integer in \[0, 2\)"),
    (ONE, [-1], ValueError, r"target\[0\] is -1; expected an integer in \[0, 2\)"),
    (ONE, [0.0], TypeError, r"target is \[0\.0\]; expected integers in \[0, 2\)"),
    (ONE, 0, ValueError, r"the shape of target is \(\); expected \(1,\), an id for each row of logits"),
    (ONE, [[0, 1]], ValueError, r"the shape of target is \(1, 2\); expected \(1,\)"),
    ([[0, np.nan]], [0], ValueError, r"logits\[0, 1\] is nan; expected no NaN"),
    ([[0, 1], [-np.inf, 0]], [0, 0], ValueError, r"the logit of target\[1\] is -inf; expected finite numbers"),
])
def test_bad_logits_and_targets_are_refused(f, logits, target, error, message):
    with pytest.raises(error, match=message):
        f(logits, target)
