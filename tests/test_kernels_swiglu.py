"""SwiGLU: against its twin, against derivatives, and by hand."""
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import complex_step
from kernel_cases import DTYPES, close, compiled, normal
from rlscratch import kernels
from rlscratch.kernels import reference


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "inner"), [(1, 1), (1, 65), (3, 2), (17, 97), (65, 64), (200, 384)])
def test_swiglu_agrees_with_its_twin(isa, N, inner, dtype):
    x, dy = normal(N, 2 * inner, dtype=dtype) * 3, normal(N, inner, dtype=dtype, seed=1)
    close(kernels.swiglu(x), reference.swiglu(x))
    close(kernels.swiglu_backward(dy, x), reference.swiglu_backward(dy, x))


def test_gates_by_hand(isa):
    """sigmoid(log 3) = 3/4."""
    x = np.array([[math.log(3), -math.log(3), 0.0, 2.0, 2.0, 2.0]])
    assert_allclose(kernels.swiglu(x), [[1.5 * math.log(3), -0.5 * math.log(3), 0]], rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_swiglu_at_its_ends(isa, dtype):
    """A gate far below 0 is shut, one far above lets g u pass; neither overflows, nor do their slopes."""
    x = np.array([[-1e4, -100, 100, 1e4, 1, 1, 1, 1]], dtype)
    assert_allclose(kernels.swiglu(x)[0], [0, 0, 100, 1e4], atol=1e-40)
    assert_allclose(kernels.swiglu_backward(np.ones((1, 4), dtype), x)[0], [0, 0, 1, 1, 0, 0, 100, 1e4], atol=1e-40)


@pytest.mark.parametrize(("N", "inner"), [(1, 1), (3, 4), (20, 3)])
def test_swiglu_backward_is_the_derivative(isa, N, inner):
    x, dy = 2 * normal(N, 2 * inner), normal(N, inner, seed=1)
    want = complex_step(lambda z: (dy * reference.swiglu(z)).sum(), x)
    assert_allclose(kernels.swiglu_backward(dy, x), want, rtol=1e-9, atol=1e-12)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_swiglu_do_not_depend_on_the_others(isa, dtype):
    x = normal(40, 194, dtype=dtype)
    for i in (0, 7, 39):
        assert_array_equal(kernels.swiglu(x[i:i + 1]), kernels.swiglu(x)[i:i + 1])
