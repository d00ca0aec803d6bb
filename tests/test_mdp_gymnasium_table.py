"""Gymnasium's tables as tensors: FrozenLake, CliffWalking, Taxi, against value iteration on the table itself.

By hand: from the lake's corner, Left slips to Up, Left or Down: 2/3 stay, 1/3 to state 4.  At the start of
the slippery cliff, Up goes left (stays, -1), up (-1) or right (falls, back to the start, -100).
Walking along the cliff takes 13 steps: -13.
"""
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.mdp import MDP
from rlscratch.mdp.chains import reaching

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())


def table_values(env, gamma, sweeps):
    """max_a sum p (r + gamma v(s') unless done), straight from the list of entries."""
    flat = np.array([(s, a, *entry) for s, row in env.unwrapped.P.items() for a, entries in row.items()
                     for entry in entries], dtype=float)
    s, a, after = flat[:, [0, 1, 3]].astype(int).T
    p, r, done = flat[:, [2, 4, 5]].T
    v = np.zeros(s.max() + 1)
    for _ in range(sweeps):
        q = np.zeros((s.max() + 1, a.max() + 1))
        np.add.at(q, (s, a), p * (r + gamma * (1 - done) * v[after]))
        v = q.max(axis=1)
    return q


def visited(mdp):
    step = (mdp.transition > 0).any(axis=1) & ~mdp.terminal[:, None]
    return reaching(step.T, mdp.start > 0) & ~mdp.terminal


@pytest.mark.parametrize("name, arguments", [
    ("FrozenLake-v1", dict(is_slippery=False)),
    ("FrozenLake-v1", dict(is_slippery=True)),
    ("FrozenLake-v1", dict(is_slippery=True, success_rate=1.0)),
    ("FrozenLake-v1", dict(map_name="8x8", reward_schedule=(5, -1, -.125))),
    ("CliffWalking-v1", {}),
    ("CliffWalkingSlippery-v1", {}),
    ("Taxi-v4", {}),
    ("Taxi-v4", dict(is_rainy=True)),
])
def test_the_tensors_have_the_values_of_the_table_wherever_an_episode_can_be(name, arguments):
    env = gymnasium.make(name, **arguments)
    mdp = MDP.from_gymnasium(env, gamma=.9)
    seen = visited(mdp)
    assert seen.any() and mdp.terminal.any() and mdp.gamma == .9
    assert_allclose(mdp.solve()[0][seen], table_values(env, .9, 400)[seen], rtol=1e-12, atol=1e-12)
    assert_array_equal(mdp.start, env.unwrapped.initial_state_distrib)


def test_duplicate_entries_are_summed():
    mdp = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))
    assert_allclose(mdp.transition[0, 0, [0, 4]], [2 / 3, 1 / 3], rtol=1e-15)
    assert mdp.gamma == .99


def test_one_next_state_with_two_rewards_pays_their_mean():
    mdp = MDP.from_gymnasium(gymnasium.make("CliffWalkingSlippery-v1"))
    assert_allclose(mdp.reward[36, 0, [36, 24]], [-101 / 2, -1], rtol=1e-15)
    assert_allclose((mdp.transition * mdp.reward).sum(axis=2)[36, 0], -102 / 3, rtol=1e-15)


def test_the_walk_along_the_cliff_costs_thirteen():
    mdp = MDP.from_gymnasium(gymnasium.make("CliffWalking-v1"), gamma=1.0)
    assert mdp.solve()[1][36] == -13
    assert_array_equal(np.flatnonzero(mdp.terminal), [47])


def test_the_taxi_ends_where_the_passenger_gets_off():
    env = gymnasium.make("Taxi-v4")
    mdp = MDP.from_gymnasium(env, gamma=1.0)
    ends = {env.unwrapped.encode(*at, i, i) for i, at in enumerate(env.unwrapped.locs)}
    assert set(np.flatnonzero(mdp.terminal).tolist()) == ends
    assert mdp.solve()[1][env.unwrapped.encode(0, 0, 0, 1)] == -1 + 20 - 8   # pick up, 8 moves, put down


def test_an_environment_without_a_table_is_named():
    with pytest.raises(TypeError, match=r"env is .*Blackjack.*; expected an environment with a table of transitions"):
        MDP.from_gymnasium(gymnasium.make("Blackjack-v1"))
    with pytest.raises(TypeError, match="env is 'FrozenLake-v1'; expected an environment with a table"):
        MDP.from_gymnasium("FrozenLake-v1")


def test_a_passenger_who_changes_his_mind_is_not_in_the_table():
    with pytest.raises(ValueError, match=r"env.unwrapped.fickle_passenger is True; expected False"):
        MDP.from_gymnasium(gymnasium.make("Taxi-v4", fickle_passenger=True))


def both_ways(start):
    """1 is entered with done from 0 and without from 2; from 3 one gets to 2."""
    table = {0: {0: [(1.0, 1, 5.0, True)]}, 1: {0: [(1.0, 2, 7.0, False)]}, 2: {0: [(1.0, 1, 3.0, False)]},
             3: {0: [(.5, 3, 0.0, False), (.5, 2, 0.0, False)]}}
    return SimpleNamespace(P=table, initial_state_distrib=np.eye(4)[start])


def test_a_state_entered_with_and_without_done_is_refused_only_if_an_episode_can_do_both():
    for start in (2, 3):
        with pytest.raises(ValueError, match=r"env.unwrapped.P\[2\]\[0\] is .*; expected done whenever state 1 is"):
            MDP.from_gymnasium(both_ways(start))
    for start in (0, 1):
        mdp = MDP.from_gymnasium(both_ways(start))
        assert_array_equal(mdp.terminal, [False, True, False, False])
        assert_array_equal(mdp.solve()[1][:3], [5, 0, 3])


def test_a_table_that_does_not_add_to_one_is_named():
    broken = SimpleNamespace(P={0: {0: [(.5, 0, 0.0, False)]}}, initial_state_distrib=np.ones(1))
    with pytest.raises(ValueError, match=r"the sum of transition\[0, 0\] is 0.5; expected 1"):
        MDP.from_gymnasium(broken)
