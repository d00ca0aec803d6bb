"""Weights of a batch with a short and a long answer, 1 and 3 tokens, beside an empty row.

                      a token of the short   of the long   the batch
    token mean        1/4                    1/4           1
    sequence mean     1/2                    1/6           1
    sequence sum      1/3                    1/3           4/3
    constant length   1/12                   1/12          1/3          (length 4)
"""
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.formulas.cross_entropy import cross_entropy_grad, cross_entropy_loss
from rlscratch.formulas.distribution import log_softmax, softmax
from rlscratch.formulas.weights import (
    constant_length,
    overlong_penalty,
    prompt_token_mean,
    sequence_mean,
    sequence_sum,
    token_mean,
)
from strategies import arrays, eighths, masks_bt

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

SHORT_LONG_EMPTY = np.array([[1.0, 0, 0], [1, 1, 1], [0, 0, 0]])


def constant_4(mask):
    return constant_length(mask, 4)


ALL = pytest.mark.parametrize("weights", [token_mean, sequence_mean, sequence_sum, constant_4])


@pytest.mark.parametrize(("weights", "of_the_short", "of_the_long"), [
    (token_mean, 1 / 4, 1 / 4), (sequence_mean, 1 / 2, 1 / 6), (sequence_sum, 1 / 3, 1 / 3),
    (constant_4, 1 / 12, 1 / 12)])
def test_what_a_token_of_a_short_and_of_a_long_answer_weighs(weights, of_the_short, of_the_long):
    expected = [[of_the_short, 0, 0], [of_the_long] * 3, [0, 0, 0]]
    assert_allclose(weights(SHORT_LONG_EMPTY), expected, rtol=1e-15)


@given(masks_bt(), st.integers(1, 64))
@example(SHORT_LONG_EMPTY, 4)
def test_the_whole_batch_weighs_what_the_equations_say(mask, length):
    tokens, rows = mask.sum(), len(mask)
    assert_allclose(token_mean(mask).sum(), 1, rtol=1e-14)
    assert_allclose(sequence_mean(mask).sum(), 1, rtol=1e-14)
    assert_allclose(sequence_sum(mask).sum(), tokens / rows, rtol=1e-14)
    assert_allclose(constant_length(mask, length).sum(), tokens / (rows * length), rtol=1e-14)


@ALL
@given(mask=masks_bt())
@example(mask=SHORT_LONG_EMPTY)
def test_a_token_weighs_something_exactly_where_the_mask_is_1(weights, mask):
    w = weights(mask)
    assert w.shape == mask.shape and w.dtype == np.float64
    assert_array_equal(w > 0, mask == 1)


@given(masks_bt())
@example(SHORT_LONG_EMPTY)
def test_only_the_sequence_mean_looks_at_the_length_of_an_answer(mask):
    for weights in (token_mean, sequence_sum, constant_4):
        chosen = weights(mask)[mask == 1]
        assert (chosen == chosen[0]).all()
    per_row = sequence_mean(mask).sum(axis=1)
    assert_allclose(per_row[per_row > 0], 1 / np.count_nonzero(mask.any(axis=1)), rtol=1e-14)


@given(masks_bt(), st.data())
def test_they_are_the_means_that_their_names_say(mask, data):
    values = data.draw(arrays(mask.shape, eighths())) * mask
    rows = [row[m == 1] for row, m in zip(values, mask, strict=True)]
    some = [row for row in rows if row.size]
    assert_allclose((token_mean(mask) * values).sum(), np.concatenate(rows).mean(), atol=1e-13)
    assert_allclose((sequence_mean(mask) * values).sum(), np.mean([row.mean() for row in some]), atol=1e-13)
    assert_allclose((sequence_sum(mask) * values).sum(), np.mean([row.sum() for row in rows]), atol=1e-13)
    assert_allclose((constant_length(mask, 8) * values).sum(), np.mean([row.sum() / 8 for row in rows]), atol=1e-13)


def test_padding_more_changes_no_weight_and_an_empty_row_only_those_that_count_rows():
    wider = np.pad(SHORT_LONG_EMPTY, ((0, 0), (0, 2)))
    taller = np.pad(SHORT_LONG_EMPTY, ((0, 1), (0, 0)))
    for weights in (token_mean, sequence_mean, sequence_sum, constant_4):
        assert_array_equal(weights(wider)[:, :3], weights(SHORT_LONG_EMPTY))
    for weights in (token_mean, sequence_mean):
        assert_array_equal(weights(taller)[:3], weights(SHORT_LONG_EMPTY))
    for weights in (sequence_sum, constant_4):
        assert_allclose(weights(taller)[:3], weights(SHORT_LONG_EMPTY) * 3 / 4, rtol=1e-15)


# ---------------------------------------------------------------- micro-batches

def loss_and_gradient(z, tokens, weight):
    """Fine-tuning one shared row of logits on all tokens: dL/dz = sum_it dlogp_it (e_token - p)."""
    logp = log_softmax(z)[tokens]
    dlogp = cross_entropy_grad(logp, weight)
    score = np.eye(z.size)[tokens] - softmax(z)
    return cross_entropy_loss(logp, weight), (dlogp[..., None] * score).sum(axis=(0, 1))


@ALL
@given(mask=masks_bt(), cut=st.integers(1, 3), data=st.data())
@example(mask=SHORT_LONG_EMPTY, cut=1, data=None)
def test_micro_batches_add_up_to_the_whole_batch(weights, mask, cut, data):
    z = np.array([.5, -1.0, .25])
    tokens = np.arange(mask.size).reshape(mask.shape) % 3
    if data is not None:
        tokens = data.draw(arrays(mask.shape, st.integers(0, 2).map(float))).astype(int)
    weight = weights(mask)
    loss, gradient = loss_and_gradient(z, tokens, weight)
    pieces = [loss_and_gradient(z, tokens[i:i + cut], weight[i:i + cut]) for i in range(0, len(mask), cut)]
    assert_allclose(sum(piece[0] for piece in pieces), loss, rtol=1e-13)
    assert_allclose(sum(piece[1] for piece in pieces), gradient, rtol=0, atol=1e-14)


def test_weights_made_anew_for_each_micro_batch_give_another_gradient():
    z, mask, tokens = np.zeros(2), SHORT_LONG_EMPTY[:2], np.array([[0, 0, 0], [1, 1, 1]])
    whole = loss_and_gradient(z, tokens, token_mean(mask))[1]
    anew = [loss_and_gradient(z, tokens[i:i + 1], token_mean(mask[i:i + 1]))[1] for i in range(2)]
    assert_allclose(whole, [.25, -.25])                             # (1 - 3)/4 of the score [.5, -.5], with a minus
    assert_allclose(np.mean(anew, axis=0), [0, 0], atol=1e-15)      # 1/2 and 1/2 in place of 1/4 and 3/4


def test_planted_errors_in_the_weights_are_caught():
    mask = SHORT_LONG_EMPTY
    lengths = np.maximum(mask.sum(axis=1, keepdims=True), 1)
    for planted in (mask / mask.size, mask / (mask.sum() - 1), 1.001 * token_mean(mask)):
        assert not np.allclose(planted.sum(), 1, rtol=1e-14)
    for planted in (mask / (len(mask) * lengths), mask / (2 * lengths + 1)):
        assert not np.allclose(planted.sum(), 1, rtol=1e-14)
    assert not np.allclose((mask / np.count_nonzero(mask.any(axis=1))).sum(), mask.sum() / len(mask), rtol=1e-14)


# ---------------------------------------------------------------- prompts and limits

@given(masks_bt(6, 4).filter(lambda m: len(m) % 2 == 0))
@example(np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]]))
def test_each_prompt_weighs_the_same_and_its_tokens_alike(mask):
    w = prompt_token_mean(mask, 2)
    groups = [token_mean(part) for part in np.split(mask, len(mask) // 2) if part.any()]
    assert_allclose(w[w > 0], np.concatenate([g[g > 0] for g in groups]) / len(groups), rtol=1e-14)
    assert_array_equal(w > 0, mask == 1)
    assert_allclose(prompt_token_mean(mask, len(mask)), token_mean(mask), rtol=1e-14)


def test_over_the_batch_and_over_prompts_are_two_token_means():
    mask = np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]])
    assert_allclose(prompt_token_mean(mask, 2)[:, 0], [1 / 4, 1 / 4, 1 / 8, 1 / 8])
    with pytest.raises(AssertionError):
        assert_allclose(prompt_token_mean(mask, 2), token_mean(mask))
    with pytest.raises(ValueError, match="group is 3; expected a divisor of the number of rows, 4"):
        prompt_token_mean(mask, 3)


def test_a_cut_answer_is_left_out_above_and_below_or_above_alone():
    mask, keep = SHORT_LONG_EMPTY, np.array([[1.0], [0], [1]])
    assert_allclose(token_mean(mask * keep)[:, 0], [1, 0, 0])
    assert_allclose((token_mean(mask) * keep)[:, 0], [1 / 4, 0, 0])


def test_the_overlong_penalty_is_linear_between_its_two_ends():
    assert_allclose(overlong_penalty([0, 80, 85, 90, 100, 101, 999], 100, 20), [0, 0, -.25, -.5, -1, -1, -1])
    assert_array_equal(overlong_penalty([99, 100, 101], 100, 100), [-.99, -1, -1])
    for limit, buffer, message in ((100, 0, "buffer is 0"), (100, 101, "buffer is 101.0; expected a number")):
        with pytest.raises(ValueError, match=message):
            overlong_penalty([1], limit, buffer)


# ---------------------------------------------------------------- input

@ALL
def test_booleans_integers_and_lists_are_masks_too(weights):
    expected = weights(SHORT_LONG_EMPTY)
    for mask in (SHORT_LONG_EMPTY.astype(bool), SHORT_LONG_EMPTY.astype(np.int8), SHORT_LONG_EMPTY.astype(np.float32),
                 SHORT_LONG_EMPTY.tolist()):
        assert_array_equal(weights(mask), expected)
        assert weights(mask).dtype == np.float64


@ALL
@given(mask=masks_bt())
def test_the_mask_itself_is_left_alone(weights, mask):
    assume(mask.size > 1)
    before = mask.copy()
    weights(mask)[0, 0] = 7
    assert_array_equal(mask, before)


@ALL
@pytest.mark.parametrize(("mask", "error", "message"), [
    (np.zeros((2, 3)), ValueError, "the sum of mask is 0; expected at least 1"),
    ([[False, False]], ValueError, "the sum of mask is 0; expected at least 1"),
    ([1, 0, 1], ValueError, r"the shape of mask is \(3,\); expected 2 dimensions"),
    (np.ones((1, 2, 3)), ValueError, r"the shape of mask is \(1, 2, 3\); expected 2 dimensions"),
    ([[1, .5]], ValueError, r"mask\[0, 1\] is 0\.5; expected 0 or 1"),
    ([[2, 1]], ValueError, r"mask\[0, 0\] is 2\.0; expected 0 or 1"),
    ([[1, -1]], ValueError, r"mask\[0, 1\] is -1\.0; expected 0 or 1"),
    ([[1, np.nan]], ValueError, r"mask\[0, 1\] is nan; expected finite numbers"),
    (np.ones((0, 3)), ValueError, r"the shape of mask is \(0, 3\); expected at least one entry"),
    ([["a"]], TypeError, "mask is .*; expected an array of real or complex numbers"),
])
def test_bad_masks_are_refused(weights, mask, error, message):
    with pytest.raises(error, match=message):
        weights(mask)


@pytest.mark.parametrize(("length", "error"), [
    (0, ValueError), (-1, ValueError), (np.inf, ValueError), ("8", TypeError)])
def test_a_constant_that_is_no_length_is_refused(length, error):
    with pytest.raises(error, match=rf"length is {length!r}; expected a finite number > 0"):
        constant_length([[1]], length)
