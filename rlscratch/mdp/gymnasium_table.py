"""The table of a Gymnasium toy-text environment (FrozenLake, CliffWalking, Taxi) as tensors.

env.unwrapped.P[s][a] lists (probability, s', reward, done).  From the list to tensors:

    P(s'|s,a)   = sum of the probabilities of the entries with that s'                   (1)
    R(s,a,s')   = their mean reward, weighted by probability                             (2)
    terminal s' : some entry with probability > 0 arrives there with done                (3)

(2) keeps r(s,a), and with it every value, objective and gradient, but not the distribution of
one reward: at the start of the slippery cliff, staying at the wall (-1) and falling (-100) both
lead to s' = 36.  (3) holds whatever the table lets happen afterwards: Taxi's and the cliff's
tables give terminal states rows of their own, which step() never reads.  In Taxi, driving can
also enter such a state without done, but only from states in which the passenger waits where he
wants to go, and no episode visits those; their values are not those of the table.

Actions keep the environment's order: Left Down Right Up on the lake, Up Right Down Left on the
cliff, South North East West Pickup Dropoff in the taxi.  Rewards are the environment's too: for
FrozenLake, reward_schedule=(1, 0, 0) (goal, hole, ice), its default, is document 000's, and
(1, -1, 0) document 002's.  A time limit is no part of the table.

Source: gymnasium/envs/toy_text, Gymnasium 1.4; document 000; document 002, "PPO Steps".
Leaves out: Blackjack, which has no table, and Taxi's fickle_passenger, which is not in it.
"""
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.mdp.chains import reaching


def read(env: Any) -> dict[str, Array]:
    """transition (S, A, S), reward (S, A, S), start (S,), terminal (S,): the arguments of MDP.

    Raises TypeError for an environment without a table, ValueError if an episode could enter one
    state both with done and without, and for a fickle passenger.
    """
    env = getattr(env, "unwrapped", env)
    if not hasattr(env, "P") or not hasattr(env, "initial_state_distrib"):
        check.fail("env", env, "an environment with a table of transitions, env.unwrapped.P", TypeError)
    if getattr(env, "fickle_passenger", False):
        check.fail("env.unwrapped.fickle_passenger", True, "False: the change of mind is not in env.unwrapped.P")
    transition, paid, done, goes_on = np.zeros((4, len(env.P), len(env.P[0]), len(env.P)))
    for s, row in env.P.items():
        for a, entries in row.items():
            for probability, after, reward, ends in entries:
                transition[s, a, after] += probability
                paid[s, a, after] += probability * reward
                (done if ends else goes_on)[s, a, after] += probability
    start, terminal = np.array(env.initial_state_distrib), np.any(done > 0, axis=(0, 1))
    _one_ending(env.P, goes_on > 0, start, terminal)
    reward = np.divide(paid, transition, out=paid, where=transition > 0)
    return dict(transition=transition, reward=reward, start=start, terminal=terminal)


def _one_ending(table: dict, goes_on: Array, start: Array, terminal: Array) -> None:
    """Refuse a table in which an episode can enter a terminal state and go on."""
    step = goes_on.any(axis=1) & ~terminal[:, None]
    visited = reaching(step.T, start > 0) & ~terminal
    for s, a, after in np.argwhere(goes_on & visited[:, None, None] & terminal)[:1].tolist():
        check.fail(f"env.unwrapped.P[{s}][{a}]", table[s][a], f"done whenever state {after} is entered, as elsewhere")
