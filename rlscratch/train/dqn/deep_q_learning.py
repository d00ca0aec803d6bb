"""DQN: Q-learning whose table is a network, on the frozen lake and in any environment with numbered actions.

The network and what it sees of a state are those of train.dqn.network, whose equation (1) is

    Q(s, .) = relu(x(s) W1 + b1) W2 + b2                                             (1)

An update takes B transitions (s, a, r, s') out of the replay buffer:

    y_i = r_i + d_i max_b Q-(s'_i, b)                  td.q_target, Q- is (1) with theta-  (2)
    dL/dQ(s_i, a_i) = H'(Q(s_i, a_i) - y_i) / B        td.huber_grad                       (3)
    theta  <- AdamW                                                                        (4)
    theta- <- theta- + tau (theta - theta-)            every C updates                     (5)

d is 0 where the episode terminated, in the goal or a hole, else gamma: also where the limit of steps cut
it off.  L = sum_i H_i / B stays outside the graph: y is data, and (3) is the seed for the way back through (1).

Actions are epsilon-greedy in theta.  The result is the greedy policy of theta-.

What a table did not need: the buffer (train.replay), and

theta-.  In (2) theta would move the target along with the estimate.  tau = 1 copies it every C updates,
as Mnih et al. did.  C = 1 with tau < 1, the default, makes theta- a mean of past theta, in which the one
of k updates ago weighs tau (1 - tau)^k: a target that moves slowly, and an estimate that shakes less
than theta, which is why the result is read from it.

A falling step size.  On the 4x4 lake a wasted move costs .01, and on slippery ice the best action of the
start is better than the others by .014.  Adam's steps do not shrink with the error, so at a constant step
size theta goes on shaking by as much, and its greedy policy changes from one update to the next.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from rlscratch import check, kernels
from rlscratch.autograd import Tensor
from rlscratch.formulas import td
from rlscratch.optim import AdamW
from rlscratch.train import environments
from rlscratch.train.dqn.network import Measured, Numbered, initial, q_table, q_values
from rlscratch.train.dqn.replay import Replay
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import Transition, falling, linear, rejoin

STEPS = {"frozen-lake": 10_000, "frozen-lake-slippery": 40_000}     # enough for every one of many seeds (make bars)


# ---------------------------------------------------------------- one run, in the environment

@dataclass
class DQNState:
    """All that the next step of one run depends on.

    theta, mean  the parameters that learn and act; theta- of (5)
    optimizer    of theta
    replay       the buffer; its count is the number of steps
    see          what the network sees of a state
    rng          the run's only source of randomness
    updates, episode  updates made, episodes finished
    seed         of the environment in this episode; None between episodes
    actions      of this episode so far
    """

    theta: dict[str, Tensor]
    mean: dict[str, Tensor]
    optimizer: AdamW
    replay: Replay
    see: Numbered | Measured
    rng: np.random.Generator
    updates: int = 0
    episode: int = 0
    seed: int | None = None
    actions: list[int] = field(default_factory=list)

    @classmethod
    def new(cls, shape: tuple[int | Numbered | Measured, int], rng: np.random.Generator, hidden: int = 64,
            buffer: int = 100_000) -> "DQNState":
        """Before the first step.  shape: what the network sees, or how many numbered states; and how many actions."""
        see, actions = shape
        see = Numbered(see) if isinstance(see, int) else see
        theta = initial(see.inputs, hidden, actions, rng, *see.drawn)
        mean = {name: Tensor(t.data.copy()) for name, t in theta.items()}
        replay = Replay(buffer, see.shape, see.dtype)
        return cls(theta, mean, AdamW(theta, lr=0.0, weight_decay=0.0), replay, see, rng)

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
    x, rows = state.see.seen(t.s)
    q = q_values(state.theta, x)[rows, t.a]
    x, rows = state.see.seen(t.s_next)
    y = td.q_target(t.reward, q_table(state.mean, x)[rows], gamma * (1 - t.terminated))
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

    env      a Gymnasium environment with numbered states and actions, or a Watched one
    state    changed in place; `env` is brought to where it left off
    gamma    in [0, 1]
    epsilon  (t) -> share of random actions at step t, such as q_learning.linear(1, .1, 10_000)
    lr       (n) -> step size of the n-th update, such as q_learning.falling(.003, .001)
    start    steps before the first update
    every    steps from one update to the next
    how      batch, tau, target_every, delta: as in update
    """
    s, q = _rejoined(env, state), state.see.answers(state.theta)
    while True:
        if state.seed is None:
            state.seed, state.actions = int(state.rng.integers(2**31)), []
            s, _ = env.reset(seed=state.seed)
        # Where Q is 0 throughout, as at first, the first of equals would be Left for ever (see q_learning).
        policy = td.epsilon_greedy(q(s), epsilon(state.step), ties="share")
        a = int(kernels.draw(policy[None], state.rng.random(1))[0])
        s_next, reward, terminated, truncated, _ = env.step(a)
        state.actions.append(a)
        state.replay.put(Transition(s, a, reward, s_next, terminated))
        if state.step >= start and state.step % every == 0:
            update(state, gamma=gamma, lr=lr(state.updates + 1), **how)
            q = state.see.answers(state.theta)
        if terminated or truncated:
            state.episode, state.seed = state.episode + 1, None
        yield Transition(s, a, reward, s_next, terminated)
        s = s_next


def _rejoined(env: Any, state: DQNState) -> Any:
    """As q_learning.rejoin; None where that does not lead to what was seen last: the next episode begins there."""
    try:
        s = rejoin(env, state)
    except RuntimeError:
        s = None
    seen = state.replay.arrays["s_next"]
    if state.seed is None or not state.actions or np.array_equal(s, seen[(state.step - 1) % len(seen)]):
        return s
    environments.tell_anew(getattr(env, "text", str(env)), 1, 1)
    state.seed = None
    return None


def figures(lake: Lake, state: DQNState) -> dict[str, Any]:
    """What the result is worth, exactly: Lake.figures, and in how many states its action is not a best one."""
    q = np.where(lake.mdp.terminal[:, None], 0, q_table(state.mean))        # nothing follows, so nothing was learned
    policy = td.epsilon_greedy(q.astype(np.float64), 0.0)
    best_q, best_v = lake.best
    wrong = best_v - (policy * best_q).sum(axis=1) > 1e-9                   # value iteration ends in rounding
    return {**lake.figures(q, policy), "suboptimal_states": int(wrong.sum())}


# ---------------------------------------------------------------- the learner's numbers

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
ENVIRONMENT = {         # where --env has another default
    "steps": 30_000, "hidden": 256, "gamma": 0.98, "batch": 128, "start": 1000, "every": 1, "delta": 10.0,
    "epsilon_final": 0.2, "epsilon_steps": 10_000,
}
HOW = ("gamma", "batch", "start", "every", "tau", "target_every", "delta")      # what learn is given as it is


def settings(**chosen: Any) -> dict[str, Any]:
    """The arguments of learn: those of LEARNER that were chosen, and the others' defaults."""
    value = {**{name: default for name, (default, _, _) in LEARNER.items()}, **chosen}
    return {**{name: value[name] for name in HOW}, "lr": falling(value["lr"], value["lr_decay"]),
            "epsilon": linear(value["epsilon"], value["epsilon_final"], value["epsilon_steps"])}
