"""rlscratch rlhf: the whole pipeline in one command, to where it breaks, and a page of figures about it.

The task is `preferences`, whose gold reward is known and never trained on.  Each stage has its own folder:

    sft/                     a model imitates its teacher                            train.language.sft
    reward-model/            the proxy, learned from many rankings of its answers    train.language.reward_model
    ppo/                     trained on the proxy, beta steered to a KL              train.language.ppo
    dpo/                     trained on the same rankings, stopped at that KL        train.language.dpo
    few-rankings/            a poor proxy, learned from few rankings
    beta-0/, beta-0.03/ ...  trained on the poor proxy with fixed brakes
    best-of-n/               the best by either proxy of 1, 2, ..., 64 answers       train.language.over_optimisation
    comparison/              all of them on the same held-out prompts
    samples/                 the same prompts answered by three policies
    figures/, index.html     what report.rlhf draws of it

A stage that has a result.json is done: with --resume it is read, and the one under way goes on from its last save.
Those that train are what `rlscratch train sft`, `rlscratch train ppo` ... would leave, so `rlscratch sample` and --init
take them.
"""
import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch import check, memory
from rlscratch.files import remove_parts, write_json
from rlscratch.report.rlhf import page, pipeline
from rlscratch.tasks import preferences
from rlscratch.train import run as runs
from rlscratch.train.language import command, dpo, evaluation, over_optimisation, ppo, reward_model, sft, worlds
from rlscratch.train.language.method import LanguageMethod
from rlscratch.train.language.policy import Policy, by_task, scored
from rlscratch.train.language.worlds import World
from rlscratch.train.run import UNSAID, Run

# The settings of each stage that are not the method's defaults: less of everything than `make bars` has, so that the
# whole takes about three minutes.  DPO sees the rankings of reward-model.
SETTINGS: dict[str, dict[str, Any]] = {
    "sft": {"steps": 600},
    "reward-model": {"steps": 700, "rankings": 4000, "answers": 4},
    "ppo": {"steps": 120},
    "dpo": {"steps": 200},
    "few-rankings": {"steps": 250, "rankings": 800, "answers": 4},
    "beta": {"steps": 60, "lr": 3e-4, "batch": 128, "kl_target": 0.0},
    "best-of-n": {"prompts": 1000},
}
BETAS = (0.0, 0.03, 0.1)                    # of the brakes against the poor proxy; the first is none
SIZES = (1, 2, 4, 8, 16, 32, 64)            # n of best-of-n
SAMPLES = 6                                 # prompts of samples/
TASK = "preferences"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `rlscratch rlhf`."""
    default = runs.RUNS / "rlhf"
    group = parser.add_argument_group("the run", f"processor time: {runs.TAKES['rlhf']}")
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


def run(args: argparse.Namespace) -> int:
    """Train, measure, draw, print; 0.  Raises ValueError or TypeError for bad arguments."""
    check.integer(0, seed=args.seed, called="--seed")
    memory.keep_freed()         # this process is ours: a step's arrays are used again by the next one
    whole = Run(args, "rlhf", {"stages": SETTINGS, "seed": args.seed}, command="rlhf")
    for folder in whole.folder.iterdir():
        if folder.is_dir() and not (folder / ".lock").exists():         # of a stage that measures, or of figures
            remove_parts(folder)
    with np.errstate(over="ignore", invalid="ignore"):      # numbers that explode end the run, with one line
        seconds = _stages(whole, args)
    total = round(sum(seconds.values()), 3)
    index, found = page.write(whole.folder, total), pipeline.read(whole.folder)
    whole.finish({**pipeline.summary(found), "page": str(index), "seconds_by_stage": seconds, "seconds": total},
                 show=args.json)
    if not args.json:
        print(pipeline.text(found))
        print(f"{total:.0f} s; the page is {index}")
    return 0


# ---------------------------------------------------------------- the stages

def _stages(whole: Run, args: argparse.Namespace) -> dict[str, float]:
    """All of them in their order; the seconds of each."""
    folder, world = whole.folder, worlds.make(TASK, args.seed)
    seconds: dict[str, float] = {}

    def trained(name: str, method: LanguageMethod, **settings: Any) -> Path:
        seconds[name] = _trained(folder / name, args, method, settings)
        return folder / name

    init = trained("sft", sft.METHOD, **SETTINGS["sft"])
    many = trained("reward-model", reward_model.METHOD, init=init, **SETTINGS["reward-model"])
    trained("ppo", ppo.METHOD, init=init, reward_model=many, **SETTINGS["ppo"])
    same = {name: value for name, value in SETTINGS["reward-model"].items() if name in ("rankings", "answers", "noise")}
    trained("dpo", dpo.METHOD, init=init, **same, **SETTINGS["dpo"])
    few = trained("few-rankings", reward_model.METHOD, init=init, **SETTINGS["few-rankings"])
    for beta in BETAS:
        trained(f"beta-{beta:g}", ppo.METHOD, init=init, reward_model=few, beta=beta, **SETTINGS["beta"])
    measures = _measures(world, folder, SETTINGS["best-of-n"]["prompts"])
    return seconds | {name: _measured(folder / name, args, figures) for name, figures in measures.items()}


def _measures(world: World, folder: Path, prompts: int) -> dict[str, Callable[[], Any]]:
    """What is measured when all is trained.

    prompts  that best-of-n answers, at most
    """
    free = f"beta-{BETAS[0]:g}"
    policies = {name: world.policy(folder / name) for name in ("sft", "ppo", "dpo", free)}
    proxies = {name: world.reward_model(folder / name) for name in ("reward-model", "few-rankings")}

    def best_of_n() -> dict[str, Any]:
        found = over_optimisation.pool(policies["sft"], world.task, world.measured[:prompts], max(SIZES), proxies,
                              world.stream("best of n"))
        return {name: over_optimisation.best_of_curve(found, name, SIZES) for name in proxies}

    def comparison() -> dict[str, Any]:
        others = {"reference": policies["sft"].model, "proxy": proxies["reward-model"], "greedy": False}
        return {"prompts": len(world.measured[:evaluation.MOST]),
                "policies": {name: evaluation.held_out(policies[name], world, **others)
                             for name in ("sft", "ppo", "dpo")}}

    def samples() -> list[dict[str, Any]]:
        return _samples(world, {name: policies[name] for name in ("sft", "ppo", free)})

    return {"best-of-n": best_of_n, "comparison": comparison, "samples": samples}


def _trained(folder: Path, args: argparse.Namespace, method: LanguageMethod, settings: dict[str, Any]) -> float:
    """A stage that trains, unless it is done already; how many seconds it took."""
    begin = time.perf_counter()
    if (folder / "result.json").exists():
        return pipeline.result(folder)["seconds"]
    _told(folder, args)
    command.train(method, command.arguments(
        method, task=TASK, seed=args.seed, run_dir=str(folder), save_every=args.save_every, quiet=args.quiet,
        resume=(folder / "config.json").exists(), **settings), show=False)
    return round(time.perf_counter() - begin, 3)


def _measured(folder: Path, args: argparse.Namespace, figures: Callable[[], Any]) -> float:
    """A stage that measures, the same way."""
    if not (folder / "result.json").exists():
        _told(folder, args)
        begin = time.perf_counter()
        found = {"figures": figures(), "seconds": round(time.perf_counter() - begin, 3)}
        folder.mkdir(exist_ok=True)
        write_json(folder / "result.json", found)
    return pipeline.result(folder)["seconds"]


def _told(folder: Path, args: argparse.Namespace) -> None:
    if not args.quiet:
        print(f"rlhf: {folder.name}", file=sys.stderr)


def _samples(world: World, policies: dict[str, Policy]) -> list[dict[str, Any]]:
    """The first held-out prompts with each policy's answer, its gold reward and the parts of it that are not 0."""
    prompts = world.measured[:SAMPLES]
    samples = [{"prompt": prompt, "answers": {}} for prompt in prompts]
    for name, policy in policies.items():
        batch = policy.answer(prompts, world.stream("samples"))
        for sample, text, gold in zip(samples, batch.texts, scored(by_task(world.task), batch), strict=True):
            parts = preferences.parts(sample["prompt"], text)
            sample["answers"][name] = {"text": text, "gold": gold.item(),
                                       "parts": {part: points for part, points in parts.items() if points}}
    return samples
