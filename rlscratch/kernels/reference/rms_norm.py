"""RMS norm of rows: layer norm without the mean and without a bias.

    xhat = x rstd,    rstd = 1 / sqrt(mean(x^2) + eps),    y = gain xhat    (1)

Backward, with g = gain dy and means over the channels,

    dx = rstd (g - xhat mean(g xhat))        dgain = sum_i dy xhat          (2)

Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization".  Compiled: csrc/rms_norm.c.
"""
import numpy as np

Array = np.ndarray


def rms_norm(x: Array, gain: Array, eps: float = 1e-5, out: Array | None = None) -> tuple[Array, Array]:
    """Equation (1) for each row: y (N, C), and rstd (N,), which the backward call takes.

    x     (N, C)
    gain  (C,)
    eps   > 0     added to the mean square, which divides by C
    """
    rstd = 1 / np.sqrt((x * x).mean(axis=-1) + eps)
    return np.multiply(gain, x * rstd[:, None], out=out), rstd


def rms_norm_backward(dy: Array, x: Array, gain: Array, rstd: Array, out: Array | None = None) -> tuple[Array, Array]:
    """Equation (2): dx (N, C), dgain (C,); `out` receives dx.

    dy       (N, C)        derivative of the loss in y
    x, gain  (N, C), (C,)  as in the forward call
    rstd     (N,)          what the forward call returned
    """
    xhat, g = x * rstd[:, None], dy * gain
    centred = g - xhat * (g * xhat).mean(axis=-1, keepdims=True)
    return np.multiply(rstd[:, None], centred, out=out), (dy * xhat).sum(axis=0)
