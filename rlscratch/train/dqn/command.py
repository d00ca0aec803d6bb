"""rlscratch train dqn: the options, the run, and what it saves."""
import argparse
import time
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.train import environments
from rlscratch.train import run as runs
from rlscratch.train.dqn.deep_q_learning import ENVIRONMENT, LEARNER, STEPS, DQNState, learn, settings
from rlscratch.train.dqn.worlds import OnEnvironment, OnLake
from rlscratch.train.settings import UNSAID


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rlscratch train dqn`."""
    task = parser.add_argument_group("what to train on")
    task.add_argument("--task", choices=tuple(STEPS), default="frozen-lake", help="Gymnasium's 4x4 map")
    environments.add_hole_reward(task)
    environments.add_arguments(task, "any environment with Discrete or Box observations and Discrete actions")
    task.add_argument("--evaluation-episodes", type=int, default=100, metavar="N",
                      help="greedy episodes in --env that the final figures are the mean of")
    group = parser.add_argument_group("the learner")
    for name, (default, _, told) in LEARNER.items():
        beside = f"; {ENVIRONMENT[name]} with --env" if name in ENVIRONMENT else ""
        group.add_argument(f"--{name.replace('_', '-')}", type=type(default),
                           help=f"{told} (default: {default}){beside}{UNSAID}",
                           metavar="N" if isinstance(default, int) else "X")
    lakes = ", ".join(f"{n} on {name}" for name, n in STEPS.items())
    runs.add_arguments(parser, "dqn", explain_steps=f"{lakes}, {ENVIRONMENT['steps']} with --env")


def run(args: argparse.Namespace) -> int:
    """The command: train, save, print.  Raises ValueError or TypeError for bad arguments."""
    usual = STEPS[args.task] if args.env is None else ENVIRONMENT["steps"]
    goal = check.integer(1, steps=usual if args.steps is None else args.steps)
    check.integer(0, seed=args.seed)
    check.integer(1, evaluation_episodes=args.evaluation_episodes)
    chosen = _chosen(args)
    config = environments.given(args, task="frozen-lake", hole_reward=0)
    if args.env is None:
        world = OnLake(args.task, args.hole_reward, chosen["gamma"])
    else:
        world = OnEnvironment(args.env, args.max_steps, args.evaluation_episodes, args.seed)
    for name, each in (("hidden", 16), ("buffer", 17), ("batch", 100)):         # bytes at the least
        check.memory(each * chosen[name], **{name: chosen[name]})
    check.memory(4 * chosen["batch"] * chosen["hidden"], batch=chosen["batch"])
    state = DQNState.new(world.shape, np.random.default_rng(args.seed), chosen["hidden"], chosen["buffer"])
    steps = learn(world.env, state, **settings(**chosen))
    folder = runs.Run(args, "dqn", {**config, "seed": args.seed, **chosen}, goal={"steps": goal})
    begin = time.perf_counter() - _restore(state, folder)
    with folder.progress(goal, state.step) as bar:
        while state.step < goal:
            try:
                next(steps)
            except ValueError as grown:         # the arguments were good, the numbers grew beyond all bounds
                raise RuntimeError(f"step {state.step}: {grown}; a smaller lr keeps the numbers small") from grown
            bar.update()
            if state.step % folder.save_every == 0 or state.step == goal:
                _save(folder, world, state, time.perf_counter() - begin, bar)
    found = folder.measured(lambda: world.final(state))
    folder.finish({"steps": state.step, "updates": state.updates, "episodes": state.episode, **found,
                   "seconds": round(time.perf_counter() - begin, 3)})
    return 0


def _save(folder: runs.Run, world: OnLake | OnEnvironment, state: DQNState, seconds: float, bar: Any) -> None:
    """Save with figures, or without them where an environment fails as it is measured in."""
    try:
        measured = folder.measured(lambda: world.figures(state))
    except RuntimeError:
        folder.save(state.step, *_kept(state, seconds), episode=state.episode)
        raise
    bar.set_postfix({world.measure: measured[world.measure]})
    folder.save(state.step, *_kept(state, seconds), episode=state.episode, **measured)


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    """The learner's numbers, checked: as given, or the default for a lake or for --env."""
    usual = {name: default for name, (default, _, _) in LEARNER.items()} | ({} if args.env is None else ENVIRONMENT)
    return {name: holds(value=usual[name] if (said := getattr(args, name)) is None else said, called=name)
            for name, (_, holds, _) in LEARNER.items()}


def _kept(state: DQNState, seconds: float) -> tuple[dict[str, Array], dict[str, Any]]:
    """A state as arrays and facts."""
    moments = state.optimizer.state_dict()
    parts = {"theta": {name: t.data for name, t in state.theta.items()}, "m": moments["m"], "v": moments["v"],
             "mean": {name: t.data for name, t in state.mean.items()}, "replay": state.replay.arrays}
    return ({f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()},
            {"updates": state.updates, "episode": state.episode, "seed": state.seed, "actions": state.actions,
             "rng": state.rng.bit_generator.state, "seconds": seconds})


def _restore(state: DQNState, folder: runs.Run) -> float:
    """Put what a resumed run saved into a new state; returns the seconds that it has taken so far."""
    if not folder.facts:
        return 0.0
    arrays, facts = folder.arrays, folder.facts
    for name, t in state.theta.items():
        np.copyto(t.data, arrays[f"theta.{name}"])
        np.copyto(state.mean[name].data, arrays[f"mean.{name}"])
    moments = {part: {name: arrays[f"{part}.{name}"] for name in state.theta} for part in ("m", "v")}
    state.optimizer.load_state_dict({**state.optimizer.state_dict(), **moments,
                                     "steps": dict.fromkeys(state.theta, facts["updates"])})
    state.replay.arrays = {name: arrays[f"replay.{name}"] for name in state.replay.arrays}
    state.replay.count, state.rng.bit_generator.state = facts["step"], facts["rng"]
    state.updates, state.episode, state.seed, state.actions = (
        facts[key] for key in ("updates", "episode", "seed", "actions"))
    return facts["seconds"]
