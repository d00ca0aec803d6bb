"""RMS norm: against its twin, against derivatives, and by hand."""
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
def test_rms_norm_agrees_with_its_twin(isa, shape, dtype):
    x, dy = normal(*shape, dtype=dtype) * 3 + 1, normal(*shape, dtype=dtype, seed=1)
    gain = normal(shape[1], dtype=dtype)
    for name, args in (("rms_norm", (x, gain, 1e-2)),
                       ("rms_norm_backward", (dy, x, gain, reference.rms_norm(x, gain, 1e-2)[1]))):
        for a, b in zip(*(getattr(module, name)(*args) for module in (kernels, reference)), strict=True):
            close(a, b, sum(shape))


def test_a_normed_row_has_mean_square_1_and_keeps_its_mean_s_sign(isa):
    x = normal(4, 50) * 7 + 3
    y, rstd = kernels.rms_norm(x, np.ones(50), eps=1e-12)
    assert_allclose((y * y).mean(axis=1), 1, rtol=1e-12)
    assert_allclose(y, x / np.sqrt((x * x).mean(axis=1))[:, None], rtol=1e-12)
    assert rstd.shape == (4,)


def test_a_row_by_hand(isa):
    """Mean square of 1, 7 is 25."""
    y, rstd = kernels.rms_norm(np.array([[1.0, 7.0]]), np.array([1.0, 10.0]), eps=1e-14)
    assert_allclose(y, [[1 / 5, 14]], rtol=1e-12)
    assert_allclose(rstd, [1 / 5], rtol=1e-12)


def test_a_row_of_zeros_stays_and_its_derivative_is_as_eps_says(isa):
    y, rstd = kernels.rms_norm(np.zeros((1, 8)), np.ones(8), eps=1e-4)
    assert_array_equal(y, 0)
    assert_allclose(rstd, 1 / math.sqrt(1e-4), rtol=1e-14)
    assert_allclose(kernels.rms_norm_backward(np.ones((1, 8)), np.zeros((1, 8)), np.ones(8), rstd)[0], 100, rtol=1e-14)


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (20, 3)])
def test_rms_norm_backward_is_the_derivative(isa, shape):
    x, dy, gain = normal(*shape), normal(*shape, seed=1), normal(shape[1], seed=2)
    got = kernels.rms_norm_backward(dy, x, gain, kernels.rms_norm(x, gain, 0.1)[1])
    assert_allclose(got[0], complex_step(lambda z: (dy * reference.rms_norm(z, gain, 0.1)[0]).sum(), x),
                    rtol=1e-9, atol=1e-12)
    assert_allclose(got[1], complex_step(lambda z: (dy * reference.rms_norm(x, z, 0.1)[0]).sum(), gain),
                    rtol=1e-9, atol=1e-12)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_rms_norm_do_not_depend_on_the_others(isa, dtype):
    x, gain = normal(40, 97, dtype=dtype), normal(97, dtype=dtype)
    for i in (0, 7, 39):
        assert_array_equal(kernels.rms_norm(x[i:i + 1], gain)[0], kernels.rms_norm(x, gain)[0][i:i + 1])
