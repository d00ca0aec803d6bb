"""One step of AdamW, and the sum of squares that gradient clipping wants.

    m <- m + (1 - beta1) (g - m),    v <- beta2 v + (1 - beta2) g^2    (1)

Compiled: csrc/adamw.c.
"""
import math

import numpy as np

Array = np.ndarray


def adamw(parameter: Array, gradient: Array, m: Array, v: Array, *, lr: float, beta1: float, beta2: float,
          eps: float, weight_decay: float, step: int) -> None:
    """One step of AdamW with PyTorch's meaning; parameter, m and v change in place.

    parameter, gradient, m, v   of one shape and dtype; m and v start at 0
    lr            >= 0    learning rate
    beta1, beta2  [0, 1)  memory of the two averages
    eps           >= 0    added to sqrt(v) after the bias correction
    weight_decay  >= 0    decoupled: parameter <- parameter (1 - lr weight_decay), before all else
    step          >= 1    how many steps this makes, with this one

    (1), then  parameter <- parameter - lr / (1 - beta1^step)  m / (sqrt(v) / sqrt(1 - beta2^step) + eps).
    """
    m += (1 - beta1) * (gradient - m)
    v *= beta2
    v += (1 - beta2) * gradient * gradient
    parameter *= 1 - lr * weight_decay
    parameter -= lr / (1 - beta1 ** step) * m / (np.sqrt(v) * (1 / math.sqrt(1 - beta2 ** step)) + eps)


def squared_norm(x: Array) -> float:
    """The sum of the squares of all entries, a float, summed in double.

    x  any shape
    """
    return float(np.square(x, dtype=np.float64).sum())
