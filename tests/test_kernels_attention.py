"""Attention: against its twin, against derivatives, and against itself over a cache.

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


def empty_cache(B, H, D, room, dtype):
    """What a cache holds before it is written must not matter."""
    return np.full((B, H, D, room), np.nan, dtype), np.full((B, H, room, D), np.nan, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("D", "pieces"),
                         [(64, [60]), (16, [1] * 40), (5, [30, 1, 1, 8]), (24, [25, 24, 1]), (1, [7, 1])])
def test_a_cached_sequence_gives_what_the_whole_sequence_gives(isa, D, pieces, dtype):
    T = sum(pieces)
    qkv = normal(2, T, 3, 3, D, dtype=dtype)
    keys, values = empty_cache(2, 3, D, 64, dtype)
    done, parts = 0, []
    for n in pieces:
        parts.append(kernels.attention_cached(qkv[:, done:done + n], keys, values, np.full(2, done)))
        done += n
    whole = kernels.attention(qkv)[0]
    if kernels.BACKEND == "compiled":
        assert_array_equal(np.concatenate(parts, axis=1), whole)
    close(np.concatenate(parts, axis=1), reference.attention(qkv)[0], T)
    assert_array_equal(keys[..., :T], qkv[:, :, 1].transpose(0, 2, 3, 1))
    assert_array_equal(values[:, :, :T], qkv[:, :, 2].swapaxes(1, 2))
    assert np.isnan(keys[..., T:]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_cached_twin_agrees(isa, dtype):
    qkv, start = normal(3, 5, 3, 2, 7, dtype=dtype), np.array([0, 9, 27])
    ours, theirs = ([np.ones((3, 2, 7, 32), dtype), np.ones((3, 2, 32, 7), dtype)] for _ in range(2))
    close(kernels.attention_cached(qkv, *ours, start), reference.attention_cached(qkv, *theirs, start), 32)
    for a, b in zip(ours, theirs, strict=True):
        assert_array_equal(a, b)


def test_prompts_padded_on_the_right_then_steps_of_different_lengths():
    lengths, room = np.array([3, 1, 5]), 16
    rows = [normal(1, n + 4, 3, 2, 8, seed=n) for n in lengths]           # each prompt and four tokens after it
    padded = np.concatenate([np.pad(r[:, :n], [(0, 0), (0, 5 - n)] + [(0, 0)] * 3)
                             for r, n in zip(rows, lengths, strict=True)])
    keys, values = empty_cache(3, 2, 8, room, np.float64)
    out = kernels.attention_cached(padded, keys, values, np.zeros(3, dtype=int))
    for step in range(4):
        new = np.concatenate([r[:, n + step:n + step + 1] for r, n in zip(rows, lengths, strict=True)])
        one = kernels.attention_cached(new, keys, values, lengths + step)
        for b, n in enumerate(lengths):
            alone = kernels.attention(rows[b])[0]
            assert_allclose(one[b, 0], alone[0, n + step], rtol=1e-13, atol=1e-14)
            assert_allclose(out[b, :n], alone[0, :n], rtol=1e-13, atol=1e-14)


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
    rows = [0, 63, 64, 4000, T - 1]
    for i in rows:
        alone = reference.attention_cached(qkv[:, i:i + 1], qkv[:, :, 1].transpose(0, 2, 3, 1).copy(),
                                           qkv[:, :, 2].swapaxes(1, 2).copy(), np.array([i]))
        assert_allclose(out[0, i], alone[0, 0], rtol=2e-4, atol=2e-5)
    assert np.isfinite(kernels.attention_backward(out, qkv, out, lse)).all()


def test_the_derivative_of_attention_would_notice_a_lost_delta():
    qkv, dout = normal(1, 4, 3, 1, 2), normal(1, 4, 1, 2, seed=1)
    out, lse = reference.attention(qkv)
    want = complex_step(lambda x: (dout * reference.attention(x)[0]).sum(), qkv)
    with pytest.raises(AssertionError):
        assert_allclose(reference.attention_backward(dout, qkv, out * 1.001, lse), want, rtol=1e-9, atol=1e-12)
