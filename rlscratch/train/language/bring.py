"""From options to a world: a task by name, a Task of the user's own, or files of theirs (data).

config.json knows a file by its size and its SHA-256 digest, so a run is not resumed with other data than it began with.
"""
import argparse
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlscratch import check
from rlscratch.tasks.task import Task
from rlscratch.train import from_file
from rlscratch.train.language import data, worlds
from rlscratch.train.language.worlds import World
from rlscratch.train.pretraining import text
from rlscratch.train.run import UNSAID

WORDS = "every-third-character"     # the task that has words to choose
FILES = ("prompts", "demonstrations", "preferences", "labels")
MODEL = ("tokenizer", "width", "layers")
REWARD = "reward_function"          # --reward; the run has a figure of that name
OPTIONS = ("task", "words", *FILES, REWARD, "max_new_tokens")       # what the stages of a run are told, too


def add_task(parser: argparse.ArgumentParser, names: Sequence[str], said: str) -> None:
    """--task: a name or FILE.py:name; None where it is not given.

    names  those there are
    said   of them in the help
    """
    def among(found: str) -> str:
        if found not in names and ":" not in found:
            raise argparse.ArgumentTypeError(
                f"invalid choice: {found!r} (choose from {', '.join(map(repr, names))}, or give FILE.py:name)")
        return found

    parser.add_argument("--task", type=among, metavar="NAME",
                        help=f"what to train on: {said} (default: {names[0]}); or a Task of your own, FILE.py:name or "
                             f"module:name{UNSAID}")


def add_arguments(group: Any) -> None:
    """What a task of one's own is made of, and the shape of its model."""
    for name, metavar, told in (
            ("prompts", "FILE", 'lines {"prompt": "..."} with any other fields, which go to the reward'),
            ("reward", "FILE.py:NAME", "reward(prompts=..., completions=..., **columns) -> a number for each "
             "completion (default: 1 for an answer that the files show as a good one, else 0)"),
            ("demonstrations", "FILE", 'lines {"prompt": ..., "completion": ...} or {"messages": [...]}, to imitate'),
            ("preferences", "FILE", 'lines {"prompt": ..., "chosen": ..., "rejected": ...} or {"prompt": ..., '
             '"completions": [...], "ranking": [...]}'),
            ("labels", "FILE", 'lines {"prompt": ..., "completion": ..., "label": true, false or a grade}'),
            ("max-new-tokens", "N", "of an answer (default: of the longest that files or teacher show)"),
            ("tokenizer", "KIND", "of a new model: characters or bpe (default: characters)"),
            ("width", "N", "of a new model, channels: a multiple of 16 (default: 64)"),
            ("layers", "N", "of a new model (default: 2)")):
        kind = int if metavar == "N" else Path if metavar == "FILE" else str
        group.add_argument(f"--{name}", type=kind, metavar=metavar, dest=REWARD if name == "reward" else None,
                           help=told + UNSAID)


def given(args: argparse.Namespace) -> bool:
    """Whether the task is the user's own."""
    return ":" in (args.task or "") or any(getattr(args, name) is not None for name in (*FILES, REWARD))


def world(args: argparse.Namespace, default: str) -> tuple[World, dict[str, Any]]:
    """The world that these options ask for, and what config.json is to say of it.

    default  the name where none is given

    Raises ValueError or TypeError for options that do not go together and for files that will not do.
    """
    seed, shape = check.integer(0, seed=args.seed), _of(args, ("max_new_tokens", *MODEL))
    if not given(args):
        name = args.task or default
        for option, value in shape.items():
            check.fail(option, value, f"no such option with the task {name}: it is for tasks of your own")
        return worlds.make(name, seed, _words(args, name)), {"words": _described_words(args.words)}
    if args.words is not None:
        check.fail("words", str(args.words), f"no words with a task of your own: only {WORDS} has some to choose")
    for option in MODEL:
        if args.init is not None and option in shape:
            check.fail(option, shape[option], f"none with init, whose model has its {option}")
    found, task, described = _task(args) if ":" in (args.task or "") else _files(args)
    made = worlds.own(task, found, seed, args.init, **shape)
    known = {option: None if args.init else getattr(made.recipe, option) for option in MODEL}
    return made, {**described, "max_new_tokens": made.recipe.max_new_tokens, **known}


def _task(args: argparse.Namespace) -> tuple[None, Task, dict[str, Any]]:
    """A Task in Python."""
    for option in _of(args, (*FILES, REWARD)):
        check.fail(option, str(getattr(args, option)), f"nothing beside the task {args.task}, which has its own")
    made = _loaded("task", args.task)
    if not isinstance(made, Task) and callable(made):
        try:
            made = made()
        except Exception as wrong:
            check.fail("task", f"{type(wrong).__name__}: {wrong}", f"a Task; that is what {args.task}() raises")
    if not isinstance(made, Task):
        check.fail("task", made, "a rlscratch.tasks.task.Task, or a function that returns one", TypeError)
    return None, made, {"task": f"{made.name}, {_described_code(args.task)}"}


def _files(args: argparse.Namespace) -> tuple[data.Data, Task, dict[str, Any]]:
    """A task of files, and a reward in Python if there is one."""
    files = _of(args, FILES)
    name = next((path.name for path in files.values()), None)
    if args.task not in (None, name):                       # a resumed run knows its own, which is the file's
        check.fail("task", args.task, "none: the files say what to train on")
    if not files:
        check.fail(REWARD, args.reward_function, "a file of prompts beside it, for whose answers it pays")
    if "preferences" in files and "labels" in files:
        check.fail("labels", str(args.labels), "either labels or preferences, not both")
    found, where = data.read(**files), args.reward_function
    reward = None if where is None else _loaded(REWARD, where)
    if where is not None and not callable(reward):
        check.fail(REWARD, reward, "a function", TypeError)
    if where is None and not found.shown and getattr(args, "reward_model", None) is None:
        check.fail(REWARD, None, f"FILE.py:function, which pays for answers to the prompts of {args.prompts}")
    described = dict.fromkeys(FILES) | {option: from_file.content(path) for option, path in files.items()}
    return found, data.task(name, found, reward), {
        "task": None, **described, REWARD: None if where is None else _described_code(where)}


def _of(args: argparse.Namespace, options: Sequence[str]) -> dict[str, Any]:
    """Those that are given."""
    return {option: value for option in options if (value := getattr(args, option)) is not None}


def _loaded(option: str, where: str) -> Any:
    """What FILE.py:name or module:name names."""
    module, _, name = where.rpartition(":")
    if module.endswith(".py"):
        return from_file.load(where)
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as wrong:
        check.fail(option, where, f"FILE.py:name or module:name: {wrong}")


# ---------------------------------------------------------------- as config.json knows them

def _described_code(where: str) -> str:
    """FILE.py:name or module:name by the name and the content of its file."""
    path, _, name = where.rpartition(":")
    return f"{name}, {from_file.content(Path(path if path.endswith('.py') else importlib.util.find_spec(path).origin))}"


def _described_words(words: Path | None) -> str | None:
    if words is None:
        return None
    content = text.read([words])
    return f"{len(content.split())} words, SHA-256 {hashlib.sha256(content.encode()).hexdigest()[:16]}..."


def _words(args: argparse.Namespace, task: str) -> list[str] | None:
    if args.words is None:
        return None
    if task != WORDS:
        check.fail("words", str(args.words), f"no words with the task {task}: only {WORDS} has some to choose")
    return text.read([args.words]).split()
