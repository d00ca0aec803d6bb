"""Rows of a table, and the gradient of the table."""
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kernel_cases import DTYPES, normal
from rlscratch import kernels
from rlscratch.kernels import reference


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "V", "C"), [(1, 1, 1), (97, 5, 3), (50, 301, 65), (2000, 64, 32)])
def test_embedding_is_the_twin_bit_for_bit(isa, N, V, C, dtype):
    table, dout, ids = normal(V, C, dtype=dtype), normal(N, C, dtype=dtype), np.random.default_rng(0).integers(0, V, N)
    assert_array_equal(kernels.embedding(table, ids), table[ids])
    assert_array_equal(kernels.embedding_backward(dout, ids, V), reference.embedding_backward(dout, ids, V))


def test_the_gradient_of_a_repeated_token_is_a_sum_and_of_an_absent_one_zero():
    dout = np.array([[1.0, 2], [10, 20], [100, 200]])
    assert kernels.embedding_backward(dout, np.array([2, 0, 2]), 4).tolist() == [[10, 20], [0, 0], [101, 202], [0, 0]]
