"""Argument checks, and the sentences that users read when one fails.

Every public function calls these before it computes or changes anything.  A message names
the argument, shows its value, and says what was expected:

    >>> positive(temperature=-1.0)
    Traceback (most recent call last):
    ...
    ValueError: temperature is -1.0; expected a finite number > 0

Names come from the keyword, so a call reads like the sentence it may print.  `called` names the
first argument where its name is no Python name: positive(total=0, called="the sum of mask").
A check that converts returns what it converted: one array for one keyword, a tuple for several.
"""
import math
import os
import resource
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

Array = np.ndarray
# What formulas make an array of: lists and numbers too.  Modules that use it import annotations from
# __future__, so that help() prints its name and not the union.
ArrayLike = Array | np.generic | Sequence[Any] | complex

# Bytes that any process may have that got so far: to ask the system takes as long as a small model's layer.
LITTLE = 2**26

# Rows of probabilities must add to 1 within this; float32 rows carry float32 rounding.
SUM_TOLERANCE = {np.dtype(np.float32): 3e-4, np.dtype(np.complex64): 3e-4}


def fail(name: str, value: object, expected: str, error: type[Exception] = ValueError) -> NoReturn:
    """Raise `error` with the house's sentence."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    text = " ".join(map(str.strip, text.splitlines()))              # NumPy shows a matrix on several lines
    raise error(f"{name} is {text if len(text) <= 80 else text[:77] + '...'}; expected {expected}")


def named(arguments: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a check under the names that its sentence prints: `called` renames the first."""
    if "called" not in arguments:
        return arguments
    (_, first), *others = ((name, value) for name, value in arguments.items() if name != "called")
    return {arguments["called"]: first, **dict(others)}


def _none(bad: Array, name: str, array: Array, expected: str) -> None:
    """Raise the same for the first entry of `array` where `bad` holds, if it holds anywhere."""
    if not np.count_nonzero(bad):               # any() takes three times as long for a few entries
        return
    place = tuple(int(i) for i in np.argwhere(bad)[0])
    where = f"{name}[{', '.join(map(str, place))}]" if place else name
    fail(where, array[place], expected)


# ---------------------------------------------------------------- scalars

def number(**scalars: Any) -> Any:
    """Real finite numbers, returned as Python floats."""
    return _ranged(scalars, "a finite number", lambda x: True)


def between(low: float, high: float, **scalars: Any) -> Any:
    """low <= value <= high."""
    return _ranged(scalars, f"a number in [{low}, {high}]", lambda x: low <= x <= high)


def positive(**scalars: Any) -> Any:
    """0 < value < inf."""
    return _ranged(scalars, "a finite number > 0", lambda x: x > 0)


def non_negative(**scalars: Any) -> Any:
    """0 <= value < inf."""
    return _ranged(scalars, "a finite number >= 0", lambda x: x >= 0)


def fraction(**scalars: Any) -> Any:
    """0 < value <= 1: a share of probability mass."""
    return _ranged(scalars, "a number in (0, 1]", lambda x: 0 < x <= 1)


def below_one(**scalars: Any) -> Any:
    """0 <= value < 1: what is kept of an average, or dropped."""
    return _ranged(scalars, "a number in [0, 1)", lambda x: 0 <= x < 1)


def temperature(**scalars: Any) -> Any:
    """0 < value < inf; greedy decoding is another algorithm, not a division by 0."""
    expected = "a finite number > 0 (greedy, temperature 0, is arg-max and belongs to rlscratch.generate)"
    return _ranged(scalars, expected, lambda x: x > 0)


def integer(low: int, high: int | None = None, **scalars: Any) -> Any:
    """An integer in [low, high]; `high=None` leaves the top open."""
    expected = f"an integer >= {low}" if high is None else f"an integer in [{low}, {high}]"

    def one(name: str, value: Any) -> int:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
            fail(name, value, expected, TypeError)
        if value < low or (high is not None and value > high):
            fail(name, value, expected)
        return int(value)

    return _each(scalars, one)


def one_of(options: Sequence[Any], **values: Any) -> Any:
    """One of a few named choices; NumPy's scalars count as Python's."""
    def one(name: str, value: Any) -> Any:
        value = value.item() if isinstance(value, np.generic) else value
        if not any(type(value) is type(o) and value == o for o in options):
            fail(name, value, "one of " + ", ".join(map(repr, options)))
        return value

    return _each(values, one)


def memory(needed: float, **values: Any) -> None:
    """What the arguments ask for, `needed` bytes at the least, fits into the memory that this process may have."""
    if needed < LITTLE:
        return
    there = available_memory()
    if needed > there:
        (name, value), *_ = named(values).items()
        fail(name, value, f"less: it would take {needed / 2**30:,.3g} GiB of memory at the least, and there are "
             f"{there / 2**30:,.3g}")


def available_memory() -> int:
    """Bytes that this process may have: the machine's, or fewer where a container or a user's limit says so."""
    there = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):             # "max", or no such file
            there.append(int(Path(path).read_text("ascii")))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min(there + ([] if limit == resource.RLIM_INFINITY else [limit]))


def generator(**values: Any) -> Any:
    """A numpy.random.Generator: the only source of randomness here."""
    def one(name: str, value: Any) -> np.random.Generator:
        if not isinstance(value, np.random.Generator):
            fail(name, value, "a numpy.random.Generator, such as numpy.random.default_rng(0)", TypeError)
        return value

    return _each(values, one)


# ---------------------------------------------------------------- arrays

def array(*, ndim: int | None = None, min_ndim: int = 0, infinite: bool = False, **arrays: Any) -> Any:
    """Real or complex arrays; integers and lists are converted to float64.

    NaN is never allowed, infinities only with infinite=True.  `ndim` fixes the number of
    dimensions, `min_ndim` its least value; an axis of length 0 is an error.
    """
    return _each(arrays, lambda name, value: _array(name, value, ndim, min_ndim, infinite))


def real(**arrays: Any) -> Any:
    """Arrays (already converted) of real numbers, returned as float64."""
    def one(name: str, value: Array) -> Array:
        if value.dtype.kind == "c":
            fail(name, value, "an array of real numbers", TypeError)
        return value.astype(np.float64, copy=False)

    return _each(arrays, one)


def _array(name: str, value: Any, ndim: int | None, min_ndim: int, infinite: bool) -> Array:
    result = asarray(name, value)
    if result.dtype.kind in "iu":
        result = result.astype(np.float64)
    if result.dtype.kind not in "fc":
        fail(name, value, "an array of real or complex numbers", TypeError)
    if (ndim is not None and result.ndim != ndim) or result.ndim < min_ndim:
        wanted = f"{ndim}" if ndim is not None else f"at least {min_ndim}"
        fail(f"the shape of {name}", result.shape, f"{wanted} dimension{'' if wanted.endswith('1') else 's'}")
    if result.size == 0:
        fail(f"the shape of {name}", result.shape, "at least one entry")
    if not _finite(result):
        bad = np.isnan(result) if infinite else ~np.isfinite(result)
        _none(bad, name, result, "no NaN" if infinite else "finite numbers")
    return result


def _finite(array: Array) -> bool:
    return np.count_nonzero(np.isfinite(array)) == array.size


def asarray(name: str, value: Any) -> Array:
    """A plain array of any dtype; rows of several lengths are an error, and so are masks, which nothing here reads."""
    if isinstance(value, np.ma.MaskedArray):
        fail(name, value, "an array without a mask: fill it, or take the entries that count", TypeError)
    try:
        return np.asarray(value)
    except ValueError:
        fail(name, value, "an array of numbers, every row of one length")


def same_rank(**arrays: Any) -> Any:
    """Arrays with as many dimensions as the first, each broadcasting to the first's shape.

    A row per sequence, (B, 1), spreads over tokens; (B,) is refused beside (B, T), where it
    would silently index tokens when B = T.  A scalar stands for every entry.
    """
    checked = {name: _array(name, value, None, 0, False) for name, value in named(arrays).items()}
    (first, leader), *others = checked.items()
    for name, value in others:
        if value.ndim == 0 or value.shape == leader.shape:
            continue
        fits = value.ndim == leader.ndim and all(
            n in (1, m) for n, m in zip(value.shape, leader.shape, strict=True))
        if not fits:
            fail(f"the shape of {name}", value.shape,
                 f"{leader.shape} like {first}, or 1 in place of an axis to spread over it")
    return tuple(checked.values())


def weighted(weight: Any, **arrays: Any) -> Any:
    """same_rank for a loss: the arrays, then the weight, which may not be negative."""
    checked = same_rank(**arrays, weight=weight)
    _none(checked[-1].real < 0, "weight", checked[-1], "weights >= 0")
    return checked


def per_sequence(**arrays: Any) -> Any:
    """same_rank for one number a sequence, (N,): log-probabilities already summed over tokens."""
    checked = same_rank(**arrays)
    log_probabilities(**dict(zip(named(arrays), checked, strict=True)))
    if checked[0].ndim > 1:
        fail(f"the shape of {next(iter(named(arrays)))}", checked[0].shape,
             "(N,), one number a sequence, summed over its tokens")
    return checked


def group(least: int, **arrays: Any) -> Any:
    """Arrays with at least `least` answers to one prompt on the last axis."""
    def one(name: str, value: Any) -> Array:
        result = _array(name, value, None, 1, False)
        if result.shape[-1] < least:
            fail(f"the shape of {name}", result.shape, f"at least {least} answers on the last axis")
        return result

    return _each(arrays, one)


def logits(*, ndim: int | None = None, **arrays: Any) -> Any:
    """Rows of logits on the last axis: -inf marks a token that cannot be, NaN and +inf are errors."""
    def one(name: str, value: Any) -> Array:
        result = _array(name, value, ndim, 1, True)
        if _finite(result):
            return result
        _none(result.real == np.inf, name, result, "finite numbers or -inf")
        dead = (result.real == -np.inf).all(axis=-1, keepdims=True)
        _none(np.broadcast_to(dead, result.shape), name, result, "at least one finite logit in the row")
        return result

    return _each(arrays, one)


def probabilities(*, ndim: int | None = None, **arrays: Any) -> Any:
    """Rows on the last axis that are >= 0 and add to 1."""
    def one(name: str, value: Any) -> Array:
        result = _array(name, value, ndim, 1, False)
        _none(result.real < 0, name, result, "probabilities >= 0")
        total = result.real.sum(axis=-1)
        wrong = np.abs(total - 1) > SUM_TOLERANCE.get(result.dtype, 1e-6)
        _none(wrong, f"the sum of {name}", total, "1, as for probabilities")
        return result

    return _each(arrays, one)


def log_probabilities(**arrays: Any) -> Any:
    """Arrays (already converted) of logs of probabilities: at most 0, but for rounding and numerical derivatives."""
    return _entries(arrays, "a log-probability, at most 0 (take the log of a probability)", lambda x: x > 1e-4)


def mask(*, ndim: int | None = None, **arrays: Any) -> Any:
    """Arrays of 0 and 1 (or booleans), returned as float64."""
    def one(name: str, value: Any) -> Array:
        given = asarray(name, value)
        if given.dtype.kind == "c":
            fail(name, value, "an array of 0 and 1", TypeError)
        result = _array(name, given.astype(np.float64) if given.dtype == bool else given, ndim, 0, False)
        _none((result != 0) & (result != 1), name, result, "0 or 1")
        return result.astype(np.float64, copy=False)

    return _each(arrays, one)


def ids(size: int, *, ndim: int | None = None, empty: bool = False, **arrays: Any) -> Any:
    """Integers in [0, size): token ids, states or actions.  Floats are refused, never truncated.

    `empty` lets a list without entries pass, though NumPy makes an array of floats of it.
    """
    def one(name: str, value: Any) -> Array:
        result = asarray(name, value)
        if result.dtype.kind not in "iu" and not (empty and result.size == 0):
            fail(name, value, f"integers in [0, {size})", TypeError)
        if ndim is not None and result.ndim != ndim:
            fail(f"the shape of {name}", result.shape, f"{ndim} dimension{'' if ndim == 1 else 's'}")
        _none((result < 0) | (result >= size), name, result, f"an integer in [0, {size})")
        return result.astype(np.int64, copy=False)

    return _each(arrays, one)


def shape(expected: tuple[int, ...], because: str = "", **arrays: Any) -> Any:
    """Arrays (already converted) of exactly this shape."""
    def one(name: str, value: Array) -> Array:
        if value.shape != expected:
            fail(f"the shape of {name}", value.shape, f"{expected}{because and ', ' + because}")
        return value

    return _each(arrays, one)


def entries_between(low: float, high: float, because: str = "", **arrays: Any) -> Any:
    """Arrays (already converted) whose entries all lie in [low, high]."""
    expected = f"a number in [{low}, {high}]{because and ', ' + because}"
    return _entries(arrays, expected, lambda x: (x < low) | (x > high))


# ---------------------------------------------------------------- machinery

def _ranged(scalars: dict[str, Any], expected: str, holds: Any) -> Any:
    def one(name: str, value: Any) -> float:
        if value.__class__ is float and math.isfinite(value) and holds(value):
            return value
        try:
            scalar = np.asarray(value)
            result = float(value) if scalar.ndim == 0 and scalar.dtype.kind in "iufO" else None
        except (TypeError, ValueError, OverflowError):
            result = None
        if result is None:
            fail(name, value, expected, TypeError)
        if not (np.isfinite(result) and holds(result)):
            fail(name, value, expected)
        return result

    return _each(scalars, one)


def _entries(arrays: dict[str, Any], expected: str, bad: Any) -> Any:
    def one(name: str, value: Array) -> Array:
        _none(bad(value.real), name, value, expected)
        return value

    return _each(arrays, one)


def _each(arguments: dict[str, Any], one: Any) -> Any:
    if len(arguments) == 1:
        (name, value), = arguments.items()
        return one(name, value)
    results = tuple(one(name, value) for name, value in named(arguments).items())
    return results[0] if len(results) == 1 else results
