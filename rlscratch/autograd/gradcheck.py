"""Autograd against numerical derivatives: the check that every row of the table passes.

f maps tensors to a tensor, or to a tuple of them.  Random weights c make one number of its outputs,

    phi(x) = sum_k c_k f_k(x)                                                                (1)

and backward with the seeds c must give the gradient of (1).  Three witnesses for it:

    central      (8 (phi(x + h e) - phi(x - h e)) - (phi(x + 2h e) - phi(x - 2h e))) / 12 h  (2)
                 for every entry; wrong by h^4 phi^(5) / 30, some 1e-13, and by rounding, some 1e-12 of phi
    complex      Im phi(x + i h e) / h with h = 1e-20: exact to rounding where f is analytic and its
                 primitives pass complex numbers
    projections  for arrays too large to visit every entry: (2) along k random directions u of an
                 argument, against grad . u.  An error delta in one entry moves it by |delta|

The error of an entry is relative to the largest entry of that argument's gradient; that of a projection to the
gradient's length.  float64 only: in float32 the difference quotient has no digits left.

The check also looks at what derivatives cannot show: that no gradient shares memory with another, with data or
with a seed, that data and seeds are as before, and that a second forward and backward doubles every gradient.

Leaves out: kinks.  At one, (2) sees the mean of both slopes; check beside them.
"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from rlscratch import check
from rlscratch.autograd.tensor import Tensor, backward, no_grad
from rlscratch.check import Array

STEP = 1e-3


class Worst(NamedTuple):
    """Where autograd and the numerical derivative differ most."""

    error: float            # relative, as the module says
    argument: int           # which argument of f
    place: tuple | None     # which entry of it; None for a projection
    autograd: float
    numerical: float

    def __str__(self) -> str:
        where = f"argument {self.argument}" + (f"{list(self.place)}" if self.place is not None else ", projected")
        return (f"{where}: {self.autograd!r} by autograd, {self.numerical!r} numerically, "
                f"relative error {self.error:.1e}")


class GradientError(AssertionError):
    """A gradient that is wrong, or shares memory that it should not."""


def gradcheck(f: Callable, *arrays: Array, method: str = "central", projections: int = 0, rtol: float = 1e-7,
              rng: np.random.Generator | None = None) -> Worst:
    """Check the gradient of f at these float64 arrays; returns the worst entry, raises if it is beyond rtol.

    f            called with one Tensor an array
    method       "central" or "complex"
    projections  0: every entry.  k > 0: k random directions an argument
    rtol         the largest relative error that passes
    rng          for the weights of (1) and the directions; default_rng(0) if None

    Raises GradientError with the worst entry, and for shared memory or changed data; TypeError for arrays
    that are not float64.

    >>> gradcheck(lambda a, b: a * b, np.ones(3), np.arange(3.0)).error < 1e-10
    True
    """
    check.one_of(("central", "complex"), method=method)
    check.integer(0, projections=projections)
    rng = check.generator(rng=np.random.default_rng(0) if rng is None else rng)
    for place, array in enumerate(arrays):
        if not isinstance(array, np.ndarray) or array.dtype != np.float64:
            check.fail(f"the dtype of arrays[{place}]", str(getattr(array, "dtype", type(array).__name__)), "float64",
                       TypeError)
    seeds, gradients = _analytic(f, arrays, rng)

    def phi(changed: list[Array]) -> complex:
        with no_grad():
            outputs = _outputs(f(*map(Tensor, changed)))
        return np.sum([np.sum(c * y.data) for c, y in zip(seeds, outputs, strict=True)])

    slope = _central if method == "central" else _complex
    worst = Worst(0.0, 0, None, 0.0, 0.0)
    for k, gradient in enumerate(gradients):
        for place, ours, theirs, size in _compared(phi, slope, arrays, k, gradient, projections, rng):
            error = float(abs(ours - theirs) / size) if size else float(abs(ours - theirs))
            if not error <= worst.error:
                worst = Worst(error, k, place, float(ours), float(theirs))
    if not worst.error <= rtol:
        raise GradientError(str(worst))
    return worst


def _compared(phi: Callable, slope: Callable, arrays: tuple, k: int, gradient: Array, projections: int,
              rng: np.random.Generator) -> list[tuple]:
    """(place, autograd's slope, the numerical one, what their difference is relative to) for argument k."""
    if projections:
        directions = [rng.choice([-1.0, 1.0], gradient.shape) for _ in range(projections)]
        found = [(None, np.sum(gradient * u), slope(phi, arrays, k, u)) for u in directions]
        return [(*row, np.linalg.norm(gradient)) for row in found]
    found = []
    for place in np.ndindex(gradient.shape):
        u = np.zeros(gradient.shape)
        u[place] = 1
        found.append((place, gradient[place], slope(phi, arrays, k, u)))
    size = max(max(abs(ours), abs(theirs)) for _, ours, theirs in found)
    return [(*row, size) for row in found]


def _along(phi: Callable, arrays: tuple, k: int, step: Array) -> complex:
    return phi([a + step if i == k else a for i, a in enumerate(arrays)])


def _central(phi: Callable, arrays: tuple, k: int, u: Array) -> float:
    """Equation (2) in direction u."""
    h = STEP / max(1.0, np.linalg.norm(u))
    near, far = (_along(phi, arrays, k, n * h * u) - _along(phi, arrays, k, -n * h * u) for n in (1, 2))
    return (8 * near - far) / (12 * h)


def _complex(phi: Callable, arrays: tuple, k: int, u: Array) -> float:
    return np.imag(_along(phi, arrays, k, 1e-20j * u)) / 1e-20


def _outputs(y: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return y if isinstance(y, tuple) else (y,)


def _analytic(f: Callable, arrays: tuple, rng: np.random.Generator) -> tuple[list[Array], list[Array]]:
    """The weights c of (1) and autograd's gradient of it, after everything that can be told without a derivative."""
    leaves = [Tensor(a.copy(), requires_grad=True) for a in arrays]
    outputs = _outputs(f(*leaves))
    seeds = [rng.normal(size=y.shape) for y in outputs]
    given = [c.copy() for c in seeds]
    backward(zip(outputs, given, strict=True))
    gradients = [np.zeros_like(a) if x.grad is None else x.grad.copy() for a, x in zip(arrays, leaves, strict=True)]
    _expect_apart([(f"the gradient of argument {i}", x.grad) for i, x in enumerate(leaves) if x.grad is not None],
                  [(f"the data of argument {i}", x.data) for i, x in enumerate(leaves)]
                  + [(f"output {i}", y.data) for i, y in enumerate(outputs)]
                  + [(f"seed {i}", c) for i, c in enumerate(given)])
    backward(zip(_outputs(f(*leaves)), given, strict=True))
    for i, (a, x, once) in enumerate(zip(arrays, leaves, gradients, strict=True)):
        if not np.array_equal(a, x.data):
            raise GradientError(f"the data of argument {i} has changed")
        if x.grad is not None and not np.allclose(x.grad, 2 * once, rtol=1e-9, atol=1e-12):
            raise GradientError(f"the gradient of argument {i} does not double with a second backward")
    if not all(np.array_equal(c, g) for c, g in zip(seeds, given, strict=True)):
        raise GradientError("a seed has changed")
    return seeds, gradients


def _expect_apart(gradients: list[tuple[str, Array]], others: list[tuple[str, Array]]) -> None:
    """Raise where a gradient shares memory with another array."""
    for i, (name, gradient) in enumerate(gradients):
        for other, array in gradients[i + 1:] + others:
            if np.shares_memory(gradient, array):
                raise GradientError(f"{name} shares memory with {other}")
