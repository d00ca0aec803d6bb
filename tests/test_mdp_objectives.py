"""The three objectives, the time spent in each state, and what the documents say of both.

Document 004, 1.4.1: E[sum of rewards] = sum over steps of the expected reward; 1.4.2: the average
reward is the expected reward under the stationary distribution; 1.4.3: sum of gamma^t r_t from t = 1.

By hand: a machine that works (pays 1) breaks with probability 1/4 and is repaired with
probability 1/2: mu = [2/3, 1/3], J_avg = 2/3.
"""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.formulas.returns import discounted_return, total_return
from rlscratch.mdp import MDP
from strategies import mdps, policies_of

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

MACHINE = MDP([[[.75, .25]], [[.5, .5]]], [1, 0], .5, start=0)
ONE_WAY = np.ones((2, 1))


def over_paths(mdp, policy, horizon, value):
    """E[value(rewards)] by enumeration."""
    return sum(p * value(rewards) for p, _, _, rewards in mdp.trajectories(policy, horizon) if rewards)


def mixing(mdp):
    """The same with no end, and a coin before each step that may send it anywhere: it forgets by half a step."""
    return replace(mdp, transition=(mdp.transition + 1 / len(mdp.start)) / 2, terminal=None)


def mean_reward(mdp):
    return (mdp.transition * mdp.reward).sum(axis=2)


@given(st.data())
def test_the_expected_sum_is_the_sum_of_expected_rewards(data):
    mdp = data.draw(mdps())
    policy = data.draw(st.one_of(policies_of(mdp), policies_of(mdp, 3)))
    steps = [(p * mean_reward(mdp)).sum() for p in mdp.marginals(policy, 3)]
    assert_allclose(sum(steps), over_paths(mdp, policy, 3, total_return), rtol=1e-12, atol=1e-12)
    assert_allclose(mdp.total_return(policy, 3), sum(steps), rtol=1e-12, atol=1e-12)


@given(st.data(), st.integers(0, 1))
def test_the_discounted_objective_is_the_expected_discounted_return_for_either_first_power(data, first_power):
    mdp = data.draw(mdps())
    policy = data.draw(policies_of(mdp))
    expected = over_paths(mdp, policy, 3, lambda r: discounted_return(r, mdp.gamma, first_power))
    assert_allclose(mdp.discounted_return(policy, 3, first_power), expected, rtol=1e-12, atol=1e-12)


@given(st.data(), st.sampled_from([None, 1, 4]))
def test_visits_times_rewards_is_start_times_values(data, horizon):
    mdp = data.draw(mdps(ending=True))
    policy = data.draw(policies_of(mdp))
    by_visits = (mdp.occupancy(policy, horizon) * mean_reward(mdp)).sum()
    assert_allclose(by_visits, mdp.discounted_return(policy, horizon), rtol=1e-12, atol=1e-12)


@given(st.data())
def test_marginals_are_the_shares_of_the_trajectories_that_pass(data):
    mdp = data.draw(mdps())
    policy = data.draw(st.one_of(policies_of(mdp), policies_of(mdp, 3)))
    expected = np.zeros((3, *mdp.transition.shape[:2]))
    for p, states, actions, _ in mdp.trajectories(policy, 3):
        for t, a in enumerate(actions):
            expected[t, states[t], a] += p
    assert_allclose(mdp.marginals(policy, 3), expected, rtol=1e-12, atol=1e-15)


def test_a_marginal_s_sum_is_the_probability_that_the_episode_still_runs():
    half = MDP([[[.5, .5]], [[0, 1]]], [1, 0], 1.0, start=0, terminal=[0, 1])
    assert_array_equal(half.marginals(ONE_WAY, 4).sum(axis=(1, 2)), [1, .5, .25, .125])
    assert_array_equal(half.occupancy(ONE_WAY), [[2], [0]])
    assert_array_equal(half.occupancy(ONE_WAY, 3), [[1.75], [0]])


@given(st.data())
def test_unlimited_visits_add_up_to_the_discounted_number_of_steps(data):
    mdp = replace(data.draw(mdps()), terminal=None)
    d = mdp.occupancy(data.draw(policies_of(mdp)))
    assert_allclose(d.sum(), 1 / (1 - mdp.gamma), rtol=1e-12)
    assert (d >= -1e-15).all()


# ---------------------------------------------------------------- the average reward

def test_the_machine_works_two_thirds_of_the_time():
    assert_allclose(MACHINE.stationary_distribution(ONE_WAY), [2 / 3, 1 / 3], rtol=1e-15)
    assert_allclose(MACHINE.average_reward(ONE_WAY), 2 / 3, rtol=1e-15)


@given(st.data())
def test_the_stationary_distribution_stays_and_adds_to_one(data):
    mdp = data.draw(mdps(ending=True))
    policy = data.draw(policies_of(mdp))
    mu = mdp.stationary_distribution(policy)
    assert_allclose(mu @ np.einsum("sa,sap->sp", policy, mdp.transition), mu, atol=1e-14)
    assert_array_equal(mu == 1, mdp.terminal)           # every path ends in the one terminal state
    assert mdp.average_reward(policy) == 0


@given(st.data())
@example(None)
def test_the_average_reward_is_the_limit_of_the_total_over_the_time(data):
    mdp = MACHINE if data is None else mixing(data.draw(mdps()))
    policy = ONE_WAY if data is None else data.draw(policies_of(mdp))
    # Total over T steps = T J_avg + a constant + what has died out: two horizons cancel the constant.
    growth = mdp.total_return(policy, 90) - mdp.total_return(policy, 80)
    assert_allclose(mdp.average_reward(policy), growth / 10, rtol=1e-9, atol=1e-9)


def test_a_chain_that_alternates_has_an_average_although_it_never_settles():
    swing = MDP([[[0, 1]], [[1, 0]]], [1, 0], .5, start=0)
    assert_array_equal(swing.stationary_distribution(ONE_WAY), [.5, .5])
    assert swing.average_reward(ONE_WAY) == swing.total_return(ONE_WAY, 10) / 10 == .5


def test_a_state_that_is_left_for_good_has_no_share():
    leave = MDP([[[0, .5, .5]], [[0, .5, .5]], [[0, 1, 0]]], [9, 1, 4], .5, start=0)
    assert_allclose(leave.stationary_distribution(np.ones((3, 1))), [0, 2 / 3, 1 / 3], rtol=1e-15)
    assert_allclose(leave.average_reward(np.ones((3, 1))), 2, rtol=1e-15)


def test_several_closed_sets_have_no_unique_stationary_distribution_and_are_named():
    apart = MDP([[[0, .5, 0, .5]], [[0, 1, 0, 0]], [[0, 0, 0, 1]], [[0, 0, 1, 0]]], [0, 0, 0, 0], .5, start=0)
    with pytest.raises(ValueError, match="the number of closed sets of states under policy is 2; expected 1, for a "
                                         r"unique stationary distribution; they are \[1\], \[2, 3\]"):
        apart.average_reward(np.ones((4, 1)))


@pytest.mark.parametrize("first_power, error", [(2, ValueError), (-1, ValueError), (.5, TypeError)])
def test_the_first_power_is_zero_or_one(first_power, error):
    with pytest.raises(error, match=rf"first_power is {first_power}; expected an integer in \[0, 1\]"):
        MACHINE.discounted_return(ONE_WAY, first_power=first_power)


# ---------------------------------------------------------------- the checks are checked

def test_the_comparison_notices_an_off_by_one_and_a_wrong_discount():
    right = over_paths(MACHINE, ONE_WAY, 3, lambda r: discounted_return(r, .5))
    wrong = [MACHINE.discounted_return(ONE_WAY, 4), MACHINE.discounted_return(ONE_WAY, 3, 1),
             MACHINE.total_return(ONE_WAY, 3), 1.001 * right]
    assert np.isclose(MACHINE.discounted_return(ONE_WAY, 3), right, rtol=1e-12)
    assert not np.isclose(wrong, right, rtol=1e-6).any()
