"""The kernels of a transformer: against their twins, against derivatives, and against themselves.

Three things are wanted of each.  It equals its twin to rounding, in both dtypes and on every
instruction set.  Its backward is the derivative of its forward.  And a row of its result is the
same bit for bit alone and in any company, on any number of threads: so a sequence's logits do not
depend on the batch that it is sampled in.  Sizes of 1, 65 and 97 leave every tile ragged.

By hand: one head of width 1 over two tokens with q = k = [0, 0] weighs both alike, so v = [2, 4]
gives out = [2, 3] and lse = [log 1, log 2].
"""
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch import kernels
from rlscratch.kernels import reference

DTYPES = [np.float32, np.float64]
compiled = pytest.mark.skipif(kernels.BACKEND == "numpy", reason="a promise of the compiled core alone")


@pytest.fixture(params=kernels.ISAS or ["numpy"])
def isa(request):
    """Each instruction set in turn; afterwards the one that was in use."""
    if kernels.BACKEND == "numpy":
        yield request.param
        return
    from rlscratch.kernels import _compiled
    _compiled._choose(request.param)
    yield request.param
    _compiled._choose(kernels.ISA)


@pytest.fixture
def on_threads():
    """on_threads(count, call): the call's result with so many threads."""
    before = kernels.threads()

    def run(count, call):
        kernels.set_threads(count)
        return call()

    yield run
    kernels.set_threads(before)


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def close(got, want, terms=1):
    """Equal to the rounding of sums with so many terms of order 1."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    tolerance = 8 * np.finfo(want.dtype).eps * (4 + math.sqrt(terms))
    assert_allclose(got, want, rtol=tolerance, atol=tolerance * max(1, np.abs(want).max()))


# ---------------------------------------------------------------- matrix product

SIZES = [(1, 1, 1), (1, 65, 97), (2, 16, 3), (5, 31, 256), (6, 64, 257), (7, 63, 64), (24, 128, 96), (25, 129, 300),
         (65, 97, 65), (97, 1, 130), (193, 67, 40), (100, 700, 513)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("M", "N", "K"), SIZES)
def test_matmul_agrees_with_its_twin(isa, M, N, K, transposed, dtype):
    a, b = normal(M, K, dtype=dtype), normal(K, N, dtype=dtype, seed=1)
    a, b = a.T.copy() if transposed[0] else a, b.T.copy() if transposed[1] else b
    close(kernels.matmul(a, b, *transposed), reference.matmul(a, b, *transposed), K)


@pytest.mark.parametrize("dtype", DTYPES)
def test_matmul_of_whole_numbers_is_exact(isa, dtype):
    rng = np.random.default_rng(0)
    a, b = rng.integers(-8, 9, (67, 300)).astype(dtype), rng.integers(-8, 9, (300, 131)).astype(dtype)
    assert_array_equal(kernels.matmul(a, b), a.astype(int) @ b.astype(int))
    assert_array_equal(kernels.matmul(a.T.copy(), b, transpose_a=True), a.astype(int) @ b.astype(int))


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(("N", "K"), [(65, 97), (384, 300), (1, 700), (130, 1)])
def test_a_row_of_a_product_does_not_depend_on_the_other_rows(isa, N, K, transpose_b, dtype):
    a, b = normal(130, K, dtype=dtype), normal(K, N, dtype=dtype, seed=1)
    b = b.T.copy() if transpose_b else b
    together = kernels.matmul(a, b, transpose_b=transpose_b)
    turned = kernels.matmul(a.T.copy(), b, transpose_a=True, transpose_b=transpose_b)
    assert_array_equal(turned, together)
    for start, end in [(0, 1), (129, 130), (3, 5), (10, 16), (50, 57), (0, 24), (1, 30), (30, 129)]:
        assert_array_equal(kernels.matmul(a[start:end], b, transpose_b=transpose_b), together[start:end])


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("M", "N", "K"), [(300, 65, 129), (7, 700, 301), (64, 64, 2000), (1, 4097, 97)])
def test_a_product_does_not_depend_on_the_number_of_threads(isa, on_threads, M, N, K, dtype):
    a, b = normal(M, K, dtype=dtype), normal(K, N, dtype=dtype, seed=1)
    for turn_a, turn_b in [(False, False), (True, False), (False, True)]:
        x, y = a.T.copy() if turn_a else a, b.T.copy() if turn_b else b
        product = partial(kernels.matmul, x, y, turn_a, turn_b)
        one, *more = (on_threads(count, product) for count in (1, 2, 3, 5))
        for other in more:
            assert_array_equal(other, one)


def test_a_product_reads_nothing_but_its_arguments():
    rim = np.full((100, 200), np.nan)
    for M, N, K in [(7, 65, 33), (30, 17, 20)]:
        a, b = rim.copy(), rim.copy()
        a[:M, :K], b[:K, :N] = 1, 1
        assert_array_equal(kernels.matmul(a[:M, :K], b[:K, :N]), np.full((M, N), float(K)))


@given(st.integers(1, 40), st.integers(1, 70), st.integers(1, 30), st.booleans(), st.booleans())
@example(6, 64, 16, False, False)
def test_the_derivatives_of_a_product_are_products(M, N, K, turn_a, turn_b):
    a, b, dout = normal(*((K, M) if turn_a else (M, K))), normal(*((N, K) if turn_b else (K, N)), seed=1), normal(M, N)
    da = kernels.matmul(b, dout, turn_b, True) if turn_a else kernels.matmul(dout, b, False, not turn_b)
    direction = normal(*a.shape, seed=2)
    change = kernels.matmul(direction, b, turn_a, turn_b)         # the product is linear in a: no step size needed
    assert_allclose((dout * change).sum(), (da * direction).sum(), rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------- attention

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


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_network_kernel_depends_on_the_number_of_threads(isa, on_threads, dtype):
    qkv, x, bias = normal(4, 97, 3, 3, 17, dtype=dtype), normal(700, 65, dtype=dtype), normal(65, dtype=dtype)
    ids = np.random.default_rng(0).integers(0, 301, 700)

    def everything():
        out, lse = kernels.attention(qkv)
        y, stats = kernels.layer_norm(x, bias, bias)
        p, m, v = x.copy(), x * 0, x * 0
        kernels.adamw(p, x, m, v, lr=.1, beta1=.9, beta2=.99, eps=1e-8, weight_decay=.1, step=1)
        keys, values = np.zeros((4, 3, 17, 112), dtype), np.zeros((4, 3, 112, 17), dtype)
        return [out, lse, kernels.attention_backward(out, qkv, out, lse), y, stats, p, m, v,
                kernels.attention_cached(qkv, keys, values, np.zeros(4, dtype=int)),
                *kernels.layer_norm_backward(x, x, bias, stats), kernels.bias_gelu(x, bias),
                *kernels.bias_gelu_backward(x, x, bias), kernels.embedding(x, ids),
                kernels.embedding_backward(x, ids, 301), np.array(kernels.squared_norm(x))]

    one, *more = (on_threads(count, everything) for count in (1, 2, 3))
    for other in more:
        for a, b in zip(one, other, strict=True):
            assert_array_equal(a, b)


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


# ---------------------------------------------------------------- layer norm and GELU

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 65), (3, 2), (17, 97), (65, 64), (200, 384)])
def test_layer_norm_and_gelu_agree_with_their_twins(isa, shape, dtype):
    x, dy = normal(*shape, dtype=dtype) * 3 + 1, normal(*shape, dtype=dtype, seed=1)
    gain, bias = normal(shape[1], dtype=dtype), normal(shape[1], dtype=dtype, seed=1)
    for name, args in (("layer_norm", (x, gain, bias)),
                       ("layer_norm_backward", (dy, x, gain, reference.layer_norm(x, gain, bias, 1e-2)[1])),
                       ("bias_gelu", (x, bias)), ("bias_gelu", (x, bias, True)),
                       ("bias_gelu_backward", (dy, x, bias)), ("bias_gelu_backward", (dy, x, bias, True))):
        got, want = (getattr(module, name)(*args) for module in (kernels, reference))
        for a, b in zip(*([r] if isinstance(r, np.ndarray) else r for r in (got, want)), strict=True):
            close(a, b, sum(shape))


def test_a_normed_row_has_mean_0_and_variance_1():
    y, stats = kernels.layer_norm(normal(4, 50) * 7 + 3, np.ones(50), np.zeros(50), eps=1e-12)
    assert_allclose(y.mean(axis=1), 0, atol=1e-14)
    assert_allclose(y.var(axis=1), 1, rtol=1e-12)
    assert stats.shape == (4, 2)


def test_a_flat_row_is_normed_to_its_bias():
    y, stats = kernels.layer_norm(np.full((1, 8), 3.0), np.ones(8), np.arange(8.0), eps=1e-5)
    assert_allclose(y[0], np.arange(8.0), atol=1e-12)
    assert_allclose(stats, [[3, 1 / math.sqrt(1e-5)]], rtol=1e-14)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (20, 3)])
def test_layer_norm_backward_is_the_derivative(isa, shape):
    x, dy, gain, bias = normal(*shape), normal(*shape, seed=1), normal(shape[1], seed=2), normal(shape[1], seed=3)
    got = kernels.layer_norm_backward(dy, x, gain, kernels.layer_norm(x, gain, bias, 0.1)[1])
    for place, value in enumerate(got):
        def loss(z, place=place):
            args = [x, gain, bias]
            args[place] = z
            return (dy * reference.layer_norm(*args, 0.1)[0]).sum()
        assert_allclose(value, complex_step(loss, [x, gain, bias][place]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (20, 3)])
def test_gelu_backward_is_the_derivative(isa, shape):
    x, dy, bias = 2 * normal(*shape), normal(*shape, seed=1), normal(shape[1], seed=2)
    got = kernels.bias_gelu_backward(dy, x, bias)
    assert_allclose(got[0], complex_step(lambda z: (dy * reference.bias_gelu(z, bias)).sum(), x), rtol=1e-9, atol=1e-12)
    assert_allclose(got[1], complex_step(lambda z: (dy * reference.bias_gelu(x, z)).sum(), bias), rtol=1e-9, atol=1e-12)
    got = kernels.bias_gelu_backward(dy, x, bias, exact=True)
    for value, loss, at in [(got[0], lambda z: (dy * kernels.bias_gelu(z, bias, True)).sum(), x),
                            (got[1], lambda z: (dy * kernels.bias_gelu(x, z, True)).sum(), bias)]:
        assert_allclose(value, central_difference(loss, at), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_at_its_ends_and_in_the_middle(isa, dtype):
    x = np.array([[-100, -8, -1, -0.0, 0, 1, 8, 100]], dtype)
    zero = np.zeros(8, dtype)
    tanh_form = [0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z ** 3))) for z in x[0].tolist()]
    exact = [z * 0.5 * math.erfc(-z / math.sqrt(2)) for z in x[0].tolist()]
    tolerance = {"rtol": 4 * np.finfo(dtype).eps, "atol": 1e-15}
    assert_allclose(kernels.bias_gelu(x, zero)[0], tanh_form, **tolerance)
    assert_allclose(kernels.bias_gelu(x, zero, exact=True)[0], exact, **tolerance)
    for form in (False, True):
        slope = kernels.bias_gelu_backward(np.ones_like(x), x, zero, form)[0][0]
        assert_allclose(slope[[0, 3, 4, 7]], [0, .5, .5, 1], atol=1e-12)


def test_gelu_of_one_is_the_table_s():
    assert_allclose(kernels.bias_gelu(np.ones((1, 1)), np.zeros(1)), .841192, atol=5e-7)
    assert_allclose(kernels.bias_gelu(np.ones((1, 1)), np.zeros(1), exact=True), .841345, atol=5e-7)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_layer_norm_and_gelu_do_not_depend_on_the_others(isa, dtype):
    x, gain = normal(40, 97, dtype=dtype), normal(97, dtype=dtype)
    for i in (0, 7, 39):
        assert_array_equal(kernels.layer_norm(x[i:i + 1], gain, gain)[0], kernels.layer_norm(x, gain, gain)[0][i:i + 1])
        assert_array_equal(kernels.bias_gelu(x[i:i + 1], gain), kernels.bias_gelu(x, gain)[i:i + 1])


# ---------------------------------------------------------------- embedding

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "V", "C"), [(1, 1, 1), (97, 5, 3), (50, 301, 65), (2000, 64, 32)])
def test_embedding_is_the_twin_bit_for_bit(isa, N, V, C, dtype):
    table, dout, ids = normal(V, C, dtype=dtype), normal(N, C, dtype=dtype), np.random.default_rng(0).integers(0, V, N)
    assert_array_equal(kernels.embedding(table, ids), table[ids])
    assert_array_equal(kernels.embedding_backward(dout, ids, V), reference.embedding_backward(dout, ids, V))


def test_the_gradient_of_a_repeated_token_is_a_sum_and_of_an_absent_one_zero():
    dout = np.array([[1.0, 2], [10, 20], [100, 200]])
    assert kernels.embedding_backward(dout, np.array([2, 0, 2]), 4).tolist() == [[10, 20], [0, 0], [101, 202], [0, 0]]


# ---------------------------------------------------------------- AdamW

STEP = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01, "step": 1}


def test_the_first_step_moves_by_the_learning_rate_against_the_sign():
    p, g, m, v = np.array([1.0, 1.0]), np.array([0.5, -0.25]), np.zeros(2), np.zeros(2)
    assert kernels.adamw(p, g, m, v, **STEP) is None
    assert_allclose(p, [1 - 0.001 - 0.1, 1 - 0.001 + 0.1], rtol=1e-7)       # decay 0.1 * 0.01, then lr sign(g)
    assert_allclose(m, [0.05, -0.025])
    assert_allclose(v, [0.00025, 0.0000625])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (65, 97), (3, 50, 1000)])
def test_adamw_agrees_with_its_twin_over_steps(isa, shape, dtype):
    ours, theirs = ([normal(*shape, dtype=dtype), np.zeros(shape, dtype), np.zeros(shape, dtype)] for _ in range(2))
    for step in range(1, 8):
        g = normal(*shape, dtype=dtype, seed=step)
        for module, (p, m, v) in ((kernels, ours), (reference, theirs)):
            module.adamw(p, g, m, v, **STEP | {"step": step})
    for a, b in zip(ours, theirs, strict=True):
        close(a, b, 50)


def test_adamw_with_no_gradient_only_decays():
    p, zero = np.array([2.0]), np.zeros(1)
    kernels.adamw(p, zero, np.zeros(1), np.zeros(1), **STEP)
    assert_allclose(p, 2 * (1 - 0.001))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (15,), (65, 97), (100_003,)])
def test_squared_norm_adds_in_double(isa, shape, dtype):
    x = normal(*shape, dtype=dtype)
    got = kernels.squared_norm(x)
    assert isinstance(got, float)
    assert_allclose(got, math.fsum((x.astype(np.float64) ** 2).ravel().tolist()), rtol=1e-13)


# ---------------------------------------------------------------- arrays to write into

def calls(dtype=np.float64):
    """Good calls: name -> (arguments, the name of the array to write into, its shape)."""
    x, row, ids = normal(6, 5, dtype=dtype), normal(5, dtype=dtype), np.array([0, 2, 2, 1, 0, 3])
    qkv, start = normal(2, 4, 3, 2, 3, dtype=dtype), np.array([0, 9])
    cache = {"keys": np.ones((2, 2, 3, 16), dtype), "values": np.ones((2, 2, 16, 3), dtype)}
    out, lse = reference.attention(qkv)
    return {
        "matmul": ({"a": x, "b": x, "transpose_b": True}, "out", (6, 6)),
        "attention": ({"qkv": qkv}, "out", (2, 4, 2, 3)),
        "attention_backward": ({"dout": out * 2, "qkv": qkv, "out": out, "lse": lse}, "dqkv", qkv.shape),
        "attention_cached": ({"qkv": qkv, **cache, "start": start}, "out", (2, 4, 2, 3)),
        "layer_norm": ({"x": x, "gain": row, "bias": row}, "out", (6, 5)),
        "layer_norm_backward": ({"dy": x, "x": x, "gain": row, "stats": normal(6, 2, dtype=dtype)}, "out", (6, 5)),
        "bias_gelu": ({"x": x, "bias": row}, "out", (6, 5)),
        "bias_gelu_backward": ({"dy": x, "x": x, "bias": row}, "out", (6, 5)),
        "embedding": ({"table": x, "ids": ids}, "out", (6, 5)),
        "embedding_backward": ({"dout": x, "ids": ids, "V": 7}, "out", (7, 5)),
    }


def first(result):
    return result if isinstance(result, np.ndarray) else result[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", calls())
def test_the_array_to_write_into_is_filled_and_returned(isa, name, dtype):
    args, place, shape = calls(dtype)[name]
    kernel, buffer = getattr(kernels, name), np.full(shape, np.nan, dtype)
    result = first(kernel(**args, **{place: buffer}))
    assert result is buffer
    assert_array_equal(buffer, first(kernel(**args)))


def strided(array):
    """The same numbers, not contiguous."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


def misaligned(array):
    """The same numbers, from an odd address on."""
    room = np.empty(array.nbytes + 1, np.uint8)
    view = room[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


@pytest.mark.parametrize("other", [strided, misaligned])
@pytest.mark.parametrize("name", calls())
def test_arrays_that_must_be_copied_first_give_the_same_result(isa, name, other):
    args = calls()[name][0]
    turned = {k: other(v) if isinstance(v, np.ndarray) and k not in ("keys", "values") else v for k, v in args.items()}
    assert_array_equal(first(getattr(kernels, name)(**turned)), first(getattr(kernels, name)(**args)))


@pytest.mark.parametrize("name", calls())
def test_a_foreign_byte_order_is_refused(name):
    args = calls()[name][0]
    place = next(k for k, v in args.items() if isinstance(v, np.ndarray) and v.dtype == float)
    with pytest.raises(TypeError, match=f"the dtype of {place} is"):
        getattr(kernels, name)(**(args | {place: args[place].astype(">f8")}))


@pytest.mark.parametrize("name", calls())
def test_a_wrong_array_to_write_into_is_refused(name):
    args, place, shape = calls()[name]
    kernel, good = getattr(kernels, name), np.empty(shape)
    frozen = good.copy()
    frozen.flags.writeable = False
    taken = max((a for a in args.values() if isinstance(a, np.ndarray) and a.dtype == float), key=lambda a: a.size)
    for wrong, message in [(np.empty((*shape[:-1], shape[-1] + 1)), f"the shape of {place} is"),
                           (good.astype(np.float32), f"the dtype of {place} is"),
                           ([1.0], f"the dtype of {place} is 'list'"),
                           (np.empty(shape[::-1]).T, f"the layout of {place} is 'not C-contiguous'"),
                           (frozen, f"the layout of {place} is 'read-only'")]:
        with pytest.raises((ValueError, TypeError), match=message):
            kernel(**args, **{place: wrong})
    if taken.size >= good.size:
        with pytest.raises(ValueError, match=f"the memory of {place} is 'shared with another argument'"):
            kernel(**args, **{place: taken.ravel()[:good.size].reshape(shape)})


# ---------------------------------------------------------------- bad calls

ADAMW = {name: np.ones(3) * k for k, name in enumerate(("parameter", "gradient", "m", "v"))} | STEP
BAD = [
    ("matmul", {"a": np.ones((2, 3), dtype=int)}, TypeError, "the dtype of a is dtype.'int64'.; expected float32"),
    ("matmul", {"b": np.ones((6, 5), np.float32)}, TypeError, "float64 like the array before it"),
    ("matmul", {"a": np.ones(5)}, ValueError, r"the shape of a is \(5,\); expected 2 dimensions"),
    ("matmul", {"b": np.ones((6, 4))}, ValueError, r"the inner length of b is 4; expected 5, for a of shape \(6, 5\)"),
    ("matmul", {"transpose_a": True}, ValueError, r"is 5; expected 6, for the transpose of a of shape \(6, 5\)"),
    ("matmul", {"transpose_b": 1}, ValueError, "transpose_b is 1; expected one of False, True"),
    ("attention", {"qkv": np.ones((2, 4, 2, 3))}, ValueError, "expected 5 dimensions"),
    ("attention", {"qkv": np.ones((2, 4, 2, 2, 3))}, ValueError, "query, key and value on the third axis"),
    ("attention_backward", {"lse": np.ones((2, 4, 2))}, ValueError, "as attention returned it"),
    ("attention_backward", {"dout": np.ones((2, 4, 2, 2))}, ValueError, "one entry for each of out"),
    ("attention_cached", {"start": np.array([0, 13])}, ValueError, r"start\[1\] is 13; expected at most 12: 4 new"),
    ("attention_cached", {"start": np.array([-1, 0])}, ValueError, r"start\[0\] is -1"),
    ("attention_cached", {"start": np.array([0])}, ValueError, "one length a sequence"),
    ("attention_cached", {"start": np.array([0.0, 1.0])}, TypeError, "integers"),
    ("attention_cached", {"keys": np.ones((2, 2, 3, 20))}, ValueError, "the shape of values is"),
    ("attention_cached", {"keys": np.ones((2, 2, 3, 20)), "values": np.ones((2, 2, 20, 3))}, ValueError,
     "the last length of keys is 20; expected a multiple of 16"),
    ("attention_cached", {"keys": np.ones((2, 2, 4, 16))}, ValueError, "the shape of keys"),
    ("attention_cached", {"keys": [1.0]}, TypeError, "the dtype of keys is 'list'"),
    ("layer_norm", {"gain": np.ones(4)}, ValueError, r"gain is \(4,\); expected \(5,\), one entry a channel"),
    ("layer_norm", {"eps": 0.0}, ValueError, "eps is 0.0; expected a finite number > 0"),
    ("layer_norm_backward", {"dy": np.ones((5, 5))}, ValueError, "like x"),
    ("layer_norm_backward", {"stats": np.ones((6, 3))}, ValueError, "as layer_norm returned it"),
    ("bias_gelu", {"bias": np.ones((6, 5))}, ValueError, "expected 1 dimension"),
    ("bias_gelu", {"exact": "yes"}, ValueError, "exact is 'yes'; expected one of False, True"),
    ("bias_gelu_backward", {"dy": np.ones((6, 5), np.float32)}, TypeError, "float64 like the array before it"),
    ("embedding", {"ids": np.array([0, 6])}, ValueError, r"ids\[1\] is 6; expected an integer in \[0, 6\)"),
    ("embedding", {"ids": np.array([], dtype=int)}, ValueError, "at least one id"),
    ("embedding_backward", {"ids": np.array([0, 1])}, ValueError, "one id a row of dout"),
    ("embedding_backward", {"V": 0}, ValueError, "V is 0; expected an integer >= 1"),
    ("adamw", {"lr": -1.0}, ValueError, "lr is -1.0; expected a finite number >= 0"),
    ("adamw", {"beta1": 1.0}, ValueError, r"beta1 is 1.0; expected a number in \[0, 1\)"),
    ("adamw", {"beta2": -0.1}, ValueError, "beta2 is -0.1"),
    ("adamw", {"step": 0}, ValueError, "step is 0; expected an integer >= 1"),
    ("adamw", {"gradient": np.ones(4)}, ValueError, "like parameter"),
    ("adamw", {"m": ADAMW["v"]}, ValueError, "the memory of v is 'shared with another argument'"),
    ("adamw", {"gradient": ADAMW["parameter"]}, ValueError, "the memory of gradient is 'shared"),
    ("adamw", {"parameter": np.ones((3, 3))[:, 0]}, ValueError, "the layout of parameter is 'not C-contiguous'"),
    ("squared_norm", {"x": np.zeros(0)}, ValueError, r"the shape of x is \(0,\); expected none of length 0"),
    ("squared_norm", {"x": [1.0]}, TypeError, "the dtype of x is 'list'"),
]


@pytest.mark.parametrize(("name", "changed", "error", "message"), BAD)
def test_a_bad_call_names_the_argument_its_value_and_what_was_expected(name, changed, error, message):
    good = {"adamw": ADAMW, "squared_norm": {}} | {k: args for k, (args, *_) in calls().items()}
    with pytest.raises(error, match=message):
        getattr(kernels, name)(**(good[name] | changed))


def test_a_bad_call_changes_nothing():
    args = calls()["attention_cached"][0]
    with pytest.raises(ValueError, match="start"):
        kernels.attention_cached(**(args | {"start": np.array([13, 0])}))
    assert (args["keys"] == 1).all()
    assert (args["values"] == 1).all()


# ---------------------------------------------------------------- the checks, checked

@pytest.mark.parametrize("dtype", DTYPES)
def test_the_comparison_with_a_twin_would_notice_a_lost_term(dtype):
    a, b = normal(20, 300, dtype=dtype), normal(300, 20, dtype=dtype)
    shorter = a.copy()
    shorter[:, -1] *= 1.001
    with pytest.raises(AssertionError):
        close(reference.matmul(shorter, b), reference.matmul(a, b), 300)


def test_the_derivative_of_attention_would_notice_a_lost_delta():
    qkv, dout = normal(1, 4, 3, 1, 2), normal(1, 4, 1, 2, seed=1)
    out, lse = reference.attention(qkv)
    want = complex_step(lambda x: (dout * reference.attention(x)[0]).sum(), qkv)
    with pytest.raises(AssertionError):
        assert_allclose(reference.attention_backward(dout, qkv, out * 1.001, lse), want, rtol=1e-9, atol=1e-12)
