"""Rotary positions: against their twin, against derivatives, as complex numbers, and what they are for."""
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import complex_step
from kernel_cases import DTYPES, close, compiled, normal
from rlscratch import kernels
from rlscratch.kernels import reference

SHAPES = [(1, 1, 2, 1), (3, 4, 6, 2), (17, 5, 64, 4), (65, 3, 34, 3), (5, 2, 128, 0)]      # N, R, D, heads that turn


def turns(P, D, base=100.0, dtype=np.float64):
    angles = np.outer(np.arange(P), base ** (-np.arange(0, D, 2) / D))
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "R", "D", "heads"), SHAPES)
def test_rotary_agrees_with_its_twin(isa, N, R, D, heads, dtype):
    x, table, places = normal(N, R, D, dtype=dtype), turns(9, D, dtype=dtype), np.arange(N) % 9
    for back in (False, True):
        close(kernels.rotary(x, table, places, heads, back), reference.rotary(x, table, places, heads, back))


def test_a_pair_of_channels_is_a_complex_number_that_is_multiplied(isa):
    x, places = normal(5, 3, 8), np.array([0, 3, 1, 8, 3])
    y = kernels.rotary(x, turns(9, 8), places, 2)
    factor = np.exp(1j * places[:, None] * 100.0 ** (-np.arange(0, 8, 2) / 8))
    for h in range(2):
        assert_allclose(y[:, h, :4] + 1j * y[:, h, 4:], (x[:, h, :4] + 1j * x[:, h, 4:]) * factor, rtol=1e-13)
    assert_array_equal(y[:, 2], x[:, 2])
    assert_allclose(y[0], x[0], rtol=0)                                 # place 0


def test_scores_depend_on_the_distance_alone(isa):
    q, k, table = normal(1, 1, 16), normal(1, 1, 16, seed=1), turns(50, 16)
    scores = [(kernels.rotary(q, table, np.array([i]), 1) * kernels.rotary(k, table, np.array([j]), 1)).sum()
              for i, j in ((7, 3), (24, 20), (49, 45))]
    assert_allclose(scores, scores[0], rtol=1e-12)
    other = (kernels.rotary(q, table, np.array([7]), 1) * kernels.rotary(k, table, np.array([4]), 1)).sum()
    assert abs(other - scores[0]) > 1e-3


@pytest.mark.parametrize(("N", "R", "D", "heads"), [(1, 1, 2, 1), (3, 2, 4, 1), (2, 3, 6, 3)])
def test_the_way_back_is_the_derivative_and_the_inverse(isa, N, R, D, heads):
    x, dy, table, places = normal(N, R, D), normal(N, R, D, seed=1), turns(9, D), np.arange(N) * 2
    got = kernels.rotary(dy, table, places, heads, back=True)
    want = complex_step(lambda z: (dy * reference.rotary(z, table, places, heads)).sum(), x)
    assert_allclose(got, want, rtol=1e-9, atol=1e-12)
    assert_allclose(kernels.rotary(kernels.rotary(x, table, places, heads), table, places, heads, True), x, rtol=1e-13)


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_token_does_not_depend_on_the_others(isa, dtype):
    x, table, places = normal(40, 5, 34, dtype=dtype), turns(9, 34, dtype=dtype), np.arange(40) % 9
    y = kernels.rotary(x, table, places, 4)
    for i in (0, 7, 39):
        assert_array_equal(kernels.rotary(x[i:i + 1], table, places[i:i + 1], 4), y[i:i + 1])
