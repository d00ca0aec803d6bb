"""rlscratch train sft, reward-model, ppo, grpo, dpo, expert-iteration: transformers that are trained on text tasks.

ppo and grpo train tables, too.  What is trained on decides: a lake or a bandit has a table, a text task a
transformer.  Options that one of the two alone has are errors with a task of the other.

When a run on text ends its figures are drawn, and answers from before and after stand side by side.
"""
import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch import check, memory
from rlscratch.files import parsed
from rlscratch.report.table import table
from rlscratch.train import distributed, environments, settings
from rlscratch.train import run as runs
from rlscratch.train.control import command as control
from rlscratch.train.language import bring, command, dpo, expert_iteration, grpo, ppo, reward_model, sft
from rlscratch.train.language.method import LanguageMethod
from rlscratch.train.settings import Choice
from rlscratch.train.tabular import grpo as tabular_grpo
from rlscratch.train.tabular import ppo as tabular_ppo
from rlscratch.train.tabular import worlds
from rlscratch.train.tabular.charted import CHARTED
from rlscratch.train.tabular.method import STEPS, TabularMethod

NETWORKS = f"{CHARTED}; or drone, Pendulum-v1, CartPole-v1 and others with Box observations, for small networks"
LONGEST = 60            # characters of an answer in the table


@dataclass(frozen=True)
class Command:
    """A method on text as a command, with the method of the same name on tables if there is one.

    networks  what trains in environments without a table: a module with takes(args) and run(args)
    """

    text: LanguageMethod
    tables: TabularMethod | None = None
    networks: Any = None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The options."""
        if self.tables is None:
            command.add_arguments(parser, self.text)
            return
        bandits = [name for name in worlds.NAMES if name not in worlds.LAKES]
        named = [f"{kind} ({', '.join(names)})" for kind, names in (
            ("a lake", worlds.LAKES), ("a bandit", bandits), ("text", self.text.tasks))]
        bring.add_task(parser, (*worlds.NAMES, *self.text.tasks), ", ".join(named))
        environments.add_hole_reward(parser)
        environments.add_arguments(parser, CHARTED if self.networks is None else NETWORKS)
        own = {choice.name: choice for choice in self.tables.choices}
        shared = [choice for choice in self.text.choices if choice.name in own]
        text_alone = [choice for choice in self.text.choices if choice.name not in own]
        tables_alone = [choice for choice in self.tables.choices if choice not in shared]
        _add(parser.add_argument_group("the learner"), shared)
        if tables_alone:
            _add(parser.add_argument_group("lakes and bandits alone"), tables_alone)
        group = parser.add_argument_group("text tasks alone")
        _add(group, text_alone)
        command.add_beginning(group, self.text)
        bring.add_arguments(parser.add_argument_group("what you bring, a text task"))
        runs.add_arguments(parser, self.text.name, save_every=command.SAVE_EVERY, explain_steps=self._steps(),
                           shared=True)

    def run(self, args: argparse.Namespace) -> int:
        """Train, save, print, draw; 0.  Raises ValueError or TypeError for bad arguments."""
        if self.tables is not None:
            if args.task is None and not bring.given(args):
                args.task = worlds.NAMES[0]
            self._refuse(args)
            if self.networks is not None and self.networks.takes(args):
                return self.networks.run(args)
            if args.task in worlds.NAMES or args.env is not None:
                return self.tables.run(args)
            environments.given(args)
            check.integer(0, 0, hole_reward=args.hole_reward)           # a text has no holes
        memory.keep_freed()         # this process is ours: a step's arrays are used again by the next one
        with np.errstate(over="ignore", invalid="ignore"):      # numbers that explode end the run, with one line
            run = command.train(self.text, args)
        if not distributed.leads():
            return 0
        from rlscratch.report import curves  # to load what draws takes longer than to load the rest
        path = curves.of_finished(run.folder, curves.training)
        if not args.quiet:
            print("\n".join(filter(None, [beside(run.folder), path and f"figures: {path}"])), file=sys.stderr)
        return 0

    def _refuse(self, args: argparse.Namespace) -> None:
        """Raise ValueError for an option that tasks of the other kind have alone."""
        tabular, textual = ({choice.name for choice in method.choices} for method in (self.tables, self.text))
        others, there = tabular - textual, worlds.NAMES
        if args.task in worlds.NAMES or args.env is not None:
            others = textual - tabular | {"init", "reward_model", "processes", *bring.OPTIONS, *bring.MODEL} - {"task"}
            there = self.text.tasks
        on = f"--task {args.task}" if args.env is None else f"--env {args.env}"
        for name, value in vars(args).items():
            if name in others and value is not None:
                value = str(value) if isinstance(value, Path) else value
                check.fail(f"--{name.replace('_', '-')}", value, f"no such option with {on}: it is for "
                           + ", ".join([bring.WORDS] if name == "words" else there))

    def _steps(self) -> str:
        """Default numbers of steps, by kind of task."""
        steps = self.tables.steps
        bandit = next(n for name, n in steps.items() if name not in worlds.LAKES)
        return settings.shown({**{name: steps[name] for name in worlds.LAKES}, "a bandit": bandit, "--env": STEPS,
                               **{name or "text": n for name, n in self.text.steps.items()}})


def beside(folder: Path) -> str:
    """A run's sample answers from before and after training; "" for a model that does not answer."""
    path = folder / "samples.json"
    if not path.exists():
        return ""
    rows = [[_short(sample["prompt"]), _short(sample["before"]), f"{sample['reward_before']:g}",
             _short(sample["after"]), f"{sample['reward_after']:g}"]
            for sample in parsed(path.read_bytes(), str(path), list)]
    return table(("prompt", "before, sampled", "reward", "after, sampled", "reward"), rows)


def _short(text: str) -> str:
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= LONGEST else text[:LONGEST - 3] + "..."


def _add(group: argparse._ArgumentGroup, some: Iterable[Choice]) -> None:
    for choice in some:
        choice.add(group)


SFT, REWARD_MODEL, DPO = Command(sft.METHOD), Command(reward_model.METHOD), Command(dpo.METHOD)
EXPERT_ITERATION = Command(expert_iteration.METHOD)
PPO, GRPO = Command(ppo.METHOD, tabular_ppo.METHOD, control), Command(grpo.METHOD, tabular_grpo.METHOD)
