"""GELU, the tanh form and the exact one: against its twin, against derivatives, and by hand."""
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from kernel_cases import DTYPES, close, compiled, normal
from rlscratch import kernels
from rlscratch.kernels import reference


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 65), (3, 2), (17, 97), (65, 64), (200, 384)])
def test_gelu_agrees_with_its_twin(isa, shape, dtype):
    x, dy = normal(*shape, dtype=dtype) * 3 + 1, normal(*shape, dtype=dtype, seed=1)
    bias = normal(shape[1], dtype=dtype, seed=1)
    for name, args in (("bias_gelu", (x, bias)), ("bias_gelu", (x, bias, True)),
                       ("bias_gelu_backward", (dy, x, bias)), ("bias_gelu_backward", (dy, x, bias, True))):
        got, want = (getattr(module, name)(*args) for module in (kernels, reference))
        for a, b in zip(*([r] if isinstance(r, np.ndarray) else r for r in (got, want)), strict=True):
            close(a, b, sum(shape))


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
def test_rows_of_gelu_do_not_depend_on_the_others(isa, dtype):
    x, bias = normal(40, 97, dtype=dtype), normal(97, dtype=dtype)
    for i in (0, 7, 39):
        assert_array_equal(kernels.bias_gelu(x[i:i + 1], bias), kernels.bias_gelu(x, bias)[i:i + 1])
