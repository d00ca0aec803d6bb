"""All that can happen, one trajectory at a time: enumeration, the gradient from it, simulation.

tau = (s_0, a_0, s_1, ..., a_n-1, s_n) ends in a terminal state or after T steps, and has

    P(tau) = start(s_0) prod_t pi(a_t|s_t) P(s_t+1|s_t, a_t)                             (1)

Which of the next states are possible is a graph, so trajectories are counted without visiting
them.  From s, with N_T(s) = 1, and N_t(s) = 1 in a terminal state,

    N_t(s) = sum over a with pi(a|s) > 0 and s' with P(s'|s,a) > 0 of N_t+1(s')          (2)

Python's integers hold any such number, and a walk of 100 steps on the slippery lake has more
trajectories than a float has digits.

The gradient of J = sum_tau P(tau) R(tau), R = sum_t gamma^t r_t.  R is fixed once tau is, and
d P = P d log P.  The logarithm turns (1) into a sum in which start and P(s'|s,a) do not depend on
the policy, so that their derivative is 0 and the environment's dynamics vanish:

    grad J = sum_tau P(tau) ( sum_t grad log pi(a_t|s_t) ) R(tau)                        (3)

This is the expectation of which REINFORCE (formulas.policy_gradient) is an estimate.

Simulation inverts cumulative sums: for a uniform u in [0, 1), the least j with
p_0 + ... + p_j > u; if rounding leaves the last sum below u, the last j with p_j > 0.

Source: document 004, 1.4.1 (the probability of a trajectory) and 1.5.1 (its gradient).
Leaves out: estimates from samples (formulas.policy_gradient); checks, which rlscratch.mdp.process
        makes before it calls these functions.
"""
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from rlscratch.check import Array
from rlscratch.formulas.policy_gradient import score
from rlscratch.formulas.returns import discounted_return

Edges = list[list[list[tuple]]]


class Episodes(NamedTuple):
    """N episodes side by side; entries are 0 after an episode's end.

    states       (N, T)  s_t, integers
    actions      (N, T)  a_t, integers
    rewards      (N, T)  r_t
    next_states  (N, T)  s_t+1, which after a truncation is known from nowhere else
    mask         (N, T)  1 where an action was taken
    terminated   (N,)    True if the episode reached a terminal state, False if the horizon cut it off
    """

    states: Array
    actions: Array
    rewards: Array
    next_states: Array
    mask: Array
    terminated: Array


# ---------------------------------------------------------------- enumeration

def edges(transition: Array, reward: Array, terminal: Array, policy: Array) -> Edges:
    """What can follow: edges[t][s] lists (a, s', pi(a|s) P(s'|s,a), R(s,a,s')), nothing if s is terminal.

    transition, reward (S, A, S), terminal (S,), policy (T, S, A).
    """
    def of(pi: Array) -> list[list[tuple]]:
        probability = np.where(terminal[:, None, None], 0, pi[:, :, None] * transition)
        rows: list[list[tuple]] = [[] for _ in terminal]
        for s, a, after in np.argwhere(probability.real > 0).tolist():
            rows[s].append((a, after, probability[s, a, after].item(), reward[s, a, after].item()))
        return rows

    if (policy == policy[0]).all():
        return [of(policy[0])] * len(policy)
    return [of(pi) for pi in policy]


def count(edges: Edges, start: Array) -> int:
    """Equation (2): how many trajectories there are, an exact integer.

    edges  of T steps, from edges()     start  (S,)  distribution of s_0
    """
    ways = [1] * len(start)
    for rows in reversed(edges):
        ways = [sum(ways[after] for _, after, _, _ in row) if row else 1 for row in rows]
    return sum(ways[s] for s in np.flatnonzero(start))


def enumerate_paths(edges: Edges, start: Array) -> Iterator[tuple]:
    """Equation (1): (P(tau), states, actions, rewards) for every tau, depth first.

    Arguments as in count.  The stack holds the untaken turns of one trajectory, never more.
    """
    edges = [*edges, [[] for _ in start]]        # and then nothing
    for s in np.flatnonzero(start).tolist():
        stack: list[tuple] = [(start[s].item(), (s,), (), ())]
        while stack:
            p, states, actions, rewards = stack.pop()
            follow = edges[len(actions)][states[-1]]
            if not follow:
                yield p, states, actions, rewards
            for a, after, q, r in reversed(follow):
                stack.append((p * q, (*states, after), (*actions, a), (*rewards, r)))


def log_derivative_gradient(paths: Iterable[tuple], logits: Array, observation: Array, gamma: float) -> Array:
    """Equation (3) for pi = softmax(logits) of what is observed: (O, A).

    paths        (P(tau), states, actions, rewards), from enumerate_paths
    logits       (O, A)
    observation  (S,)  what the policy sees of each state
    gamma        in [0, 1]
    """
    rows, scores = observation.tolist(), {}
    grad = np.zeros_like(logits)
    for p, states, actions, rewards in paths:
        if not actions:
            continue            # an episode that starts in a terminal state: no reward, no score
        weight = p * discounted_return(rewards, gamma)
        for s, a in zip(states, actions, strict=False):     # the last state has no action
            if (key := (rows[s], a)) not in scores:
                scores[key] = score(logits[rows[s]], np.array(a))
            grad[rows[s]] += weight * scores[key]
    return grad


# ---------------------------------------------------------------- simulation

def successors(transition: Array) -> tuple[Array, Array]:
    """What can follow a move, K states at most: (S, A, K) in their order, and the sums of their probabilities.

    A state that cannot follow adds 0 to the sums, so they are those of all states, and K is far less than S.
    """
    most = int((transition > 0).sum(axis=-1).max())
    states = np.argsort(transition <= 0, axis=-1, kind="stable")[..., :most]
    return states, _cumulative(np.take_along_axis(transition, states, axis=-1))


def simulate(transition: Array, reward: Array, start: Array, terminal: Array, policy: Array, uniforms: Array,
             follow: tuple[Array, Array] | None = None) -> Episodes:
    """N episodes by inverse CDF: row n of `uniforms` (N, 1 + 2T) is s_0, a_0, s_1, a_1, ... of episode n.

    transition, reward (S, A, S), start, terminal (S,), policy (T, S, A); follow: successors(transition), if known.
    """
    n, horizon = len(uniforms), len(policy)
    empty = (np.zeros((n, horizon), dtype) for dtype in (int, int, float, int, float))
    result = Episodes._make([*empty, np.ones(n, bool)])
    states, cumulative = (x.reshape(-1, x.shape[-1]) for x in (successors(transition) if follow is None else follow))
    choices = _cumulative(policy[:1] if policy.strides[0] == 0 else policy)
    choices = np.broadcast_to(choices, policy.shape)            # one policy for all steps is added up once
    width, flat, actions = uniforms.shape[1], uniforms.ravel(), transition.shape[1]
    s, taken = _draw(_cumulative(start)[None], uniforms[:, 0]), []
    live = np.flatnonzero(~terminal[s])
    s = s[live]
    for t in range(horizon):
        if not live.size:
            break
        u = live * width + 1 + 2 * t
        a = _draw(choices[t].take(s, axis=0), flat.take(u))
        pair = s * actions + a                                  # the rows of states and cumulative
        after = states[pair, _draw(cumulative.take(pair, axis=0), flat.take(u + 1))]
        taken.append((live, s, a, after))
        on = ~terminal.take(after)
        live, s = live[on], after[on]
    if taken:
        row, s, a, after = map(np.concatenate, zip(*taken, strict=True))
        place = row * horizon + np.repeat(np.arange(len(taken)), [len(step[0]) for step in taken])
        for field, value in zip(result, (s, a, reward[s, a, after], after, 1), strict=False):
            field.ravel()[place] = value
    result.terminated[live] = False
    return result


def _cumulative(probs: Array) -> Array:
    """Sums along the last axis, infinite from the last possible entry on, so that every u is below one."""
    size = probs.shape[-1]
    last = size - 1 - np.argmax(probs[..., ::-1] > 0, axis=-1)
    return np.where(np.arange(size) < last[..., None], np.cumsum(probs, axis=-1), np.inf)


def _draw(cumulative: Array, u: Array) -> Array:
    """The first entry above u, in each row."""
    return (cumulative > u[:, None]).argmax(axis=1)
