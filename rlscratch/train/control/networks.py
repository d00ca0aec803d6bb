"""An actor and a critic of two layers each, and the two kinds of policy that an actor can be.

    f(x) = tanh(tanh(x W1 + b1) W2 + b2) W3 + b3                                               (1)

The actor's f is the mean of a Gaussian for actions that are numbers (a Box), with one width sigma for each direction
that does not depend on x; for actions from a list (Discrete) it is their logits.  The critic's f is V(x).  W1 and W2
are orthogonal times sqrt 2, which keeps the size of a signal through tanh; the actor's W3 is a hundredth, so that it
begins with nearly equal actions, whatever it sees.

A Box has bounds.  The Gaussian knows none: what it draws is cut to them before the environment sees it, in the dtype of
the Box, and the log-density is that of what was drawn.

Observations are scaled as DQN's are (rlscratch.train.dqn.network, Measured): by the bounds, where they have some.

Leaves out: one trunk for both, recurrent networks, images, a Box of whole numbers.
"""
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from rlscratch import autograd, check
from rlscratch.autograd import Tensor
from rlscratch.autograd.affine import affine
from rlscratch.check import Array
from rlscratch.formulas import continuous, distribution, policy_gradient

Parameters = Mapping[str, Tensor]


def initial(inputs: int, hidden: int, outputs: int, log_std: float | None, rng: np.random.Generator,
            ) -> dict[str, Tensor]:
    """The parameters of (1), actor and critic, float32; log_std None for actions from a list."""
    arrays = {}
    for part, last, gain in (("actor", outputs, 0.01), ("critic", 1, 1.0)):
        sizes = (inputs, check.integer(1, hidden=hidden), hidden, last)
        for layer, (n, m) in enumerate(pairwise(sizes), 1):
            q, _ = np.linalg.qr(rng.normal(size=(max(n, m), min(n, m))))
            arrays[f"{part}.W{layer}"] = (q if n >= m else q.T) * (gain if layer == 3 else 2**0.5)
            arrays[f"{part}.b{layer}"] = np.zeros(m)
    if log_std is not None:
        arrays["log_std"] = np.full(outputs, log_std)
    return {name: Tensor(array.astype(np.float32), requires_grad=True) for name, array in arrays.items()}


def output(theta: Parameters, part: str, x: Any) -> Tensor:
    """Equation (1) for rows x (B, D): (B, outputs)."""
    for layer in (1, 2):
        x = autograd.tanh(affine(x, theta[f"{part}.W{layer}"], theta[f"{part}.b{layer}"]))
    return affine(x, theta[f"{part}.W3"], theta[f"{part}.b3"])


def values(theta: Parameters, x: Array) -> Array:
    """V of rows x (B, D), without a graph: (B,)."""
    with autograd.no_grad():
        return output(theta, "critic", x).data[:, 0]


class Numbers:
    """Actions of a Box: rows (D,) of numbers; `head` is the mean, (B, D)."""

    def __init__(self, space: Any) -> None:
        if not np.issubdtype(space.dtype, np.floating):
            check.fail("action_space", str(space), "a Box of floats: between two whole numbers there is no action; "
                                                   "Discrete is for few of them")
        self.low, self.high = space.low, space.high
        if self.low.ndim != 1 or not (np.isfinite(self.low) & np.isfinite(self.high)).all():
            check.fail("action_space", str(space), "a Box of one axis with finite bounds")
        low, high = np.float64(self.low) / 2, np.float64(self.high) / 2     # the whole distance may be no float64
        self.outputs, self.middle, self.half = low.size, high + low, high - low

    def draw(self, head: Array, theta: Parameters, rng: np.random.Generator) -> Array:
        """An action for each row, (B, D), in units of half the bounds' distance."""
        return continuous.gaussian_draw(head, theta["log_std"].data, rng.normal(size=head.shape))

    def best(self, head: Array) -> Array:
        """The likeliest."""
        return head

    def sent(self, action: Array) -> Array:
        """What the environment is told: inside its bounds, in its dtype, in which the bounds are what they are."""
        told = (self.middle + self.half * np.maximum(-1, np.minimum(action, 1))).astype(self.low.dtype)
        return np.maximum(self.low, np.minimum(told, self.high))

    def told(self, action: Any) -> Any:
        """An action that was sent, from a list of Python's numbers."""
        return np.array(action, self.low.dtype)

    def logp(self, head: Array, theta: Parameters, action: Array) -> Array:
        """log pi of each action, (B,)."""
        return continuous.gaussian_logp(head, np.broadcast_to(theta["log_std"].data, head.shape), action)

    def seeds(self, head: Tensor, theta: Parameters, action: Array, dlogp: Array, bonus: float) -> list:
        """What goes back: dL/dhead and dL/dlog_std for dL/dlogp (B,) and an entropy bonus."""
        of_mean, of_std = continuous.gaussian_score(
            head.data, np.broadcast_to(theta["log_std"].data, head.shape), action)
        return [(head, dlogp[:, None] * of_mean), (theta["log_std"], dlogp @ of_std - bonus)]


class Listed:
    """Actions of a Discrete: numbers 0 to A - 1; `head` are the logits, (B, A)."""

    def __init__(self, space: Any) -> None:
        self.outputs, self.first = int(space.n), int(space.start)

    def draw(self, head: Array, theta: Parameters, rng: np.random.Generator) -> Array:
        """As in Numbers, (B,)."""
        gumbel = rng.gumbel(size=head.shape)            # the largest of logit + Gumbel is a draw from the softmax
        return (head + gumbel).argmax(axis=1)

    def best(self, head: Array) -> Array:
        """As in Numbers."""
        return head.argmax(axis=1)

    def sent(self, action: Array) -> Array:
        """As in Numbers."""
        return self.first + action

    def told(self, action: Any) -> Any:
        """As in Numbers."""
        return np.int64(action)

    def logp(self, head: Array, theta: Parameters, action: Array) -> Array:
        """As in Numbers."""
        return np.take_along_axis(distribution.log_softmax(head), action[:, None], axis=1)[:, 0]

    def seeds(self, head: Tensor, theta: Parameters, action: Array, dlogp: Array, bonus: float) -> list:
        """As in Numbers."""
        ascent = bonus / len(action) * distribution.entropy_grad(head.data)
        return [(head, dlogp[:, None] * policy_gradient.score(head.data, action) - ascent)]
