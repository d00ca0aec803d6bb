"""rlscratch train ppo --env ID: PPO with networks, in an environment that has no table.

`drone` is document 004's.  It, Pendulum-v1 and CartPole-v1 have settings of their own (ppo.RECIPES), other environments
the usual ones.  A step of the command is an update: a batch from all environments, and its epochs.

A run is saved between updates, in the middle of episodes.  What an environment is then follows from the seed of its
episode and the actions since; a resumed run does them again.  So it ends in the same bits, unless its goal is
another one: the step size falls to 0 over all of --steps.  An environment that does not repeat itself from a seed is
found out by what it showed last and paid so far; it goes on with new episodes, and a line says so.
"""
import argparse
import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.train import environments
from rlscratch.train import run as runs
from rlscratch.train.control.ppo import RECIPES, Learner, Settings
from rlscratch.train.dqn.watched import evaluation

OPTIONS = ("lr", "epochs", "minibatches", "gamma", "lam", "clip", "entropy")
UPDATES, EPISODES = 100, 100            # of an environment without a recipe; of the evaluation at the end
APART = 10**6                           # the first seed of an evaluation


def takes(args: argparse.Namespace) -> bool:
    """Whether the environment that is asked for has no table, or is one of RECIPES."""
    if args.env is None or args.env in RECIPES:
        return args.env is not None
    inside = environments.make(args.env, args.max_steps).unwrapped
    return not hasattr(inside, "P") and not hasattr(inside, "initial_state_distrib")


def settings(args: argparse.Namespace) -> Settings:
    """Those of the recipe, with what was chosen.  Raises ValueError for options that tables alone have."""
    chosen = {name: getattr(args, name) for name in OPTIONS if getattr(args, name) is not None}
    for name in ("target_kl", "whiten", "episodes", "value_lr"):
        if (value := getattr(args, name)) is not None:
            check.fail(f"--{name.replace('_', '-')}", value, f"no such option with --env {args.env}: it is for tables")
    found = replace(RECIPES.get(args.env, ("", Settings(), 0))[1], **chosen)
    check.integer(1, epochs=found.epochs, minibatches=found.minibatches)
    check.between(0, 1, gamma=found.gamma, lam=found.lam, clip=found.clip)
    check.positive(lr=found.lr)
    check.non_negative(entropy=found.entropy)
    return found


def run(args: argparse.Namespace) -> int:
    """The command: train, save, print.  Raises ValueError or TypeError for bad arguments."""
    text, _, usual = RECIPES.get(args.env, (args.env, None, UPDATES))
    goal, seed = check.integer(1, steps=usual if args.steps is None else args.steps), check.integer(0, seed=args.seed)
    config, chosen = environments.given(args, task="frozen-lake", hole_reward=0), settings(args)
    learner = Learner(text, chosen, np.random.default_rng(seed), args.max_steps)
    told = {"steps_of_each" if name == "steps" else name: value for name, value in asdict(chosen).items()}
    folder = runs.Run(args, "ppo", {**config, "seed": seed, **told}, goal={"steps": goal})
    done, begin = 0, time.perf_counter()
    if folder.facts:
        done, begin = folder.facts["step"], begin - folder.facts["seconds"]
        learner.restore(folder.arrays, folder.facts)
    with folder.progress(goal, done) as bar:
        while done < goal:
            try:
                figures: dict[str, Any] = learner.update(done, goal)
            except ValueError as grown:         # the arguments were good, the numbers grew beyond all bounds
                raise RuntimeError(f"step {done + 1}: {grown}; a smaller lr keeps the numbers small") from grown
            done += 1
            bar.update()
            if not figures["episodes"]:
                figures["mean_return"] = None
            if done % folder.save_every == 0 or done == goal:
                arrays, facts = learner.kept()
                folder.save(done, arrays, {**facts, "seconds": time.perf_counter() - begin}, **figures)
            else:
                folder.record(done, **figures)
    found = folder.measured(lambda: measured(learner))
    folder.finish({"steps": done, **found, "seconds": round(time.perf_counter() - begin, 3)})
    return 0


def measured(learner: Learner) -> dict[str, Any]:
    """What the likeliest actions earn in episodes apart; of the drone also how many reach the target."""
    totals, said = learner.evaluate(EPISODES, APART)
    reached = [info.get("reached") for info in said]
    every = all(isinstance(one, (bool, np.bool_)) for one in reached)      # an environment of a user's may say anything
    return {**evaluation(totals), **({"reached": float(np.mean(reached))} if every else {})}
