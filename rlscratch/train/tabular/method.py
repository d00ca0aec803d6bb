"""A tabular method as data, and what all of them share: the loop, the options, the command.

A method is two functions.  `initial` makes the tables, `step` turns tables into better ones:

    tables          = initial(world, rng, **settings)
    tables, figures = step(world, tables, rng, **settings)

Both are pure but for the generator, so tables and the generator's state are all that a run depends
on: saved together, they resume bit for bit.  A step that fails, for a reward that is no number say,
leaves the last save as it is.

Settings are named once, as Choices: with a default for lakes and one for bandits, whose rewards
and lengths have nothing in common, with the check and the text of the option.
"""
import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas.distribution import entropy, softmax
from rlscratch.train import environments, settings
from rlscratch.train import run as runs
from rlscratch.train.settings import Choice
from rlscratch.train.tabular import worlds
from rlscratch.train.tabular.charted import CHARTED
from rlscratch.train.tabular.worlds import TabularWorld

STEPS = 200             # on an environment
MOST = 2.0**53          # from here on a number plus 1 may be itself
Tables = dict[str, Array]
Figures = dict[str, Any]


def choice(name: str, lake: Any, bandit: Any, help: str, holds: Callable[..., Any] | None = None,
           options: tuple[str, ...] | None = None, **others: Any) -> Choice:
    """A Choice with one default for lakes, one for bandits, and the `others` of settings.tabular."""
    return Choice(name, settings.tabular(lake, bandit, **others), help, holds, options)


@dataclass(frozen=True)
class TabularMethod:
    """One method: the functions that the module's docstring speaks of, and how the command offers them.

    name     of the command
    choices  the settings of initial and step
    steps    default number of steps, by task
    initial  (world, rng, **settings) -> tables, with the policy under "logits"
    step     (world, tables, rng, **settings) -> tables, figures
    report   (world, tables, settings) -> the final figures
    agree    (**settings) -> None: raises ValueError for settings that do not go together
    """

    name: str
    choices: tuple[Choice, ...]
    steps: dict[str, int]
    initial: Callable[..., Tables]
    step: Callable[..., tuple[Tables, Figures]]
    report: Callable[[TabularWorld, Tables, dict[str, Any]], Figures]
    agree: Callable[..., None] = lambda **settings: None

    def settings(self, world: TabularWorld, **chosen: Any) -> dict[str, Any]:
        """Every setting, checked: as chosen, or the default for this kind of world."""
        found = settings.of(self.choices, [world.kind, "a lake"], chosen)       # an environment has the lakes', too
        self.agree(**found)
        return found

    def learn(self, world: TabularWorld, rng: np.random.Generator, **chosen: Any) -> Iterator[tuple[Tables, Figures]]:
        """Tables and figures after each step, for as long as the caller asks; settings as chosen."""
        found = self.settings(world, **chosen)
        tables = self.initial(world, check.generator(rng=rng), **found)
        while True:
            tables, figures = self.step(world, tables, rng, **found)
            yield tables, figures

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """The options of the command."""
        parser.add_argument("--task", choices=worlds.NAMES, default="frozen-lake", help="what to train on")
        environments.add_hole_reward(parser)
        environments.add_arguments(parser, CHARTED)
        group = parser.add_argument_group("the learner")
        for one in self.choices:
            one.add(group)
        lakes = "".join(f"{n} on {task}, " for task, n in self.steps.items() if task in worlds.LAKES)
        bandit = next(n for task, n in self.steps.items() if task not in worlds.LAKES)
        runs.add_arguments(parser, self.name, save_every=50,
                           explain_steps=f"{lakes}{bandit} on a bandit, {STEPS} with --env")

    def run(self, args: argparse.Namespace) -> int:
        """The command: train, save, print.  Raises ValueError or TypeError for bad arguments."""
        usual = self.steps[args.task] if args.env is None else STEPS
        steps = check.integer(1, steps=usual if args.steps is None else args.steps)
        check.integer(0, seed=args.seed)
        config = environments.given(args, task="frozen-lake", hole_reward=0)
        if not args.hole_reward:
            config.pop("hole_reward", None)         # runs that began before there was a choice go on
        world = (worlds.make(args.task, args.hole_reward) if args.env is None
                 else worlds.of_environment(args.env, args.max_steps))
        found = self.settings(world, **settings.given(self.choices, args))
        folder = runs.Run(args, self.name, {**config, "seed": args.seed, **found}, goal={"steps": steps})
        self._train(folder, world, found, args.seed, steps)
        return 0

    def _train(self, folder: runs.Run, world: TabularWorld, found: dict[str, Any], seed: int, steps: int) -> None:
        rng = np.random.default_rng(seed)
        tables, done, before, begin = folder.arrays, 0, 0.0, time.perf_counter()
        if tables:
            done, before = folder.facts["step"], folder.facts["seconds"]
            rng.bit_generator.state = folder.facts["rng"]
        else:
            tables = self.initial(world, rng, **found)
        with folder.progress(steps, done) as bar:
            while done < steps:
                tables, figures = self.step(world, tables, rng, **found)
                done += 1
                _refuse_what_grew(tables, done)
                bar.update()
                if done % folder.save_every == 0 or done == steps:
                    worth = {world.measure: world.worth(softmax(tables["logits"]))}
                    bar.set_postfix(worth)
                    facts = {"rng": rng.bit_generator.state, "seconds": before + time.perf_counter() - begin}
                    folder.save(done, tables, facts, **figures, **worth)
                else:
                    folder.record(done, **figures)
        folder.finish({"steps": done, **self.report(world, tables, found),
                       "seconds": round(before + time.perf_counter() - begin, 3)})


def _refuse_what_grew(tables: Tables, step: int) -> None:
    """Raise RuntimeError for NaN, and for numbers whose neighbours in float64 are too far apart to learn by."""
    for name, table in tables.items():
        if not (most := np.abs(table).max()) <= MOST:
            raise RuntimeError(f"step {step}: the largest number of {name} is {most:.3g}; a smaller lr keeps the "
                               "numbers small")


def report(world: TabularWorld, tables: Tables, settings: dict[str, Any]) -> Figures:
    """The exact worth of the policy, the best possible, and how much chance is left in the policy.

    policy_entropy  the mean over states in which there is something to decide, in nats
    """
    policy = softmax(tables["logits"])
    figures = {world.measure: world.worth(policy), f"best_{world.measure}": world.best[1],
               "policy_entropy": entropy(tables["logits"])[~world.mdp.terminal].mean().item()}
    if world.task is not None and len(world.task.prompts) == 1:
        figures["probabilities"] = dict(zip(world.task.answers, policy[0].tolist(), strict=True))
    return figures


def shared_steps(lakes: dict[str, int], bandit: int) -> dict[str, int]:
    """Default numbers of steps: as given for lakes, one number for every bandit."""
    return {name: lakes.get(name, bandit) for name in worlds.NAMES}
