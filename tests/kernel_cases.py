"""What the tests of kernels share."""
import math
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch import kernels
from rlscratch.kernels import reference

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


@contextmanager
def these_kernels_alone(names):
    """Within the block a test that calls another kernel fails, whoever catches exceptions."""
    def refused(name):
        return lambda *args, **kwargs: pytest.fail(f"the kernel {name} was called; expected one of {names}")

    with pytest.MonkeyPatch.context() as patch:
        for name in {*reference.__all__} - {*names, "MARGIN"}:
            patch.setattr(kernels, name, refused(name))
        yield
