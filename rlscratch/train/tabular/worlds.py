"""What the tabular methods train on: by the name that --task has four lakes and four bandits; by --env any environment
whose transitions are a table.

A world is an MDP to sample from, the table that training starts with, and the one number that says how
good a policy is.  That number is never estimated: J of an MDP whose rewards are counted as they are,
with no discount, over the limit of steps.  On a lake, where the goal pays 1, it is the probability of
reaching the goal in time; on a bandit the expected reward; elsewhere the expected return.  A penalty for
holes changes what a lake pays, not what is measured.

The best possible beside it is what a policy without a clock can reach, which is what is trained:
rlscratch.mdp.best_stationary finds it among the deterministic ones.

The rewards of a bandit come from its task's own function, one call for each answer, so that a
function that fails does so in the run, with the prompt and the answer in its message.
"""
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.mdp import MDP, Episodes, best_stationary
from rlscratch.tasks import bandits
from rlscratch.tasks.task import Task
from rlscratch.train.tabular.charted import Charted
from rlscratch.train.tabular.lake import Lake

LAKES = {"frozen-lake": ("4x4", False), "frozen-lake-slippery": ("4x4", True),
         "frozen-lake-8x8": ("8x8", False), "frozen-lake-8x8-slippery": ("8x8", True)}
NAMES = (*LAKES, *bandits.TASKS)


@dataclass(frozen=True, eq=False)
class TabularWorld:
    """One task as tables.

    name     as --task has it
    mdp      what is measured; gamma 1, since the limit of steps bounds every total
    horizon  steps after which an episode is cut off
    logits   (S, A)  the policy before training
    measure  what worth() is called among the figures
    task     whose reward function pays, or None where an MDP does
    pays     which MDP does, if another one than is measured
    """

    name: str
    mdp: MDP
    horizon: int
    logits: Array
    measure: str
    task: Task | None = None
    pays: MDP | None = None

    @property
    def rewarded(self) -> MDP:
        """What episodes are drawn from."""
        return self.mdp if self.pays is None else self.pays

    @property
    def kind(self) -> str:
        """ "a lake", "a bandit" or "an environment": which defaults of a method apply."""
        if self.task is not None:
            return "a bandit"
        return "a lake" if self.name in LAKES else "an environment"

    def collect(self, policy: Array, episodes: int, rng: np.random.Generator, start: int | None = None) -> Episodes:
        """N episodes under a policy (S, A), all from state `start` if it is given."""
        drawn = self.rewarded.simulate(policy, episodes, self.horizon, rng, start)
        if self.task is None:
            return drawn
        rewards = self.task.rewards([self.task.prompts[s] for s in drawn.states[:, 0]],
                                    [self.task.answers[a] for a in drawn.actions[:, 0]])
        return drawn._replace(rewards=rewards[:, None])

    def worth(self, policy: Array) -> float:
        """The exact measure of a policy (S, A), from the start."""
        return self.mdp.discounted_return(policy, self.horizon)

    def worth_by_state(self, policy: Array) -> Array:
        """The same from every state, (S,)."""
        return self.mdp.evaluate(policy, self.horizon)

    @cached_property
    def best(self) -> tuple[Array, float]:
        """The best deterministic policy without a clock, and its worth."""
        return best_stationary(self.mdp, self.horizon)


def make(name: str | Task, hole_reward: int = 0) -> TabularWorld:
    """The world of that name, or of a task with a list of answers.

    hole_reward  what falling into a hole of a lake pays, 0 or -1

    >>> make("ice-cream").best[1], round(make("capital-of-france").worth([[.4, .3, .2, .1], [1, 0, 0, 0]]), 2)
    (10.0, 0.43)
    """
    if not isinstance(name, Task):
        check.one_of(NAMES, task=name)
    if name in LAKES:
        lake = Lake(*LAKES[name], hole_reward, gamma=1.0)
        logits = np.zeros(lake.mdp.transition.shape[:2])
        return TabularWorld(name, lake.reaching, lake.horizon, logits, "success_probability",
                            pays=lake.mdp if hole_reward else None)
    if hole_reward != 0:
        check.fail("hole_reward", hole_reward, f"0 for {name if isinstance(name, str) else name.name}: only lakes "
                                               "have holes")
    task = name if isinstance(name, Task) else bandits.TASKS[name]
    mdp = bandits.one_step(task)
    rows = np.tile(np.log(bandits.before(task)), (len(task.prompts), 1))
    return TabularWorld(task.name, mdp, 1, np.vstack([rows, np.zeros(rows.shape[1])]), "expected_reward", task)


def of_environment(text: str, max_steps: int | None = None) -> TabularWorld:
    """The world of --env; arguments and errors as in Charted."""
    charted = Charted(text, max_steps)
    logits = np.zeros(charted.mdp.transition.shape[:2])
    return TabularWorld(text, charted.counted, charted.horizon, logits, charted.measure)
