"""A method that trains a transformer, and what all of them share: steps, settings, the learner.

A method is a function that begins: from a world, and from what earlier methods left (a fine-tuned policy, a reward
model), it makes a Learner, whose step() is one update.  Parameters, optimiser, generator and facts of a
learner are all that the next step depends on, so saved together they resume bit for bit.  Data (what a teacher
shows, what labellers rank) come from generators of their own, World.stream, and are made again.

The step size rises over the first tenth and falls along a cosine to a tenth of its peak.
"""
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from rlscratch import check
from rlscratch.optim import AdamW, warmup_cosine
from rlscratch.train import settings
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.policy import Policy, Score, by_task
from rlscratch.train.language.scoring import RewardModel
from rlscratch.train.language.worlds import World
from rlscratch.train.settings import Choice
from rlscratch.transformer import Transformer

Figures = dict[str, Any]
Beside = Callable[[Transformer, np.random.Generator], None]
WARMUP, FLOOR = 0.1, 0.1            # shares: of the steps, of the peak
BETAS = (0.9, 0.99)


@dataclass(frozen=True, eq=False)
class Stages:
    """What earlier methods left.

    policy        the fine-tuned one: where training begins, and the reference
    reward_model  the proxy, where a method is to train on it
    beside        adds the gradient of another loss before each step of GRPO's optimiser (sft.beside)
    """

    policy: Policy | None = None
    reward_model: RewardModel | None = None
    beside: Beside = lambda model, rng: None


@dataclass
class Learner:
    """What a method works on.

    model, optimizer, rng, facts  all that the next step depends on
    chat    the template of its rows
    step    () -> figures: one update
    report  () -> the final figures
    policy  the one that answers, or None for a model that scores
    end     () -> None: what is left to do after the last step, before its save
    """

    model: Transformer
    optimizer: AdamW
    rng: np.random.Generator
    chat: Chat
    step: Callable[[], Figures]
    report: Callable[[], Figures]
    policy: Policy | None = None
    facts: dict[str, float] = field(default_factory=dict)
    end: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class LanguageMethod:
    """One method: the function that its module's docstring speaks of, and how the command offers it.

    name     of the command
    tasks    names of the worlds that it can train on; the first is the default
    choices  its settings; lr is among them
    steps    default number of steps by task, "" for the others
    begin    (world, rng, stages, **settings) -> Learner
    needs    the stages that it begins with: () or ("sft",) or ("sft", "reward-model")
    shown    the figure in the progress bar
    agree    (world, **settings) -> None: raises ValueError for settings that do not go together, or with the world
    """

    name: str
    tasks: tuple[str, ...]
    choices: tuple[Choice, ...]
    steps: Mapping[str, int]
    begin: Callable[..., Learner]
    needs: tuple[str, ...] = ("sft",)
    shown: str = "reward"
    agree: Callable[..., None] = lambda **settings: None

    def settings(self, world: World, **chosen: Any) -> Figures:
        """Every setting, checked: as chosen, or the default for this task."""
        found = settings.of(self.choices, [*world.kinds, "text"], chosen)
        self.agree(world=world, **found)
        return found

    def total(self, world: World, steps: int | None = None) -> int:
        """How many steps a run has."""
        default = next(self.steps[kind] for kind in (*world.kinds, "") if kind in self.steps)
        return check.integer(1, steps=default if steps is None else steps)

    def learn(self, world: World, stages: Stages | None = None, steps: int | None = None, **chosen: Any,
              ) -> Iterator[tuple[Learner, Figures]]:
        """The learner and the figures of each step; settings as chosen.

        stages  what the method begins with; one that needs "sft" needs a policy
        """
        found, total, stages = self.settings(world, **chosen), self.total(world, steps), stages or Stages()
        if "sft" in self.needs and stages.policy is None:
            check.fail("stages.policy", None, f"a policy, as sft.METHOD.learn leaves it: {self.name} begins with one")
        learner = self.begin(world, world.stream(self.name), stages, **found)
        for done in range(total):
            yield learner, advance(learner, done, total, found["lr"])


def advance(learner: Learner, done: int, total: int, lr: float) -> Figures:
    """One step of `total`, at its place in the schedule."""
    learner.optimizer.lr = warmup_cosine(done + 1, lr, FLOOR * lr, round(WARMUP * total), total + 1)
    figures = learner.step()
    if done + 1 == total:
        learner.end()
    return figures


class Judges(NamedTuple):
    """What answers earn.

    score  a batch -> rewards: what pays
    gold   a batch -> the task's own rewards where a reward model pays instead; training never reads it
    """

    score: Score
    gold: Score | None = None


def judges(world: World, stages: Stages) -> Judges:
    """The task's own reward, or a reward model and what it stands for."""
    own = by_task(world.task)
    return Judges(own) if stages.reward_model is None else Judges(stages.reward_model, own)


def optimizer_of(model: Transformer, lr: float, weight_decay: float = 0.0) -> AdamW:
    """AdamW, matrices alone decayed."""
    return AdamW(model.parameters(), lr, BETAS, weight_decay=weight_decay, decay=lambda _, p: p.ndim > 1)
