"""What can be done with tensors: the rows of the table under the names and signatures that users call.

Importing this module gives Tensor its operators and methods.  A function takes tensors, arrays and numbers; what
is no tensor is a constant.  Axes count as in NumPy.
"""
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.autograd.ops import TABLE
from rlscratch.autograd.row import Row
from rlscratch.autograd.tensor import Tensor, mode, result
from rlscratch.check import Array

Axis = int | tuple[int, ...] | None


def _tensor(x: Any) -> Tensor:
    return x if x.__class__ is Tensor else Tensor(x)


def _plain(x: Any) -> Array:
    """The array in a tensor, or what makes one: for conditions and ids."""
    return x.data if x.__class__ is Tensor else np.asarray(x)


def _operand(x: Any, like: Tensor) -> Any:
    """A tensor or a plain number as it is; anything else as an array in the dtype of the tensor beside it."""
    if x.__class__ is Tensor or x.__class__ is float or x.__class__ is int:
        return x
    x = np.asarray(x)
    if x.dtype.kind not in "iufcb":
        check.fail("the dtype of an operand", str(x.dtype), "numbers", TypeError)
    real = x.dtype.kind != "c" and like.dtype.kind in "fc"
    return x.astype(np.result_type(like.dtype, np.bool_), copy=False) if real else x


# ---------------------------------------------------------------- elementwise

def exp(x: Any) -> Tensor:
    """e^x."""
    return TABLE["exp"](_tensor(x))


def log(x: Any) -> Tensor:
    """The natural logarithm; x > 0."""
    return TABLE["log"](_tensor(x))


def sqrt(x: Any) -> Tensor:
    """The square root; at 0 it has no derivative."""
    return TABLE["sqrt"](_tensor(x))


def tanh(x: Any) -> Tensor:
    """The hyperbolic tangent."""
    return TABLE["tanh"](_tensor(x))


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + e^-x)."""
    return TABLE["sigmoid"](_tensor(x))


def relu(x: Any) -> Tensor:
    """x where x > 0, else 0."""
    return TABLE["relu"](_tensor(x))


def absolute(x: Any) -> Tensor:
    """|x|."""
    return TABLE["absolute"](_tensor(x))


def power(x: Any, n: float) -> Tensor:
    """x ** n for a number n; a tensor in the exponent is exp(n * log(x)).

    >>> (Tensor(3.0) ** 2).item()
    9.0
    """
    if n.__class__ is not int:
        n = check.number(n=n)
    return TABLE["power"](_tensor(x), n)


def where(condition: Array, a: Any, b: Any) -> Tensor:
    """a where the condition holds, else b; the gradient goes where the number came from."""
    a, b = (_tensor(a), b) if b.__class__ is not Tensor else (a, b)
    like = a if a.__class__ is Tensor else b
    return TABLE["where"](_plain(condition).astype(bool), _operand(a, like), _operand(b, like))


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of two, elementwise."""
    return _of_two(TABLE["maximum"], a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of two, elementwise."""
    return _of_two(TABLE["minimum"], a, b)


def _of_two(row: Row, a: Any, b: Any) -> Tensor:
    like = a if a.__class__ is Tensor else _tensor(b)
    return row(_operand(a, like), _operand(b, like))


# ---------------------------------------------------------------- reductions

def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The sum over the given axes, or over all."""
    return TABLE["sum"](_tensor(x), axis, keepdims)


def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over the given axes, or over all."""
    x = _tensor(x)
    total = sum(x, axis, keepdims)
    return total * (total.size / x.size)


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest entry along the given axes, or of all; equal ones share the gradient."""
    return TABLE["max"](_tensor(x), axis, keepdims)


# ---------------------------------------------------------------- places

def reshape(x: Any, *shape: Any) -> Tensor:
    """The same entries in another shape, given as numbers or as one tuple."""
    return TABLE["reshape"](_tensor(x), shape[0] if len(shape) == 1 else shape)


def transpose(x: Any, *axes: Any) -> Tensor:
    """Axes in another order, given as numbers or as one tuple; without any, reversed."""
    x = _tensor(x)
    axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
    order = tuple(reversed(range(x.ndim))) if not axes else tuple(axis % x.ndim for axis in axes)
    return TABLE["transpose"](x, order)


def getitem(x: Tensor, index: Any) -> Tensor:
    """x[index], as in NumPy; arrays in the index are copied, so they may change afterwards.

    A list stands for an array, and so does a tuple inside the index: its entries are picked, as often as they come.

    >>> Tensor([1.0, 2.0, 3.0])[(0, 0, 1),].data.tolist()
    [1.0, 1.0, 2.0]
    """
    def part(i: Any) -> Any:
        return _plain(i).copy() if isinstance(i, (list, tuple, range, np.ndarray, Tensor)) else i

    return TABLE["getitem"](x, tuple(map(part, index)) if isinstance(index, tuple) else part(index))


def gather(x: Any, ids: Array, axis: int = -1) -> Tensor:
    """numpy.take_along_axis: one entry of x for each entry of ids, picked along the axis.

    >>> gather(Tensor([[1.0, 2.0], [3.0, 4.0]]), np.array([[1], [0]])).data.tolist()
    [[2.0], [3.0]]
    """
    x, ids = _tensor(x), _plain(ids)
    if ids.ndim != x.ndim:
        check.fail("the shape of ids", ids.shape, f"{x.ndim} dimensions, like x")
    axis = range(x.ndim)[axis]
    ids = check.ids(x.shape[axis], ids=ids)
    index = list(np.indices(ids.shape, sparse=True))
    index[axis] = ids
    return getitem(x, tuple(index))


def concatenate(parts: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors one after the other along an axis."""
    parts = [_tensor(part) for part in parts]
    y = np.concatenate([part.data for part in parts], axis=axis)
    if not (mode.recording and any(part.requires_grad for part in parts)):
        return result(y)
    axis %= y.ndim
    edges, start = [], 0
    for part in parts:
        stop = start + part.shape[axis]
        if part.requires_grad:
            edges.append((part, _section, ((slice(None),) * axis + (slice(start, stop),),)))
        start = stop
    return result(y, edges)


def _section(dy: Array, place: tuple) -> Array:
    return dy[place]


# ---------------------------------------------------------------- products

def linear(x: Any, W: Any, transposed: bool = False) -> Tensor:
    """x W for rows x (..., C) and a matrix W (C, K); with transposed x W^T for W (K, C)."""
    return TABLE["linear_t" if transposed else "linear"](x, W)


def matmul(a: Any, b: Any) -> Tensor:
    """numpy.matmul.  By a matrix, a (..., K) times b (K, N), it is `linear`, on the kernels; stacks use NumPy's."""
    a, b = (_tensor(a), b) if b.__class__ is not Tensor else (_tensor(_operand(a, b)), b)
    b = _tensor(_operand(b, a))
    if not (a.ndim and b.ndim):
        check.fail("the dimensions of a product's sides", (a.ndim, b.ndim), "at least 1 each")
    if b.ndim == 1:
        return reshape(matmul(a, reshape(b, -1, 1)), a.shape[:-1])
    if b.ndim == 2:
        return TABLE["linear"](a, b)
    if a.ndim == 1:
        product = matmul(reshape(a, 1, -1), b)
        return reshape(product, (*product.shape[:-2], product.shape[-1]))
    return TABLE["batched"](a, b)


# ---------------------------------------------------------------- a transformer's steps

def softmax(x: Any, temperature: float = 1.0) -> Tensor:
    """Probabilities along the last axis, of x / temperature."""
    return TABLE["softmax"](x, temperature)


def log_softmax(x: Any, temperature: float = 1.0) -> Tensor:
    """Their natural logarithms."""
    return TABLE["log_softmax"](x, temperature)


def chosen_logp(x: Any, target: Array, temperature: float = 1.0, entropy: bool = False) -> Any:
    """log p(target) of each row of logits x (..., V), shape (...), natural log; optionally the row's entropy too.

    target   (...)  integers in [0, V)
    entropy  True returns a pair of tensors, whose one derivative in the logits is made once for both

    >>> logp, H = chosen_logp(Tensor([[0.0, 0.0]]), np.array([1]), entropy=True)       # - log 2 and log 2
    >>> round(logp.item(), 6), round(H.item(), 6)
    (-0.693147, 0.693147)
    """
    target = _plain(target)
    check.shape(x.shape[:-1], "an id for each row of logits", target=target)
    both = TABLE["chosen"](x, target, temperature)
    return (both[0], both[1]) if entropy else both[0]


def attention(qkv: Any, kv_heads: int | None = None) -> Tensor:
    """Causal attention, (B, T, H, D), of queries, keys and values (B, T, 3, H, D), scaled by 1 / sqrt(D).

    With kv_heads qkv is (B, T, H + 2 kv_heads, D), and H / kv_heads queries share a key and a value.
    """
    return TABLE["attention"](qkv, kv_heads)


def rotary(x: Any, turns: Array, places: Array, heads: int) -> Tensor:
    """The first `heads` of the heads of x (..., R, D) turned by their tokens' places: kernels.reference.rotary.

    turns   (P, D)  of each place, the cosines of its D/2 angles, then their sines
    places  (...)   of the tokens
    """
    return TABLE["rotary"](x, turns, _plain(places).reshape(-1), heads)


def layer_norm(x: Any, gain: Any, bias: Any, eps: float = 1e-5) -> Tensor:
    """gain (x - mean) / sqrt(variance + eps) + bias along the last axis; gain and bias (C,)."""
    return TABLE["layer_norm"](x, gain, bias, eps)


def rms_norm(x: Any, gain: Any, eps: float = 1e-5) -> Tensor:
    """gain x / sqrt(mean(x^2) + eps) along the last axis; gain (C,)."""
    return TABLE["rms_norm"](x, gain, eps)


def bias_gelu(x: Any, bias: Any, exact: bool = False) -> Tensor:
    """GELU of x + bias; the tanh form, which is GPT-2's, or the exact one."""
    return TABLE["bias_gelu"](x, bias, exact)


def swiglu(x: Any) -> Tensor:
    """silu(g) u, where g and u are the halves of the last axis: (..., 2 inner) to (..., inner)."""
    return TABLE["swiglu"](x)


def embedding(table: Any, ids: Array) -> Tensor:
    """Rows of a table (V, C) for ids (...): (..., C)."""
    return TABLE["embedding"](table, _plain(ids))


# ---------------------------------------------------------------- the same as operators and methods

def _operators(name: str) -> tuple:
    row = TABLE[name]

    def operator(self: Tensor, other: Any) -> Tensor:
        kind = other.__class__
        return row(self, other if kind is Tensor or kind is float else _operand(other, self))

    def reflected(self: Tensor, other: Any) -> Tensor:
        return row(_operand(other, self), self)

    return operator, reflected


Tensor.__add__, Tensor.__radd__ = _operators("add")
Tensor.__sub__, Tensor.__rsub__ = _operators("subtract")
Tensor.__mul__, Tensor.__rmul__ = _operators("multiply")
Tensor.__truediv__, Tensor.__rtruediv__ = _operators("divide")
Tensor.__neg__ = lambda self: TABLE["negative"](self)
Tensor.__pow__ = power
Tensor.__matmul__ = matmul
Tensor.__rmatmul__ = lambda self, other: matmul(other, self)
Tensor.__getitem__ = getitem
Tensor.T = property(transpose)

Tensor.exp, Tensor.log, Tensor.sqrt = exp, log, sqrt
Tensor.tanh, Tensor.sigmoid, Tensor.relu = tanh, sigmoid, relu
Tensor.sum, Tensor.mean, Tensor.max = sum, mean, max
Tensor.reshape, Tensor.transpose = reshape, transpose
