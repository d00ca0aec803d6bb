"""Two numerical derivatives of a scalar function, the witnesses for every gradient by hand.

central_difference works anywhere but at a kink, and loses about half the digits.
complex_step loses none, and needs a function that is analytic where it is asked.
"""
from collections.abc import Callable

import numpy as np

Array = np.ndarray


def central_difference(f: Callable[[Array], float], x: Array, h: float = 1e-5) -> Array:
    """(f(x + h e) - f(x - h e)) / 2h for every unit vector e; the shape of x."""
    return _each_entry(np.array(x, dtype=np.float64), lambda up, down: (f(up) - f(down)) / (2 * h), h)


def complex_step(f: Callable[[Array], complex], x: Array, h: float = 1e-20) -> Array:
    """Im f(x + i h e) / h for every unit vector e; exact to rounding where f is analytic."""
    return _each_entry(np.array(x, dtype=np.complex128), lambda up, down: np.imag(f(up)) / h, 1j * h)


def _each_entry(x: Array, quotient: Callable, step: complex) -> Array:
    result = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        result[place] = quotient(up, down)
    return result
