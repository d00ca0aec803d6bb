"""The best policy without a clock: exhaustive on small problems, and the slippery lake's .7402.

The slippery 4x4 lake, probability of the goal within 100 steps: .7402 for the best deterministic policy that
ignores the time, .7442 for the best that does not; branch and bound needs a handful of nodes.  No mixture of it
with any action is better to first order.
"""
import itertools
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from derivatives import complex_step
from rlscratch.mdp import MDP, best_stationary
from strategies import mdps

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())


def deterministic(mdp):
    actions = range(mdp.transition.shape[1])
    for choice in itertools.product(actions, repeat=int(mdp.observation.max()) + 1):
        yield np.eye(len(actions))[list(choice)]


@given(st.data(), st.integers(1, 4), st.booleans())
def test_no_deterministic_policy_is_better_which_enumeration_of_all_shows(data, horizon, blind):
    mdp = data.draw(mdps(ending=True, max_actions=3))
    if blind:
        mdp = replace(mdp, observation=np.minimum(np.arange(len(mdp.start)), 1))
    policy, j = best_stationary(mdp, horizon)
    assert_allclose(mdp.discounted_return(policy, horizon), j, rtol=1e-12, atol=1e-12)
    assert_allclose(j, max(mdp.discounted_return(p, horizon) for p in deterministic(mdp)), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("seed", [39, 50, 69, 74, 76, 111])
def test_the_search_goes_on_where_the_most_frequent_actions_are_not_the_best(seed):
    rng = np.random.default_rng(seed)       # these seeds need a branch; most random problems are solved at the root
    odds = rng.integers(0, 4, (4, 3, 4)).astype(float)
    odds[..., -1] += odds.sum(axis=-1) == 0
    mdp = MDP(odds / odds.sum(axis=-1, keepdims=True), rng.integers(-8, 9, (4, 3, 4)) / 8, 1.0, start=0)
    time = mdp.solve(4)[0].argmax(axis=2)
    frequent = mdp.marginals(np.eye(3)[time], 4).sum(axis=0).argmax(axis=1)
    policy, j = best_stationary(mdp, 4)
    assert j > mdp.discounted_return(np.eye(3)[frequent], 4) + .005
    assert_allclose(j, max(mdp.discounted_return(p, 4) for p in deterministic(mdp)), rtol=1e-13)
    assert_allclose(mdp.discounted_return(policy, 4), j, rtol=1e-13)


def test_the_slippery_lake_s_best_stationary_policy_wins_7402_of_the_time_in_100_steps():
    lake = MDP.from_gymnasium(gymnasium.make("FrozenLake-v1"), gamma=1.0)
    policy, j = best_stationary(lake, 100)
    assert round(j, 4) == .7402
    assert_allclose(lake.discounted_return(policy, 100), j, rtol=1e-13)
    assert j < lake.solve(horizon=100)[1][0, 0]
    slopes = complex_step(lambda x: lake.discounted_return(
        (1 - x.sum(axis=1, keepdims=True)) * policy + x, 100), np.zeros((16, 4)))
    assert slopes.max() <= 1e-12 and slopes.min() < -.1


def test_a_mixed_policy_may_be_better_than_every_deterministic_one():
    rooms = MDP([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], [[0, 0], [1, 2]], 1.0, start=1)
    assert best_stationary(rooms, 2)[1] == 2
    assert rooms.discounted_return([[0, 1], [.5, .5]], 2) == 2.25
    assert rooms.solve(2)[1][0, 1] == 3


def test_one_action_leaves_nothing_to_search():
    policy, j = best_stationary(MDP([[[.5, .5]], [[0, 1]]], [-1, 0], .5, start=0, terminal=[0, 1]), 2)
    assert policy.tolist() == [[1], [1]] and j == -1.25


@pytest.mark.parametrize("horizon, error", [(0, ValueError), (None, TypeError), (2.5, TypeError)])
def test_a_bad_horizon_is_named(horizon, error):
    with pytest.raises(error, match=rf"horizon is {horizon}; expected an integer >= 1"):
        best_stationary(MDP([[[1.0]]], [0], .5, start=0), horizon)
