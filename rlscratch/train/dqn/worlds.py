"""What DQN trains on, and how good its result is there: exactly on a lake, by episodes in any other environment."""
from functools import cached_property
from typing import Any

import numpy as np

from rlscratch.mdp import best_stationary
from rlscratch.train.dqn.deep_q_learning import DQNState, figures
from rlscratch.train.dqn.watched import Watched, evaluation, total_rewards
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.worlds import LAKES

GLANCE = 10             # episodes of the evaluations along the run


class OnLake:
    """A lake, by the name that --task has.

    env      what is learned in
    shape    what the network sees of it, and the number of actions
    measure  the figure that progress shows
    """

    measure = "success_probability"

    def __init__(self, task: str, hole: int = 0, gamma: float = 0.99) -> None:
        self.lake = Lake(*LAKES[task], hole, gamma)
        self.env, self.shape = self.lake.env, self.lake.mdp.transition.shape[:2]

    def figures(self, state: DQNState) -> dict[str, Any]:
        """Along the run."""
        return figures(self.lake, state)

    def final(self, state: DQNState) -> dict[str, Any]:
        """At its end."""
        return {**self.figures(state), "best_success_probability": best_stationary(self.lake.reaching,
                                                                                   self.lake.horizon)[1]}


class OnEnvironment:
    """The environment of --env; the fields are as in OnLake.

    text, max_steps  as in environments.make
    episodes         of the evaluation at the end
    seed             of the evaluations, which draw from streams of their own

    The result that is evaluated is the last one, not the best of several.
    """

    measure = "mean_return"

    def __init__(self, text: str, max_steps: int | None, episodes: int, seed: int) -> None:
        self.env, self.text, self.max_steps, self.episodes, self.seed = (
            Watched(text, max_steps), text, max_steps, episodes, seed)
        self.shape = self.env.see, self.env.actions

    @cached_property
    def apart(self) -> Watched:
        """Another one to evaluate in, since an episode of the first may be under way."""
        return Watched(self.text, self.max_steps)

    def figures(self, state: DQNState) -> dict[str, Any]:
        """Along the run."""
        return self._evaluated(state, GLANCE, 1)

    def final(self, state: DQNState) -> dict[str, Any]:
        """At its end."""
        return self._evaluated(state, self.episodes, 0)

    def _evaluated(self, state: DQNState, episodes: int, stream: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, 1 + stream])
        return evaluation(total_rewards(self.apart, state.mean, episodes, rng))
