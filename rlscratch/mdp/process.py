"""The finite Markov decision process, exactly: the 5-tuple, the three objectives, policy gradients.

An MDP is P(s'|s,a), R, gamma, the distribution of s_0 ("start") and the states in which an
episode is over ("terminal").  r(s,a) = sum_s' P(s'|s,a) R(s,a,s') is the mean reward of a step.
Time starts at 0, and r_t follows a_t.  Nothing follows a terminal state, so its value is 0.

Objectives.  p_t(s,a) is the probability of being in s and doing a at time t, d(s) the discounted
visits, mu the stationary distribution, q and v the values, where v(s) = sum_a pi(a|s) q(s,a) and

    q(s,a) = r(s,a) + gamma sum_s' P(s'|s,a) v(s')                                       (0)

How they are computed, and the best values, is derived in rlscratch.mdp.chains.  The mean of a sum is
the sum of the means, so the two forms of the objective in document 004, 1.4.1, are one:

    J_T   = E[ sum_{t<T} r_t ] = sum_{t<T} sum_sa p_t(s,a) r(s,a)                        (1)
    J_avg = lim J_T / T = sum_s mu(s) sum_a pi(a|s) r(s,a)                               (2)
    J     = E[ sum_t gamma^t r_t ] = sum_sa d(s) pi(a|s) r(s,a) = sum_s start(s) v(s)    (3)

Document 004 counts time from 1 and writes gamma^t, so its discounted return is gamma J.

The gradient.  Differentiate v(s) = sum_a pi(a|s) q(s,a), and q by (0), by any parameter:

    dv(s) = sum_a dpi(a|s) q(s,a) + gamma sum_s' P_pi(s,s') dv(s')

for neither P nor r depends on the policy.  This is the equation of a value, with the first sum
for a reward.  So its mean over the start is a discounted sum over visits, as in (3):

    dJ = sum_s d(s) sum_a dpi(a|s) q(s,a)                                                (4)

For pi = softmax(z), dpi(a|s) / dz(s,b) = pi(a|s) ([a = b] - pi(b|s)), and the sum over a gives

    dJ/dz(s,b) = d(s) pi(b|s) (q(s,b) - v(s))                                            (5)

With T steps q and v depend on t, and (5) is a sum over t with gamma^t p_t(s) in place of d(s).
If the policy sees o(s) only, states share logits, and dJ/dz(o,b) adds up (5) over the states of o.

Source: document 004, 1.1, 1.4 and 1.5.1; document 001, "Core Concepts"; document 000 (the lake);
        Sutton, McAllester, Singh, Mansour 2000 (4).
        Document 004 puts the next state first, T[s', s, a]; ours is T.transpose(1, 2, 0).  It
        wants gamma < 1, document 001 allows 1, and so do we where episodes end.
Leaves out: learning from samples (train.tabular), continuous states, the best average reward,
        the best policy that may not look at the clock (rlscratch.mdp.best_stationary).
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import chains, gymnasium_table, trajectories
from rlscratch.mdp.trajectories import Episodes


@dataclass(frozen=True, eq=False, repr=False, init=False)
class MDP:
    """The tensors, checked and frozen: float64 arrays, unless said otherwise.

    transition   (S, A, S)  P(s'|s,a)
    reward       (S,) R(s), (S, A) R(s,a) or (S, A, S) R(s,a,s'); kept as (S, A, S).  R(s) is paid
                 for acting in s; to pay for arriving, in a goal above all, give R(s,a,s')
    gamma        in [0, 1]
    start        (S,)  the distribution of s_0; or one state, an integer
    terminal     (S,)  booleans; None for none.  Whatever transition and reward say of them, terminal
                 states are made to stay where they are and to pay 0
    observation  (S,)  integers, o(s) in [0, O); None: the policy sees the state, O = S

    A policy is (O, A), rows of probabilities; with a horizon T also (T, O, A), one for each step.
    Raises ValueError or TypeError for anything else, before anything is computed.

    Two doors, gamma 1/2: one ends the episode and pays 1, the other pays 1/4 and you are back.

    >>> doors = MDP([[[0, 1], [1, 0]], [[0, 1], [0, 1]]], [[1, 1/4], [0, 0]], 1/2, start=0, terminal=[0, 1])
    >>> doors
    MDP(2 states, 2 actions, gamma 0.5, 1 terminal)
    >>> doors.solve()[0].tolist()
    [[1.0, 0.75], [0.0, 0.0]]
    >>> doors.evaluate([[1/2, 1/2], [1, 0]]).round(6).tolist()                  # v = 5/8 + v/4
    [0.833333, 0.0]
    >>> doors.policy_gradient([[0, 0], [0, 0]]).round(6).tolist()               # d = 4/3, q = 1, 2/3
    [[0.111111, -0.111111], [0.0, 0.0]]
    """

    transition: Array
    reward: Array
    gamma: float
    start: Array
    terminal: Array
    observation: Array

    def __init__(self, transition: ArrayLike, reward: ArrayLike, gamma: float, start: ArrayLike,
                 terminal: ArrayLike | None = None, observation: ArrayLike | None = None) -> None:
        transition = check.real(transition=check.probabilities(ndim=3, transition=transition))
        states, actions, _ = transition.shape
        check.shape((states, actions, states), "(S, A, S)", transition=transition)
        reward = _spread(check.real(reward=check.array(reward=reward)), transition.shape)
        gamma = check.between(0, 1, gamma=gamma)
        start = _start(start, states)
        terminal = np.zeros(states) if terminal is None else check.mask(ndim=1, terminal=terminal)
        observation = np.arange(states) if observation is None else check.ids(
            states, ndim=1, observation=observation).copy()
        check.shape((states,), "one for each state", terminal=terminal, observation=observation)

        terminal = terminal.astype(bool)
        transition = transition / transition.sum(axis=-1, keepdims=True)    # as in _by_state
        transition[terminal], reward[terminal] = np.eye(states)[terminal][:, None], 0
        for array in (transition, reward, start, terminal, observation):
            array.setflags(write=False)
        for name, value in dict(transition=transition, reward=reward, gamma=gamma, start=start,
                                terminal=terminal, observation=observation).items():
            object.__setattr__(self, name, value)       # the one way into a frozen dataclass

    def __repr__(self) -> str:
        states, actions, _ = self.transition.shape
        return f"MDP({states} states, {actions} actions, gamma {self.gamma:g}, {self.terminal.sum()} terminal)"

    @classmethod
    def from_gymnasium(cls, env: Any, gamma: float = 0.99) -> MDP:
        """The tensors of FrozenLake, CliffWalking or Taxi, read from the environment's own table (gymnasium_table).

        env    a Gymnasium environment with env.unwrapped.P; its rewards and order of actions are kept
        gamma  in [0, 1]; the environments have none, and .99 is what made document 000's table

        A time limit is no part of the table: it is the `horizon` of the methods below.
        """
        return cls(**gymnasium_table.read(env), gamma=gamma)

    def solve(self, horizon: int | None = None) -> tuple[Array, Array]:
        """The best that can be done: q (S, A) and v (S,), by value iteration to rounding (chains, equation (5)).

        With a horizon T, the best of all policies that know the time: q (T, S, A) and v (T, S) at each
        step.  The optimum sees the state, whatever `observation` says.  On the slippery 4x4 lake at
        gamma = 1, v[0] = .8235, and .7442 if there are 100 steps.

        Raises ValueError at gamma = 1 for states from which no terminal state can be reached, and where
        the best total has no limit, because going on for ever pays ever more.
        """
        if horizon is not None:
            horizon = check.integer(1, horizon=horizon)
            q = chains.backward(self.transition, self._mean_reward, self.gamma, horizon, None)
            return q, q.max(axis=2)
        if self.gamma == 1:
            self._must_end(np.any(self.transition > 0, axis=1), "whatever the policy")
        q, moving = chains.optimum(self.transition, self._mean_reward, self.gamma)
        if moving.any():
            check.fail("gamma", 1.0, "a number < 1, since the best total reward still changes after "
                                     f"{chains.SWEEPS} sweeps in states {_listed(moving)}")
        return q, q.max(axis=1)

    def evaluate(self, policy: ArrayLike, horizon: int | None = None) -> Array:
        """v (S,): the value of a policy from each state, at time 0 of the horizon if there is one.

        policy   (O, A), or (T, O, A) with a horizon; complex entries pass, for the complex step
        horizon  T >= 1 steps; None: as many as it takes

        Raises ValueError at gamma = 1 without a horizon, for states that never reach a terminal one
        under the policy.

        A corridor of two steps, the last of which pays 1:

        >>> step = [[[0, 1, 0]], [[0, 0, 1]], [[0, 0, 1]]]
        >>> MDP(step, [0, 1, 0], 0.5, start=0, terminal=[0, 0, 1]).evaluate([[1], [1], [1]]).tolist()
        [0.5, 1.0, 0.0]
        """
        pi = self._by_state(policy, horizon)
        if horizon is None:
            return chains.values(self._chain(pi), (pi * self._mean_reward).sum(axis=1), self.gamma, self.terminal)
        q = chains.backward(self.transition, self._mean_reward, self.gamma, horizon, pi)
        return (pi[0] * q[0]).sum(axis=1)

    def marginals(self, policy: ArrayLike, horizon: int) -> Array:
        """p_t(s,a), (T, S, A), while the episode runs: a step's sum is the probability that it still does."""
        pi = self._by_state(policy, check.integer(1, horizon=horizon))
        return chains.marginals(self.transition, self.start, self.terminal, pi)

    def occupancy(self, policy: ArrayLike, horizon: int | None = None) -> Array:
        """d(s) pi(a|s) = sum_t gamma^t p_t(s,a), (S, A); at gamma = 1 the expected visits.  See evaluate."""
        if horizon is not None:
            return np.einsum("tsa,t->sa", self.marginals(policy, horizon), self.gamma ** np.arange(horizon))
        pi = self._by_state(policy, None)
        return chains.occupancy(self._chain(pi), self.start, self.gamma, self.terminal)[:, None] * pi

    def stationary_distribution(self, policy: ArrayLike) -> Array:
        """mu, (S,).  Raises ValueError unless there is one closed set of states (a terminal state is one)."""
        step = chains.chain(self.transition, self._by_state(policy, None))
        mu = chains.stationary(step)
        if mu is None:
            sets = chains.closed_sets(step)
            check.fail("the number of closed sets of states under policy", len(sets),
                       f"1, for a unique stationary distribution; they are {', '.join(map(str, sets))}")
        return mu

    def total_return(self, policy: ArrayLike, horizon: int) -> float:
        """Equation (1), the right-hand side: expected total over T steps.  gamma plays no part."""
        return (self.marginals(policy, horizon) * self._mean_reward).sum().item()

    def average_reward(self, policy: ArrayLike) -> float:
        """Equation (2), in the long run.  Raises as stationary_distribution."""
        per_state = (self._by_state(policy, None) * self._mean_reward).sum(axis=1)
        return (self.stationary_distribution(policy) @ per_state).item()

    def discounted_return(self, policy: ArrayLike, horizon: int | None = None, first_power: int = 0) -> float:
        """Equation (3): J.  policy, horizon and errors as in evaluate.

        first_power  0, or 1 for document 004's gamma J
        """
        first_power = check.integer(0, 1, first_power=first_power)
        return self.gamma**first_power * (self.start @ self.evaluate(policy, horizon)).item()

    def policy_gradient(self, logits: ArrayLike, horizon: int | None = None) -> Array:
        """Equation (5): dJ/dlogits in the shape of the logits, for pi = softmax(logits) and (3) as J.

        logits   (O, A), or (T, O, A) with a horizon; -inf for an action that is never taken
        horizon  and errors: as in evaluate
        """
        policy = softmax(_double(check.logits(logits=logits)))
        pi = self._by_state(policy, horizon)
        if horizon is None:
            v = self.evaluate(policy)
            q = self._mean_reward + self.gamma * (self.transition @ v)
            grad = self.occupancy(policy) * (q - v[:, None])
        else:
            q = chains.backward(self.transition, self._mean_reward, self.gamma, horizon, pi)
            advantage = q - (pi * q).sum(axis=2, keepdims=True)
            grad = self.gamma ** np.arange(horizon)[:, None, None] * self.marginals(policy, horizon) * advantage
            grad = grad if policy.ndim == 3 else grad.sum(axis=0)
        return np.eye(self._observations)[:, self.observation] @ grad

    def log_derivative_gradient(self, logits: ArrayLike, horizon: int, limit: int = 10**7) -> Array:
        """The same for logits (O, A), by enumeration of all trajectories (trajectories, equation (3))."""
        logits = _double(check.logits(ndim=2, logits=logits))
        paths = self.trajectories(softmax(logits), horizon, limit)
        return trajectories.log_derivative_gradient(paths, logits, self.observation, self.gamma)

    def trajectories(self, policy: ArrayLike, horizon: int, limit: int = 10**7) -> Iterator[tuple]:
        """Every trajectory of positive probability, depth first: (probability, states, actions, rewards).

        A trajectory ends in a terminal state or after T steps.  Tuples: states, with the last one, has
        one entry more than actions and rewards.  Memory does not grow with the number of trajectories.

        Raises ValueError, at the call, if there are more than `limit`; it says how many there are.
        """
        limit = check.integer(1, limit=limit)
        pi = self._by_state(policy, check.integer(1, horizon=horizon))
        edges = trajectories.edges(self.transition, self.reward, self.terminal, pi)
        count = trajectories.count(edges, self.start)
        if count > limit:
            check.fail("horizon", horizon, f"a shorter one: it has {count} trajectories, and limit is {limit}")
        return trajectories.enumerate_paths(edges, self.start)

    def simulate(self, policy: ArrayLike, episodes: int, horizon: int, rng: np.random.Generator,
                 start: ArrayLike | None = None) -> Episodes:
        """N episodes at once, cut off after T steps: arrays (N, T), 0 after an episode's end.

        start  as in MDP: where they begin, None: where the MDP's do

        One row of uniforms makes one episode: a longer run begins with the episodes of a shorter one.
        """
        shape = check.integer(1, episodes=episodes), 1 + 2 * check.integer(1, horizon=horizon)
        pi = check.real(policy=self._by_state(policy, horizon))
        uniforms = check.generator(rng=rng).random(shape)
        begin = self.start if start is None else _start(start, len(self.start))
        return trajectories.simulate(self.transition, self.reward, begin, self.terminal, pi, uniforms, self._successors)

    @cached_property
    def _mean_reward(self) -> Array:
        return (self.transition * self.reward).sum(axis=2)

    @cached_property
    def _successors(self) -> tuple[Array, Array]:
        return trajectories.successors(self.transition)

    @property
    def _observations(self) -> int:
        return int(self.observation.max()) + 1

    def _by_state(self, policy: ArrayLike, horizon: int | None) -> Array:
        """A checked policy, for states instead of observations: (S, A), or (T, S, A) with a horizon."""
        policy = _double(check.probabilities(policy=policy))
        policy = policy / policy.sum(axis=-1, keepdims=True)        # float32 rows carry float32 rounding
        shape, axes = (self._observations, self.transition.shape[1]), "(O, A); one for each step needs a horizon"
        if horizon is not None:
            steps = (check.integer(1, horizon=horizon),)
            shape, axes = (steps + shape, "(T, O, A)") if policy.ndim == 3 else (shape, "(O, A)")
        check.shape(shape, axes, policy=policy)
        policy = policy[..., self.observation, :]
        return np.broadcast_to(policy, (*steps, *policy.shape)) if horizon is not None and policy.ndim == 2 else policy

    def _chain(self, pi: Array) -> Array:
        """P_pi, of which every state has to end if gamma is 1."""
        step = chains.chain(self.transition, pi)
        if self.gamma == 1:
            self._must_end(step.real > 0, "under this policy")
        return step

    def _must_end(self, edge: Array, when: str) -> None:
        ends = chains.reaching(edge, self.terminal)
        if not ends.all():
            check.fail("gamma", 1.0, f"a number < 1, since states {_listed(~ends)} never reach a terminal state {when}")


def _spread(reward: Array, shape: tuple[int, ...]) -> Array:
    """R(s), R(s,a) or R(s,a,s') as a new (S, A, S)."""
    forms = [shape[:n] for n in (1, 2, 3)]
    if reward.shape not in forms:
        check.fail("the shape of reward", reward.shape, "{}, {} or {}".format(*forms))
    return np.broadcast_to(reward[(...,) + (None,) * (3 - reward.ndim)], shape).copy()


def _start(start: ArrayLike, states: int) -> Array:
    if isinstance(start, (int, np.integer)):
        return np.eye(states)[check.integer(0, states - 1, start=start)]
    start = check.real(start=check.probabilities(ndim=1, start=start))
    return check.shape((states,), "one for each state", start=start) / start.sum()


def _double(array: Array) -> Array:
    return array.astype(np.result_type(array, np.float64), copy=False)


def _listed(states: Array) -> str:
    """The states whose flag is set, for a message: at most ten."""
    found = np.flatnonzero(states).tolist()
    return str(found) if len(found) <= 10 else f"{str(found[:10])[:-1]}, ...] ({len(found)} in all)"
