"""The command of a method that trains a transformer: its options, its stages, its loop, its run.

A run leaves in its folder, besides what train.language.run says:

    metrics.jsonl   a line a step: loss or reward, KL, clip fraction, gradient norm, answer length, tokens/s
    samples.json    the same prompts, answered before and after
    sft/, ...       the runs of the stages that it began with, where it was not given their folders

With --resume a stopped run goes on from its last save, in the stage that it had reached, and ends in the
same bits as one that was not stopped.  The last save is made when the method has reported, so what it holds is the
model that was reported on, and its figures.
"""
import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rlscratch import check
from rlscratch.checkpoint import Checkpoint
from rlscratch.files import parsed, write_json
from rlscratch.tasks.task import RewardError
from rlscratch.train import distributed, settings
from rlscratch.train import run as runs
from rlscratch.train.language import bring, stages
from rlscratch.train.language.method import Figures, LanguageMethod, Learner, Stages, advance
from rlscratch.train.language.policy import by_task, scored
from rlscratch.train.language.worlds import World
from rlscratch.train.model_run import ModelRun

SAMPLES = 8                         # prompts that are answered before and after
SAVE_EVERY = 50


# ---------------------------------------------------------------- options

def add_arguments(parser: argparse.ArgumentParser, method: LanguageMethod) -> None:
    """The options of a method's command."""
    bring.add_task(parser, method.tasks, ", ".join(method.tasks))
    group = parser.add_argument_group("the learner")
    for one in method.choices:
        one.add(group)
    add_beginning(parser.add_argument_group("where it begins"), method)
    bring.add_arguments(parser.add_argument_group("what you bring"))
    runs.add_arguments(parser, method.name, save_every=SAVE_EVERY, explain_steps=settings.shown(method.steps),
                       shared=True)


def add_beginning(group: Any, method: LanguageMethod) -> None:
    """The options of a method's command that are neither its choices nor every run's."""
    group.add_argument("--words", type=Path, metavar="FILE",
                       help=f"{bring.WORDS}: a file with words of your own, 5 to 12 letters each{runs.UNSAID}")
    default = "one is fine-tuned, in sft/ of the run's folder" if "sft" in method.needs else "a new one"
    group.add_argument("--init", type=Path, metavar="FOLDER",
                       help="model to begin with: the run of a policy or of pretrain, or a GPT-2, Llama or "
                            f"Qwen2 of Hugging Face (default: {default}){runs.UNSAID}")
    if "reward-model" in method.needs:
        group.add_argument("--reward-model", type=Path, metavar="FOLDER",
                           help="run of a reward model to train on instead of the task's own reward (default: for "
                                f"preferences one is trained, in reward-model/; other tasks need none){runs.UNSAID}")


def arguments(method: LanguageMethod, **given: Any) -> argparse.Namespace:
    """What the command line would make of these options and no others; the way to call `train` from Python.

    >>> from rlscratch.train.language import sft
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

class Own(NamedTuple):
    """A world that no option can name, with what training in it begins with.

    world   task, data, model
    stages  that are there already
    config  what config.json is to say of all this
    """

    world: World
    stages: Stages
    config: Figures


def train(method: LanguageMethod, args: argparse.Namespace, show: bool = True, own: Own | None = None) -> ModelRun:
    """Begin or go on, step by step; save, measure, print; the run.

    args  with all options of the command, as `arguments` makes them
    show  whether the final figures are printed
    own   in place of the world and the stages that the options ask for

    Raises ValueError or TypeError for bad arguments, before anything is trained or written, and RewardError or
    RuntimeError for a run that fails on its way, whose last save can be resumed.
    """
    world, brought = (own.world, own.config) if own else bring.world(args, method.tasks[0])
    steps, options = method.total(world, args.steps), method.settings(world, **settings.given(method.choices, args))
    given, begun_with = (own.stages, {}) if own else stages.given(method, args, world)
    learner = None if args.resume else stages.tried(method, args, world, given, options)
    run = ModelRun(args, method.name, {"task": world.name, "seed": world.seed, "steps": steps, **options, **begun_with,
                                       **brought})
    saved = run.checkpoint
    if learner is None:
        ready = stages.prepared(method, args, world, run, given, lambda *stage: _train_stage(args, world, *stage))
        learner = method.begin(world, saved.rng if saved else world.stream(method.name), ready, **options)
    if saved:
        take_up(learner, saved)
    if distributed.leads():
        learner.chat.tokenizer.save(run.folder)
    done, facts = _loop(run, method, world, learner, steps, options["lr"], saved)
    run.finish({"steps": done, "parameters": learner.model.num_params, **facts["report"],
                "seconds": round(facts["seconds"], 3)}, show=show)
    return run


def _train_stage(args: argparse.Namespace, world: World, method: LanguageMethod, folder: Path,
                 begun_with: dict[str, Any]) -> None:
    """A stage of the run with its default settings, from its beginning or from its last save."""
    told = {name: getattr(args, name) for name in (*bring.OPTIONS, *(() if begun_with else bring.MODEL))}
    if not bring.given(args):
        told["task"] = world.name
    begun = distributed.agreed((folder / "config.json").exists)
    train(method, arguments(method, seed=args.seed, save_every=args.save_every, run_dir=str(folder), resume=begun,
                            quiet=args.quiet, **told, **begun_with), show=False)


def _loop(run: ModelRun, method: LanguageMethod, world: World, learner: Learner, steps: int, lr: float,
          saved: Checkpoint | None) -> tuple[int, Figures]:
    """Step by step until there are as many as asked for, or enough: how many, and the facts of the last save."""
    done, facts = (saved.step, saved.facts) if saved else (0, {"seconds": 0.0, "report": None})
    begin = time.perf_counter() - facts["seconds"]
    if done == 0:
        _sampled(run, world, learner, "before")
    with run.progress(steps, done) as bar:
        while facts["report"] is None:
            last = time.perf_counter()
            with _no_bad_argument(f"step {done + 1}: ", "; a smaller lr keeps the numbers small"):
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


# ---------------------------------------------------------------- samples

def _sampled(run: ModelRun, world: World, learner: Learner, when: str) -> None:
    """Answers to a few prompts in samples.json, under `before` or `after`."""
    if learner.policy is None:
        return
    path, prompts = run.folder / "samples.json", world.measured[:SAMPLES]
    with _no_bad_argument():
        batch = learner.policy.answer(prompts, world.stream("samples"))
        rewards = scored(by_task(world.task), batch)
    if not distributed.leads():
        return
    kept = [{"prompt": str(prompt)} for prompt in prompts]       # of a conversation, the transcript
    if when == "after":
        kept = parsed(path.read_bytes(), str(path), list)
        if [one.get("prompt") if isinstance(one, dict) else None for one in kept] != [*map(str, prompts)]:
            check.fail(f"the prompts in {path}", len(kept), f"the {len(prompts)} that were answered before")
    for sample, answer, reward in zip(kept, batch.texts, rewards, strict=True):
        sample |= {when: answer, f"reward_{when}": reward.item()}
    write_json(path, kept)
