"""Tensors that remember how they were made, and the walk back through that memory.

The chain rule, backwards.  If y = f(a, b) and L depends on a and b through y and other results, then

    dL/da = sum over every result y made from a of  dL/dy dy/da                               (1)

An operation on tensors stores in its result, for each argument that wants a gradient, a function that
turns dy (the derivative of L in y, in the shape of y) into that argument's term of (1).  backward()
visits results from the youngest to the oldest.  Whatever was made from a is younger than a, so when
a's turn comes its sum in (1) is complete: no sorting, a heap of those that have a term is enough.

Where L itself lives outside the graph, as the objectives of this project do, the walk starts from a
seed: logp.backward(dlogp) with dlogp = dL/dlogp by a formula.

What is promised:

    dtype     float32 and float64 stay what they are; a gradient has the shape and dtype of its tensor.
    memory    The graph lives in the results and dies with them.  backward frees it on the way, so it
              runs once; outputs that share a part go into one call, backward([(logp, s), (value, t)]).
    aliasing  A gradient shares memory with no other gradient, no seed and no data.  A leaf that already
              has a gradient is added to in place.
    errors    A backward that fails changes no gradient.

In-place changes.  What an operation returns is read-only while it is part of a graph, so NumPy refuses
y.data[...] = 0 and y.data += 1 on the spot.  The arrays of leaves stay writable, since optimisers change
them; where an operation needs such an array (or a plain NumPy array) for its derivative, it keeps a
fingerprint, and backward raises GraphError if the array has changed since.  Arrays of up to 4096 bytes
are compared whole.  Of longer ones the sum of all words and some 64 entries are: a change of one entry
is always seen, a permutation of entries that moves none of the 64, or changes that cancel in the sum to
the last bit, are not.  Assigning another array, x.data = new, is no change: the graph has the old one.

Leaves out: gradients of gradients, in-place operations, hooks, devices.
"""
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_serials = count(-1, -1)                  # the younger the smaller, as a heap wants it


class _Mode(threading.local):
    recording = True


mode = _Mode()


class GraphError(ValueError, RuntimeError):
    """backward on a graph that is gone, or on data that has changed: ValueError here, RuntimeError in PyTorch."""


class Tensor:
    """An array, and how it was made.

    data           an array (kept, not copied) or what makes one: float32 or float64; integers, booleans
                   and complex numbers for data that needs no gradient
    requires_grad  whether backward is to leave dL/ddata in .grad

    Operators + - * / ** @, indexing, and the methods in rlscratch.autograd.functions work on it.  Plain arrays
    and numbers beside a tensor are constants, taken in the tensor's dtype; tensors of two dtypes promote
    as in NumPy.  For comparisons, and for everything outside the graph, use .data.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).backward([1.0, 1.0, 10.0])
    >>> x.grad.tolist()
    [2.0, 4.0, 60.0]
    """

    __slots__ = ("__weakref__", "_edges", "_guards", "_home", "_serial", "data", "grad", "requires_grad")
    __array_ufunc__ = None                # array * tensor is ours to answer

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data = _accepted(data, requires_grad)
        self.grad = None
        self.requires_grad = requires_grad
        self._edges = ()                  # a leaf has none; None once backward has been here
        self._guards = None
        self._home = None                 # where an optimiser wants the gradient put
        self._serial = next(_serials)

    def backward(self, seed: Any = None) -> None:
        """Add dL/dx to .grad of every leaf x that this tensor was made from.

        seed  dL/dself, in the shape of self; None is 1, for an L that is this tensor, which then has one entry

        Raises TypeError or ValueError for a seed that does not fit or is not finite and for a tensor
        without a graph, GraphError if the graph was used up or a saved array has changed.
        """
        backward([(self, seed)])

    def detach(self) -> "Tensor":
        """The same data outside the graph."""
        return Tensor(self.data)

    def item(self) -> float:
        """The only entry, as a Python number."""
        return self.data.item()

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)
    dtype = property(lambda self: self.data.dtype)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Tensor({np.array2string(self.data, separator=', ', threshold=20)}" + (
            ", requires_grad=True)" if self.requires_grad else ")")

    def __bool__(self) -> bool:
        check.fail("the truth of a Tensor", self, "a comparison of its .data", TypeError)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        check.fail("an argument", self, "an array: give NumPy and the formulas tensor.data", TypeError)


def _accepted(data: Any, requires_grad: bool) -> Array:
    if not isinstance(data, np.ndarray):
        data = np.asarray(data)
    check.one_of((False, True), requires_grad=requires_grad)
    if data.dtype not in FLOATS and (requires_grad or data.dtype.kind not in "iubc" or data.dtype.itemsize > 16):
        check.fail("the dtype of data", str(data.dtype), "float32 or float64" + " with requires_grad" * requires_grad,
                   TypeError)
    return data if data.__class__ is np.ndarray else data.view(np.ndarray)


# ---------------------------------------------------------------- forward: recording

@contextmanager
def no_grad() -> Iterator[None]:
    """Inside, nothing is recorded in this thread: results need no memory of how they were made.

    >>> x = Tensor(2.0, requires_grad=True)
    >>> with no_grad():
    ...     (x * x).requires_grad
    False
    """
    before, mode.recording = mode.recording, False
    try:
        yield
    finally:
        mode.recording = before


def result(data: Array, edges: list | None = None, guards: list | None = None) -> Tensor:
    """A tensor that an operation made.

    edges   (argument, derive, saved) each: the argument's term of (1) is derive(dy, *saved); or a tuple
            of arguments (None where no gradient is wanted) and a derive that returns as many terms.
            A term is dy, a view of it, or a new array; never something saved.
    guards  (array, its fingerprint, its name) of each saved array that somebody else may change
    """
    t = Tensor.__new__(Tensor)
    t.data = data if data.__class__ is np.ndarray else np.asarray(data)
    t.grad = t._home = None
    t.requires_grad = edges is not None
    t._edges = edges or ()
    t._guards = guards
    t._serial = next(_serials)
    if edges is not None:
        t.data.setflags(False)
    return t


def fingerprint(array: Array) -> tuple:
    """What tells an array from itself after a change, as far as the module's docstring says."""
    if array.nbytes <= 4096:
        return (array.tobytes(),)
    words = np.ascontiguousarray(array).reshape(-1).view(np.uint32 if array.nbytes % 8 else np.uint64)
    return np.add.reduce(words), words[:: max(1, words.size // 64)].tobytes()


# ---------------------------------------------------------------- backward

def backward(pairs: Iterable[tuple[Tensor, Any]]) -> None:
    """One walk back from several outputs, each with its seed: dL/dx of their common L.

    pairs  (tensor, seed) each; a seed as in Tensor.backward.  A tensor may come twice: its seeds add.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> y = x * x
    >>> backward([(y, [1.0, 0.0]), (y * x, [0.0, 1.0])])          # 2 x and 3 x^2
    >>> x.grad.tolist()
    [2.0, 12.0]
    """
    pending, heap, leaves = {}, [], []
    for t, seed in [_checked(place, pair) for place, pair in enumerate(pairs)]:
        _add(pending, heap, t, seed, False)
    while heap:
        serial, t = heappop(heap)
        dy, owned = pending.pop(serial)
        edges = t._edges
        if not edges:
            _expect_graph(t)
            leaves.append((t, dy, owned))
            continue
        if t._guards is not None:
            _verify(t._guards)
        t._edges = t._guards = None
        for target, derive, saved in edges:
            terms = derive(dy, *saved)
            for parent, term in zip(target, terms, strict=True) if target.__class__ is tuple else ((target, terms),):
                if parent is not None:
                    like = parent.data
                    if term.shape != like.shape:
                        term = unbroadcast(term, like.shape)
                    if term.dtype is not like.dtype:
                        term = term.astype(like.dtype, copy=False)
                    _add(pending, heap, parent, term, _fresh(term, dy))
    for leaf, gradient, owned in leaves:
        _deposit(leaf, gradient, owned)


def _add(pending: dict, heap: list, t: Tensor, term: Array, owned: bool) -> None:
    """One more term of (1).  `owned` says that no one else can see the array, so it may be written to."""
    serial = t._serial
    if serial not in pending:
        pending[serial] = term, owned
        heappush(heap, (serial, t))
        return
    total, ours = pending[serial]
    if ours:
        total += term
    else:
        total = total + term
    pending[serial] = total, True


def _fresh(term: Array, dy: Array) -> bool:
    """Whether a term, which is dy, a view of dy or a new array, is a new one."""
    base = term.base
    return term is not dy and (base is None or (base is not dy and base is not dy.base and term.flags.writeable))


def _deposit(leaf: Tensor, gradient: Array, owned: bool) -> None:
    """Into .grad: written the first time, added later, never the array of somebody else."""
    if leaf.grad is not None:
        leaf.grad += gradient
    elif leaf._home is not None:
        np.copyto(leaf._home, gradient)
        leaf.grad = leaf._home
    else:
        leaf.grad = np.asarray(gradient) if owned else np.array(gradient)


def unbroadcast(term: Array, shape: tuple[int, ...]) -> Array:
    """The sum over the axes along which an array of this shape was repeated: broadcasting backwards."""
    lead = term.ndim - len(shape)
    repeated = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1 and term.shape[lead + i] != 1)
    return term.sum(axis=repeated, keepdims=True).reshape(shape)


def _checked(place: int, pair: Any) -> tuple[Tensor, Array]:
    """The tensor and its seed, in the tensor's dtype."""
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not isinstance(pair[0], Tensor):
        check.fail(f"pairs[{place}]", pair, "a Tensor and its seed", TypeError)
    t, seed = pair
    if not t.requires_grad:
        check.fail("requires_grad of the tensor", False, "True: nothing that it was made from wants a gradient")
    _expect_graph(t)
    if seed is None:
        if t.size != 1:
            check.fail("seed", None, f"dL/dself of shape {t.shape}; only a single number is its own loss")
        return t, np.ones_like(t.data)
    seed = check.array(seed=seed)
    if seed.dtype.kind == "c":
        check.fail("the dtype of seed", str(seed.dtype), "real numbers", TypeError)
    return t, check.shape(t.shape, "like the tensor", seed=seed).astype(t.dtype, copy=False)


def _expect_graph(t: Tensor) -> None:
    if t._edges is None:
        raise GraphError("the graph of this tensor is gone; expected one backward for each forward: outputs that "
                         "share a part go into one call, backward([(a, seed_a), (b, seed_b)])")


def _verify(guards: list) -> None:
    for array, before, name in guards:
        if fingerprint(array) != before:
            raise GraphError(f"{name}, of shape {array.shape}, has changed since it was saved for backward; expected "
                             "backward before the change, or the change on a copy")
