"""Human feedback on a policy's answers, simulated: the rankings and grades that reward models and DPO learn from.

    1. draw N prompts
    2. draw K answers to each from the fine-tuned policy
    3. let a labeller rank and grade them                                   (tasks.labellers)

A labeller sees the task's own reward, the gold reward; the training methods never do.  The same world, policy and
settings give the same rankings, so a reward model and DPO can be compared on equal data.  Grades lie in [0, 1], and
1 is the best of all these answers.
"""
from dataclasses import dataclass

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.tasks import labellers
from rlscratch.train.language.policy import Batch, Policy
from rlscratch.train.language.worlds import World


@dataclass(frozen=True, eq=False)
class Feedback:
    """N prompts with K answers each, best first by the labeller.

    batch             the N K answers, in the order of the prompts; people read the texts, models the rows
    rewards  (N, K)   the task's own, for measuring; training must not see them
    grades   (N, K)   in [0, 1]: what a labeller who grades says of the same answers
    """

    batch: Batch
    rewards: Array
    grades: Array

    @property
    def K(self) -> int:
        """Answers to a prompt."""
        return self.rewards.shape[1]

    @property
    def ranked(self) -> Array:
        """(N, K): numbers that fall from each first answer to the last, which is all that a ranking says."""
        return np.tile(np.arange(self.K, 0.0, -1.0), (len(self.rewards), 1))


def gathered(world: World, policy: Policy, *, rankings: int, answers: int, noise: float, held_out: bool = False,
             ) -> Feedback:
    """Rankings of the policy's own answers.

    rankings  N
    answers   K, at least 2
    noise     of the labellers, in units of reward; 0: they never err
    held_out  whether the prompts are held-out ones
    """
    check.integer(1, rankings=rankings)
    K = check.integer(2, answers=answers)
    rng = world.stream("held-out rankings" if held_out else "rankings")
    source = world.measured if held_out else world.task.prompts
    prompts = [source[i] for i in rng.choice(len(source), rankings, replace=len(source) < rankings)]
    batch = policy.answer([prompt for prompt in prompts for _ in range(K)], rng)
    rewards = world.task.rewards(batch.prompts, batch.texts)
    order = np.concatenate([n + labellers.rank(rewards[n:n + K], rng, noise) for n in range(0, len(batch), K)])
    best = rewards.max().item() if rewards.max() > 0 else 1.0           # where the scale of the grades ends
    grades = np.array([labellers.rate(reward, rng, best=best) for reward in rewards[order]])
    return Feedback(batch.at(order), rewards[order].reshape(-1, K), grades.reshape(-1, K))
