"""The environments of --env: Gymnasium's by their ids, and what a user brings in a Python file of their own.

Every one of them is cut off at a limit of steps: its own, or that of --max-steps if it is lower or the only one.
A run so ends, whatever the environment.
"""
import argparse
import warnings
from typing import Any

from rlscratch import check
from rlscratch.train import from_file
from rlscratch.train.settings import UNSAID

LIMIT = 200                                 # of an environment that has none


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
    """The choices that say what is trained on, for a run's config.

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
    return {"env": args.env} | ({} if args.max_steps is None else {"max_steps": args.max_steps})


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
