"""An environment of --env whose transitions are a table: FrozenLake, CliffWalking, Taxi, or one of your own like them.

The table is read once (mdp.gymnasium_table).  From then on all is as exact as on a lake: the expected total
reward of a policy within the limit of steps, the best possible, Q*.

Where every reward is 0 or 1 and a 1 ends the episode, the total is 1 with the probability of getting there, and is
called what it is, the success probability.
"""
from functools import cached_property
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.mdp import MDP
from rlscratch.mdp.chains import reaching
from rlscratch.train import environments
from rlscratch.train.dqn.network import Numbered

CHARTED = "an environment whose transitions are a table, such as CliffWalking-v1"
TABLE = ("an environment with a table of transitions, as Gymnasium's toy-text environments have it in P and "
         "initial_state_distrib: the tabular methods need one")


class Charted:
    """The environment `env`, whose answers are looked at, and its tensors, side by side.

    text, max_steps  as in environments.make
    gamma            in [0, 1]

    mdp       its tensors with that gamma; `counted`, with gamma 1, for totals within `horizon` steps
    measure   "success_probability" or "expected_return"

    Raises TypeError for an environment without a table, which rlscratch train dqn may take, and ValueError for
    what is no environment.
    """

    def __init__(self, text: str, max_steps: int | None = None, gamma: float = 0.99) -> None:
        self.env = environments.Asked(text, max_steps)
        self.horizon = environments.limit(self.env.env)
        inside = self.env.env.unwrapped
        if not hasattr(inside, "P") or not hasattr(inside, "initial_state_distrib"):
            check.fail("env", text, f"{TABLE}; rlscratch train dqn needs none", TypeError)
        try:
            self.mdp, self.counted = (MDP.from_gymnasium(self.env.env, each) for each in (gamma, 1.0))
        except (LookupError, AttributeError, TypeError) as wrong:
            check.fail("env", text, f"{TABLE}; this one's cannot be read ({wrong!r})")
        self.env.see = Numbered(len(self.mdp.start))
        self.measure = "success_probability" if _pays_for_arrival(self.mdp) else "expected_return"

    @cached_property
    def best(self) -> tuple[Array, Array]:
        """Q* (S, A) and V* (S,)."""
        return self.mdp.solve()

    @cached_property
    def visited(self) -> Array:
        """(S,): whether an episode can come to a state and go on from there."""
        moves = (self.mdp.transition > 0).any(axis=1) & ~self.mdp.terminal[:, None]
        return reaching(moves.T, self.mdp.start > 0) & ~self.mdp.terminal

    def worth(self, policy: Array) -> float:
        """The exact measure of a policy (S, A), from the start."""
        return self.counted.discounted_return(policy, self.horizon)

    def best_worth(self) -> float:
        """The same for the best of all policies, which knows how many steps are left."""
        return (self.mdp.start @ self.counted.solve(self.horizon)[1][0]).item()

    def path(self, q: Array) -> list[int] | None:
        """States from the start to a terminal one by the best entry of each row of q (S, A), the first of equals.

        None if that way does not end, and where the start or a move is left to chance.
        """
        if self.mdp.start.max() < 1 or (self.mdp.transition[self.visited].max(axis=-1) < 1).any():
            return None
        path = [int(self.mdp.start.argmax())]
        while not self.mdp.terminal[path[-1]] and len(path) <= len(q):
            path.append(int(self.mdp.transition[path[-1], q[path[-1]].argmax()].argmax()))
        return path if self.mdp.terminal[path[-1]] else None

    def figures(self, q: Array, policy: Array) -> dict[str, Any]:
        """What a table q (S, A) and its greedy policy (S, A) are worth, as Lake.figures says.

        Errors are those of the states that an episode can visit; nothing is learned of others.
        """
        best_q, best_v = self.best
        path = self.path(q)
        return {
            self.measure: self.worth(policy),
            "max_error": np.abs(q - best_q)[self.visited].max(initial=0).item(),
            "path_length": path and len(path) - 1,
            "path_error": path and np.abs(q[path].max(axis=1) - best_v[path]).max().item(),
        }


def _pays_for_arrival(mdp: MDP) -> bool:
    """Whether every reward is 0, or 1 for entering a terminal state."""
    paid = mdp.reward[mdp.transition > 0]
    onward = (mdp.transition > 0) & ~mdp.terminal
    return bool(np.isin(paid, (0, 1)).all() and not mdp.reward[onward].any() and paid.any())
