"""A linear layer with its bias, and the residual stream that it is added to, as one node.

    y = x W + b            or            y = x W + b + stream,       either without b       (1)

From (1), with sums over the rows of x:

    dx = dy W'        dW = x' dy        db = sum of dy's rows        dstream = dy           (2)

The same sum out of `linear` and two `+` makes three arrays of the size of y, and a graph keeps them
until backward though no derivative asks for them.  Here bias and stream are added into the one array.
"""
from typing import Any

import numpy as np

from rlscratch.autograd.ops import product, rows
from rlscratch.autograd.row import Row
from rlscratch.autograd.tensor import Tensor
from rlscratch.check import Array


def _forward(x: Array, W: Array, b: Array | None, stream: Array | None) -> Array:
    y = product(rows(x), W)
    for term in (term for term in (b, None if stream is None else rows(stream)) if term is not None):
        y = np.add(y, term, out=y if y.dtype == term.dtype else None)       # two dtypes: a complex step
    return y.reshape(*x.shape[:-1], -1)


def _column_sums(dy: Array) -> Array:
    """A row of ones times dy: the kernel adds in blocks, in threads, and ten times closer than NumPy's sum."""
    return product(np.ones((1, len(dy)), dy.dtype), dy)[0]


AFFINE = Row(_forward,
             x=lambda dy, W: product(rows(dy), W, transpose_b=True).reshape(*dy.shape[:-1], -1),
             W=lambda dy, x: product(rows(x), rows(dy), transpose_a=True),
             b=lambda dy: _column_sums(rows(dy)),
             stream=lambda dy: dy)
AFFINE.name = "affine"


def affine(x: Any, W: Any, b: Any = None, stream: Any = None) -> Tensor:
    """Equation (1), all of one dtype.

    x       (..., C)
    W       (C, K)
    b       (K,)      None: none
    stream  (..., K)  what the layer's result is added to; None: nothing
    """
    return AFFINE(x, W, b, stream)
