"""A policy turns a decision process into a Markov chain: where it is, what it is worth, where it settles.

r(s,a) is the mean reward of a step, P_pi(s,s') = sum_a pi(a|s) P(s'|s,a), r_pi(s) = sum_a pi(a|s) r(s,a).
Time starts at 0.  Nothing follows a terminal state.

Where it is.  From p_0 = start, while the episode runs,

    p_t(s,a) = p_t(s) pi(a|s),       p_t+1(s') = sum_sa p_t(s,a) P(s'|s,a)               (1)

and with x' for the transpose of x, terminal states left out,

    d(s) = sum_t gamma^t p_t(s)
         = start + gamma P_pi' (sum_t gamma^t p_t)      so  (1 - gamma P_pi)' d = start   (2)

What it is worth.  Take the first step out of the sum of rewards:

    q(s,a) = r(s,a) + gamma sum_s' P(s'|s,a) v(s')                                       (3)
    v(s)   = sum_a pi(a|s) q(s,a),                      so  (1 - gamma P_pi) v = r_pi    (4)

The same matrix: start.v = d.r_pi, whichever end one begins at.  For gamma < 1 it has an
inverse, the sum of (gamma P_pi)^t.  At gamma = 1 it has one iff every state reaches a terminal
one; else some set of states is never left, its rows of P_pi add to 1, and 1 - P_pi maps the
vector that is 1 on that set to 0 there.  With T steps to go, (3) and (4) run back from v_T = 0.

The best takes the best action wherever it is: v(s) = max_a q(s,a) with (3).                (5)
With T steps to go that is again a recursion from v_T = 0.  Without a limit it is value iteration:
from v = 0, sweep until nothing changes; what there is then is the best of any longer horizon
too.  When to stop?  Let the last sweep, from u to v, have changed no entry by more than e, and
let v* be the fixed point.  Two maxima differ by no more than one of the two best actions makes
them differ, so for some policy |v* - v| <= gamma P_pi |v* - u| <= gamma P_pi (|v* - v| + e).
Put that into itself, with x_k the probability that the episode still runs after k steps:

    |v* - v| <= e (gamma x_1 + gamma^2 x_2 + ...) <= e gamma / (1 - gamma)               (6)

The loop ends at e = 0: in floats, when (6) is down to rounding.  Rounding could also keep the last
bits moving for good; but a sweep shrinks e by gamma, from at most the largest reward, so after
log(ulp^2) / log(gamma) sweeps, about 72 / (1 - gamma), nothing else is left, and the loop ends
there.  At gamma = 1, (6) is e times the expected number of steps, and nothing bounds the number
of sweeps: if going on for ever pays ever more, the values do not settle.

Where it settles.  A stationary distribution has mu P_pi = mu and sum mu = 1.  There is exactly
one iff there is one closed set of states (never left, and connected).  A state that every state
reaches lies in every closed set, so these states are that set, or, if there are two, none.  On it

    mu (1 - P_pi + E) = (1, ..., 1),     E all ones, as mu E = (1, ..., 1)               (7)

and only mu solves this: times the vector of ones, (7) says K sum mu = K for K states, which
leaves mu (1 - P_pi) = 0.  A periodic chain has mu too, as its average over time.

Source: document 004, 1.4.1 and 1.4.2; Puterman 1994, chapters 4 to 7 and appendix A;
        Paige, Styan, Wachter 1975 (7).
Leaves out: checks, which rlscratch.mdp.process makes before it calls these functions.
"""
import math

import numpy as np

from rlscratch.check import Array

ULP = np.finfo(np.float64).eps
SWEEPS = 10**5  # of value iteration at gamma = 1


def chain(transition: Array, policy: Array) -> Array:
    """P_pi, (S, S), of a transition (S, A, S) and a policy (S, A)."""
    return np.einsum("sa,sap->sp", policy, transition)


def marginals(transition: Array, start: Array, terminal: Array, policy: Array) -> Array:
    """Equation (1): p_t(s,a), (T, S, A).

    transition  (S, A, S)    start  (S,)    terminal  (S,) booleans    policy  (T, S, A)
    """
    result, p = np.zeros_like(policy), start
    for t, pi in enumerate(policy):
        result[t] = (p * ~terminal)[:, None] * pi
        p = np.einsum("sa,sap->p", result[t], transition)
    return result


def occupancy(step: Array, start: Array, gamma: float, terminal: Array) -> Array:
    """Equation (2): d(s), (S,), 0 in terminal states.  Arguments as in values; start (S,)."""
    live, result = ~terminal, np.zeros(len(step), dtype=step.dtype)
    result[live] = np.linalg.solve(_system(step, gamma, live).T, start[live])
    return result


def values(step: Array, reward: Array, gamma: float, terminal: Array) -> Array:
    """Equation (4): v(s), (S,), 0 in terminal states.

    step      (S, S)  P_pi
    reward    (S,)    r_pi
    gamma     in [0, 1]; at 1 every state must reach a terminal one
    terminal  (S,)    booleans

    A reward of 1 for each step of an episode that goes on with probability 3/4:

    >>> values(np.array([[.75, .25], [0., 1.]]), np.array([1., 0.]), 1.0, np.array([False, True])).tolist()
    [4.0, 0.0]
    """
    live, result = ~terminal, np.zeros(len(step), dtype=step.dtype)
    result[live] = np.linalg.solve(_system(step, gamma, live), reward[live])
    return result


def _system(step: Array, gamma: float, live: Array) -> Array:
    return np.eye(live.sum()) - gamma * step[np.ix_(live, live)]


def backward(transition: Array, reward: Array, gamma: float, horizon: int, policy: Array | None) -> Array:
    """Equations (3) and (4) from the end of T steps: q_t(s,a), (T, S, A).

    transition  (S, A, S), terminal states absorbing    reward  (S, A), 0 in terminal states
    policy      (T, S, A), or None for the best action at each step
    """
    q = np.empty((horizon, *reward.shape), dtype=reward.dtype if policy is None else policy.dtype)
    v = np.zeros(len(reward))
    for t in reversed(range(horizon)):
        q[t] = reward + gamma * (transition @ v)
        v = q[t].max(axis=1) if policy is None else (policy[t] * q[t]).sum(axis=1)
    return q


def optimum(transition: Array, reward: Array, gamma: float) -> tuple[Array, Array]:
    """Equation (5) by value iteration, stopped by (6): q(s,a), (S, A), and which states had not settled, (S,).

    Arguments as in backward.  Below gamma = 1 every state settles.
    """
    sweeps = SWEEPS if gamma == 1 else 2 if gamma == 0 else 2 + int(2 * math.log(ULP) / math.log(gamma))
    v = np.zeros(len(reward))
    for _ in range(sweeps):
        q, before = reward + gamma * (transition @ v), v
        v = q.max(axis=1)
        if (v == before).all():
            break
    return q, (np.abs(v - before) > 4 * ULP * np.abs(v).max()) & (gamma == 1)


def stationary(step: Array) -> Array | None:
    """Equation (7): mu, (S,), of P_pi (S, S); None if there are several closed sets.

    >>> stationary(np.array([[.5, .5], [1., 0.]])).round(6).tolist()
    [0.666667, 0.333333]
    """
    at = np.flatnonzero(reaching(step.real > 0, np.eye(len(step), dtype=bool)).all(axis=0))
    if at.size == 0:
        return None
    mu = np.zeros(len(step), dtype=step.dtype)
    mu[at] = np.linalg.solve((np.eye(len(at)) - step[np.ix_(at, at)] + 1).T, np.ones(len(at)))
    return mu


def closed_sets(step: Array) -> list[list[int]]:
    """The sets of states that P_pi (S, S) never leaves and connects.

    >>> closed_sets(np.array([[1., 0., 0.], [.5, 0., .5], [0., 0., 1.]]))
    [[0], [2]]
    """
    reach = reaching(step.real > 0, np.eye(len(step), dtype=bool))
    sets = {tuple(np.flatnonzero(after).tolist()) for s, after in enumerate(reach) if reach[after, s].all()}
    return [list(states) for states in sorted(sets)]


def reaching(edge: Array, target: Array) -> Array:
    """Which states have a path, perhaps of no step, to a target state; booleans in the shape of target.

    edge    (S, S)  booleans, edge[s, s'] if s' can follow s
    target  (S,) booleans, or (S, K) for K targets at once

    >>> reaching(np.array([[False, True], [False, False]]), np.array([False, True])).tolist()
    [True, True]
    """
    step = edge.astype(np.float32)      # matrix products of booleans do not reach BLAS
    while True:
        grown = target | (step @ target.astype(np.float32) > 0)
        if (grown == target).all():
            return target
        target = grown
