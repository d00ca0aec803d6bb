"""Layer norm of rows.

    xhat = (x - mean) rstd,    rstd = 1 / sqrt(variance + eps),    y = gain xhat + bias    (1)

Backward, with g = gain dy and means over the channels,

    dx = rstd (g - mean(g) - xhat mean(g xhat))    dgain = sum_i dy xhat    dbias = sum_i dy    (2)

Compiled: csrc/layer_norm.c.
"""
import numpy as np

Array = np.ndarray


def layer_norm(x: Array, gain: Array, bias: Array, eps: float = 1e-5, out: Array | None = None) -> tuple[Array, Array]:
    """Equation (1) for each row: y (N, C), and stats (N, 2) = mean, rstd, which the backward call takes.

    x           (N, C)
    gain, bias  (C,)
    eps         > 0     added to the variance, which divides by C
    """
    mean = x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(axis=-1, keepdims=True) + eps)
    return np.add(gain * ((x - mean) * rstd), bias, out=out), np.concatenate([mean, rstd], axis=-1)


def layer_norm_backward(dy: Array, x: Array, gain: Array, stats: Array,
                        out: Array | None = None) -> tuple[Array, Array, Array]:
    """Equation (2): dx (N, C), dgain (C,), dbias (C,); `out` receives dx.

    dy       (N, C)        derivative of the loss in y
    x, gain  (N, C), (C,)  as in the forward call
    stats    (N, 2)        what the forward call returned
    """
    mean, rstd = stats[:, :1], stats[:, 1:]
    xhat, g = (x - mean) * rstd, dy * gain
    centred = g - g.mean(axis=-1, keepdims=True) - xhat * (g * xhat).mean(axis=-1, keepdims=True)
    return np.multiply(rstd, centred, out=out), (dy * xhat).sum(axis=0), dy.sum(axis=0)
