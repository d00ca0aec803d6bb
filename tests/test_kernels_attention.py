"""Attention: against its twin, against derivatives, and with keys that heads share.

A row of its result is the same bit for bit alone and in any company: so a sequence's logits do not
depend on the batch that it is sampled in.

By hand: one head of width 1 over two tokens with q = k = [0, 0] weighs both alike, so v = [2, 4]
gives out = [2, 3] and lse = [log 1, log 2].
"""
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import complex_step
from kernel_cases import DTYPES, close, compiled, normal
from rlscratch import kernels
from rlscratch.kernels import reference
from rlscratch.kernels.reference.attention import attention_cached

ATTENTION = [(1, 1, 1, 1), (2, 5, 3, 4), (1, 24, 1, 16), (2, 25, 2, 8), (1, 65, 2, 17), (3, 97, 1, 65), (1, 300, 2, 64)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("B", "T", "H", "D"), ATTENTION)
def test_attention_agrees_with_its_twin(isa, B, T, H, D, dtype):
    qkv, dout = normal(B, T, 3, H, D, dtype=dtype), normal(B, T, H, D, dtype=dtype, seed=1)
    (out, lse), want = kernels.attention(qkv), reference.attention(qkv)
    close(out, want[0], T + D)
    close(lse, want[1], T + D)
    close(kernels.attention_backward(dout, qkv, *want), reference.attention_backward(dout, qkv, *want), T + D)


def test_two_tokens_by_hand(isa):
    qkv = np.zeros((1, 2, 3, 1, 1))
    qkv[0, :, 2, 0, 0] = 2, 4
    out, lse = kernels.attention(qkv)
    assert_allclose(out.ravel(), [2, 3], rtol=1e-15)
    assert_allclose(lse.ravel(), [0, math.log(2)], rtol=1e-15)


def test_attention_is_the_formula_with_its_square_matrix():
    qkv = normal(2, 70, 3, 3, 10)
    q, k, v = qkv.transpose(2, 0, 3, 1, 4)
    scores = np.where(np.tri(70, dtype=bool), q @ k.swapaxes(-1, -2) / math.sqrt(10), -np.inf)
    p = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert_allclose(kernels.attention(qkv)[0], (p @ v).swapaxes(1, 2), rtol=1e-12, atol=1e-13)
    assert_allclose(kernels.attention(qkv)[1], np.log(np.exp(scores).sum(axis=-1)), rtol=1e-12)


def test_attention_survives_scores_that_overflow_exp(isa):
    qkv = normal(1, 30, 3, 1, 8, dtype=np.float32) * 100
    out, lse = kernels.attention(qkv)
    want = reference.attention(qkv.astype(np.float64))
    assert_allclose(out, want[0], rtol=2e-3, atol=2e-2)
    assert_allclose(lse, want[1], rtol=1e-5)


@pytest.mark.parametrize(("B", "T", "H", "D"), [(1, 1, 1, 1), (2, 3, 2, 3), (1, 7, 1, 2)])
def test_attention_backward_is_the_derivative(isa, B, T, H, D):
    qkv, dout = normal(B, T, 3, H, D), normal(B, T, H, D, seed=1)
    got = kernels.attention_backward(dout, qkv, *kernels.attention(qkv))
    assert_allclose(got, complex_step(lambda x: (dout * reference.attention(x)[0]).sum(), qkv), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("T", [26, 50])
def test_attention_backward_is_the_derivative_over_several_strips(isa, T):
    qkv, dout, direction = normal(1, T, 3, 2, 5), normal(1, T, 2, 5, seed=1), normal(1, T, 3, 2, 5, seed=2)
    got = (kernels.attention_backward(dout, qkv, *kernels.attention(qkv)) * direction).sum()
    want = complex_step(lambda h: (dout * reference.attention(qkv + h * direction)[0]).sum(), np.zeros(1))[0]
    assert_allclose(got, want, rtol=1e-10)


def test_tokens_do_not_see_the_future():
    qkv = normal(1, 60, 3, 2, 8)
    later = qkv.copy()
    later[:, 40:] += 1
    assert_array_equal(kernels.attention(later)[0][:, :40], kernels.attention(qkv)[0][:, :40])
    assert (kernels.attention(later)[0][:, 40:] != kernels.attention(qkv)[0][:, 40:]).all()


# ---------------------------------------------------------------- heads that share keys

SHARED = [(1, 1, 2, 1, 1), (2, 5, 4, 2, 3), (1, 65, 6, 2, 17), (2, 97, 3, 1, 64), (1, 30, 2, 2, 8)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("B", "T", "H", "G", "D"), SHARED)
def test_attention_with_shared_keys_agrees_with_its_twin(isa, B, T, H, G, D, dtype):
    qkv, dout = normal(B, T, H + 2 * G, D, dtype=dtype), normal(B, T, H, D, dtype=dtype, seed=1)
    (out, lse), want = kernels.attention(qkv, G), reference.attention(qkv, G)
    close(out, want[0], T + D)
    close(lse, want[1], T + D)
    close(kernels.attention_backward(dout, qkv, *want, G), reference.attention_backward(dout, qkv, *want, G), T * H + D)


def repeated(qkv, H, G):
    """The same as (B, T, 3, H, D): each key and value as often as it is used."""
    q, k, v = np.split(qkv, [H, H + G], axis=2)
    return np.stack([q, np.repeat(k, H // G, axis=2), np.repeat(v, H // G, axis=2)], axis=2)


def test_shared_keys_are_keys_that_are_there_several_times(isa):
    B, T, H, G, D = 2, 30, 6, 2, 5
    qkv, dout = normal(B, T, H + 2 * G, D), normal(B, T, H, D, seed=1)
    (out, lse), (whole, lses) = kernels.attention(qkv, G), kernels.attention(repeated(qkv, H, G))
    assert_array_equal(out, whole)
    assert_array_equal(lse, lses)
    dqkv = kernels.attention_backward(dout, qkv, out, lse, G)
    each = kernels.attention_backward(dout, repeated(qkv, H, G), out, lse)
    for place, got in enumerate(np.split(dqkv, [H, H + G], axis=2)):
        want = each[:, :, place] if place == 0 else each[:, :, place].reshape(B, T, G, H // G, D).sum(axis=3)
        assert_allclose(got, want, rtol=1e-12, atol=1e-13)


def test_a_key_for_each_head_is_the_other_layout_of_the_same_memory(isa):
    qkv = normal(2, 30, 3, 4, 8)
    assert_array_equal(kernels.attention(qkv.reshape(2, 30, 12, 8), 4)[0], kernels.attention(qkv)[0])


@pytest.mark.parametrize(("B", "T", "H", "G", "D"), [(1, 1, 2, 1, 1), (2, 3, 4, 2, 3), (1, 5, 3, 1, 2)])
def test_attention_backward_with_shared_keys_is_the_derivative(isa, B, T, H, G, D):
    qkv, dout = normal(B, T, H + 2 * G, D), normal(B, T, H, D, seed=1)
    got = kernels.attention_backward(dout, qkv, *kernels.attention(qkv, G), G)
    want = complex_step(lambda x: (dout * reference.attention(x, G)[0]).sum(), qkv)
    assert_allclose(got, want, rtol=1e-9, atol=1e-12)


# ---------------------------------------------------------------- over a cache, for reference/decode.py

@pytest.mark.parametrize(("G", "pieces"), [(3, [60]), (1, [1] * 40), (3, [30, 1, 1, 8]), (1, [25, 24, 1])])
def test_the_twin_of_a_cached_sequence_gives_what_the_whole_sequence_gives(G, pieces):
    """What the cache holds before it is written must not matter."""
    T, H, D = sum(pieces), 3, 5
    qkv, keys, values = normal(2, T, H + 2 * G, D), np.full((2, G, 4, D, 16), np.nan), np.full((2, G, 64, D), np.nan)
    done, parts = 0, []
    for n in pieces:
        parts.append(attention_cached(qkv[:, done:done + n], keys, values, np.full(2, done)))
        done += n
    assert_allclose(np.concatenate(parts, axis=1), reference.attention(qkv, G)[0], rtol=1e-12, atol=1e-13)
    keys = keys.swapaxes(2, 3).reshape(2, G, D, 64)
    assert_array_equal(keys[..., :T], qkv[:, :, H:H + G].transpose(0, 2, 3, 1))
    assert_array_equal(values[:, :, :T], qkv[:, :, H + G:].swapaxes(1, 2))
    assert np.isnan(keys[..., T:]).all()


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sequence_does_not_depend_on_its_company_nor_on_its_padding(isa, dtype):
    qkv = normal(5, 70, 3, 2, 20, dtype=dtype)
    out, lse = kernels.attention(qkv)
    for T in (1, 24, 47, 70):
        alone = kernels.attention(qkv[3:4, :T])
        assert_array_equal(alone[0], out[3:4, :T])
        assert_array_equal(alone[1], lse[3:4, :, :T])
    dout = normal(5, 70, 2, 20, dtype=dtype)
    assert_array_equal(kernels.attention_backward(dout[3:4], qkv[3:4], out[3:4], lse[3:4]),
                       kernels.attention_backward(dout, qkv, out, lse)[3:4])


def test_long_sequences_need_no_square_matrix():
    T = 8192                                                              # a T x T matrix would be 256 MB
    qkv = normal(1, T, 3, 1, 4, dtype=np.float32)
    out, lse = kernels.attention(qkv)
    keys, rows = qkv[:, :, 1].reshape(1, T // 16, 16, 1, 4).transpose(0, 3, 1, 4, 2), [0, 63, 64, 4000, T - 1]
    for i in rows:
        alone = attention_cached(qkv[:, i:i + 1].reshape(1, 1, 3, 4), keys.copy(), qkv[:, :, 2].swapaxes(1, 2).copy(),
                                 np.array([i]))
        assert_allclose(out[0, i], alone[0, 0], rtol=2e-4, atol=2e-5)
    assert np.isfinite(kernels.attention_backward(out, qkv, out, lse)).all()


def test_the_derivative_of_attention_would_notice_a_lost_delta():
    qkv, dout = normal(1, 4, 3, 1, 2), normal(1, 4, 1, 2, seed=1)
    out, lse = reference.attention(qkv)
    want = complex_step(lambda x: (dout * reference.attention(x)[0]).sum(), qkv)
    with pytest.raises(AssertionError):
        assert_allclose(reference.attention_backward(dout, qkv, out * 1.001, lse), want, rtol=1e-9, atol=1e-12)
