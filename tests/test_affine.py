"""The fused linear layer against the same sum out of three nodes, and against numerical derivatives."""
import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch.autograd import Tensor, linear
from rlscratch.autograd.affine import AFFINE, affine
from rlscratch.autograd.gradcheck import GradientError, gradcheck
from rlscratch.autograd.row import Row

RNG = np.random.default_rng(0)
X, W, B, STREAM = (RNG.normal(size=shape) for shape in ((2, 3, 5), (5, 4), (4,), (2, 3, 4)))


@pytest.mark.parametrize("method", ["central", "complex"])
@pytest.mark.parametrize("arrays", [(X, W, B), (X, W, B, STREAM), (X[0, 0], W, B)], ids=["", "stream", "one row"])
def test_it_passes_gradcheck(arrays, method):
    gradcheck(affine, *arrays, method=method, rtol=1e-9)


@pytest.mark.parametrize("method", ["central", "complex"])
def test_it_passes_gradcheck_without_a_bias(method):
    gradcheck(lambda x, W: affine(x, W), X, W, method=method, rtol=1e-9)
    gradcheck(lambda x, W, stream: affine(x, W, None, stream), X, W, STREAM, method=method, rtol=1e-9)
    assert_allclose(affine(X, W, None, STREAM).data, affine(X, W, np.zeros(4), STREAM).data, rtol=0)


@pytest.mark.parametrize("name, wrong", [("b", lambda dy: -dy.sum(axis=(0, 1))), ("stream", lambda dy: 1.001 * dy),
                                         ("x", lambda dy, W: 0 * (dy @ W.T))], ids=["sign", "factor", "dropped"])
def test_a_planted_error_is_caught(name, wrong):
    right = {"x": lambda dy, W: dy @ W.T, "W": lambda dy, x: x.reshape(-1, 5).T @ dy.reshape(-1, 4),
             "b": lambda dy: dy.sum(axis=(0, 1)), "stream": lambda dy: dy}
    gradcheck(Row(AFFINE.forward, **right), X, W, B, STREAM)
    with pytest.raises(GradientError):
        gradcheck(Row(AFFINE.forward, **{**right, name: wrong}), X, W, B, STREAM)


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_it_is_linear_and_two_additions(dtype, tolerance):
    one, three = ([Tensor(a.astype(dtype), requires_grad=True) for a in (X, W, B, STREAM)] for _ in range(2))
    fused, apart = affine(*one), linear(three[0], three[1]) + three[2] + three[3]
    assert fused.data.dtype == dtype
    assert_allclose(fused.data, apart.data, rtol=tolerance, atol=tolerance)
    for y in (fused, apart):
        y.backward(STREAM.astype(dtype))
    for a, b in zip(one, three, strict=True):
        assert a.grad.dtype == dtype
        assert_allclose(a.grad, b.grad, rtol=tolerance, atol=tolerance)
