"""The network of DQN, and what it sees of an environment.

One hidden layer of rectified units:

    Q(s, .) = relu(x(s) W1 + b1) W2 + b2                                             (1)

Where states are numbered x(s) is a one-hot row; where they are arrays of numbers, the array as one row.

Numbered states are few, so the network sees all of them at once, x being the identity; a batch picks entries of
the table that results, and going back adds up the seeds of those that picked the same one.  It is the gradient
of B one-hot rows for the work of S.

Outputs of 0 at first: W2 = b2 = 0.  Random ones would be rewards that nobody pays, of which the target takes the
largest; beside a wall, where s' = s, such a reward lives on from target to target, at gamma a time.

Leaves out: convolutions for images; scaling what is seen, which the environment can do (gymnasium.wrappers).
"""
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rlscratch import autograd, check
from rlscratch.autograd import Tensor
from rlscratch.check import Array

FEW = 1000              # numbered states that the network sees all at once


def initial(inputs: int, hidden: int, actions: int, rng: np.random.Generator, scale: float = 1.0) -> dict[str, Tensor]:
    """The parameters of (1), float32.

    scale  of W1: with one entry of x at 1, normal W1 gives hidden units of variance 1
    """
    W1 = scale * check.generator(rng=rng).normal(size=(inputs, check.integer(1, hidden=hidden)))
    arrays = {"W1": W1, "b1": np.zeros(hidden), "W2": np.zeros((hidden, actions)), "b2": np.zeros(actions)}
    return {name: Tensor(array.astype(np.float32), requires_grad=True) for name, array in arrays.items()}


def q_values(theta: Mapping[str, Tensor], x: Array | None = None) -> Tensor:
    """Equation (1) for rows x (R, D), or for every numbered state: (R, A)."""
    x = np.eye(len(theta["W1"]), dtype=theta["W1"].dtype) if x is None else x
    hidden = autograd.relu(autograd.linear(x, theta["W1"]) + theta["b1"])
    return autograd.linear(hidden, theta["W2"]) + theta["b2"]


def q_table(theta: Mapping[str, Tensor], x: Array | None = None) -> Array:
    """The same without a graph: an array (R, A)."""
    with autograd.no_grad():
        return q_values(theta, x).data


# ---------------------------------------------------------------- what it sees

class Numbered:
    """States 0 to S - 1.

    inputs        D of (1), which is S
    shape, dtype  of a state, as the replay buffer keeps it
    scale         of the first W1
    """

    def __init__(self, states: int, first: int = 0) -> None:
        self.inputs, self.first, self.shape, self.dtype, self.scale = states, first, (), np.int32, 1.0

    def state(self, observation: Any) -> int:
        """An observation as a state.  Raises ValueError or TypeError for one that is none."""
        return check.integer(self.first, self.first + self.inputs - 1, observation=_scalar(observation)) - self.first

    def seen(self, states: Array) -> tuple[Array | None, Array]:
        """Rows x of (1), None for those of all states, and for each of the states (B,) the number of its row."""
        if self.inputs <= FEW:
            return None, states
        return (states[:, None] == np.arange(self.inputs)).astype(np.float32), np.arange(len(states))

    def answers(self, theta: Mapping[str, Tensor]) -> Callable[[int], Array]:
        """Q(s, .) as a function of s, until theta changes."""
        if self.inputs <= FEW:
            return q_table(theta).__getitem__
        return lambda s: q_table(theta, self.seen(np.array([s]))[0])[0]


class Measured:
    """States that are arrays of numbers, flattened: rows (D,), float32.  The fields are as in Numbered."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.observed, self.inputs, self.dtype = shape, int(np.prod(shape)), np.float32
        self.shape, self.scale = (self.inputs,), self.inputs**-0.5

    def state(self, observation: Any) -> Array:
        """As in Numbered.  A number too large for float32 is none, either."""
        with np.errstate(over="ignore"):
            found = np.asarray(observation, dtype=np.float32)
        check.shape(self.observed, "as the environment's observation_space says", observation=found)
        return check.array(observation=found).reshape(-1)

    def seen(self, states: Array) -> tuple[Array, Array]:
        """As in Numbered."""
        return states, np.arange(len(states))

    def answers(self, theta: Mapping[str, Tensor]) -> Callable[[Array], Array]:
        """As in Numbered."""
        return lambda s: q_table(theta, s[None])[0]


def _scalar(observation: Any) -> Any:
    """The number in an array of one."""
    return observation.item() if isinstance(observation, np.ndarray) and observation.size == 1 else observation
