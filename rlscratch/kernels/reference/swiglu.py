"""SwiGLU of rows: one half of a row, through SiLU, says how much of the other half passes.

    y = g s u,    g and u the halves of x,    s = sigmoid(g)                  (1)

Backward, since ds/dg = s (1 - s),

    dg = dy u s (1 + g (1 - s))        du = dy g s                            (2)

Source: Shazeer 2020, "GLU Variants Improve Transformer".  Compiled: csrc/swiglu.c.
"""
import numpy as np

Array = np.ndarray


def _sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), through exp(-|z|), which cannot overflow."""
    e = np.exp(np.where(z.real < 0, z, -z))
    return np.where(z.real < 0, e, 1) / (1 + e)


def swiglu(x: Array, out: Array | None = None) -> Array:
    """Equation (1): y, (N, inner).

    x  (N, 2 inner)  the gate's entries, then those that it lets pass
    """
    g, u = np.split(x, 2, axis=1)
    return np.multiply(g * _sigmoid(g), u, out=out)


def swiglu_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """Equation (2): dx, (N, 2 inner).

    dy  (N, inner)    derivative of the loss in y
    x   (N, 2 inner)  as in the forward call
    """
    g, u = np.split(x, 2, axis=1)
    s = _sigmoid(g)
    return np.concatenate([dy * u * s * (1 + g * (1 - s)), dy * g * s], axis=1, out=out)
