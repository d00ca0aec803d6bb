"""Claims about post-training, for benchmarks.bars: the defaults of `rlscratch train`, from nothing, seed by seed.

Each attempt trains the models that it begins with, and measures on prompts that no stage has seen.  `minutes` is
the time of the method that the claim is about, `stages` that of what it begins with.
"""
import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from rlscratch import memory
from rlscratch.formulas.best_of_n import best_of_n_from_pool, best_of_n_kl_bound
from rlscratch.tasks import cups, spelling, tools
from rlscratch.train.language import dpo, evaluation, grpo, over_optimisation, ppo, reward_model, sft, worlds
from rlscratch.train.language.method import LanguageMethod, Learner, Stages
from rlscratch.train.language.scoring import RewardModel
from rlscratch.train.language.worlds import World

PROMPTS = 1000
LONGEST = 5.0                   # minutes of GRPO
LONGEST_PPO = 3.0
SAMPLED, GREEDY = 0.97, 0.99
FROM, TO = 0.2, 0.6             # accuracy that addition begins with
PAIRS = 0.95                    # accuracy of the reward model
SHARE = 0.8                     # of best-of-16's gain, for PPO, and of PPO's, for DPO
N = 16
AT_ONCE = 0.6                   # accuracy of cups in one token, at most
RIGHT, IDLE, NEEDED = 0.98, 0.1, 0.95           # products: answers, calls on what is known, calls on what is not
FEW = {"rankings": 800, "answers": 4, "steps": 250, "lr": 2e-3}         # of a poor reward model
UNBRAKED = {"beta": 0.0, "kl_target": 0.0, "lr": 3e-4, "steps": 60}


def trained(method: LanguageMethod, world: World, stages: Stages | None = None,
            **settings: Any) -> tuple[Learner, list, float]:
    """The learner after all its steps, the figures of each, and the minutes that it took."""
    memory.keep_freed()
    begin, steps = time.perf_counter(), []
    for step in method.learn(world, stages, **settings):
        steps.append(step)
        if step[1].get("enough"):
            break
    return steps[-1][0], [figures for _, figures in steps], (time.perf_counter() - begin) / 60


def verifiable(seed: int, task: str) -> dict[str, Any]:
    """GRPO from a model that imitates a teacher who errs."""
    world = worlds.make(task, seed)
    begun, _, before = trained(sft.METHOD, world)
    start = begun.report()
    learner, _, minutes = trained(grpo.METHOD, world, Stages(begun.policy))
    end = learner.report()
    sampled, greedy = end["held_out_accuracy"], end["held_out_accuracy_greedy"]
    figures = {"sft": start["held_out_accuracy"], "sft_greedy": start["held_out_accuracy_greedy"],
               "grpo": sampled, "grpo_greedy": greedy, "kl": end["kl"], "stages": before, "minutes": minutes}
    met = sampled >= SAMPLED and minutes <= LONGEST
    if task == "addition":
        return {**figures, "met": bool(met and FROM <= start["held_out_accuracy"] <= TO)}
    long = [word for word in world.measured if len(word) >= spelling.LONG]
    on_long = evaluation.measured(begun.policy, world.task, long, world.stream("long words"))
    figures = {"sft_long": on_long["accuracy"], "sft_long_greedy": on_long["accuracy_greedy"], **figures}
    return {**figures, "met": bool(met and greedy >= GREEDY)}


def thinking(seed: int) -> dict[str, Any]:
    """Cups: a model that only answers at once, and GRPO from one that was shown both, with a reward for the answer."""
    world, begin = worlds.make("cups", seed), time.process_time()       # a machine may be shared
    direct, _, _ = trained(sft.METHOD, replace(world, task=cups.task(plans=[1])))
    begun, _, _ = trained(sft.METHOD, world)
    start = begun.report()
    learner, _, _ = trained(grpo.METHOD, world, Stages(begun.policy))
    end, at_once = learner.report(), direct.report()["held_out_accuracy"]
    minutes = (time.process_time() - begin) / 60
    met = at_once <= AT_ONCE and end["held_out_accuracy"] >= SAMPLED and minutes <= LONGEST
    return {"at_once": at_once, "sft": start["held_out_accuracy"], "sft_length": start["answer_length"],
            "grpo": end["held_out_accuracy"], "grpo_length": end["answer_length"],
            "minutes": minutes, "met": bool(met)}


def calling(seed: int) -> dict[str, Any]:
    """Products: calls on facts and on held-out large products, sampled, after SFT and after GRPO."""
    world, begin = worlds.make("products", seed), time.process_time()
    begun, _, _ = trained(sft.METHOD, world)
    learner, _, _ = trained(grpo.METHOD, world, Stages(begun.policy))
    minutes = (time.process_time() - begin) / 60
    facts = [prompt for prompt in world.task.prompts if tools.known(prompt)]
    figures: dict[str, Any] = {}
    for name, asked in (("facts", facts * (PROMPTS // len(facts))), ("large", world.task.held_out * 10)):
        for stage, policy in (("sft", begun.policy), ("grpo", learner.policy)):
            answers = policy.answer(asked, world.stream("calls"))
            called, right = ([tools.calls(text) > 0 for text in answers.texts],
                             world.task.right(answers.prompts, answers.texts))
            figures |= {f"{stage}_{name}_calls": np.mean(called).item(), f"{stage}_{name}_right": right.mean().item()}
            if stage == "sft":
                figures[f"{name}_alone"] = right[~np.array(called)].mean().item()
    least = min(figures["grpo_facts_right"], figures["grpo_large_right"])
    met = (least >= RIGHT and figures["grpo_facts_calls"] <= IDLE and figures["grpo_large_calls"] >= NEEDED
           and minutes <= LONGEST)
    return {**figures, "minutes": minutes, "met": bool(met)}


@cache
def _preferences(seed: int) -> dict[str, Any]:
    """The stages that the claims about preferences share: SFT, the reward model, best-of-16, PPO."""
    world = worlds.make("preferences", seed)
    prompts = world.measured[:PROMPTS]
    begun, _, before = trained(sft.METHOD, world)
    judge, _, judging = trained(reward_model.METHOD, world, Stages(begun.policy))
    accuracy = judge.report()["held_out_accuracy"]
    proxy = RewardModel(judge.model, judge.chat)
    pool = over_optimisation.pool(begun.policy, world.task, prompts, N, {"proxy": proxy}, world.stream("best of n"))
    best = best_of_n_from_pool(pool.proxies["proxy"], pool.gold, N)
    learner, _, minutes = trained(ppo.METHOD, world, Stages(begun.policy, proxy))
    return {"world": world, "policy": begun.policy, "accuracy": accuracy, "sft": pool.gold.mean().item(), "best": best,
            "ppo": learner.report(), "stages": before + judging, "minutes": minutes}


def rlhf(seed: int) -> dict[str, Any]:
    """PPO on a reward model from rankings, against best-of-16 by the same reward model."""
    found = _preferences(seed)
    gold, kl = found["ppo"]["reward"], found["ppo"]["kl"]
    share = (gold - found["sft"]) / (found["best"] - found["sft"])
    met = (found["accuracy"] >= PAIRS and share >= SHARE and kl <= best_of_n_kl_bound(N)
           and found["minutes"] <= LONGEST_PPO)
    return {"pairs": found["accuracy"], "sft": found["sft"], "best_of_16": found["best"], "ppo": gold, "kl": kl,
            "share": share, "stages": found["stages"], "minutes": found["minutes"], "met": bool(met)}


def direct(seed: int) -> dict[str, Any]:
    """DPO on the rankings that the reward model learned from."""
    found = _preferences(seed)
    learner, figures, minutes = trained(dpo.METHOD, found["world"], Stages(found["policy"]))
    end, gain = learner.report(), found["ppo"]["reward"] - found["sft"]
    share = (end["reward"] - found["sft"]) / gain
    return {"sft": found["sft"], "ppo": found["ppo"]["reward"], "dpo": end["reward"], "kl": end["kl"], "share": share,
            "steps": len(figures), "minutes": minutes,
            "met": bool(share >= SHARE and end["kl"] <= best_of_n_kl_bound(N))}


def over_optimised(seed: int) -> dict[str, Any]:
    """PPO without a brake against a reward model from few rankings."""
    world = worlds.make("preferences", seed)
    begun, _, _ = trained(sft.METHOD, world)
    judge, _, _ = trained(reward_model.METHOD, world, Stages(begun.policy), **FEW)
    accuracy = judge.report()["held_out_accuracy"]
    _, figures, _ = trained(ppo.METHOD, world, Stages(begun.policy, RewardModel(judge.model, judge.chat)), **UNBRAKED)
    found = over_optimisation.turn(over_optimisation.Trajectory.of(figures))
    return {"pairs": accuracy, "sft": figures[0]["gold"], "turn_at_step": found["step"], "turn_at_kl": found["kl"],
            "gold_there": found["gold"], "gold_at_the_end": found["end_gold"], "proxy_rose_by": found["rise"],
            "met": found["turned"]}
