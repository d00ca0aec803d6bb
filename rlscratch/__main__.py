"""The command line: python -m rlscratch, also installed as rlscratch.

Exit status: 0 for success, 1 for failure, 2 for bad arguments, 130 after Ctrl-C, with one line that says what to do.

What takes its time to import is imported within `main`, so that Ctrl-C is answered with one line then, too.
"""
import argparse
import atexit
import errno
import importlib
import io
import json
import os
import platform
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from rlscratch import __version__

# command -> what has add_arguments(parser) and run(args), a module or module:name; what it does; an example
COMMANDS = {
    "tour": ("rlscratch.report.tour.command", "run the worked examples and write the course that explains them",
             "rlscratch tour --out out/tour"),
    "notebook": ("rlscratch.cli.notebook", "write one worked example as a Jupyter notebook, or list them",
                 "rlscratch notebook 11"),
    "ledger": ("rlscratch.documents.ledger", "every number of the documents beside ours, with a verdict",
               "rlscratch ledger --document 002 --verdict differs"),
    "verify": ("rlscratch.cli.verify", "run the proofs of one module of formulas and print what they claim",
               "rlscratch verify ppo"),
    "check": ("rlscratch.cli.exercises.command", "mark an exercise that you solved; what is done; a class",
              "rlscratch check exercises/07_ppo_clip.py"),
    "conform": ("rlscratch.conformance.command", "examine a loss: its convention, the laws that it breaks",
                "rlscratch conform mine.py:loss --as grpo --framework torch"),
    "libraries": ("rlscratch.conformance.libraries", "what we say of other libraries, with the versions looked at",
                  "rlscratch libraries --all"),
    "pretrain": ("rlscratch.cli.pretrain", "train a transformer on text to predict the next token",
                 "rlscratch pretrain --minutes 4"),
    "sample": ("rlscratch.cli.sample", "a trained model's answers to a prompt",
               "rlscratch sample --run-dir runs/pretrain --prompt 'The while statement' --temperature 0.8"),
    "rank": ("rlscratch.cli.rank", "people rank a model's answers in their browsers, for --preferences",
             "rlscratch rank --run-dir runs/sft --prompts prompts.jsonl"),
    "report": ("rlscratch.report.runs.command", "a page about a training run, or about two side by side",
               "rlscratch report runs/grpo"),
    "rlhf": ("rlscratch.cli.rlhf", "the whole pipeline: imitation, reward model, PPO, DPO, and where it breaks",
             "rlscratch rlhf --seed 0"),
    "life": ("rlscratch.cli.life", "one model's life: curation, pretraining, assistant, what people want of it",
             "rlscratch life --quick --seed 0"),
    "tokenize": ("rlscratch.cli.tokenize", "text to tokens and back; learn a vocabulary",
                 "rlscratch tokenize 'The capital of Georgia is'"),
}
TRAIN = {
    "q-learning": ("rlscratch.train.tabular.q_learning", "Q-learning on FrozenLake, or on any environment with a table",
                   "rlscratch train q-learning --map 4x4 --seed 0"),
    "dqn": ("rlscratch.train.dqn.command",
            "Q-learning with a network: replay buffer, target network, Huber loss",
            "rlscratch train dqn --task frozen-lake-slippery --seed 0"),
    "reinforce": ("rlscratch.train.tabular.reinforce", "REINFORCE on a lake or a bandit, with a choice of baselines",
                  "rlscratch train reinforce --task frozen-lake-slippery --seed 0"),
    "ppo": ("rlscratch.cli.train:PPO", "PPO: with a table, on text with a transformer, or with networks in --env",
            "rlscratch train ppo --task preferences --init runs/sft"),
    "grpo": ("rlscratch.cli.train:GRPO", "GRPO: on a lake or a bandit with a table, on a text task with a transformer",
             "rlscratch train grpo --task every-third-character --variant dr_grpo"),
    "clone": ("rlscratch.train.tabular.clone", "behavioural cloning: imitate an expert, and see where that ends",
              "rlscratch train clone --task frozen-lake"),
    "sft": ("rlscratch.cli.train:SFT", "supervised fine-tuning: a transformer imitates a teacher, mistakes and all",
            "rlscratch train sft --task every-third-character"),
    "reward-model": ("rlscratch.cli.train:REWARD_MODEL", "a reward model from rankings or grades of a policy's answers",
                     "rlscratch train reward-model --task preferences --init runs/sft"),
    "dpo": ("rlscratch.cli.train:DPO", "DPO or IPO: a policy from rankings, without a reward model",
            "rlscratch train dpo --task preferences --init runs/sft"),
    "expert-iteration": ("rlscratch.cli.train:EXPERT_ITERATION", "draw answers, keep the best, imitate them, repeat",
                         "rlscratch train expert-iteration --task addition --init runs/sft"),
}


PATHS = {       # what a path that was given is not -> what to do
    FileNotFoundError: "give the path of a file or folder that is there",
    NotADirectoryError: "a part of this path is a file; give a folder in its place",
    IsADirectoryError: "give the path of a file in it",
    FileExistsError: "give a path where nothing is yet, or a folder",
}


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)        # a disk, a share of one, or what a file may have


class Parser(argparse.ArgumentParser):
    """argparse, with one line instead of the usage when an argument is bad."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    before = _on_interrupt(_leave)
    try:
        _streams()
        try:
            from rlscratch.train import run as runs
        except (ImportError, ValueError) as wrong:      # RLSCRATCH_ISA, say, asks for what is not there
            return _end(1, wrong)
        args = _parsed(argv)
        if args is None:
            return 0
        try:
            _on_interrupt(before)
            if getattr(args, "resume", False):
                runs.recall(args, argv[1] if argv[0] == "train" else argv[0], _said(args.parser, argv))
            if "processes" in args:
                from rlscratch.cli import processes
                return _flushed(processes.run(args, argv, lambda ended: _explained(ended, args, argv)))
            return _flushed(args.run(args))
        except (Exception, SystemExit, KeyboardInterrupt) as ended:
            return _explained(ended, args, argv)
    finally:
        atexit.register(_on_interrupt, signal.SIG_IGN)          # all is said by then
        _on_interrupt(before)


def _parsed(argv: list[str]) -> argparse.Namespace | None:
    """What a command line says; None, and help is printed, for one that says nothing."""
    parser = Parser(
        prog="rlscratch", description="Reinforcement learning for language models, from scratch.")
    parser.add_argument("--version", action="version", version=f"rlscratch {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, entry in _asked(argv[:1], COMMANDS, "train").items():
        _add(commands, name, *entry, wanted=argv[:1] == [name])
    train = commands.add_parser("train", help="train a policy, a table of values or a reward model",
                                description="Train.  Each method has its own --help.",
                                epilog="example: rlscratch train q-learning --help")
    methods = train.add_subparsers(dest="method", metavar="METHOD", required=True)
    for name, entry in _asked(argv[1:2], TRAIN).items():
        _add(methods, name, *entry, wanted=argv[:2] == ["train", name])
    _add_info(commands)
    if not argv:
        parser.print_help()
        return None
    args, unknown = parser.parse_known_args(argv)
    if unknown:                                         # said by the command's own parser, whose help has what there is
        getattr(args, "parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def _asked(word: list[str], table: dict[str, tuple[str, str, str]], *others: str) -> dict[str, tuple[str, str, str]]:
    """Of a table's commands the one that is asked for: to offer all takes longer than many a command.  Else all."""
    if word and word[0] in (*table, *others):
        return {name: entry for name, entry in table.items() if name == word[0]}
    return table


# ---------------------------------------------------------------- how a command ends

def _explained(ended: BaseException, args: argparse.Namespace, argv: list[str]) -> int:
    """One line on standard error for what ended a command, and the exit status; a fault of ours is raised again."""
    from rlscratch.tasks.task import RewardError
    match ended:
        case KeyboardInterrupt():
            _on_interrupt(signal.SIG_IGN)
            return _end(130, f"interrupted; {_kept(args, argv)}")
        case SystemExit():                  # by code of the user's own, a reward say
            return _end(1, f"code that was run asked to exit ({ended.code}); nothing was finished")
        case BrokenPipeError():             # the reader, `| head` say, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case RewardError() | RuntimeError():                # in the middle of a run, whose last save stays as it is
            return _end(1, ended)
        case MemoryError():
            return _end(1, f"memory ran out: {ended}; a smaller model or batch takes less")
        case ValueError() | TypeError():
            return _end(2, _by_option(str(ended), args.options))
        case OSError():
            expected = PATHS.get(type(ended))
            said = ended if ended.filename is None else f"{ended.filename}: {ended.strerror}; {expected or ''}"
            full = f"; make room; {_kept(args, argv)}" if ended.errno in FULL else ""
            return _end(2 if expected else 1, str(said).rstrip("; ") + full)
    raise ended


def _end(status: int, said: object) -> int:
    print(f"rlscratch: {said}", file=sys.stderr)
    return status


def _kept(args: argparse.Namespace, argv: list[str]) -> str:
    """What a command leaves that did not come to its end, and how to go on."""
    folder = getattr(args, "run_dir", None)
    if not hasattr(args, "resume") or folder is None or not (Path(folder) / "config.json").exists():
        return "nothing was finished"
    command = argv[:2] if argv[0] == "train" else argv[:1]
    return (f"what {folder} has saved is whole, and {shlex.join(['rlscratch', *command, '--resume'])} --run-dir "
            f"{shlex.quote(str(folder))} goes on from there")


def _on_interrupt(handler: Any) -> Any:
    """Answer Ctrl-C so from now on; what answered it before.  Python lets no thread but the first say so."""
    if threading.current_thread() is threading.main_thread():
        return signal.signal(signal.SIGINT, handler)
    return None


def _leave(*_: Any) -> NoReturn:
    """Ctrl-C before a command has begun: no import is unwound, nothing is there to clean up."""
    os.write(2, b"rlscratch: interrupted; nothing had begun\n")
    os._exit(130)


def _by_option(message: str, options: dict[str, str]) -> str:
    """An error of the library, which begins with an argument's name, as whoever typed the option knows it."""
    name = message.split(" ", 1)[0]
    return options.get(name, name) + message[len(name):]


def _said(parser: argparse.ArgumentParser, argv: Sequence[str]) -> set[str]:
    """The options that the command line itself says, whatever their defaults."""
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    return set(vars(parser.parse_args(argv[2 if argv[0] == "train" else 1:])))


def _streams() -> None:
    """What the three standard streams need before a command reads and prints."""
    for name, how in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:                      # closed by who called, `>&-` say: nobody reads, nothing is said
            setattr(sys, name, open(os.devnull, how))   # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            if how == "w":                      # a terminal that cannot show a letter shows a question mark
                stream.reconfigure(errors="replace")
            else:                               # a text comes in with the line ends that it has
                stream.reconfigure(newline="")


def _flushed(status: int) -> int:
    sys.stdout.flush()
    return status


def _add(commands: argparse._SubParsersAction, name: str, where: str, purpose: str, example: str, *,
         wanted: bool) -> None:
    """Add one command; its module is imported only when it is the one that was asked for."""
    parser = commands.add_parser(name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".",
                                 epilog=f"example: {example}",
                                 formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    if wanted:
        module, _, inside = where.partition(":")
        chosen = importlib.import_module(module)
        chosen = getattr(chosen, inside) if inside else chosen
        chosen.add_arguments(parser)
        options = {action.dest: action.option_strings[0] for action in parser._actions if action.option_strings}
        run = partial(_train, chosen.run) if name in TRAIN else chosen.run
        parser.set_defaults(run=partial(_with_page, run) if "page" in options else run, options=options, parser=parser)


def _train(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """A training command: the run, and what it learned."""
    status = run(args)
    from rlscratch.train import distributed
    if distributed.leads():
        from rlscratch.cli import tables  # it draws, and --help and bad arguments need no figures
        tables.show(args)
    return status


def _with_page(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """A command, and the page of its run if that is asked for."""
    if not args.page and args.live is None:
        return run(args)
    from rlscratch.report.runs.command import with_page
    return with_page(run, args)


def _add_info(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("info", help="versions, backend, instruction set, threads",
                                 description="What this installation runs on.", epilog="example: rlscratch info --json")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=info, options={})


def info(args: argparse.Namespace) -> int:
    """Print version, backend, instruction set, threads, NumPy and BLAS."""
    import numpy as np

    from rlscratch import kernels
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    facts = {
        "rlscratch": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "backend": kernels.BACKEND,
        "instruction set": kernels.ISA or "none (NumPy)",
        "instruction sets here": ", ".join(kernels.ISAS) or "none (NumPy)",
        "threads": kernels.threads(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
    }
    print(json.dumps(facts) if args.json else "\n".join(f"{name:<22}{value}" for name, value in facts.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
