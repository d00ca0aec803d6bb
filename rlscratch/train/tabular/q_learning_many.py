"""Q-learning on the tensors of an MDP: N independent runs side by side, one step of each at a time.

The same learner as in q_learning, for claims about many seeds.  An environment makes one step a
call; here one NumPy call makes the same part of a step for all runs.  That costs little more than
for one run while N is small, and is what makes it fast (benchmarks/q_learning.py).

Run i has table q[i], its own state and its own count of visits; the generator is shared, so run i
is a function of the seed and of N.

Leaves out: resuming, for a thousand runs take seconds.
"""
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rlscratch import check, kernels
from rlscratch.check import Array
from rlscratch.formulas import td
from rlscratch.mdp import MDP
from rlscratch.train.tabular.q_learning import Transition


class Moves(NamedTuple):
    """The tensors by what can happen: K is the most next states that any move has.

    probs       (S A, K)  their probabilities, the likeliest first
    s_next      (S A K,)  the states
    reward      (S A K,)  what arriving there pays
    terminated  (S A K,)  whether it ends the episode
    discount    (S A K,)  gamma, or 0 where it does
    """

    probs: Array
    s_next: Array
    reward: Array
    terminated: Array
    discount: Array


def moves(mdp: MDP) -> Moves:
    """The moves of an MDP.  Flat arrays, because take() on one index is several times faster than on three."""
    most = int((mdp.transition > 0).sum(axis=-1).max())
    s_next = np.argsort(-mdp.transition, axis=-1, kind="stable")[..., :most]
    probs, reward = (np.take_along_axis(x, s_next, axis=-1) for x in (mdp.transition, mdp.reward))
    ends = mdp.terminal[s_next]
    return Moves(probs.reshape(-1, most), s_next.ravel(), reward.ravel(), ends.ravel(),
                 np.where(ends, 0.0, mdp.gamma).ravel())


def learn_many(mdp: MDP, q: Array, *, horizon: int, alpha: Callable, epsilon: Callable, ties: str = "share",
               rng: np.random.Generator) -> Iterator[Transition]:
    """N independent runs side by side, one step of each at a time; arguments as in learn, and

    mdp      its gamma is the discount
    q        (N, S, A)  float64, one table a run, changed in place
    horizon  steps after which an episode is cut off

    Equation (5) of formulas.td over N entries at once: q_target gives the targets, and the share of the
    way to them is written out here, for q_learning_update takes one entry of one table.
    """
    states, actions, _ = mdp.transition.shape
    n, happens = len(q), moves(mdp)
    if q.shape != (n, states, actions) or q.dtype != np.float64 or not q.flags.c_contiguous:
        check.fail("q", (q.shape, str(q.dtype)),
                   f"a contiguous float64 array {(n, states, actions)}, to change in place")
    horizon, rng = check.integer(1, horizon=horizon), check.generator(rng=rng)
    rows, entries, visits = q.reshape(-1, actions), q.reshape(-1), np.zeros(q.size, int)    # two views of q
    first, clock, step = np.arange(n) * states, np.zeros(n, int), 0
    start = mdp.start[None].repeat(n, axis=0)
    s = kernels.draw(start, rng.random(n))
    while True:
        u = rng.random((2, n))
        a = kernels.draw(td.epsilon_greedy(rows.take(first + s, axis=0), epsilon(step), ties=ties), u[0])
        move = s * actions + a
        event = move * happens.probs.shape[1] + kernels.draw(happens.probs.take(move, axis=0), u[1])
        reward, s_next, terminated = (x.take(event) for x in (happens.reward, happens.s_next, happens.terminated))
        target = td.q_target(reward, rows.take(first + s_next, axis=0), happens.discount.take(event))
        at = first * actions + move
        visits[at] += 1
        old = entries.take(at)
        entries[at] = old + alpha(visits.take(at)) * (target - old)
        step, clock = step + 1, clock + 1
        yield Transition(s, a, reward, s_next, terminated)
        ended = (terminated | (clock == horizon)).nonzero()[0]
        s, clock[ended] = s_next.copy(), 0
        if ended.size:
            s[ended] = kernels.draw(start[: ended.size], rng.random(ended.size))
