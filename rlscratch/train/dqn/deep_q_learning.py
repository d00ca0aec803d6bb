"""DQN on the frozen lake: Q-learning whose table is a network.

The state is a one-hot row x(s), the network one hidden layer of rectified units:

    Q(s, .) = relu(x(s) W1 + b1) W2 + b2                                             (1)

An update takes B transitions (s, a, r, s') out of the replay buffer:

    y_i = r_i + d_i max_b Q-(s'_i, b)                  td.q_target, Q- is (1) with theta-  (2)
    dL/dQ(s_i, a_i) = H'(Q(s_i, a_i) - y_i) / B        td.huber_grad                       (3)
    theta  <- AdamW                                                                        (4)
    theta- <- theta- + tau (theta - theta-)            every C updates                     (5)

d is 0 where s' is the goal or a hole, else gamma: also where the limit of steps cut the episode off.
L = sum_i H_i / B stays outside the graph: y is data, and (3) is the seed for the way back through
(1).  A lake has so few states that the network sees all of them at once, x being the identity; the
transitions pick entries of the table that results, and going back adds up the seeds of those that
picked the same one.  It is the gradient of B one-hot rows for the work of S.

Actions are epsilon-greedy in theta.  The result is the greedy policy of theta-.

What a table did not need: the buffer (train.replay), and

theta-.  In (2) theta would move the target along with the estimate.  tau = 1 copies it every C updates,
as Mnih et al. did.  C = 1 with tau < 1, the default, makes theta- a mean of past theta, in which the one
of k updates ago weighs tau (1 - tau)^k: a target that moves slowly, and an estimate that shakes less
than theta, which is why the result is read from it.

A falling step size.  On the 4x4 lake a wasted move costs .01, and on slippery ice the best action of the
start is better than the others by .014.  Adam's steps do not shrink with the error, so at a constant step
size theta goes on shaking by as much, and its greedy policy changes from one update to the next.

Outputs of 0 at first: W2 = b2 = 0.  Random ones would be rewards that nobody pays, of which (2) takes the
largest; beside a wall, where s' = s, such a reward lives on from target to target, at gamma a time.

What (3) estimates.  While errors are within delta, H' is the error, and Q settles where its mean is 0: at
the mean of y, as it must.  A larger error counts as delta only.  Let y be 1 with probability p < 1/2, else 0,
and delta <= 1/2.  The slope (1 - p) min(Q, delta) - p min(1 - Q, delta) is 0 where Q <= delta, at

    (1 - p) Q = p delta,    Q = p delta / (1 - p)                                    (6)

For p = 1/3 and delta = .1 this is .05, not 1/3.  So on slippery ice delta has to be as large as errors
get: 1 if holes pay 0; 2 if they pay -1.  Without slipping any delta will do, as y does not vary.

Source: document 002, "Deep Q-Learning (FrozenLake)"; document 000 (the update); Mnih et al. 2015,
        "Human-level control through deep reinforcement learning" (2)-(5); Lillicrap et al. 2016,
        arXiv:1509.02971 (tau < 1); Huber 1964.
Leaves out: double, duelling and distributional Q; the 8x8 map, whose goal chance alone rarely finds.
"""
import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from rlscratch import autograd, check, kernels
from rlscratch.autograd import Tensor
from rlscratch.check import Array
from rlscratch.formulas import td
from rlscratch.mdp import best_stationary
from rlscratch.optim import AdamW
from rlscratch.train import run as runs
from rlscratch.train.dqn.replay import Replay
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import Transition, falling, linear, rejoin
from rlscratch.train.tabular.worlds import LAKES

STEPS = {"frozen-lake": 10_000, "frozen-lake-slippery": 40_000}     # enough for every one of many seeds (make bars)


# ---------------------------------------------------------------- the network

def initial(states: int, hidden: int, actions: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """The parameters of (1), float32; with one entry of x at 1, normal W1 gives hidden units of variance 1."""
    W1 = check.generator(rng=rng).normal(size=(states, check.integer(1, hidden=hidden)))
    arrays = {"W1": W1, "b1": np.zeros(hidden), "W2": np.zeros((hidden, actions)), "b2": np.zeros(actions)}
    return {name: Tensor(array.astype(np.float32), requires_grad=True) for name, array in arrays.items()}


def q_values(theta: Mapping[str, Tensor]) -> Tensor:
    """Equation (1) for every state, (S, A)."""
    x = np.eye(len(theta["W1"]), dtype=theta["W1"].dtype)
    hidden = autograd.relu(autograd.linear(x, theta["W1"]) + theta["b1"])
    return autograd.linear(hidden, theta["W2"]) + theta["b2"]


def q_table(theta: Mapping[str, Tensor]) -> Array:
    """The same without a graph: an array (S, A)."""
    with autograd.no_grad():
        return q_values(theta).data


# ---------------------------------------------------------------- one run, in the environment

@dataclass
class DQNState:
    """All that the next step of one run depends on.

    theta, mean  the parameters that learn and act; theta- of (5)
    optimizer    of theta
    replay       the buffer; its count is the number of steps
    rng          the run's only source of randomness
    updates, episode  updates made, episodes finished
    seed         of the environment in this episode; None between episodes
    actions      of this episode so far
    """

    theta: dict[str, Tensor]
    mean: dict[str, Tensor]
    optimizer: AdamW
    replay: Replay
    rng: np.random.Generator
    updates: int = 0
    episode: int = 0
    seed: int | None = None
    actions: list[int] = field(default_factory=list)

    @classmethod
    def new(cls, shape: tuple[int, int], rng: np.random.Generator, hidden: int = 64,
            buffer: int = 100_000) -> "DQNState":
        """Before the first step, for a table of this shape."""
        theta = initial(shape[0], hidden, shape[1], rng)
        mean = {name: Tensor(t.data.copy()) for name, t in theta.items()}
        return cls(theta, mean, AdamW(theta, lr=0.0, weight_decay=0.0), Replay(buffer), rng)

    step = property(lambda self: self.replay.count)


def update(state: DQNState, *, gamma: float, lr: float, batch: int, tau: float, target_every: int,
           delta: float) -> None:
    """Equations (2) to (5), once; `state` is changed in place.

    gamma, lr     in [0, 1]; the step size of AdamW
    batch         B
    tau           in (0, 1]
    target_every  C, in updates
    delta         > 0, of the Huber loss, in units of reward
    """
    t = state.replay.draw(batch, state.rng)
    q = q_values(state.theta)[t.s, t.a]
    y = td.q_target(t.reward, q_table(state.mean)[t.s_next], gamma * (1 - t.terminated))
    state.optimizer.zero_grad()
    q.backward(td.huber_grad(q.data - y, delta) / batch)
    state.optimizer.lr = lr
    state.optimizer.step()
    state.updates += 1
    if state.updates % target_every == 0:
        for name, mean in state.mean.items():
            mean.data += tau * (state.theta[name].data - mean.data)


def learn(env: Any, state: DQNState, *, gamma: float, epsilon: Callable[[int], float], lr: Callable[[int], float],
          start: int, every: int, **how: Any) -> Iterator[Transition]:
    """Step by step for as long as the caller asks: act, remember, update now and then, yield the transition.

    What comes after `state` is what `settings` returns.

    env      a Gymnasium environment with numbered states and actions
    state    changed in place; `env` is brought to where it left off
    gamma    in [0, 1]
    epsilon  (t) -> share of random actions at step t, such as q_learning.linear(1, .1, 10_000)
    lr       (n) -> step size of the n-th update, such as q_learning.falling(.003, .001)
    start    steps before the first update
    every    steps from one update to the next
    how      batch, tau, target_every, delta: as in update
    """
    s, q = rejoin(env, state), q_table(state.theta)
    while True:
        if state.seed is None:
            state.seed, state.actions = int(state.rng.integers(2**31)), []
            s, _ = env.reset(seed=state.seed)
        # Where Q is 0 throughout, as at first, the first of equals would be Left for ever (see q_learning).
        policy = td.epsilon_greedy(q[s], epsilon(state.step), ties="share")
        a = int(kernels.draw(policy[None], state.rng.random(1))[0])
        s_next, reward, terminated, truncated, _ = env.step(a)
        state.actions.append(a)
        state.replay.put(Transition(s, a, reward, s_next, terminated))
        if state.step >= start and state.step % every == 0:
            update(state, gamma=gamma, lr=lr(state.updates + 1), **how)
            q = q_table(state.theta)
        if terminated or truncated:
            state.episode, state.seed = state.episode + 1, None
        yield Transition(s, a, reward, s_next, terminated)
        s = s_next


def figures(lake: Lake, state: DQNState) -> dict[str, Any]:
    """What the result is worth, exactly: Lake.figures, and in how many states its action is not a best one."""
    q = np.where(lake.mdp.terminal[:, None], 0, q_table(state.mean))        # nothing follows, so nothing was learned
    policy = td.epsilon_greedy(q.astype(np.float64), 0.0)
    best_q, best_v = lake.best
    wrong = best_v - (policy * best_q).sum(axis=1) > 1e-9                   # value iteration ends in rounding
    return {**lake.figures(q, policy), "suboptimal_states": int(wrong.sum())}


# ---------------------------------------------------------------- the command

WHOLE, SHARE = partial(check.integer, 1), partial(check.between, 0, 1)
LEARNER = {     # option: default, check, help
    "hidden": (64, WHOLE, "units of the hidden layer"),
    "buffer": (100_000, WHOLE, "transitions that are remembered"),
    "gamma": (0.99, SHARE, "discount, in [0, 1]"),
    "lr": (0.003, check.fraction, "step size of the first update, in (0, 1]"),
    "lr_decay": (0.001, check.non_negative, "D: the n-th update has step size lr / (1 + D (n - 1))"),
    "batch": (256, WHOLE, "transitions of an update"),
    "start": (500, WHOLE, "steps before the first update"),
    "every": (4, WHOLE, "steps from one update to the next"),
    "tau": (0.01, check.fraction, "share of the way that the target network follows, in (0, 1]; 1 copies"),
    "target_every": (1, WHOLE, "updates until it follows again"),
    "delta": (1.0, check.positive, "where the Huber loss turns from a parabola into a line"),
    "epsilon": (1.0, SHARE, "share of random actions at first, in [0, 1]"),
    "epsilon_final": (0.3, SHARE, "and at last"),
    "epsilon_steps": (20_000, WHOLE, "steps until then"),
}
HOW = ("gamma", "batch", "start", "every", "tau", "target_every", "delta")      # what learn is given as it is


def settings(**chosen: Any) -> dict[str, Any]:
    """The arguments of learn: those of LEARNER that were chosen, and the others' defaults."""
    value = {**{name: default for name, (default, _, _) in LEARNER.items()}, **chosen}
    return {**{name: value[name] for name in HOW}, "lr": falling(value["lr"], value["lr_decay"]),
            "epsilon": linear(value["epsilon"], value["epsilon_final"], value["epsilon_steps"])}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rlscratch train dqn`."""
    task = parser.add_argument_group("the lake")
    task.add_argument("--task", choices=tuple(STEPS), default="frozen-lake", help="Gymnasium's 4x4 map")
    task.add_argument("--hole-reward", type=int, choices=(0, -1), default=0,
                      help="what falling into a hole pays: 0 in document 000, -1 in document 002")
    group = parser.add_argument_group("the learner")
    for name, (default, _, told) in LEARNER.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, help=told,
                           metavar="N" if isinstance(default, int) else "X")
    runs.add_arguments(parser, "dqn", explain_steps=", ".join(f"{n} on {name}" for name, n in STEPS.items()))


def run(args: argparse.Namespace) -> int:
    """The command: train, save, print.  Raises ValueError or TypeError for bad arguments."""
    goal = check.integer(1, steps=STEPS[args.task] if args.steps is None else args.steps)
    check.integer(0, seed=args.seed)
    chosen = {name: holds(value=getattr(args, name), called=name)
              for name, (_, holds, _) in LEARNER.items()}
    lake = Lake(*LAKES[args.task], args.hole_reward, args.gamma)
    state = DQNState.new(lake.mdp.transition.shape[:2], np.random.default_rng(args.seed), args.hidden, args.buffer)
    steps = learn(lake.env, state, **settings(**chosen))
    folder = runs.Run(args, "dqn", {"task": args.task, "hole_reward": args.hole_reward, "seed": args.seed, **chosen})
    begin = time.perf_counter() - _restore(state, folder)
    with folder.progress(goal, state.step) as bar:
        while state.step < goal:
            try:
                next(steps)
            except ValueError as grown:         # the arguments were good, the numbers grew beyond all bounds
                raise RuntimeError(f"step {state.step}: {grown}; a smaller lr keeps the numbers small") from grown
            bar.update()
            if state.step % folder.save_every == 0 or state.step == goal:
                measured = figures(lake, state)
                bar.set_postfix(success_probability=measured["success_probability"])
                folder.save(state.step, *_kept(state, time.perf_counter() - begin), episode=state.episode, **measured)
    folder.finish({"steps": state.step, "updates": state.updates, "episodes": state.episode, **figures(lake, state),
                   "best_success_probability": best_stationary(lake.reaching, lake.horizon)[1],
                   "seconds": round(time.perf_counter() - begin, 3)})
    return 0


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
