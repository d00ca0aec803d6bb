"""Worlds: a text task together with the size of the model that is trained on it, by the name that --task has.

    name                    prompt -> right answer                             reward
    every-third-character   a word -> every third letter of it                 verifiable: a rule decides
    addition                two numbers up to 99 -> their sum                  verifiable
    cups                    swaps of cups -> where the ball is, in one token or thinking
    products                two numbers to multiply -> their product, by heart or by calculator
    preferences             an instruction -> an answer that people prefer     a gold reward; training sees rankings
    ice-cream-text          "I like ice ___" -> a word                         as document 002 prints them
    capital-of-france-text  "What's the capital of France?" -> a city          as document 003 prints them

Each model is small: from random weights it is trained in a minute or two on two cores.

`own` makes a world of what a user brings: a Task in Python, or files (data).
"""
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from zlib import crc32

import numpy as np

from rlscratch import check
from rlscratch.bpe.characters import UnknownCharacter
from rlscratch.files import read_json
from rlscratch.tasks import addition, bandits, cups, preferences, spelling, tools
from rlscratch.tasks.task import Task
from rlscratch.train.language import pretrained
from rlscratch.train.language.chat import KINDS, SPECIAL, SYSTEM, Chat, Dialogue
from rlscratch.train.language.data import Data
from rlscratch.train.language.policy import Policy
from rlscratch.train.language.scoring import RewardModel
from rlscratch.train.settings import LEAST
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
    "cups": Recipe(cups.task, "characters", 48, 1, 8),
    "products": Recipe(tools.task, "characters", 64, 1, 24),
    "preferences": Recipe(preferences.task, "bpe", 64, 2, 24),
    "ice-cream-text": Recipe(lambda: bandits.TEXTS["ice-cream-text"], "characters", 32, 1, 16),
    "capital-of-france-text": Recipe(lambda: bandits.TEXTS["capital-of-france-text"], "characters", 32, 1, 16),
}
NAMES = tuple(RECIPES)
HEAD = 16
SHOWN = 2000            # prompts that a tokenizer is learned from, at most; fewer are answered more than once
LONGEST = 64            # tokens of an answer where nothing says how long one is
# Kinds of one's own that settings have defaults for.
OWN, OWN_PREFERENCES, OWN_LABELS = "a task of your own", "your preferences", "your labels"


@dataclass(frozen=True)
class World:
    """A task with all that a method needs to begin.

    name    as --task has it
    task    prompts, reward, check, teacher
    recipe  the shape of its model
    seed    of everything random
    data    what a user's files say
    kinds   for which settings may have defaults, besides every text task; the first that has one decides
    """

    name: str
    task: Task
    recipe: Recipe
    seed: int = 0
    data: Data = field(default_factory=Data)
    kinds: tuple[str, ...] = ()

    def stream(self, purpose: str) -> np.random.Generator:
        """A generator for one purpose, always the same: data do not depend on what was drawn before."""
        return np.random.default_rng([self.seed, crc32(purpose.encode())])

    @property
    def prompts(self) -> tuple[str, ...]:
        """All of them, those of files too."""
        return tuple(dict.fromkeys((*self.task.prompts, *self.task.held_out, *sum(self.data.sides, ()))))

    @property
    def measured(self) -> tuple[str, ...]:
        """The prompts that a policy is measured on: held-out ones where there are some."""
        return self.task.held_out or self.task.prompts

    @property
    def ranked(self) -> bool:
        """Whether a reward is to be learned from what people say."""
        return self.data.judged or "preferences" in self.kinds

    def shown(self, count: int) -> tuple[list[str], list[str]]:
        """Prompts and an answer to imitate beside each: those of files, or the teacher's, `count` to each prompt."""
        if self.data.shown:
            prompts, answers = zip(*self.data.of(self.data.shown, held_out=False), strict=True)
            return [*prompts], [*answers]
        if self.data.prompts:
            check.fail("demonstrations", None, "a file of answers to imitate; prompts and a reward show none")
        check.memory(LEAST * count * len(self.task.prompts), shown=count)
        prompts = [prompt for prompt in self.task.prompts for _ in range(count)]
        return prompts, self.task.demonstrations(prompts, self.stream("teacher"))

    def chat(self) -> Chat:
        """The template with a tokenizer learned from prompts and from the answers to them.

        Few prompts are answered many times by their teacher, so that no character of an answer is missing.
        """
        prompts = self.prompts[:None if self.recipe.tokenizer == "characters" else SHOWN]
        alphabet = {"vocab_size": 512} if self.recipe.tokenizer == "bpe" else {}
        return Chat.learn([*prompts, *self.answers(prompts)], self.recipe.tokenizer, marks=self.marks, **alphabet)

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """Answers to learn a tokenizer from: those of files, or the teacher's to these prompts."""
        return self.data.answers or self.task.demonstrations([*prompts] * max(1, SHOWN // len(prompts)),
                                                             self.stream("tokenizer"))

    def model(self, chat: Chat) -> Transformer:
        """A new model for the template: its context holds the longest prompt and the longest answer."""
        width = self.recipe.width
        return Transformer(Config(chat.tokenizer.vocab_size, self.needed(chat), width, self.recipe.layers,
                                  width // HEAD), self.stream("model"))

    def needed(self, chat: Chat) -> int:
        """Tokens of the longest prompt and the longest answer.

        Raises ValueError for a prompt or an answer of a file that the tokenizer cannot write, or that is too long.
        """
        longest = max(len(chat.prompt(prompt)) for prompt in self.prompts)
        for answer in self.data.answers:
            if (count := len(chat.answer(answer))) > self.recipe.max_new_tokens:
                check.fail(f"the number of tokens of the answer {answer!r:.80}", count,
                           f"at most {self.recipe.max_new_tokens}, max_new_tokens")
        return longest + self.recipe.max_new_tokens

    def policy(self, folder: str | Path, temperature: float = 1.0) -> Policy:
        """The policy of a run's folder.  Raises ValueError for one that does not fit the task."""
        return Policy(*self._loaded(folder), self.recipe.max_new_tokens, temperature, self.task.tool)

    def reward_model(self, folder: str | Path) -> RewardModel:
        """The reward model of a run's folder.  Raises ValueError for one that does not fit the task."""
        model, chat = self._loaded(folder)
        if not model.config.value_head:
            check.fail("reward_model", str(folder), "the run of a reward model: this model has no head for scores")
        said = Path(folder) / "config.json"             # of its run
        belief = read_json(said).get("belief", 0.0) if said.exists() else 0.0
        return RewardModel(model, chat, check.between(0, 100, **{f"belief in {said}": belief}))

    @property
    def marks(self) -> tuple[str, ...]:
        """The special tokens of its template: SYSTEM where a prompt has a line of the system, a call's with a tool."""
        said = any(isinstance(prompt, Dialogue) and prompt.turns[0][0] == "system" for prompt in self.prompts)
        return (*SPECIAL, *((SYSTEM,) if said else ()), *((tools.TOOL, tools.RESULT) if self.task.tool else ()))

    def load(self, folder: str | Path) -> tuple[Transformer, Chat]:
        """The model of a folder with the marks that the task needs."""
        return pretrained.load(folder, self.stream("marks"), self.marks)

    def _loaded(self, folder: str | Path) -> tuple[Transformer, Chat]:
        model, chat = self.load(folder)
        with _told(self.data):
            needed = self.needed(chat)
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
    return World(name, task, recipe, seed, kinds=(name,))


def own(task: Task, data: Data | None = None, seed: int = 0, init: str | Path | None = None, *,
        tokenizer: str = "characters", width: int = 64, layers: int = 2, max_new_tokens: int | None = None) -> World:
    """The world of a task that a user brings.

    data            what its files say, None if it has none
    init            the folder of a model to begin with; None: a new one, shaped by the next three
    tokenizer       "characters" or "bpe"
    width           of the model, a multiple of 16
    layers          of the model
    max_new_tokens  of an answer, its end included.  None: as many as the longest answer has that files or the teacher
                    show; without any, what the context of the model has room for, at most LONGEST

    Raises ValueError or TypeError for a shape that will not do, and where nobody shows how to answer.
    """
    check.integer(1, layers=layers)
    check.one_of(tuple(KINDS), tokenizer=tokenizer)
    if check.integer(HEAD, width=width) % HEAD:
        check.fail("width", width, f"a multiple of {HEAD}, the width of a head")
    data = data or Data()
    kinds = ((OWN_LABELS,) if data.labels else (OWN_PREFERENCES,) if data.rankings else ()) + (OWN,)
    world = World(task.name, task, Recipe(lambda: task, tokenizer, width, layers, 1), check.integer(0, seed=seed),
                  data, kinds)
    if init is None and task.teacher is None and not data.shown:
        check.fail("init", None, f"the folder of a model to begin with: nobody shows how to answer the prompts of "
                                 f"{task.name}, as demonstrations would")
    try:
        longest = _longest(world, init) if max_new_tokens is None else check.integer(1, max_new_tokens=max_new_tokens)
    except ValueError as wrong:
        raise ValueError(f"{'' if init is None else f'init {init}: '}{wrong}") from wrong
    return replace(world, recipe=replace(world.recipe, max_new_tokens=longest))


def _longest(world: World, init: str | Path | None) -> int:
    """Tokens that an answer may have, where nobody says."""
    model, chat = (None, world.chat()) if init is None else world.load(init)
    with _told(world.data):
        if world.data.answers or world.task.teacher:
            return max(len(chat.answer(answer)) for answer in world.answers(world.prompts))
        room = model.config.context - max(len(chat.prompt(prompt)) for prompt in world.prompts)
    return max(1, min(room, LONGEST))


@contextmanager
def _told(data: Data) -> Iterator[None]:
    """A character that the model has no token for is named with the option, the file and the line that hold it."""
    try:
        yield
    except UnknownCharacter as wrong:
        if (where := data.holding(wrong.character)) is None:
            raise
        check.fail(f"a character of {where},", wrong.character, f"one of the model's {wrong.size} tokens: leave it out "
                   "or begin with a model whose files hold it (train sft --tokenizer bpe knows every character)")
