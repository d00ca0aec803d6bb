"""The command of a method that trains a transformer: its options, its stages, its loop, its run.

A run leaves in its folder, besides what train.language.run says:

    metrics.jsonl   a line a step: loss or reward, KL, clip fraction, gradient norm, answer length, tokens/s
    samples.json    the same prompts, answered before and after
    sft/, ...       the runs of the stages that it began with, where it was not given their folders

With --resume a stopped run goes on from its last save, in the stage that it had reached, and ends in the
same bits as one that was not stopped.  The last save is made when the method has reported, so what it holds is the
model that was reported on, and its figures.

The folder of a stage is read and never written.  In config.json it stands by its content, not by its path: a run that
was begun with one model is not resumed with another.
"""
import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlscratch import check
from rlscratch.checkpoint import Checkpoint
from rlscratch.files import write_atomic
from rlscratch.tasks.task import RewardError
from rlscratch.train import choices
from rlscratch.train import run as runs
from rlscratch.train.language import reward_model, sft, text, worlds
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.method import Figures, Learner, Method, Stages, advance
from rlscratch.train.language.policy import by_task, scored
from rlscratch.train.language.run import ModelRun, command_of
from rlscratch.train.language.worlds import World
from rlscratch.transformer import Transformer

SAMPLES = 8                         # prompts that are answered before and after
SAVE_EVERY = 50
WORDS = "every-third-character"     # the task that has words to choose


# ---------------------------------------------------------------- options

def add_arguments(parser: argparse.ArgumentParser, method: Method) -> None:
    """The options of a method's command."""
    parser.add_argument("--task", choices=method.tasks, default=method.tasks[0], metavar="NAME",
                        help=f"what to train on: {', '.join(method.tasks)}")
    group = parser.add_argument_group("the learner")
    for one in method.choices:
        one.add(group)
    add_beginning(parser.add_argument_group("where it begins"), method)
    runs.add_arguments(parser, method.name, save_every=SAVE_EVERY, explain_steps=choices.shown(method.steps))


def add_beginning(group: Any, method: Method) -> None:
    """The options of a method's command that are neither its choices nor every run's."""
    group.add_argument("--words", type=Path, metavar="FILE",
                       help=f"{WORDS}: a file with words of your own, 5 to 12 letters each{runs.UNSAID}")
    if "sft" in method.needs:
        group.add_argument("--init", type=Path, metavar="FOLDER",
                           help=f"run of the policy to begin with (default: one is fine-tuned, in sft/ of the run's "
                                f"folder){runs.UNSAID}")
    if "reward-model" in method.needs:
        group.add_argument("--reward-model", type=Path, metavar="FOLDER",
                           help="run of a reward model to train on instead of the task's own reward (default: for "
                                f"preferences one is trained, in reward-model/; other tasks need none){runs.UNSAID}")


def arguments(method: Method, **given: Any) -> argparse.Namespace:
    """What the command line would make of these options and no others; the way to call `train` from Python.

    >>> args = arguments(sft.METHOD, task="addition", steps=5)
    >>> args.task, args.steps, args.seed, args.save_every
    ('addition', 5, 0, 50)
    """
    parser = argparse.ArgumentParser()
    add_arguments(parser, method)
    args = parser.parse_args([])
    for name in given:
        check.one_of(tuple(vars(args)), argument=name)
    return argparse.Namespace(**{**vars(args), **given})


# ---------------------------------------------------------------- the command

def train(method: Method, args: argparse.Namespace, show: bool = True) -> ModelRun:
    """Begin or go on, step by step; save, measure, print; the run.

    args  with all options of the command, as `arguments` makes them
    show  whether the final figures are printed

    Raises ValueError or TypeError for bad arguments, before anything is trained or written, and RewardError or
    RuntimeError for a run that fails on its way, whose last save can be resumed.
    """
    world = worlds.make(args.task, check.integer(0, **{"--seed": args.seed}), _words(args))
    steps, settings = method.total(world, args.steps), method.settings(world, **choices.given(method.choices, args))
    stages, begun_with = _given(method, args, world)
    learner = None if args.resume else _tried(method, args, world, stages, settings)
    run = ModelRun(args, method.name, {"task": world.name, "seed": world.seed, "steps": steps, **settings, **begun_with,
                                       "words": _described(args.words)})
    saved = run.checkpoint
    if learner is None:
        learner = method.begin(world, saved.rng if saved else world.stream(method.name),
                               _prepared(method, args, world, run, stages), **settings)
    if saved:
        take_up(learner, saved)
    learner.chat.tokenizer.save(run.folder)
    done, facts = _loop(run, method, world, learner, steps, settings["lr"], saved)
    run.finish({"steps": done, "parameters": learner.model.num_params, **facts["report"],
                "seconds": round(facts["seconds"], 3)}, show=show)
    return run


def _loop(run: ModelRun, method: Method, world: World, learner: Learner, steps: int, lr: float,
          saved: Checkpoint | None) -> tuple[int, Figures]:
    """Step by step until there are as many as asked for, or enough: how many, and the facts of the last save."""
    done, facts = (saved.step, saved.facts) if saved else (0, {"seconds": 0.0, "report": None})
    begin = time.perf_counter() - facts["seconds"]
    if done == 0:
        _sampled(run, world, learner, "before")
    with run.progress(steps, done) as bar:
        while facts["report"] is None:
            last = time.perf_counter()
            with _no_bad_argument(f"step {done + 1}: ", "; a smaller --lr keeps the numbers small"):
                figures = advance(learner, done, steps, lr)
            done, now = done + 1, time.perf_counter()
            run.record(done, **figures, tokens_per_second=round(figures["tokens"] / (now - last)),
                       seconds=round(now - begin, 3))
            bar.set_postfix({method.shown: f"{figures[method.shown]:.3f}"}, refresh=False)
            bar.update()
            over = done == steps or bool(figures.get("enough"))
            if over or done % run.save_every == 0:
                with _no_bad_argument():
                    report = learner.report() if over else None
                facts = {"seconds": time.perf_counter() - begin, "learner": learner.facts, "report": report}
                run.keep(done, learner.model, learner.optimizer, learner.rng, facts)
    _sampled(run, world, learner, "after")
    return done, facts


def take_up(learner: Learner, saved: Checkpoint) -> None:
    """Go on from what was saved; the generator was given to `begin`."""
    if saved.model.config != learner.model.config:
        check.fail("the model in the run's folder", saved.model.config, f"{learner.model.config}, as the task has now")
    for name, parameter in learner.model.parameters().items():
        parameter.data[...] = saved.model.parameters()[name].data
    learner.optimizer.load_state_dict(saved.optimizer)
    learner.facts.update(saved.facts["learner"])


@contextmanager
def _no_bad_argument(before: str = "", behind: str = "") -> Iterator[None]:
    """What fails in the middle of a run is a RuntimeError, whatever check it was that noticed."""
    try:
        yield
    except RewardError:
        raise
    except RuntimeError as failed:                      # says already what to do
        raise RuntimeError(f"{before}{failed}") from failed
    except ValueError as wrong:
        raise RuntimeError(f"{before}{wrong}{behind}") from wrong


# ---------------------------------------------------------------- the stages

def _given(method: Method, args: argparse.Namespace, world: World) -> tuple[Stages, dict[str, str | None]]:
    """The stages whose folders were given, and for config.json by what they are known."""
    policy = proxy = None
    known: dict[str, str | None] = {}
    if "sft" in method.needs:
        policy = _loaded("--init", args.init, "the run of a policy", command_of(args.init) != "train reward-model",
                         world.policy)
        known["init"] = policy and _identity(args.init, policy.model, policy.chat)
    if "reward-model" in method.needs:
        is_one = command_of(args.reward_model) in ("train reward-model", None)
        proxy = _loaded("--reward-model", args.reward_model, "the run of a reward model", is_one, world.reward_model)
        known["reward_model"] = proxy and _identity(args.reward_model, proxy.model, proxy.chat)
    if proxy is not None and not _same(proxy.chat, policy.chat if policy else world.chat()):
        check.fail("--reward-model", str(args.reward_model),
                   "one with the policy's tokens; --init is to be the run that it was trained on")
    return Stages(policy, proxy), known


def _loaded(option: str, folder: Path | None, expected: str, holds: bool, load: Any) -> Any:
    """What `load` makes of a folder; its errors name the option."""
    if folder is None:
        return None
    if not holds:
        check.fail(option, str(folder), f"{expected}; this is one of {command_of(folder)}")
    try:
        return load(folder)
    except ValueError as wrong:
        raise ValueError(f"{option} {folder}: {wrong}") from wrong


def _missing(method: Method, world: World, given: Stages) -> list[Method]:
    """The stages that are to be trained before the method can begin."""
    missing = [sft.METHOD] if "sft" in method.needs and given.policy is None else []
    if "reward-model" in method.needs and given.reward_model is None and world.name == "preferences":
        missing.append(reward_model.METHOD)
    return missing


def _tried(method: Method, args: argparse.Namespace, world: World, given: Stages, settings: Figures) -> Learner | None:
    """The learner of a method that needs no stages; for the others None, but the first stage is tried with few data.

    So folders in the way and data that do not fit are found before anything is written.
    """
    if args.run_dir is not None:
        here, missing = Path(args.run_dir), _missing(method, world, given)
        for stage in missing:
            if (here / stage.name).exists():
                check.fail("--run-dir", args.run_dir, f"a folder without {stage.name}/, where this run keeps its own")
        for option in ("init", "reward_model"):
            if (folder := getattr(args, option, None)) and folder.resolve() == here.resolve():
                check.fail("--run-dir", args.run_dir, f"another folder than that of --{option.replace('_', '-')}")
    if not method.needs:
        return method.begin(world, world.stream(method.name), given, **settings)
    if sft.METHOD in _missing(method, world, given):
        sft.METHOD.begin(world, world.stream("sft"), Stages(), **sft.METHOD.settings(world, shown=1))
    return None


def _prepared(method: Method, args: argparse.Namespace, world: World, run: ModelRun, given: Stages) -> Stages:
    """The stages that a method needs: as given, or trained now, each in a folder of the run."""
    policy, proxy, missing = given.policy, given.reward_model, _missing(method, world, given)
    if sft.METHOD in missing:
        policy = world.policy(_stage(sft.METHOD, args, run))
    if reward_model.METHOD in missing:
        proxy = world.reward_model(_stage(reward_model.METHOD, args, run, init=args.init or run.folder / "sft"))
    return Stages(policy, proxy)


def _stage(method: Method, args: argparse.Namespace, run: ModelRun, **given: Any) -> Path:
    """The folder of a stage with its default settings, trained now unless a resumed run has it already."""
    folder = run.folder / method.name
    if not (folder / "result.json").exists():
        stage = arguments(method, task=args.task, seed=args.seed, words=args.words, save_every=args.save_every,
                          run_dir=str(folder), resume=(folder / "config.json").exists(), quiet=args.quiet, **given)
        train(method, stage, show=False)
    return folder


def _identity(folder: Path, model: Transformer, chat: Chat) -> str:
    """By what a model in a folder is known: its parameters and its tokens."""
    digest = hashlib.sha256(repr(_tokens(chat)).encode())
    for name, parameter in model.parameters().items():
        digest.update(name.encode() + parameter.data.tobytes())
    return f"{command_of(folder) or 'a model'}, SHA-256 {digest.hexdigest()[:16]}..."


def _same(chat: Chat, other: Chat) -> bool:
    return _tokens(chat) == _tokens(other)


def _tokens(chat: Chat) -> tuple:
    return sorted(chat.tokenizer.vocab.items()), chat.tokenizer.merges, sorted(chat.tokenizer.special_tokens.items())


# ---------------------------------------------------------------- words and samples

def _words(args: argparse.Namespace) -> list[str] | None:
    if args.words is None:
        return None
    if args.task != WORDS:
        check.fail("--words", str(args.words), f"no words with --task {args.task}: only {WORDS} has some to choose")
    return text.read([args.words]).split()


def _described(words: Path | None) -> str | None:
    """A file of words as config.json knows it."""
    if words is None:
        return None
    content = text.read([words])
    return f"{len(content.split())} words, SHA-256 {hashlib.sha256(content.encode()).hexdigest()[:16]}..."


def _sampled(run: ModelRun, world: World, learner: Learner, when: str) -> None:
    """Answers to a few prompts in samples.json, under `before` or `after`."""
    if learner.policy is None:
        return
    path, prompts = run.folder / "samples.json", world.measured[:SAMPLES]
    with _no_bad_argument():
        batch = learner.policy.answer(prompts, world.stream("samples"))
        rewards = scored(by_task(world.task), batch)
    kept = json.loads(path.read_text("utf-8")) if path.exists() else [{"prompt": prompt} for prompt in prompts]
    for sample, answer, reward in zip(kept, batch.texts, rewards, strict=True):
        sample |= {when: answer, f"reward_{when}": reward.item()}
    write_atomic(path, lambda part: part.write_text(json.dumps(kept, indent=1) + "\n", "utf-8"))
