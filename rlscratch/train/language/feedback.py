"""Human feedback on a policy's answers, simulated: the rankings and grades that reward models and DPO learn from.

    1. draw N prompts
    2. draw K answers to each from the fine-tuned policy
    3. let a labeller rank and grade them                                   (tasks.labellers)

A labeller sees the task's own reward, the gold reward; the training methods never do.  The same world, policy and
settings give the same rankings, so a reward model and DPO can be compared on equal data.  Grades lie in [0, 1], and
1 is the best of all these answers.

Where a user brings what people said (data), that is the feedback, and nothing is simulated.
"""
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import annotators
from rlscratch.tasks import labellers
from rlscratch.train.language.policy import Batch, Policy, by_task
from rlscratch.train.language.worlds import OWN_LABELS, OWN_PREFERENCES, World
from rlscratch.train.settings import Choice, at_least_1, at_least_2


@dataclass(frozen=True, eq=False)
class Feedback:
    """N prompts with K answers each, best first by the labeller.

    batch             the N K answers, in the order of the prompts; people read the texts, models the rows
    rewards  (N, K)   the task's own, for measuring; training must not see them
    grades   (N, K)   in [0, 1]: what a labeller who grades says of the same answers
    who      of each ranking, where a file tells
    """

    batch: Batch
    rewards: Array
    grades: Array
    who: Sequence[str] = ()

    @property
    def K(self) -> int:
        """Answers to a prompt."""
        return self.rewards.shape[1]

    @property
    def ranked(self) -> Array:
        """(N, K): numbers that fall from each first answer to the last, which is all that a ranking says."""
        return np.tile(np.arange(self.K, 0.0, -1.0), (len(self.rewards), 1))

    @property
    def reliability(self) -> Array:
        """(N,): of the labeller of each ranking, by EM over all pairs that they compare; the mean of all is 1.

        Raises ValueError for fewer than three labellers, of whom a panel says little, and for such as mostly disagree.
        """
        names, items, found = [*dict.fromkeys(self.who)], dict[tuple[str, ...], int](), []
        check.integer(3, labellers=len(names))
        texts = np.reshape(np.array(self.batch.texts, dtype=object), (-1, self.K))
        for who, prompt, answers in zip(self.who, self.batch.prompts[::self.K], texts, strict=True):
            for better, worse in combinations(answers, 2):
                first, second = sorted((better, worse))
                found.append((items.setdefault((prompt, first, second), len(items)), names.index(who), better != first))
        wins = np.zeros((len(items), len(names), 2, 2))
        for item, j, turned in found:
            wins[item, j, int(turned), 1 - int(turned)] += 1
        reliability = annotators.panel(wins)[0][[names.index(who) for who in self.who]]
        return reliability / check.positive(mean=reliability.mean(), called="the mean reliability of the labellers")


def gathered(world: World, policy: Policy, *, rankings: int | None, answers: int | None, noise: float | None,
             held_out: bool = False) -> Feedback:
    """What a world's files say, or rankings of the policy's own answers.

    rankings  N; None, as the next two, where files say it all
    answers   K, at least 2
    noise     of the labellers, in units of reward; 0: they never err
    held_out  whether the prompts are held-out ones
    """
    if world.data.rankings:
        return _ranked(policy, world.data.of(world.data.rankings, held_out))
    if world.data.labels:
        return _labelled(policy, world.data.of(world.data.labels, held_out))
    check.integer(1, rankings=rankings)
    K = check.integer(2, answers=answers)
    rng = world.stream("held-out rankings" if held_out else "rankings")
    source = world.measured if held_out else world.task.prompts
    prompts = [source[i] for i in rng.choice(len(source), rankings, replace=len(source) < rankings)]
    batch = policy.answer([prompt for prompt in prompts for _ in range(K)], rng)
    rewards = by_task(world.task)(batch)
    order = np.concatenate([n + labellers.rank(rewards[n:n + K], rng, noise) for n in range(0, len(batch), K)])
    best = rewards.max().item() if rewards.max() > 0 else 1.0           # where the scale of the grades ends
    grades = np.array([labellers.rate(reward, rng, best=best) for reward in rewards[order]])
    return Feedback(batch.at(order), rewards[order].reshape(-1, K), grades.reshape(-1, K))


def _ranked(policy: Policy, lines: Sequence[tuple[Any, ...]]) -> Feedback:
    """Rankings of N prompts with K answers each, best first.  Grades fall evenly from 1 to 0."""
    K, who = len(lines[0][1]), [line[2] for line in lines if line[2:]]
    places = np.tile(np.arange(K, 0.0, -1.0), (len(lines), 1))
    return Feedback(written(policy, [(prompt, answer) for prompt, answers, *_ in lines for answer in answers]), places,
                    (places - 1) / (K - 1), who)


def _labelled(policy: Policy, lines: Sequence[tuple[str, str, float]]) -> Feedback:
    """N grades of an answer each, K = 1."""
    grades = np.array([[grade] for *_, grade in lines])
    return Feedback(written(policy, [(prompt, answer) for prompt, answer, _ in lines]), grades, grades)


def written(policy: Policy, pairs: Sequence[tuple[str, str]]) -> Batch:
    """Answers that somebody wrote, as if the policy had."""
    prompts, answers = ([*side] for side in zip(*pairs, strict=True))
    rows = policy.chat.rows(prompts, answers, policy.model.config.context)
    return Batch(prompts, answers, rows, policy.logp(rows), np.zeros(len(answers), bool))


def agree(*, world: World, rankings: int | None, answers: int | None, noise: float | None, **others: object) -> None:
    """Raise ValueError for settings of labellers where files say it all, and for files that say nothing of the kind."""
    for name, value in {"rankings": rankings, "answers": answers, "noise": noise}.items():
        if world.data.judged and value is not None:
            check.fail(name, value, "none: the file has all that people said")
    if world.data.pairs and not world.data.judged and not world.data.prompts:
        check.fail("preferences", None, "a file of what people prefer; demonstrations say nothing of worse answers")


# The settings of labellers; what users bring needs none.
CHOICES = (
    Choice("rankings", {"": 5000, OWN_PREFERENCES: None, OWN_LABELS: None}, "rankings that people give", at_least_1),
    Choice("answers", {"": 8, OWN_PREFERENCES: None, OWN_LABELS: None}, "answers of a ranking", at_least_2),
    Choice("noise", {"": 1.0, OWN_PREFERENCES: None, OWN_LABELS: None},
           "of the labellers, in units of the gold reward; 0: they never err", check.non_negative),
)
