"""The best policy that may not look at the clock, over a finite horizon: branch and bound.

With T steps to go the best action depends on T, and MDP.solve(T) finds it.  A policy that is
trained is stationary: one action for each observation o(s), at all times.  Value iteration does
not find the best of those, but it bounds it: who may use the time, and may see the state, does
at least as well.  Let q_t, v_t = max_a q_t be that bound's values.  Then for a fixed
policy pi with value J, and p_t its own state distribution,

    v_0 - J = sum_t gamma^t sum_s p_t(s) ( v_t(s) - q_t(s, pi(s)) )                      (1)

(add and subtract gamma v_t+1(s_t+1) along pi's path: the sum telescopes).  Each bracket is
>= 0, so the gap is a sum of losses, one for each observation:

    loss(o) = sum_t gamma^t sum_{s: o(s) = o} p_t(s) ( v_t(s) - q_t(s, pi(o)) )          (2)

Branch on the observation with the largest loss, once for each action: in a branch that action is
all there is at o, so there the loss is 0 and the bound is lower.  A branch whose bound does not
beat the best policy found needs no search, and one whose pi reaches its bound is done.  At the
latest that is when all observations are fixed; so the search ends, and its result is exact.

It is exact among the deterministic policies.  Over a finite horizon a stationary policy that
mixes may be better.  On the slippery 4x4 lake, where a goal within 100 steps has probability .7402
(with the time .7442, without a limit .8235), no small admixture of any action gains anything, and
gradient ascent over mixed policies, from twelve random starts, ended there or lower.

Source: Puterman 1994, chapter 4 (finite horizon); Kakade, Langford 2002, lemma 6.1 (1).
Leaves out: mixed policies, the unlimited horizon (MDP.solve; with observations, train.tabular).
"""
from dataclasses import replace

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.mdp.process import MDP

SAME = 1e-12  # two values this close, in units of the largest, are rounding apart


def best_stationary(mdp: MDP, horizon: int) -> tuple[Array, float]:
    """The best deterministic stationary policy (O, A), as rows of 0 and 1, and its J from the start.

    mdp      rewards, gamma and start define J = mdp.discounted_return(policy, horizon)
    horizon  T >= 1

    Staying in room 1 pays 1, leaving it pays 2.  Two steps: whoever knows the time stays, then leaves.
    Without a clock either habit earns 2 (and a coin toss 2 1/4: a mixed policy may be better).

    >>> rooms = MDP([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], [[0, 0], [1, 2]], 1.0, start=1)
    >>> rooms.solve(horizon=2)[1][0].tolist(), best_stationary(rooms, 2)[1]
    ([2.0, 3.0], 2.0)
    >>> rooms.discounted_return([[0, 1], [1/2, 1/2]], 2)
    2.25
    """
    check.integer(1, horizon=horizon)
    best, best_j = np.empty(0), -np.inf
    branches: list[tuple[MDP, dict[int, int]]] = [(mdp, {})]      # each with the actions that it has fixed
    while branches:
        branch, fixed = branches.pop()
        q, v = branch.solve(horizon)
        bound, slack = mdp.start @ v[0], SAME * np.abs(q).max()
        if bound <= best_j + slack:
            continue
        action = _most_taken(branch, q)
        policy = np.eye(q.shape[2])[action]
        j = branch.discounted_return(policy, horizon)
        if j > best_j:
            best, best_j = np.eye(q.shape[2])[[fixed.get(o, a) for o, a in enumerate(action)]], j
        if j < bound - slack:
            o = int(_losses(branch, q, policy).argmax())
            likely_last = sorted(range(q.shape[2]), key=lambda a: a == action[o])
            branches += [(_with_action(branch, o, a), {**fixed, o: a}) for a in likely_last]
    return best, best_j


def _most_taken(mdp: MDP, q: Array) -> Array:
    """(O,): the action on which the policy that follows q through time spends most visits."""
    follows = np.eye(q.shape[2])[q.argmax(axis=2)]
    visits = replace(mdp, observation=np.arange(len(mdp.start))).marginals(follows, len(q)).sum(axis=0)
    return _per_observation(mdp, visits).argmax(axis=1)


def _losses(mdp: MDP, q: Array, policy: Array) -> Array:
    """Equation (2), (O,)."""
    p = mdp.gamma ** np.arange(len(q))[:, None, None] * mdp.marginals(policy, len(q))
    return _per_observation(mdp, (p * (q.max(axis=2, keepdims=True) - q)).sum(axis=(0, 2)))


def _per_observation(mdp: MDP, values: Array) -> Array:
    """Sums over the states of each observation: (S, ...) -> (O, ...)."""
    return np.eye(mdp.observation.max() + 1)[:, mdp.observation] @ values


def _with_action(mdp: MDP, o: int, a: int) -> MDP:
    """The MDP in which every action does what `a` does wherever o is seen."""
    here = (mdp.observation == o)[:, None, None]
    return replace(mdp, transition=np.where(here, mdp.transition[:, [a]], mdp.transition),
                   reward=np.where(here, mdp.reward[:, [a]], mdp.reward))
