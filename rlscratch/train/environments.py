"""The environments of --env: Gymnasium's by their ids, and what a user brings in a Python file of their own.

Every one of them is cut off at a limit of steps: its own, or that of --max-steps if it is lower or the only one.
A run so ends, whatever the environment.

An environment of a user's own may say anything.  Where one learns step by step each answer is looked at (Asked): what
is no observation, reward, end of an episode or info, and a call that fails, end the run with one line.
"""
import argparse
import sys
import warnings
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.train import from_file
from rlscratch.train.settings import UNSAID

LIMIT = 200                                 # of an environment that has none
MOST = 1e12                                 # of a reward: squares of sums of them are still numbers of float32


def add_arguments(group: Any, what: str) -> None:
    """--env and --max-steps.  what: which environments will do."""
    group.add_argument("--env", metavar="ID",
                       help=f"instead of --task: {what}, by its id in Gymnasium, or FILE.py:name for an environment "
                            f"of your own, the class or a function that makes it{UNSAID}")
    group.add_argument("--max-steps", type=int, metavar="N",
                       help="cut an episode of --env off after N steps (default: the environment's own limit, "
                            f"{LIMIT} if it has none){UNSAID}")


def add_hole_reward(group: Any) -> None:
    """--hole-reward, of the lakes."""
    group.add_argument("--hole-reward", type=int, choices=(0, -1), default=0,
                       help="what falling into a hole of a lake pays: 0 in document 000, -1 in document 002")


def given(args: argparse.Namespace, **usual: Any) -> dict[str, Any]:
    """The choices that say what is trained on, for a run's config, which knows a file by its content.

    usual  the options that say it without --env, and their defaults

    Raises ValueError for an option of one of the two beside the other.
    """
    if args.env is None:
        if args.max_steps is not None:
            check.fail("max_steps", args.max_steps, "none without env: a task has its own limit")
        return {name: getattr(args, name) for name in usual}
    for name, default in usual.items():
        if getattr(args, name) != default:
            check.fail(name, getattr(args, name), "no such option beside env")
    env = from_file.described(args.env) if ".py:" in args.env else args.env
    return {"env": env} | ({} if args.max_steps is None else {"max_steps": args.max_steps})


def make(text: str, max_steps: int | None = None) -> Any:
    """A new environment that cuts its episodes off.

    text       an id of Gymnasium, or FILE.py:name: an environment, or what makes one when called without arguments
    max_steps  the limit, if the environment's own is not lower; None: its own, or LIMIT

    Raises ValueError or TypeError for a text that names no environment.
    """
    import gymnasium  # slow to load, and --help needs none
    if max_steps is not None:
        check.integer(1, max_steps=max_steps)
    env = _brought(text) if ".py:" in text else _registered(text)
    if not isinstance(env, gymnasium.Env):
        check.fail("env", text, f"a gymnasium.Env or what makes one; this is {type(env).__name__}", TypeError)
    for space in ("observation_space", "action_space"):
        if getattr(env, space, None) is None:
            check.fail("env", text, f"an environment with its {space}")
    own = limit(env)
    wanted = max_steps or own or LIMIT
    return env if own is not None and own <= wanted else gymnasium.wrappers.TimeLimit(env, wanted)


def limit(env: Any) -> int | None:
    """Steps after which an environment cuts an episode off; None for one that does not."""
    import gymnasium
    own = []
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            own.append(env._max_episode_steps)
        env = env.env
    return min(own, default=None)


def filled(space: Any) -> bool:
    """Whether a space is a Box with an axis and numbers on it: a network sees them, or sends them, as a row."""
    from gymnasium import spaces
    return isinstance(space, spaces.Box) and space.shape != () and 0 not in space.shape


def scalar(value: Any) -> Any:
    """The number in an array of one; anything else as it is."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


class Asked:
    """An environment whose answers are looked at.

    text, max_steps  as in make
    see              what makes states of its observations, with `state`; the owner sets it
    """

    see: Any

    def __init__(self, text: str, max_steps: int | None = None) -> None:
        self.text, self.env = text, make(text, max_steps)

    def reset(self, seed: int) -> tuple[Any, dict[str, Any]]:
        """The first state of an episode, and info.  Raises RuntimeError as `step` does."""
        try:
            observation, info = self.env.reset(seed=seed)
        except Exception as wrong:
            raise self._ended("reset", f" failed: {wrong!r}") from wrong
        try:
            return self.see.state(observation), _dict(info)
        except (ValueError, TypeError) as wrong:
            raise self._ended("reset", f": {wrong}") from wrong

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As Gymnasium's.  Raises RuntimeError, which names the environment, for what it should not say."""
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except Exception as wrong:
            raise self._ended(f"step({_shown(action)})", f" failed: {wrong!r}") from wrong
        try:
            return (self.see.state(observation), _reward(scalar(reward)), _flag("terminated", terminated),
                    _flag("truncated", truncated), _dict(info))
        except (ValueError, TypeError) as wrong:
            raise self._ended(f"step({_shown(action)})", f": {wrong}") from wrong

    def _ended(self, call: str, how: str) -> RuntimeError:
        return RuntimeError(f"{call} of the environment {self.text}{how}")


def tell_anew(text: str, anew: int, of: int) -> None:
    """Say that a resumed run could not go to the middle of episodes, on standard error."""
    print(f"rlscratch: the environment {text} does not repeat itself from a seed: {anew} of {of} episodes that were "
          "under way begin anew; all that was learned stays", file=sys.stderr)


def _reward(reward: Any) -> float:
    if type(reward) is float and -MOST <= reward <= MOST:       # nearly always, and a step is short
        return reward
    if abs(found := check.number(reward=reward)) > MOST:
        check.fail("reward", reward, f"a number between -{MOST:g} and {MOST:g}, which small networks can learn from")
    return found


def _flag(name: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    value = scalar(value)
    if not isinstance(value, (bool, np.bool_, int, float, np.number)) or value not in (0, 1):
        check.fail(name, value, "True or False", TypeError)
    return bool(value)


def _dict(info: Any) -> dict[str, Any]:
    if not isinstance(info, dict):
        check.fail("info", info, "a dict", TypeError)
    return info


def _shown(action: Any) -> str:
    return " ".join(np.array2string(np.asarray(action), threshold=6, edgeitems=2).split())


def _registered(name: str) -> Any:
    import gymnasium
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")             # that there is a newer version, say
            return gymnasium.make(name, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as wrong:
        check.fail("env", name, f"an id of Gymnasium or FILE.py:name ({' '.join(str(wrong).split())})")


def _brought(text: str) -> Any:
    import gymnasium
    found = from_file.load(text)
    if isinstance(found, gymnasium.Env) or not callable(found):
        return found
    try:
        return found()
    except Exception as wrong:
        check.fail("env", text, f"what makes an environment without arguments; it failed: {wrong!r}")
