"""The table of derivatives: a row a primitive, then what a transformer is made of.

Read a row as two lines of a textbook.  Its first function computes y; then, for each argument, comes the
derivative of the loss in that argument, from dy, the derivative of the loss in y, and whatever else the
function names (row.py).  Where a derivative is not defined, the convention is PyTorch's: relu and absolute
have slope 0 at 0, maximum and minimum share equally between equals, max shares between all that are largest.

Elementwise rows broadcast; all pass complex numbers, for the complex step, and NaN: a number
that exploded is seen.

The rows below the line call kernels (rlscratch.kernels): big steps, each with its derivative worked out as a
whole, so that a layer costs a handful of nodes.  They take arrays (..., C) and see rows (N, C).
"""
from collections.abc import Callable

import numpy as np

from rlscratch import kernels
from rlscratch.autograd.row import Row
from rlscratch.check import Array


def kernel(name: str, *arrays: Array) -> Callable:
    """The kernel of that name; its NumPy twin for complex numbers, which the kernels do not know."""
    for a in arrays:
        if a.dtype.kind == "c":
            return getattr(kernels.reference, name)
    return getattr(kernels, name)


def rows(x: Array) -> Array:
    """(..., C) as (N, C)."""
    return x.reshape(-1, x.shape[-1])


def product(a: Array, b: Array, **transposed: bool) -> Array:
    """The kernels' product of two matrices, of one dtype."""
    dtype = a.dtype
    if dtype == b.dtype and dtype.kind == "f":
        return kernels.matmul(a, b, **transposed)
    dtype = np.result_type(a, b)
    return kernel("matmul", a, b)(a.astype(dtype, copy=False), b.astype(dtype, copy=False), **transposed)


def spread(dy: Array, shape: tuple[int, ...], axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    """A reduced array back over the axes that it was reduced along."""
    if axis is not None and not keepdims:
        dy = np.expand_dims(dy, axis)
    return np.broadcast_to(dy, shape)


def scattered(dy: Array, shape: tuple[int, ...], index: object) -> Array:
    """Zeros of that shape with dy added where the index points; an entry taken twice adds up."""
    dx = np.zeros(shape, dy.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, np.ndarray) and part.dtype != bool for part in parts):
        np.add.at(dx, index, dy)
    else:
        dx[index] = dy
    return dx


def among_largest(dy: Array, x: Array, y: Array, axis: int | tuple[int, ...] | None, keepdims: bool) -> Array:
    """dy to the entries of x that are the largest, in equal shares; NaN is larger than any."""
    hit = (x == spread(y, x.shape, axis, keepdims)) | np.isnan(x)
    return spread(dy, x.shape, axis, keepdims) * (hit / hit.sum(axis=axis, keepdims=True)).astype(dy.dtype)


TABLE = {
    # ------------------------------------------------------------ arithmetic
    "add":      Row(lambda a, b: a + b,           a=lambda dy: dy,                  b=lambda dy: dy),
    "subtract": Row(lambda a, b: a - b,           a=lambda dy: dy,                  b=lambda dy: -dy),
    "multiply": Row(lambda a, b: a * b,           a=lambda dy, b: dy * b,           b=lambda dy, a: dy * a),
    "divide":   Row(lambda a, b: a / b,           a=lambda dy, b: dy / b,           b=lambda dy, y, b: -dy * y / b),
    "negative": Row(lambda x: -x,                 x=lambda dy: -dy),
    "power":    Row(lambda x, n: x ** n,          x=lambda dy, x, n: dy * (n * x ** (n - 1 if n else 0))),

    # ------------------------------------------------------------ functions of one number
    "exp":      Row(lambda x: np.exp(x),          x=lambda dy, y: dy * y),
    "log":      Row(lambda x: np.log(x),          x=lambda dy, x: dy / x),
    "sqrt":     Row(lambda x: np.sqrt(x),         x=lambda dy, y: dy / (2 * y)),
    "tanh":     Row(lambda x: np.tanh(x),         x=lambda dy, y: dy * (1 - y * y)),
    "sigmoid":  Row(lambda x: _sigmoid(x),        x=lambda dy, y: dy * (y * (1 - y))),
    "relu":     Row(lambda x: np.where(x.real <= 0, 0, x), x=lambda dy, x: dy * ~(x <= 0)),
    "absolute": Row(lambda x: x * np.sign(x.real), x=lambda dy, x: dy * np.sign(x)),

    # ------------------------------------------------------------ choices
    "where":    Row(lambda condition, a, b: np.where(condition, a, b),
                    a=lambda dy, condition: np.where(condition, dy, 0),
                    b=lambda dy, condition: np.where(condition, 0, dy)),
    "maximum":  Row(lambda a, b: np.maximum(a, b),
                    a=lambda dy, a, b: dy * np.heaviside(a - b, 0.5),
                    b=lambda dy, a, b: dy * np.heaviside(b - a, 0.5)),
    "minimum":  Row(lambda a, b: np.minimum(a, b),
                    a=lambda dy, a, b: dy * np.heaviside(b - a, 0.5),
                    b=lambda dy, a, b: dy * np.heaviside(a - b, 0.5)),

    # ------------------------------------------------------------ reductions
    "sum":      Row(lambda x, axis, keepdims: (x.sum(axis=axis, keepdims=keepdims), x.shape), ["shape"],
                    x=lambda dy, shape, axis, keepdims: spread(dy, shape, axis, keepdims)),
    "max":      Row(lambda x, axis, keepdims: x.max(axis=axis, keepdims=keepdims),
                    x=lambda dy, x, y, axis, keepdims: among_largest(dy, x, y, axis, keepdims)),

    # ------------------------------------------------------------ the same numbers in another place
    "reshape":   Row(lambda x, shape: (x.reshape(shape), x.shape), ["before"],
                     x=lambda dy, before: dy.reshape(before)),
    "transpose": Row(lambda x, axes: x.transpose(axes),
                     x=lambda dy, axes: dy.transpose(np.argsort(axes))),
    "getitem":   Row(lambda x, index: (x[index], x.shape), ["shape"],
                     x=lambda dy, shape, index: scattered(dy, shape, index)),

    # ------------------------------------------------------------ products
    # y = x W, y = x W^T, and one product for each leading index
    "linear":   Row(lambda x, W: product(rows(x), W).reshape(*x.shape[:-1], -1),
                    x=lambda dy, W: product(rows(dy), W, transpose_b=True).reshape(*dy.shape[:-1], -1),
                    W=lambda dy, x: product(rows(x), rows(dy), transpose_a=True)),
    "linear_t": Row(lambda x, W: product(rows(x), W, transpose_b=True).reshape(*x.shape[:-1], -1),
                    x=lambda dy, W: product(rows(dy), W).reshape(*dy.shape[:-1], -1),
                    W=lambda dy, x: product(rows(dy), rows(x), transpose_a=True)),
    "batched":  Row(lambda a, b: np.matmul(a, b),
                    a=lambda dy, b: np.matmul(dy, b.swapaxes(-1, -2)),
                    b=lambda dy, a: np.matmul(a.swapaxes(-1, -2), dy)),

    # ------------------------------------------------------------ kernels
    "softmax":     Row(lambda x, temperature: kernel("softmax", x)(rows(x), temperature).reshape(x.shape),
                       x=lambda dy, y, temperature:
                           kernels.softmax_backward(rows(dy), rows(y), temperature).reshape(y.shape)),
    "log_softmax": Row(lambda x, temperature: kernel("log_softmax", x)(rows(x), temperature).reshape(x.shape),
                       x=lambda dy, y, temperature:
                           kernels.log_softmax_backward(rows(dy), rows(y), temperature).reshape(y.shape)),
    # y[0] is the log-probability of the target, y[1] the entropy of the row
    "chosen":      Row(lambda x, target, temperature: _chosen(x, target, temperature), ["stats"],
                       x=lambda dy, y, x, target, temperature, stats: kernels.chosen_logp_backward(
                           *dy.reshape(2, -1), rows(x), target.ravel(), y[1].ravel(), stats, temperature
                       ).reshape(x.shape)),
    "attention":   Row(lambda qkv, kv_heads: kernel("attention", qkv)(qkv, kv_heads), ["lse"],
                       qkv=lambda dy, qkv, y, lse, kv_heads: kernels.attention_backward(dy, qkv, y, lse, kv_heads)),
    "rotary":      Row(lambda x, turns, places, heads: kernel("rotary", x)(
                           x.reshape(-1, *x.shape[-2:]), turns, places, heads).reshape(x.shape),
                       x=lambda dy, turns, places, heads: kernels.rotary(
                           dy.reshape(-1, *dy.shape[-2:]), turns, places, heads, True).reshape(dy.shape)),
    "layer_norm":  Row(lambda x, gain, bias, eps: _shaped(
                           kernel("layer_norm", x, gain, bias)(rows(x), gain, bias, eps), x.shape),
                       ["stats"], together=3, joint=lambda dy, x, gain, stats: _shaped(
                           kernels.layer_norm_backward(rows(dy), rows(x), gain, stats), x.shape)),
    "rms_norm":    Row(lambda x, gain, eps: _shaped(kernel("rms_norm", x, gain)(rows(x), gain, eps), x.shape),
                       ["rstd"], together=2, joint=lambda dy, x, gain, rstd: _shaped(
                           kernels.rms_norm_backward(rows(dy), rows(x), gain, rstd), x.shape)),
    "bias_gelu":   Row(lambda x, bias, exact: kernel("bias_gelu", x, bias)(rows(x), bias, exact).reshape(x.shape),
                       together=2, joint=lambda dy, x, bias, exact: _shaped(
                           kernels.bias_gelu_backward(rows(dy), rows(x), bias, exact), x.shape)),
    "swiglu":      Row(lambda x: kernel("swiglu", x)(rows(x)).reshape(*x.shape[:-1], -1),
                       x=lambda dy, x: kernels.swiglu_backward(rows(dy), rows(x)).reshape(x.shape)),
    "embedding":   Row(lambda table, ids: (kernel("embedding", table)(table, ids.ravel()).reshape(*ids.shape, -1),
                                           len(table)), ["V"],
                       table=lambda dy, ids, V: kernels.embedding_backward(rows(dy), ids.ravel(), V)),
}
for _name, _row in TABLE.items():
    _row.name = _name


def _sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x), by e^-|x| only, which cannot overflow."""
    left = x.real < 0
    small = np.exp(np.where(left, x, -x))
    return np.where(left, small, x.dtype.type(1)) / (1 + small)


def _shaped(results: tuple, shape: tuple[int, ...]) -> tuple:
    """The first of a kernel's results, (N, C), in the shape of the tensor."""
    return results[0].reshape(shape), *results[1:]


def _chosen(x: Array, target: Array, temperature: float) -> tuple[Array, Array]:
    logp, entropy, stats = kernel("chosen_logp", x)(rows(x), target.ravel(), temperature)
    return np.stack([logp, entropy]).reshape(2, *target.shape), stats
