"""A Gymnasium environment as DQN acts in it, with every step looked at, and what a policy earns in it.

Its observations become states of the network (train.dqn.network).

What a policy earns is estimated: greedy episodes, each from a seed of its own, in an environment apart from the
one that is learned in.  The figure is the mean of their total rewards, undiscounted, with its standard error, equation
(3) of formulas.standard_error.

Leaves out: observations of several parts (Tuple, Dict, MultiDiscrete); actions that are no numbers from a list.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.autograd import Tensor
from rlscratch.formulas.standard_error import mean_error
from rlscratch.train import environments
from rlscratch.train.dqn.network import Measured, Numbered


class Watched(environments.Asked):
    """An environment whose observations are states and whose actions are 0 to A - 1.

    text, max_steps  as in environments.make
    see, actions     what the network sees, and A

    Raises ValueError or TypeError for an environment that DQN does not take.
    """

    def __init__(self, text: str, max_steps: int | None = None) -> None:
        from gymnasium import spaces
        super().__init__(text, max_steps)
        observations, actions = self.env.observation_space, self.env.action_space
        if not isinstance(actions, spaces.Discrete):
            check.fail("env", text, f"an environment whose actions are Discrete, for a maximum over them; this has "
                                    f"{actions}")
        if isinstance(observations, spaces.Discrete):
            self.see = Numbered(int(observations.n), int(observations.start))
        elif environments.filled(observations):
            self.see = Measured(observations.low, observations.high)
        else:
            check.fail("env", text, "an environment whose observations are Discrete or a Box with an axis and numbers "
                                    f"on it; this has {observations}")
        self.actions, self._first = int(actions.n), int(actions.start)

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As in Asked, for an action from 0 on."""
        return super().step(self._first + action)


def total_rewards(env: Watched, theta: Mapping[str, Tensor], episodes: int, rng: np.random.Generator) -> np.ndarray:
    """R_i of N episodes of the greedy policy of theta, (N,)."""
    q, totals = env.see.answers(theta), np.zeros(episodes)
    for i, seed in enumerate(rng.integers(2**31, size=episodes).tolist()):
        s, _ = env.reset(seed)
        over = False
        while not over:
            s, reward, terminated, truncated, _ = env.step(int(q(s).argmax()))
            totals[i] += reward
            over = terminated or truncated
    return totals


def evaluation(totals: np.ndarray) -> dict[str, Any]:
    """mean_return, its standard error (None of one episode) and the number of episodes."""
    return {"mean_return": totals.mean().item(),
            "mean_return_error": mean_error(totals[:, None]) if len(totals) > 1 else None,
            "measured_episodes": len(totals)}
