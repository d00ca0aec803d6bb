"""A command of many stages, each with a folder of its own: what rlhf and life share.

A stage that has a result.json is done: with --resume it is read, and the one under way goes on from its last save.  A
stage that trains leaves what its own command would leave; one that measures leaves its figures in result.json.
"""
import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlscratch import check
from rlscratch.files import read_json, remove_parts, write_json
from rlscratch.train import run as runs
from rlscratch.train.language import command
from rlscratch.train.language.method import LanguageMethod
from rlscratch.train.pretraining import pretrain
from rlscratch.train.run import UNSAID, Run

RARER = 5           # a save of pretraining measures the held-out part, too: there are so many times fewer of them


def add_arguments(parser: argparse.ArgumentParser, name: str) -> Any:
    """The options that such a command has; their group, for more of them."""
    default = runs.RUNS / name
    group = parser.add_argument_group("the run", f"processor time: {runs.TAKES[name]}")
    group.add_argument("--seed", type=int, default=0, help="same seed, same run")
    group.add_argument("--run-dir", metavar="FOLDER",
                       help=f"folder of the run (default: {default}, or the first of {default}-2, -3, ... that is "
                            f"free){UNSAID}")
    group.add_argument("--save-every", type=int, default=command.SAVE_EVERY, metavar="STEPS",
                       help="steps between two saves of a stage")
    group.add_argument("--resume", action="store_true",
                       help="go on in the stage that the run in --run-dir, or the newest by that name, had reached")
    group.add_argument("--quiet", action="store_true", help="no progress on standard error")
    group.add_argument("--json", action="store_true", help="end with the figures as one line of JSON")
    return group


class Road:
    """The run of such a command.

    args    with the options of add_arguments
    name    of the command
    config  every choice that its numbers depend on

    `seconds` has what each stage took, in their order.
    Raises ValueError or TypeError for bad arguments, before anything is written.
    """

    def __init__(self, args: argparse.Namespace, name: str, config: dict[str, Any]) -> None:
        check.integer(0, seed=args.seed, called="--seed")
        self.args, self.name = args, name
        self.run = Run(args, name, {**config, "seed": args.seed}, command=name)
        self.folder, self.seconds = self.run.folder, dict[str, float]()
        for folder in self.folder.iterdir():
            if folder.is_dir() and not (folder / ".lock").exists():     # of a stage that measures, or of figures
                remove_parts(folder)

    def trained(self, name: str, method: LanguageMethod, own: command.Own | None = None, **settings: Any) -> Path:
        """A stage that trains a method, unless it is done already; its folder.

        own       as in command.train
        settings  options of the method's command
        """
        def train(**common: Any) -> None:
            command.train(method, command.arguments(method, **common, **settings), show=False, own=own)

        return self._stage(name, train)

    def pretrained(self, name: str, **settings: Any) -> Path:
        """A stage that trains a base model; its folder.

        settings  options of `rlscratch pretrain`
        """
        def train(**common: Any) -> None:
            parser = argparse.ArgumentParser()
            pretrain.add_arguments(parser)
            known = vars(parser.parse_args([])) | common | {"save_every": RARER * common["save_every"]} | settings
            pretrain.train(argparse.Namespace(**known), show=False)

        return self._stage(name, train)

    def measured(self, name: str, figures: Callable[[], Any]) -> Any:
        """What a stage that measures found, now or before."""
        folder = self.folder / name
        if not (folder / "result.json").exists():
            self._tell(name)
            begin = time.perf_counter()
            found = {"figures": figures(), "seconds": round(time.perf_counter() - begin, 3)}
            folder.mkdir(exist_ok=True)
            write_json(folder / "result.json", found)
        found = read_json(folder / "result.json")
        self.seconds[name] = found["seconds"]
        return found["figures"]

    def _stage(self, name: str, train: Callable[..., None]) -> Path:
        folder, begin = self.folder / name, time.perf_counter()
        if (folder / "result.json").exists():
            self.seconds[name] = read_json(folder / "result.json")["seconds"]
        else:
            self._tell(name)
            train(seed=self.args.seed, run_dir=str(folder), save_every=self.args.save_every, quiet=self.args.quiet,
                  resume=(folder / "config.json").exists())
            self.seconds[name] = round(time.perf_counter() - begin, 3)
        return folder

    def _tell(self, stage: str) -> None:
        if not self.args.quiet:
            print(f"{self.name}: {stage}", file=sys.stderr)
