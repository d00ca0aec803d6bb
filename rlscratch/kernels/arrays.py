"""Checks that the arguments of kernels share: arrays of one real dtype, and arrays to write into."""
from collections.abc import Iterable
from typing import Any

import numpy as np

from rlscratch import check

Array = np.ndarray


def float_array(ndim: int | None, like: Array | None = None, **named: Any) -> Array:
    """A C-contiguous float32 or float64 array of `ndim` dimensions, none of length 0; of the dtype of `like`."""
    (name, value), = named.items()
    value = base(name, value)
    if not isinstance(value, np.ndarray) or value.dtype.char not in "fd" or not value.dtype.isnative:
        check.fail(f"the dtype of {name}", _dtype(value), "float32 or float64", TypeError)
    if (ndim is not None and value.ndim != ndim) or value.size == 0:
        wanted = "" if ndim is None else f"{ndim} dimension{'s' * (ndim > 1)}, "
        check.fail(f"the shape of {name}", value.shape, f"{wanted}none of length 0")
    if like is not None and value.dtype != like.dtype:
        check.fail(f"the dtype of {name}", value.dtype, f"{like.dtype} like the array before it", TypeError)
    return plain(value)


def base(name: str, value: Any) -> Any:
    """An array of a subclass as a plain one, in the same memory; anything else as it is.  Masked arrays are refused."""
    return check.asarray(name, value) if type(value) is not Array and isinstance(value, Array) else value


def plain(array: Array) -> Array:
    """The same numbers as the core reads them: C-contiguous, at an address that their dtype asks for."""
    return np.require(array, requirements=("C", "A"))


def shaped(expected: tuple[int, ...], because: str, like: Array, **named: Any) -> Array:
    """float_array of exactly this shape."""
    (name, value), = named.items()
    value = float_array(len(expected), like, **named)
    return value if value.shape == expected else check.shape(expected, because, value=value, called=name)


def writable(expected: tuple[int, ...] | None, like: Array, apart_from: Iterable[Array], **named: Any) -> Array:
    """An array to write into: of this shape (None: any), with the dtype of `like`, C-contiguous, its memory its own."""
    (name, value), = named.items()
    value = base(name, value)
    if not isinstance(value, np.ndarray) or value.dtype != like.dtype:
        check.fail(f"the dtype of {name}", _dtype(value), f"{like.dtype}", TypeError)
    if expected is not None and value.shape != expected:
        check.fail(f"the shape of {name}", value.shape, f"{expected}")
    if not (value.flags.c_contiguous and value.flags.writeable and value.flags.aligned):
        check.fail(f"the layout of {name}", _layout(value), "a C-contiguous array that can be written to")
    for other in apart_from:
        if np.may_share_memory(value, other):
            check.fail(f"the memory of {name}", "shared with another argument", "memory of its own")
    return value


def _dtype(value: Any) -> Any:
    return getattr(value, "dtype", type(value).__name__)


def _layout(value: Array) -> str:
    return "not C-contiguous" if not value.flags.c_contiguous else "read-only"


def out_array(expected: tuple[int, ...], like: Array, apart_from: Iterable[Array], **named: Any) -> Array | None:
    """`writable`, or None for None."""
    (value,) = named.values()
    return None if value is None else writable(expected, like, apart_from, **named)
