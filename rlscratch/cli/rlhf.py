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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch import memory
from rlscratch.cli import road
from rlscratch.cli.road import Road
from rlscratch.report.rlhf import page, pipeline
from rlscratch.tasks import preferences
from rlscratch.train.language import dpo, evaluation, over_optimisation, ppo, reward_model, sft, worlds
from rlscratch.train.language.method import LanguageMethod
from rlscratch.train.language.policy import Policy, by_task, scored
from rlscratch.train.language.worlds import World

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
    road.add_arguments(parser, "rlhf")


def run(args: argparse.Namespace) -> int:
    """Train, measure, draw, print; 0.  Raises ValueError or TypeError for bad arguments."""
    memory.keep_freed()         # this process is ours: a step's arrays are used again by the next one
    whole = Road(args, "rlhf", {"stages": SETTINGS})
    with np.errstate(over="ignore", invalid="ignore"):      # numbers that explode end the run, with one line
        _stages(whole)
    total = round(sum(whole.seconds.values()), 3)
    index, found = page.write(whole.folder, total), pipeline.read(whole.folder)
    whole.run.finish({**pipeline.summary(found), "page": str(index), "seconds_by_stage": whole.seconds,
                      "seconds": total}, show=args.json)
    if not args.json:
        print(pipeline.text(found))
        print(f"{total:.0f} s; the page is {index}")
    return 0


# ---------------------------------------------------------------- the stages

def _stages(whole: Road) -> None:
    """All of them in their order."""
    folder, world = whole.folder, worlds.make(TASK, whole.args.seed)

    def trained(name: str, method: LanguageMethod, **settings: Any) -> Path:
        return whole.trained(name, method, task=TASK, **settings)

    init = trained("sft", sft.METHOD, **SETTINGS["sft"])
    many = trained("reward-model", reward_model.METHOD, init=init, **SETTINGS["reward-model"])
    trained("ppo", ppo.METHOD, init=init, reward_model=many, **SETTINGS["ppo"])
    same = {name: value for name, value in SETTINGS["reward-model"].items() if name in ("rankings", "answers", "noise")}
    trained("dpo", dpo.METHOD, init=init, **same, **SETTINGS["dpo"])
    few = trained("few-rankings", reward_model.METHOD, init=init, **SETTINGS["few-rankings"])
    for beta in BETAS:
        trained(f"beta-{beta:g}", ppo.METHOD, init=init, reward_model=few, beta=beta, **SETTINGS["beta"])
    for name, figures in _measures(world, folder, SETTINGS["best-of-n"]["prompts"]).items():
        whole.measured(name, figures)


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
