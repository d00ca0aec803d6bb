"""Softmax, its logarithm and the log-probability of a chosen token: against twins, derivatives and formulas."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from derivatives import central_difference, complex_step
from kernel_cases import DTYPES, compiled, random_logits
from rlscratch import kernels
from rlscratch.formulas import distribution
from rlscratch.kernels import reference
from strategies import logits_nv

TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}


def with_hard_rows(x):
    """Rows that break naive code: huge logits, -inf, all equal, one certain token."""
    x = x.copy()
    x[0] += 1000
    x[1, : x.shape[1] // 2] = -np.inf
    x[2] = 0
    x[3, 0] = 500
    return x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (4, 2), (5, 31), (5, 32), (5, 33), (6, 65), (4, 1000), (5, 50257)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_softmax_and_chosen_logp_agree_with_their_twins(isa, shape, dtype, temperature):
    x = random_logits(shape, dtype)
    if shape[0] >= 4 and shape[1] > 1:
        x = with_hard_rows(x)
    tol = TOLERANCE[dtype]
    target = np.argmax(x, axis=1)
    for name, args in (("softmax", (x,)), ("log_softmax", (x,)), ("chosen_logp", (x, target))):
        got, want = (getattr(m, name)(*args, temperature) for m in (kernels, reference))
        if name != "chosen_logp":
            got, want = [got], [want]
        for a, b in zip(got, want, strict=True):
            assert a.dtype == dtype
            assert_allclose(a, b, rtol=10 * tol, atol=10 * tol * max(1, np.abs(b[np.isfinite(b)]).max()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [1, 2, 33, 1000])
def test_backward_kernels_agree_with_their_twins(isa, V, dtype):
    x, dy, temperature = random_logits((6, V), dtype), random_logits((6, V), dtype, 1), 0.7
    if V > 2:
        x[0, 0] = -np.inf
    target = np.argmax(x, axis=1)
    p, logp = reference.softmax(x, temperature), reference.log_softmax(x, temperature)
    _, entropy, stats = reference.chosen_logp(x, target, temperature)
    for name, args in (("softmax_backward", (dy, p)), ("log_softmax_backward", (dy, logp)),
                       ("chosen_logp_backward", (dy[:, 0].copy(), dy[:, -1].copy(), x, target, entropy, stats))):
        got, want = (getattr(m, name)(*args, temperature) for m in (kernels, reference))
        assert got.dtype == dtype
        assert_allclose(got, want, rtol=20 * TOLERANCE[dtype], atol=20 * TOLERANCE[dtype] * max(1, np.abs(want).max()))


@given(logits_nv(), st.sampled_from([0.5, 1.0, 2.0]))
def test_backward_kernels_are_the_derivatives_of_their_forwards(x, temperature):
    dy = np.linspace(-1, 1, x.size).reshape(x.shape)
    assert_allclose(kernels.softmax_backward(dy, kernels.softmax(x, temperature), temperature),
                    complex_step(lambda z: (dy * reference.softmax(z, temperature)).sum(), x), rtol=1e-9, atol=1e-12)
    assert_allclose(kernels.log_softmax_backward(dy, kernels.log_softmax(x, temperature), temperature),
                    complex_step(lambda z: (dy * reference.log_softmax(z, temperature)).sum(), x),
                    rtol=1e-9, atol=1e-12)
    target = np.arange(len(x)) % x.shape[1]
    dlogp, dentropy = dy[:, 0].copy(), dy[:, -1].copy()

    def loss(z):
        logp, entropy, _ = kernels.chosen_logp(z, target, temperature)
        return dlogp @ logp + dentropy @ entropy

    _, entropy, stats = kernels.chosen_logp(x, target, temperature)
    grad = kernels.chosen_logp_backward(dlogp, dentropy, x, target, entropy, stats, temperature)
    assert_allclose(grad, central_difference(loss, x), rtol=1e-6, atol=1e-8)


@given(logits_nv())
def test_chosen_logp_is_log_softmax_at_the_target_and_the_entropy_formula(x):
    target = np.arange(len(x)) % x.shape[1]
    logp, entropy, _ = kernels.chosen_logp(x, target)
    assert_allclose(logp, distribution.log_softmax(x)[np.arange(len(x)), target], rtol=1e-12, atol=1e-13)
    assert_allclose(entropy, distribution.entropy(x), rtol=1e-12, atol=1e-12)


@compiled
@pytest.mark.parametrize(("dtype", "bias"), [(np.float32, 2e-8), (np.float64, 4e-17)])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_exponential_has_no_bias_where_its_series_is_longest(isa, side, dtype, bias):
    """Its last term counts at x = n ln 2 + r for |r| near ln 2 / 2, and there for 1e-7 or 1e-16 of the value."""
    r = side * np.linspace(0.98, 0.9999, 4000) * np.log(2) / 2
    x = np.stack([np.zeros_like(r), r - np.log(2)], axis=1).astype(dtype)
    zero, ours = kernels.softmax(x).T.astype(np.longdouble)
    assert abs((ours / zero / np.exp(x[:, 1].astype(np.longdouble)) - 1).mean()) < bias


@pytest.mark.parametrize(("dtype", "normal", "tiny"), [
    (np.float32, [-80, -86.9], -87.4), (np.float64, [-705, -707.9], -708.5)])
def test_the_exponential_reaches_down_to_the_least_normal_number(isa, dtype, normal, tiny):
    p = kernels.softmax(np.array([[0, x] for x in [*normal, tiny]], dtype))[:, 1]
    assert_allclose(p[:2], np.exp(np.array(normal, dtype)), rtol=8 * np.finfo(dtype).eps)
    assert p[2] == (0 if kernels.BACKEND == "compiled" else np.exp(dtype(tiny)))
