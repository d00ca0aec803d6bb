"""Q-learning on a table, in the real environment; q_learning_many has many runs at once.

The formulas are in formulas.td: (5) there is the update, (8) the policy that acts.  This is the
loop around them, and what can be proven of it on the frozen lake.

Ties.  In a table of zeros every action is greedy.  If the first of equals is taken, as
numpy.argmax does, the learner pushes Left, against the wall it starts at: at epsilon = .1 an
episode of 100 steps on the 4x4 lake reaches the goal with probability 5.4e-6, one in 185,000, and
until then nothing is paid and nothing is learned.  If equals share the greedy mass (ties="share",
the default here) it walks at random and gets there once in 72 episodes, whatever epsilon.

Bounds.  Without slipping, with rewards >= 0 and from a table of zeros, at every step

    0 <= Q(s, a) <= Q*(s, a)                                                         (1)

By induction.  It holds for zeros.  If it holds, the target y = r + d max_b Q(s', b) is >= 0, and,
as s' and r are certain,

    y <= r + d max_b Q*(s', b) = Q*(s, a)                                            (2)

The new entry (1 - alpha) Q + alpha y lies between two numbers in [0, Q*(s, a)].  Rounding may add
a unit in the last place.  With -1 for a hole Q* is -1 for the moves into one, where a table of
zeros begins above it; all other moves of that lake are worth 0 or more, so the same steps give

    min(Q*, 0) <= Q <= max(Q*, 0)                                                    (3)

On slippery ice (2) fails: r and s' are drawn, y <= r + d max_b Q*(s', b) holds of the drawn ones,
and only the mean of the right side is Q*(s, a).  A move that is worth .87 and happens to slip into
the goal has y = 1; a few of those in a row lift Q above Q*.  Then nothing but averaging, that is a
small or a falling alpha, brings it down.

Truncation.  When Gymnasium cuts an episode off at its limit of steps, the state was not terminal:
d stays gamma.  Only an episode that ended in the goal or a hole has d = 0.

Randomness.  One numpy Generator gives the uniforms that choose actions and, at every reset, the
seed of the environment.  A state saved within an episode keeps that seed and the actions since;
to rejoin the episode the environment is reset to the seed and the actions are played again.  So
resuming needs no look inside the environment and continues bit for bit.

Source: document 000, "Q-learning Update Rule" and the Q-table; Watkins and Dayan 1992.
Leaves out: SARSA, traces, double Q-learning; exploration that counts visits.
"""
import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from rlscratch import check, kernels
from rlscratch.check import Array
from rlscratch.formulas import td
from rlscratch.train import environments
from rlscratch.train import run as runs
from rlscratch.train.tabular.charted import CHARTED, Charted
from rlscratch.train.tabular.lake import IDS, Lake

STEPS = {"4x4": 20_000, "8x8": 200_000}      # enough for every one of many seeds (make bars)
ENVIRONMENT = 200_000                        # on an environment of --env


class Transition(NamedTuple):
    """One step: numbers, or arrays (N,) for N runs.  `terminated` says that s_next is the goal or a hole."""

    s: Any
    a: Any
    reward: Any
    s_next: Any
    terminated: Any


@dataclass
class State:
    """All that the next step of one run depends on.

    q        (S, A)  the table
    visits   (S, A)  how often each entry was updated
    rng              the run's only source of randomness
    step, episode    updates made, episodes finished
    seed             of the environment in this episode; None between episodes
    actions          of this episode so far
    """

    q: Array
    visits: Array
    rng: np.random.Generator
    step: int = 0
    episode: int = 0
    seed: int | None = None
    actions: list[int] = field(default_factory=list)

    @classmethod
    def zeros(cls, shape: tuple[int, int], rng: np.random.Generator) -> "State":
        """Before the first step."""
        return cls(np.zeros(shape), np.zeros(shape, int), check.generator(rng=rng))


# ---------------------------------------------------------------- schedules

def falling(alpha: float, decay: float = 0.0) -> Callable[[Any], Any]:
    """alpha_n = alpha / (1 + decay (n - 1)) for the n-th update of an entry; decay = 0 is constant.

    With decay > 0, sum alpha_n is infinite and sum alpha_n^2 is not, as convergence on slippery ice needs.

    >>> [falling(.5, decay=1)(n) for n in (1, 2, 5)]
    [0.5, 0.25, 0.1]
    """
    alpha, decay = check.fraction(alpha=alpha), check.non_negative(decay=decay)
    return lambda n: alpha / (1 + decay * (n - 1))


def linear(first: float, last: float, steps: int) -> Callable[[int], float]:
    """epsilon_t from `first` at step 0 in a straight line to `last` at step `steps`, and `last` from there on.

    >>> [linear(1, .5, 100)(t) for t in (0, 50, 100, 200)]
    [1.0, 0.75, 0.5, 0.5]
    """
    first, last = check.between(0, 1, first=first, last=last)
    steps = check.integer(1, steps=steps)
    return lambda t: first + (last - first) * min(t / steps, 1.0)


# ---------------------------------------------------------------- one run, in the environment

def learn(env: Any, state: State, *, gamma: float, alpha: Callable, epsilon: Callable,
          ties: str = "share") -> Iterator[Transition]:
    """Step by step for as long as the caller asks: act, update state, yield the transition.

    env      a Gymnasium environment with numbered states and actions
    state    changed in place; `env` is brought to where it left off
    gamma    in [0, 1]
    alpha    (n) -> step size of an entry's n-th update, such as falling(.1)
    epsilon  (t) -> share of random actions at step t, such as linear(1, .1, 10_000)
    ties     which of equal maxima is greedy: "share" or "first" (formulas.td.epsilon_greedy)
    """
    rng = state.rng
    s = rejoin(env, state)
    while True:
        if state.seed is None:
            state.seed, state.actions = int(rng.integers(2**31)), []
            s, _ = env.reset(seed=state.seed)
        policy = td.epsilon_greedy(state.q[s], epsilon(state.step), ties=ties)
        a = int(kernels.draw(policy[None], rng.random(1))[0])
        s_next, reward, terminated, truncated, _ = env.step(a)
        state.actions.append(a)
        state.visits[s, a] += 1
        # The whole formula, checks and a copy of the table included: 31 of about 85 us a step; env.step takes 5.
        state.q = td.q_learning_update(state.q, s, a, reward, s_next, alpha=alpha(state.visits[s, a]),
                                       discount=0.0 if terminated else gamma)
        state.step += 1
        if terminated or truncated:
            state.episode, state.seed = state.episode + 1, None
        yield Transition(s, a, reward, s_next, terminated)
        s = s_next


def rejoin(env: Any, state: State) -> int | None:
    """Bring the environment to where a saved state left it, by playing the episode again."""
    if state.seed is None:
        return None
    s, _ = env.reset(seed=state.seed)
    for a in state.actions:
        s = env.step(a)[0]
    return s


# ---------------------------------------------------------------- the command

def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rlscratch train q-learning`."""
    task = parser.add_argument_group("the lake")
    task.add_argument("--map", choices=tuple(IDS), default="4x4", help="Gymnasium's map")
    task.add_argument("--slippery", action=argparse.BooleanOptionalAction, default=False,
                      help="whether a move may go astray")
    environments.add_hole_reward(task)
    environments.add_arguments(task, CHARTED)
    group = parser.add_argument_group("the learner")
    group.add_argument("--gamma", type=float, default=0.99, help="discount, in [0, 1]")
    group.add_argument("--alpha", type=float, default=0.1, help="step size, in (0, 1]")
    group.add_argument("--alpha-decay", type=float, default=0.0, metavar="D",
                       help="an entry's n-th update has step size alpha / (1 + D (n - 1))")
    group.add_argument("--epsilon", type=float, default=0.5, help="share of random actions, in [0, 1]")
    group.add_argument("--epsilon-final", type=float, metavar="E",
                       help=f"go from --epsilon to E in a straight line (default: stay at --epsilon){runs.UNSAID}")
    group.add_argument("--epsilon-steps", type=int, default=10_000, metavar="N", help="steps until E is reached")
    group.add_argument("--ties", choices=("share", "first"), default="share",
                       help="equal best actions share the greedy mass, or the first has it all")
    group.add_argument("--episodes", type=int, metavar="N",
                       help=f"stop after N episodes instead of --steps{runs.UNSAID}")
    maps = ", ".join(f"{n} on {name}" for name, n in STEPS.items())
    runs.add_arguments(parser, "q-learning", explain_steps=f"{maps}, {ENVIRONMENT} with --env")


LAKE = {"map": "4x4", "slippery": False, "hole_reward": 0}
CHOICES = ("gamma", "alpha", "alpha_decay", "epsilon", "epsilon_final", "epsilon_steps", "ties", "seed")


def run(args: argparse.Namespace) -> int:
    """The command: train, save, print.  Raises ValueError or TypeError for bad arguments."""
    goal, unit = _goal(args)
    settings = _settings(args)
    config = environments.given(args, **LAKE)
    if args.env is None:
        lake = Lake(args.map, args.slippery, args.hole_reward, args.gamma)
    else:
        lake = Charted(args.env, args.max_steps, args.gamma)
    folder = runs.Run(args, "q-learning", {**config, **{key: getattr(args, key) for key in CHOICES}},
                      goal={f"{unit}s": goal})
    state, before = _state(folder, lake, args.seed)
    begin = time.perf_counter()

    def figures() -> dict[str, Any]:
        return lake.figures(state.q, td.epsilon_greedy(state.q, 0.0, ties=args.ties))

    def seconds() -> float:
        return before + time.perf_counter() - begin

    def save() -> None:
        facts = {"episode": state.episode, "seed": state.seed, "actions": state.actions,
                 "rng": state.rng.bit_generator.state, "seconds": seconds()}
        folder.save(state.step, {"q": state.q, "visits": state.visits}, facts, episode=state.episode, **figures())

    with folder.progress(goal, getattr(state, unit), unit) as bar:
        steps = learn(lake.env, state, **settings)
        while getattr(state, unit) < goal:
            next(steps)
            bar.update(getattr(state, unit) - bar.n)
            if state.step % folder.save_every == 0 or getattr(state, unit) >= goal:
                save()
    folder.finish({"steps": state.step, "episodes": state.episode, **figures(),
                   f"best_{lake.measure}": lake.best_worth(), "seconds": round(seconds(), 3)})
    return 0


def _goal(args: argparse.Namespace) -> tuple[int, str]:
    """How long: a number, and of what ("step" or "episode")."""
    if args.episodes is not None and args.steps is not None:
        check.fail("episodes", args.episodes, "either episodes or steps, not both")
    if args.episodes is not None:
        return check.integer(1, episodes=args.episodes), "episode"
    usual = STEPS[args.map] if args.env is None else ENVIRONMENT
    return check.integer(1, steps=usual if args.steps is None else args.steps), "step"


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """The learner's arguments, checked under the names of their options."""
    check.between(0, 1, gamma=args.gamma)
    check.between(0, 1, epsilon=args.epsilon)
    check.fraction(alpha=args.alpha)
    check.non_negative(alpha_decay=args.alpha_decay)
    check.integer(1, epsilon_steps=args.epsilon_steps)
    check.integer(0, seed=args.seed)
    final = args.epsilon if args.epsilon_final is None else args.epsilon_final
    check.between(0, 1, epsilon_final=final)
    return {"gamma": args.gamma, "alpha": falling(args.alpha, args.alpha_decay),
            "epsilon": linear(args.epsilon, final, args.epsilon_steps), "ties": args.ties}


def _state(folder: runs.Run, lake: Lake | Charted, seed: int) -> tuple[State, float]:
    """Zeros, or what the resumed run saved; and the seconds that it has taken so far."""
    state = State.zeros(lake.mdp.transition.shape[:2], np.random.default_rng(seed))
    if not folder.facts:
        return state, 0.0
    facts = folder.facts
    state.rng.bit_generator.state = facts["rng"]
    kept = {name: facts[name] for name in ("step", "episode", "seed", "actions")}
    return State(**folder.arrays, rng=state.rng, **kept), facts["seconds"]
