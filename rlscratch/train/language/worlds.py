"""Worlds: a text task together with the size of the model that is trained on it, by the name that --task has.

    name                    prompt -> right answer                             reward
    every-third-character   a word -> every third letter of it                 verifiable: a rule decides
    addition                two numbers up to 99 -> their sum                  verifiable
    preferences             an instruction -> an answer that people prefer     a gold reward; training sees rankings
    ice-cream-text          "I like ice ___" -> a word                         as document 002 prints them
    capital-of-france-text  "What's the capital of France?" -> a city          as document 003 prints them

Each model is small: from random weights it is trained in a minute or two on two cores.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from rlscratch import check, checkpoint
from rlscratch.tasks import addition, bandits, preferences, spelling
from rlscratch.tasks.task import Task
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.policy import Policy
from rlscratch.train.language.scoring import RewardModel
from rlscratch.transformer import Config, Transformer


@dataclass(frozen=True)
class Recipe:
    """How to make a task, and the model for it.

    task            () -> Task
    tokenizer       "characters" or "bpe"
    width, layers   of the model; heads of 16 channels
    max_new_tokens  of an answer, its end included
    """

    task: Callable[[], Task]
    tokenizer: str
    width: int
    layers: int
    max_new_tokens: int


RECIPES = {
    "every-third-character": Recipe(spelling.task, "characters", 64, 3, 6),
    "addition": Recipe(addition.task, "characters", 64, 3, 5),
    "preferences": Recipe(preferences.task, "bpe", 64, 2, 24),
    "ice-cream-text": Recipe(lambda: bandits.TEXTS["ice-cream-text"], "characters", 32, 1, 16),
    "capital-of-france-text": Recipe(lambda: bandits.TEXTS["capital-of-france-text"], "characters", 32, 1, 16),
}
NAMES = tuple(RECIPES)
HEAD = 16
SHOWN = 2000            # prompts that a tokenizer is learned from, at most; fewer are answered more than once


@dataclass(frozen=True)
class World:
    """A task with all that a method needs to begin.

    name    as --task has it
    task    prompts, reward, check, teacher
    recipe  the shape of its model
    seed    of everything random
    """

    name: str
    task: Task
    recipe: Recipe
    seed: int = 0

    def stream(self, purpose: str) -> np.random.Generator:
        """A generator for one purpose, always the same: data do not depend on what was drawn before."""
        return np.random.default_rng([self.seed, crc32(purpose.encode())])

    @property
    def prompts(self) -> tuple[str, ...]:
        """All of them."""
        return self.task.prompts + self.task.held_out

    @property
    def measured(self) -> tuple[str, ...]:
        """The prompts that a policy is measured on: held-out ones where there are some."""
        return self.task.held_out or self.task.prompts

    def chat(self) -> Chat:
        """The template with a tokenizer learned from prompts and from the teacher's answers to them.

        Few prompts are answered many times, so that no character of an answer is missing.
        """
        prompts = self.prompts[:None if self.recipe.tokenizer == "characters" else SHOWN]
        shown = self.task.demonstrations(prompts * max(1, SHOWN // len(prompts)), self.stream("tokenizer"))
        alphabet = {"vocab_size": 512} if self.recipe.tokenizer == "bpe" else {}
        return Chat.learn([*prompts, *shown], self.recipe.tokenizer, **alphabet)

    def model(self, chat: Chat) -> Transformer:
        """A new model for the template: its context holds the longest prompt and the longest answer."""
        longest, width = max(len(chat.prompt(prompt)) for prompt in self.prompts), self.recipe.width
        return Transformer(Config(chat.tokenizer.vocab_size, longest + self.recipe.max_new_tokens, width,
                                  self.recipe.layers, width // HEAD), self.stream("model"))

    def policy(self, folder: str | Path, temperature: float = 1.0) -> Policy:
        """The policy of a run's folder.  Raises ValueError for one that does not fit the task."""
        return Policy(*self._loaded(folder), self.recipe.max_new_tokens, temperature)

    def reward_model(self, folder: str | Path) -> RewardModel:
        """The reward model of a run's folder.  Raises ValueError for one that does not fit the task."""
        model, chat = self._loaded(folder)
        if not model.config.value_head:
            check.fail("reward_model", str(folder), "the run of a reward model: this model has no head for scores")
        return RewardModel(model, chat)

    def _loaded(self, folder: str | Path) -> tuple[Transformer, Chat]:
        model, chat = checkpoint.load(folder).model, Chat.load(folder)
        needed = max(len(chat.prompt(prompt)) for prompt in self.prompts) + self.recipe.max_new_tokens
        if needed > model.config.context:
            check.fail(f"the context of the model in {folder}", model.config.context,
                       f"at least {needed} tokens: a prompt and an answer of {self.name}")
        return model, chat


def make(name: str, seed: int = 0, words: Sequence[str] | None = None) -> World:
    """The world of that name.

    words  for every-third-character: other words than the task's own
    """
    check.one_of(NAMES, task=name)
    check.integer(0, seed=seed)
    if words is not None and name != "every-third-character":
        check.fail("words", list(words)[:3], f"none: {name} has no words to choose")
    recipe = RECIPES[name]
    task = recipe.task() if words is None else spelling.task(words)
    return World(name, task, recipe, seed)
