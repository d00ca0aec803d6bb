"""P(tau) = start(s_0) prod pi(a_t|s_t) P(s_t+1|s_t, a_t): enumeration, counting, simulation (document 004, 1.4.1).

By hand: from state 0 two actions are even odds; one ends the episode and pays 1, the other stays with
probability 3/4.  Two steps: 0-a-end 1/2, 0-b-end 1/8, then from 0 (3/8) again 3/16, 3/64 and 9/64 at the limit.

The slippery lake under the uniform policy has 940903 trajectories of up to 6 steps and 3.8 * 10^96
of up to 100, counted without visiting them.
"""
import itertools
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.mdp import MDP, trajectories
from strategies import mdps, policies_of

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

COIN = MDP([[[0, 1], [.75, .25]], [[0, 1], [0, 1]]], [[1, 0], [0, 0]], .5, start=0, terminal=[0, 1])
EVEN = np.full((2, 2), .5)


def lake():
    return MDP.from_gymnasium(gymnasium.make("FrozenLake-v1"))


def test_the_coin_s_trajectories_by_hand():
    assert list(COIN.trajectories(EVEN, 2)) == [
        (.5, (0, 1), (0,), (1.0,)),
        (3 / 16, (0, 0, 1), (1, 0), (0.0, 1.0)),
        (9 / 64, (0, 0, 0), (1, 1), (0.0, 0.0)),
        (3 / 64, (0, 0, 1), (1, 1), (0.0, 0.0)),
        (1 / 8, (0, 1), (1,), (0.0,)),
    ]


@given(st.data(), st.integers(1, 3))
def test_trajectories_are_all_different_possible_and_add_to_one(data, horizon):
    mdp = data.draw(mdps())
    policy = data.draw(st.one_of(policies_of(mdp), policies_of(mdp, horizon)))
    pi = np.broadcast_to(policy, (horizon, *policy.shape[-2:]))
    paths = list(mdp.trajectories(policy, horizon))
    assert len({(states, actions) for _, states, actions, _ in paths}) == len(paths)
    assert_allclose(sum(p for p, *_ in paths), 1, rtol=1e-12)
    for p, states, actions, rewards in paths:
        expected = mdp.start[states[0]]
        for t, (s, a, after) in enumerate(zip(states, actions, states[1:], strict=False)):
            expected *= pi[t, s, a] * mdp.transition[s, a, after]
            assert rewards[t] == mdp.reward[s, a, after]
        assert p > 0
        assert_allclose(p, expected, rtol=1e-14)
        assert len(states) == len(actions) + 1 == len(rewards) + 1
        assert mdp.terminal[states[-1]] or len(actions) == horizon
        assert not mdp.terminal[list(states[:-1])].any()


@given(st.data(), st.integers(1, 3))
def test_the_count_is_the_number_of_trajectories(data, horizon):
    mdp = data.draw(mdps())
    policy = data.draw(st.one_of(policies_of(mdp), policies_of(mdp, horizon)))
    paths = list(mdp.trajectories(policy, horizon))
    assert len(list(mdp.trajectories(policy, horizon, limit=len(paths)))) == len(paths)
    if len(paths) > 1:
        with pytest.raises(ValueError, match=rf"it has {len(paths)} trajectories, and limit is {len(paths) - 1}"):
            mdp.trajectories(policy, horizon, limit=len(paths) - 1)


def test_too_many_trajectories_are_an_error_at_the_call_that_says_exactly_how_many():
    uniform = np.full((16, 4), .25)
    with pytest.raises(ValueError, match=r"horizon is 7; expected a shorter one: it has 8827417 trajectories, and "
                                         "limit is 1000000"):
        lake().trajectories(uniform, 7, limit=10**6)
    with pytest.raises(ValueError, match=r"horizon is 100; .* it has 3836660131690\d{84} trajectories"):
        lake().trajectories(uniform, 100)


def test_a_start_in_a_terminal_state_is_a_trajectory_without_a_step():
    over = MDP([[[0, 1]], [[0, 1]]], [1, 0], .5, start=[.25, .75], terminal=[0, 1])
    assert list(over.trajectories(np.ones((2, 1)), 3)) == [(.25, (0, 1), (0,), (1.0,)), (.75, (1,), (), ())]
    assert_array_equal(over.log_derivative_gradient(np.zeros((2, 1)), 3), 0)


def test_trajectories_come_one_by_one():
    paths = lake().trajectories(np.full((16, 4), .25), 6)
    first, second = next(paths), next(paths)
    assert first != second and iter(paths) is paths


@pytest.mark.parametrize("limit, error", [(0, ValueError), (1e7, TypeError)])
def test_a_bad_limit_is_named(limit, error):
    with pytest.raises(error, match=rf"limit is {limit}; expected an integer >= 1"):
        COIN.trajectories(EVEN, 2, limit=limit)


# ---------------------------------------------------------------- simulation

def simulated(mdp, policy, uniforms):
    horizon = uniforms.shape[1] // 2
    return trajectories.simulate(mdp.transition, mdp.reward, mdp.start, mdp.terminal,
                                 np.broadcast_to(policy, (horizon, *policy.shape)), uniforms)


def test_every_uniform_of_a_grid_once_gives_every_trajectory_its_exact_share():
    grid = (np.arange(4) + .5) / 4
    uniforms = np.array(list(itertools.product([.5], grid, grid, grid, grid)))
    episodes = simulated(COIN, EVEN, uniforms)
    share = {}
    for n in range(len(uniforms)):
        steps = int(episodes.mask[n].sum())
        path = ((*episodes.states[n, :steps].tolist(), int(episodes.next_states[n, steps - 1])),
                tuple(episodes.actions[n, :steps].tolist()), tuple(episodes.rewards[n, :steps].tolist()))
        share[path] = share.get(path, 0) + 1 / len(uniforms)
    assert share == {tuple(path): p for p, *path in COIN.trajectories(EVEN, 2)}


def test_after_the_end_an_episode_is_zeros_and_only_the_cut_off_ones_have_not_terminated():
    uniforms = np.array([[0, .9, .1, .1, 0, 0, 0], [0, .9, .1, .9, .1, .9, .1], [0, .1, .9, 0, 0, 0, 0]])
    episodes = simulated(COIN, EVEN, uniforms)
    assert_array_equal(episodes.mask, [[1, 1, 0], [1, 1, 1], [1, 0, 0]])
    assert_array_equal(episodes.actions, [[1, 0, 0], [1, 1, 1], [0, 0, 0]])
    assert_array_equal(episodes.next_states, [[0, 1, 0], [0, 0, 0], [1, 0, 0]])
    assert_array_equal(episodes.rewards, [[0, 1, 0], [0, 0, 0], [1, 0, 0]])
    assert_array_equal(episodes.terminated, [True, False, True])


def test_a_uniform_on_a_boundary_draws_the_entry_above_it_and_never_one_of_probability_zero():
    sides = MDP([[[0, .5, 0, .5, 0]]] * 5, [0] * 5, .5, start=[0, .5, 0, .5, 0])
    below_one = np.nextafter(1, 0)
    for u, state in [(0, 1), (np.nextafter(.5, 0), 1), (.5, 3), (below_one, 3)]:
        episode = simulated(sides, np.ones((5, 1)), np.array([[u, 0, u]]))
        assert episode.states[0, 0] == episode.next_states[0, 0] == state


def test_a_row_whose_sums_round_below_one_still_draws_its_last_possible_entry():
    tenths = np.array([.1] * 10 + [0])
    assert np.cumsum(tenths)[-1] < 1
    row = MDP(np.tile(tenths, (11, 1, 1)), np.zeros(11), .5, start=tenths)
    episode = simulated(row, np.ones((11, 1)), np.full((1, 3), np.nextafter(1, 0)))
    assert episode.states[0, 0] == episode.next_states[0, 0] == 9


def test_a_seed_is_an_episode_and_more_episodes_leave_the_first_ones_alone():
    policy = np.full((16, 4), .25)
    few, again, many = (lake().simulate(policy, n, 20, np.random.default_rng(7)) for n in (5, 5, 50))
    for a, b, c in zip(few, again, many, strict=True):
        assert_array_equal(a, b)
        assert_array_equal(a, c[:5])
    assert [a.shape for a in few] == [(5, 20)] * 5 + [(5,)]


def test_an_episode_is_made_of_one_row_of_uniforms_from_the_generator():
    uniforms = np.random.default_rng(3).random((6, 9))
    for a, b in zip(COIN.simulate(EVEN, 6, 4, np.random.default_rng(3)), simulated(COIN, EVEN, uniforms), strict=True):
        assert_array_equal(a, b)


def test_a_state_follows_where_the_sum_over_all_states_passes_the_uniform():
    """(2), by hand: of .2, 0, 1e-10, .8 - 1e-10 the sums are .2, .2, .2 + 1e-10, 1, whatever follows other moves."""
    rare = 1e-10
    mdp = MDP([[[1, 0, 0, 0]], [[.2, 0, rare, .8 - rare]], [[0, 1, 0, 0]], [[0, 0, 0, 1]]], np.zeros(4), .5, start=1)
    uniforms = np.array([[.5, .5, u] for u in (0, .2 - 1e-12, .2 + rare / 2, .2 + 2 * rare, 1 - 1e-12)])
    assert simulated(mdp, np.ones((4, 1)), uniforms).next_states[:, 0].tolist() == [0, 0, 2, 3, 3]


def test_a_simulation_begins_where_it_is_told():
    for start in (0, np.array([0.5, 0.5])):
        told = COIN.simulate(EVEN, 40, 3, np.random.default_rng(3), start)
        other = replace(COIN, start=start).simulate(EVEN, 40, 3, np.random.default_rng(3))
        for a, b in zip(told, other, strict=True):
            assert_array_equal(a, b)


@given(st.data())
def test_simulated_steps_are_possible_ones(data):
    mdp = data.draw(mdps(ending=True))
    policy = data.draw(policies_of(mdp, 4))
    s, a, r, after, mask, terminated = mdp.simulate(policy, 8, 4, np.random.default_rng(data.draw(st.integers(0, 99))))
    n, t = np.nonzero(mask)
    assert (mdp.transition[s[n, t], a[n, t], after[n, t]] > 0).all() and (policy[t, s[n, t], a[n, t]] > 0).all()
    assert_array_equal(r[n, t], mdp.reward[s[n, t], a[n, t], after[n, t]])
    assert not mdp.terminal[s[n, t]].any()
    assert_array_equal(s[:, 1:][mask[:, 1:] == 1], after[:, :-1][mask[:, 1:] == 1])
    first, lengths = mdp.start > 0, mask.sum(axis=1).astype(int)
    assert first[s[lengths > 0, 0]].all()
    assert_array_equal(terminated[lengths == 0], True)
    reached = lengths > 0
    assert_array_equal(terminated[reached], mdp.terminal[after[reached, lengths[reached] - 1]])


@pytest.mark.parametrize("change, error, message", [
    (dict(episodes=0), ValueError, "episodes is 0; expected an integer >= 1"),
    (dict(horizon=0), ValueError, "horizon is 0; expected an integer >= 1"),
    (dict(rng=7), TypeError, "rng is 7; expected a numpy.random.Generator"),
    (dict(start=2), ValueError, r"start is 2; expected an integer in \[0, 1\]"),
    (dict(policy=[[1, 0]]), ValueError, r"the shape of policy is \(1, 2\); expected \(2, 2\)"),
    (dict(policy=np.full((2, 2), .5 + 0j)), TypeError, "(?s)policy is array.*; expected an array of real numbers"),
])
def test_bad_arguments_of_a_simulation_are_named(change, error, message):
    with pytest.raises(error, match=message):
        COIN.simulate(**{**dict(policy=EVEN, episodes=2, horizon=2, rng=np.random.default_rng(0)), **change})
