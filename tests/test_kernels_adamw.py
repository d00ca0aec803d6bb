"""One step of AdamW, and the sum of squares."""
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from kernel_cases import DTYPES, STEP, close, normal
from rlscratch import kernels
from rlscratch.kernels import reference


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
