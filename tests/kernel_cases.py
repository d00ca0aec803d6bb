"""What the tests of kernels share."""
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

DTYPES = [np.float32, np.float64]
STEP = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01, "step": 1}
JUST_BELOW_1 = np.nextafter(1.0, 0.0)
compiled = pytest.mark.compiled_only("a promise of the compiled core")


def random_logits(shape, dtype, seed=0, scale=3.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(dtype)


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def close(got, want, terms=1):
    """Equal to the rounding of sums with so many terms of order 1."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    tolerance = 8 * np.finfo(want.dtype).eps * (4 + math.sqrt(terms))
    assert_allclose(got, want, rtol=tolerance, atol=tolerance * max(1, np.abs(want).max()))
