"""GELU of rows with a bias, z = x + bias.

    y = z s(z),    s = sigmoid(2 u),    u = sqrt(2 / pi) (z + 0.044715 z^3);    exact: y = z Phi(z)    (1)

Compiled: csrc/gelu.c.
"""
import math

import numpy as np

Array = np.ndarray


def _gate(z: Array) -> Array:
    """sigmoid(2 u) of (1), through exp(-2 |u|), which cannot overflow."""
    v = 2 * math.sqrt(2 / math.pi) * z * (1 + 0.044715 * z * z)
    e = np.exp(np.where(v.real < 0, v, -v))
    return np.where(v.real < 0, e, 1) / (1 + e)


def _normal_cdf(z: Array) -> Array:
    """Phi(z) = erfc(-z / sqrt 2) / 2, in double, entry by entry: NumPy has no erfc."""
    entries = [0.5 * math.erfc(-math.sqrt(0.5) * value) for value in z.ravel().tolist()]
    return np.array(entries, z.dtype).reshape(z.shape)


def bias_gelu(x: Array, bias: Array, exact: bool = False, out: Array | None = None) -> Array:
    """Equation (1) with z = x + bias: y, (N, C).

    x      (N, C)
    bias   (C,)
    exact  False: the tanh form, GPT-2's.  True: with the normal distribution function, PyTorch's default.
    """
    z = x + bias
    return np.multiply(z, _normal_cdf(z) if exact else _gate(z), out=out)


def bias_gelu_backward(dy: Array, x: Array, bias: Array, exact: bool = False,
                       out: Array | None = None) -> tuple[Array, Array]:
    """The derivative of (1): dx (N, C), and dbias (C,) = the sum of its rows; `out` receives dx.

    dy              (N, C)  derivative of the loss in y
    x, bias, exact          as in the forward call

    tanh form: dy/dz = s + z s (1 - s) 2 du/dz.  Exact: Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi).
    """
    z = x + bias
    if exact:
        slope = _normal_cdf(z) + z * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    else:
        s = _gate(z)
        slope = s + z * s * (1 - s) * (2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z * z))
    dx = np.multiply(dy, slope, out=out)
    return dx, dx.sum(axis=0)
