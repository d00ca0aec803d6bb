"""The product of two matrices.  Sizes of 1, 65 and 97 leave every tile ragged.

A row of a product is the same bit for bit alone and in any company, on any number of threads.
"""
from functools import partial

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kernel_cases import DTYPES, close, compiled, normal
from rlscratch import kernels
from rlscratch.kernels import reference

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


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_comparison_with_a_twin_would_notice_a_lost_term(dtype):
    a, b = normal(20, 300, dtype=dtype), normal(300, 20, dtype=dtype)
    shorter = a.copy()
    shorter[:, -1] *= 1.001
    with pytest.raises(AssertionError):
        close(reference.matmul(shorter, b), reference.matmul(a, b), 300)
