"""Layer norm: against its twin, against derivatives, and by hand."""
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import complex_step
from kernel_cases import DTYPES, close, compiled, normal
from rlscratch import kernels
from rlscratch.kernels import reference


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 65), (3, 2), (17, 97), (65, 64), (200, 384)])
def test_layer_norm_agrees_with_its_twin(isa, shape, dtype):
    x, dy = normal(*shape, dtype=dtype) * 3 + 1, normal(*shape, dtype=dtype, seed=1)
    gain, bias = normal(shape[1], dtype=dtype), normal(shape[1], dtype=dtype, seed=1)
    for name, args in (("layer_norm", (x, gain, bias)),
                       ("layer_norm_backward", (dy, x, gain, reference.layer_norm(x, gain, bias, 1e-2)[1]))):
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


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_layer_norm_do_not_depend_on_the_others(isa, dtype):
    x, gain = normal(40, 97, dtype=dtype), normal(97, dtype=dtype)
    for i in (0, 7, 39):
        assert_array_equal(kernels.layer_norm(x[i:i + 1], gain, gain)[0], kernels.layer_norm(x, gain, gain)[0][i:i + 1])
