"""FrozenLake as tabular training needs it: the environment to act in, its tensors to know the truth by.

Gymnasium's FrozenLake-v1 (4x4, at most 100 steps) and FrozenLake8x8-v1 (200), slippery or not.
Reaching the goal pays 1.  A hole pays 0 in document 000, which is Gymnasium's default, and -1 in
document 002; that is Gymnasium's reward_schedule=(1, -1, 0), in Gymnasium 1.2.1 and later.

The probability that a policy reaches the goal within the limit of steps is a value too, on the
same lake with 1 for the goal, 0 for all else and no discount.  So it is exact.
"""
from functools import cached_property
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.mdp import MDP

IDS = {"4x4": "FrozenLake-v1", "8x8": "FrozenLake8x8-v1"}


def make(name: str = "4x4", slippery: bool = False, hole: int = 0) -> Any:
    """Gymnasium's environment; `hole` is what falling into one pays, 0 or -1."""
    import gymnasium  # slow to load, and --help needs no lake
    check.one_of(tuple(IDS), map=name)
    check.one_of((0, -1), hole=hole, called="the reward of a hole")
    return gymnasium.make(IDS[name], is_slippery=slippery, **({"reward_schedule": (1, hole, 0)} if hole else {}))


class Lake:
    """The environment `env` and its tensors `mdp`, whose start is one state, side by side.

    name      "4x4" or "8x8"
    slippery  whether a move goes where it is meant to in one case of three only
    hole      what falling into a hole pays, 0 or -1
    gamma     in [0, 1]
    """

    measure = "success_probability"

    def __init__(self, name: str = "4x4", slippery: bool = False, hole: int = 0, gamma: float = 0.99) -> None:
        self.env = make(name, slippery, hole)
        self.mdp = MDP.from_gymnasium(self.env, gamma)
        self.reaching = MDP.from_gymnasium(make(name, slippery), 1.0)
        self.slippery, self.horizon = slippery, self.env.spec.max_episode_steps

    @cached_property
    def best(self) -> tuple[Array, Array]:
        """Q* (S, A) and V* (S,)."""
        return self.mdp.solve()

    def success_probability(self, policy: Array) -> float:
        """The probability that a policy (S, A) reaches the goal within the limit of steps, exactly."""
        return (self.mdp.start @ self.reaching.evaluate(policy, self.horizon)).item()

    def best_success_probability(self) -> float:
        """The same for the best of all policies, which knows how many steps are left."""
        return (self.mdp.start @ self.reaching.solve(self.horizon)[1][0]).item()

    best_worth = best_success_probability

    def greedy_path(self, q: Array) -> list[int] | None:
        """States from the start to the goal by the best entry of each row of q (S, A), the first of equals.

        None if that way does not end in the goal, and on slippery ice, where no way is certain.
        """
        if self.slippery:
            return None
        path = [int(self.mdp.start.argmax())]
        while not self.mdp.terminal[path[-1]] and len(path) <= len(q):
            path.append(int(self.mdp.transition[path[-1], q[path[-1]].argmax()].argmax()))
        return path if self.reaching.reward[:, :, path[-1]].any() else None

    def figures(self, q: Array, policy: Array) -> dict[str, Any]:
        """What a table q (S, A) and its greedy policy (S, A) are worth, beside the truth.

        success_probability  of the policy, within the limit of steps
        max_error            max |Q - Q*| over the whole table, in units of reward
        path_length          moves from the start to the goal; None as in greedy_path
        path_error           max |max_a Q(s, a) - V*(s)| over the states of that path
        """
        best_q, best_v = self.best
        path = self.greedy_path(q)
        return {
            "success_probability": self.success_probability(policy),
            "max_error": np.abs(q - best_q).max().item(),
            "path_length": path and len(path) - 1,
            "path_error": path and np.abs(q[path].max(axis=1) - best_v[path]).max().item(),
        }
