"""The network of DQN, and what it sees of an environment.

One hidden layer of rectified units:

    Q(s, .) = relu(x(s) W1 + b1) W2 + b2                                             (1)

Where states are numbered x(s) is a one-hot row.  Where they are arrays of numbers it is the array as one row, and
bounds of numbers are mapped to -2 sqrt(3) and 2 sqrt(3).  Episodes tend to end half-way to the bounds, and numbers
uniform in that half have then variance 1, the mean of x^2 over [-sqrt(3), sqrt(3)].  A position of metres and an angle
of tenths weigh alike, and with W1 of variance 1 / D so do units of the hidden layer.  Each unit is 0 on one side
of a hyperplane.  With b1 = 0 all of those would pass through one point, and little could be said about the edge of a
track; so b1 is drawn, too, from [-1, 1].  It matters: on CartPole-v1 three seeds ended at 195, 500 and 373 of 500 at
half this scale, and at 500 each at this one, which was chosen on them.  Of two more one ended at 500, one at 337.

Numbered states are few, so the network sees all of them at once, x being the identity; a batch picks entries of
the table that results, and going back adds up the seeds of those that picked the same one.  It is the gradient
of B one-hot rows for the work of S.

Outputs of 0 at first: W2 = b2 = 0.  Random ones would be rewards that nobody pays, of which the target takes the
largest; beside a wall, where s' = s, such a reward lives on from target to target, at gamma a time.

Leaves out: convolutions for images; scaling numbers without bounds, which the environment can do
        (gymnasium.wrappers).
"""
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rlscratch import autograd, check
from rlscratch.autograd import Tensor
from rlscratch.check import Array
from rlscratch.train.environments import scalar

FEW = 1000              # numbered states that the network sees all at once
WIDE = 1e6              # bounds as far apart as this say nothing about the numbers between them


def initial(inputs: int, hidden: int, actions: int, rng: np.random.Generator, scale: float = 1.0,
            shift: float = 0.0) -> dict[str, Tensor]:
    """The parameters of (1), float32.

    scale  standard deviation of W1; with one entry of x at 1, 1 gives hidden units of variance 1
    shift  b1 is drawn from [-shift, shift]
    """
    W1 = scale * check.generator(rng=rng).normal(size=(inputs, check.integer(1, hidden=hidden)))
    b1 = rng.uniform(-shift, shift, hidden) if shift else np.zeros(hidden)
    arrays = {"W1": W1, "b1": b1, "W2": np.zeros((hidden, actions)), "b2": np.zeros(actions)}
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
    drawn         scale and shift of `initial`
    """

    def __init__(self, states: int, first: int = 0) -> None:
        self.inputs, self.first, self.shape, self.dtype, self.drawn = states, first, (), np.int32, (1.0, 0.0)

    def state(self, observation: Any) -> int:
        """An observation as a state.  Raises ValueError or TypeError for one that is none."""
        return check.integer(self.first, self.first + self.inputs - 1, observation=scalar(observation)) - self.first

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
    """States that are arrays of numbers, between `low` and `high`: rows (D,), float32.  The fields are as in Numbered.

    >>> Measured([0, -np.inf], [255, np.inf]).state([255, 3]).tolist()
    [3.464101552963257, 3.0]
    """

    def __init__(self, low: Array, high: Array) -> None:
        low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        self.observed, self.inputs, self.dtype = low.shape, low.size, np.float32
        self.shape, self.drawn = (self.inputs,), (self.inputs**-0.5, 1.0)
        bounded = np.isfinite(low) & np.isfinite(high) & (low < high)
        bounded[bounded] = (high[bounded] - low[bounded]) < WIDE
        self._middle, self._unit = np.zeros(low.shape), np.ones(low.shape)
        self._middle[bounded] = (low[bounded] + high[bounded]) / 2
        self._unit[bounded] = (high[bounded] - low[bounded]) / (2 * 12**0.5)

    def state(self, observation: Any) -> Array:
        """As in Numbered.  A number too large for float32 is none, either."""
        try:
            found = np.asarray(observation, dtype=np.float64)
        except (ValueError, TypeError):
            check.fail("observation", observation, "an array of numbers", TypeError)
        check.shape(self.observed, "as the environment's observation_space says", observation=found)
        with np.errstate(over="ignore"):
            row = ((found - self._middle) / self._unit).astype(np.float32)
        if np.count_nonzero(np.isfinite(row)) < row.size:
            check.fail("observation", found.tolist(), "finite numbers, of float32 at most")
        return row.reshape(-1)

    def seen(self, states: Array) -> tuple[Array, Array]:
        """As in Numbered."""
        return states, np.arange(len(states))

    def answers(self, theta: Mapping[str, Tensor]) -> Callable[[Array], Array]:
        """As in Numbered."""
        return lambda s: q_table(theta, s[None])[0]
