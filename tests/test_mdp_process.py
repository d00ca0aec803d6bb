"""The 5-tuple as tensors; best values and the values of policies.

Document 000's lake, 4x4, not slippery, gamma .99, 1 at the goal: Q*(s,a) = .99^k, where k + 1 is the
number of moves to the goal, and 0 for a move into a hole.  Its printed table agrees where its run had
converged (Q(0, Down) = .9510 = .99^5) and lies below elsewhere (Q(0, Right) = .9321 against .9510).

The slippery lake at gamma = 1, probability of the goal: .8235 without a limit (14/17); in the
environment's 100 steps .7442 for a policy that knows the time, .7402 for one that does not.
"""
from dataclasses import FrozenInstanceError, replace

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import complex_step
from rlscratch.mdp import MDP
from strategies import mdps, policies_of

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

NO = np.inf  # .99^inf = 0: into a hole, or no move at all
EXPONENTS = np.array([
    [6, 5, 5, 6], [6, NO, 4, 5], [5, 3, 5, 4], [4, NO, 5, 5],
    [5, 4, NO, 6], [NO] * 4, [NO, 2, NO, 4], [NO] * 4,
    [4, NO, 3, 5], [4, 2, 2, NO], [3, 1, NO, 3], [NO] * 4,
    [NO] * 4, [NO, 2, 1, 3], [2, 1, 0, 2], [NO] * 4,
])
INTO_A_HOLE = [(1, 1), (3, 1), (4, 2), (6, 0), (6, 2), (8, 1), (9, 3), (10, 2), (13, 0)]
ENDS = [5, 7, 11, 12, 15]


def lake(gamma=0.99, slippery=False, **arguments):
    return MDP.from_gymnasium(gymnasium.make("FrozenLake-v1", is_slippery=slippery, **arguments), gamma=gamma)


def valid():
    return dict(transition=[[[.5, .5], [1, 0]], [[0, 1], [0, 1]]], reward=[[1, 2], [3, 4]], gamma=.5, start=0,
                terminal=[False, True])


# ---------------------------------------------------------------- the tensors

def test_the_tensors_are_frozen_copies_in_double_precision():
    given_transition = np.array(valid()["transition"], dtype=np.float32)
    mdp = MDP(**{**valid(), "transition": given_transition})
    given_transition[:] = 7
    assert_array_equal(mdp.transition[0], [[.5, .5], [1, 0]])
    for array in (mdp.transition, mdp.reward, mdp.start):
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(FrozenInstanceError):
        mdp.gamma = .9


def test_rows_in_single_precision_add_to_one_in_double_precision():
    thirds = np.full((3, 2, 3), 1 / 3, dtype=np.float32)
    mdp = MDP(thirds, [0, 0, 0], .5, start=thirds[0, 0])
    assert_allclose(mdp.transition.sum(axis=-1), 1, rtol=1e-15)
    assert_allclose(mdp.start.sum(), 1, rtol=1e-15)
    paid = MDP(np.full((2, 3, 2), .5), [1, 1], .5, start=0)
    assert_allclose(paid.evaluate(np.full((2, 3), 1 / 3, np.float32)), 2, rtol=1e-14)


@pytest.mark.parametrize("reward, expected", [
    ([1, 2], [[[1, 1], [1, 1]], [[0, 0], [0, 0]]]),
    ([[1, 2], [3, 4]], [[[1, 1], [2, 2]], [[0, 0], [0, 0]]]),
    ([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], [[[1, 2], [3, 4]], [[0, 0], [0, 0]]]),
])
def test_reward_of_s_of_s_and_a_and_of_s_a_and_next_s(reward, expected):
    assert_array_equal(MDP(**{**valid(), "reward": reward}).reward, expected)


def test_nothing_follows_a_terminal_state_whatever_its_rows_say():
    wild = MDP([[[0, 1]], [[1, 0]]], [1, 100], .5, start=0, terminal=[False, True])
    assert_array_equal(wild.transition[1], [[0, 1]])
    assert_array_equal(wild.evaluate([[1], [1]]), [1, 0])
    assert_array_equal(wild.solve()[1], [1, 0])


def test_a_start_state_is_a_distribution_with_one_possible_state():
    assert_array_equal(MDP(**{**valid(), "start": 1}).start, [0, 1])
    assert_array_equal(MDP(**{**valid(), "start": np.int64(1)}).start, [0, 1])


@pytest.mark.parametrize("change, message", [
    (dict(transition=[[[.5, .4], [1, 0]], [[0, 1], [0, 1]]]), r"the sum of transition\[0, 0\] is 0.9; expected 1"),
    (dict(transition=[[[1.5, -.5], [1, 0]], [[0, 1], [0, 1]]]), r"transition\[0, 0, 1\] is -0.5; expected prob"),
    (dict(transition=[[[np.nan, 1], [1, 0]], [[0, 1], [0, 1]]]), r"transition\[0, 0, 0\] is nan; expected finite"),
    (dict(transition=[[.5, .5]]), r"the shape of transition is \(1, 2\); expected 3 dimensions"),
    (dict(transition=[[[.5, .5, 0]]]), r"the shape of transition is \(1, 1, 3\); expected \(1, 1, 1\), \(S, A, S\)"),
    (dict(reward=[1, 2, 3]), r"the shape of reward is \(3,\); expected \(2,\), \(2, 2\) or \(2, 2, 2\)"),
    (dict(reward=[1, np.inf]), r"reward\[1\] is inf; expected finite numbers"),
    (dict(gamma=1.1), r"gamma is 1.1; expected a number in \[0, 1\]"),
    (dict(gamma=-.1), r"gamma is -0.1; expected a number in \[0, 1\]"),
    (dict(gamma=np.nan), r"gamma is nan; expected a number in \[0, 1\]"),
    (dict(start=2), r"start is 2; expected an integer in \[0, 1\]"),
    (dict(start=[.5, .4]), r"the sum of start is 0.9; expected 1"),
    (dict(start=[1, 0, 0]), r"the shape of start is \(3,\); expected \(2,\)"),
    (dict(terminal=[True]), r"the shape of terminal is \(1,\); expected \(2,\)"),
    (dict(terminal=[0, 2]), r"terminal\[1\] is 2.0; expected 0 or 1"),
    (dict(observation=[0, 2]), r"observation\[1\] is 2; expected an integer in \[0, 2\)"),
    (dict(observation=[0]), r"the shape of observation is \(1,\); expected \(2,\)"),
])
def test_bad_tensors_are_named_with_what_was_expected(change, message):
    with pytest.raises(ValueError, match=message):
        MDP(**{**valid(), **change})


@pytest.mark.parametrize("change, message", [
    (dict(transition="P"), r"transition is 'P'; expected an array of real or complex numbers"),
    (dict(transition=np.ones((1, 1, 1), complex)), "transition is array.*; expected an array of real numbers"),
    (dict(reward=np.array([1j, 0])), "reward is array.*; expected an array of real numbers"),
    (dict(start=[.5, .5 + 0j]), "start is array.*; expected an array of real numbers"),
    (dict(start=True), r"start is True; expected an integer in \[0, 1\]"),
    (dict(observation=[0.0, 1.0]), r"observation is \[0.0, 1.0\]; expected integers in \[0, 2\)"),
])
def test_tensors_of_the_wrong_kind_are_type_errors(change, message):
    with pytest.raises(TypeError, match=message):
        MDP(**{**valid(), **change})


@pytest.mark.parametrize("policy, horizon, error, message", [
    ([[1, 0]], None, ValueError, r"the shape of policy is \(1, 2\); expected \(2, 2\), \(O, A\)"),
    ([[[1, 0], [1, 0]]], None, ValueError, r"the shape of policy is \(1, 2, 2\); expected .*needs a horizon"),
    ([[[1, 0], [1, 0]]], 2, ValueError, r"the shape of policy is \(1, 2, 2\); expected \(2, 2, 2\), \(T, O, A\)"),
    ([[1, 0], [.5, .6]], None, ValueError, r"the sum of policy\[1\] is 1.1; expected 1"),
    ([[1, 0], [2, -1]], None, ValueError, r"policy\[1, 1\] is -1.0; expected probabilities >= 0"),
    ([[1, 0], [1, 0]], 0, ValueError, r"horizon is 0; expected an integer >= 1"),
    ([[1, 0], [1, 0]], 2.0, TypeError, r"horizon is 2.0; expected an integer >= 1"),
])
def test_bad_policies_and_horizons_are_named(policy, horizon, error, message):
    with pytest.raises(error, match=message):
        MDP(**valid()).evaluate(policy, horizon)


# ---------------------------------------------------------------- the lake

def test_the_best_q_table_of_the_documents_lake():
    q, v = lake().solve()
    assert_allclose(q, .99 ** EXPONENTS, rtol=1e-14)
    assert_array_equal(v, q.max(axis=1))
    assert_array_equal(np.flatnonzero(lake().terminal), ENDS)


def test_holes_that_cost_one_change_the_nine_moves_into_a_hole_and_no_other():
    expected = .99 ** EXPONENTS
    for s, a in INTO_A_HOLE:
        expected[s, a] = -1
    assert_allclose(lake(reward_schedule=(1, -1, 0)).solve()[0], expected, rtol=1e-14)


def test_the_greedy_path_is_the_documents_and_its_first_power_decides_its_return():
    mdp = lake()
    policy = np.eye(4)[mdp.solve()[0].argmax(axis=1)]
    ((p, states, _, rewards),) = mdp.trajectories(policy, 100)
    assert (p, states, rewards) == (1, (0, 4, 8, 9, 13, 14, 15), (0, 0, 0, 0, 0, 1))
    assert_allclose(mdp.discounted_return(policy), .99**5, rtol=1e-14)
    assert_allclose(mdp.discounted_return(policy, first_power=1), .99**6, rtol=1e-14)


def test_the_slippery_lake_without_a_limit_is_won_14_times_in_17():
    mdp = lake(1.0, slippery=True)
    q, v = mdp.solve()
    assert_allclose(v[0], 14 / 17, rtol=1e-12)
    assert_allclose(mdp.evaluate(np.eye(4)[q.argmax(axis=1)])[0], 14 / 17, rtol=1e-13)


def test_the_slippery_lake_in_100_steps_is_won_with_probability_7442_by_who_knows_the_time():
    mdp = lake(1.0, slippery=True)
    q, v = mdp.solve(horizon=100)
    assert round(float(v[0, 0]), 4) == .7442
    assert_allclose(mdp.evaluate(np.eye(4)[q.argmax(axis=2)], horizon=100), v[0], rtol=1e-13)


# ---------------------------------------------------------------- values

@given(mdps())
def test_the_best_values_solve_the_bellman_equation_and_some_policy_has_them(mdp):
    q, v = mdp.solve()
    r = (mdp.transition * mdp.reward).sum(axis=2)
    assert_allclose(q, r + mdp.gamma * mdp.transition @ q.max(axis=1), rtol=1e-13, atol=1e-13)
    assert_allclose(mdp.evaluate(np.eye(q.shape[1])[q.argmax(axis=1)]), v, rtol=1e-12, atol=1e-12)


@given(st.data())
def test_no_policy_beats_the_best_values(data):
    mdp = data.draw(mdps(ending=True))
    policy = data.draw(policies_of(mdp))
    assert (mdp.evaluate(policy) <= mdp.solve()[1] + 1e-12).all()
    assert (mdp.evaluate(policy, 3) <= mdp.solve(3)[1][0] + 1e-12).all()


@given(st.data())
def test_the_values_of_a_policy_solve_its_bellman_equation(data):
    mdp = data.draw(mdps(ending=True))
    policy = data.draw(policies_of(mdp))
    v = mdp.evaluate(policy)
    q = (mdp.transition * (mdp.reward + mdp.gamma * v)).sum(axis=2)
    assert_allclose(v, (policy * q).sum(axis=1), rtol=1e-12, atol=1e-12)
    assert v[-1] == 0


@given(st.data())
def test_the_last_step_of_a_horizon_is_worth_its_mean_reward_and_each_step_before_adds_one(data):
    mdp = data.draw(mdps())
    policy = data.draw(policies_of(mdp, 3))
    v = np.zeros(len(mdp.start))
    for pi in policy[::-1]:
        v = np.einsum("sa,sap,sap->s", pi, mdp.transition, mdp.reward + mdp.gamma * v)
    assert_allclose(mdp.evaluate(policy, 3), v, rtol=1e-12, atol=1e-12)


@given(st.data())
def test_a_long_horizon_comes_as_close_to_no_horizon_as_gamma_promises(data):
    mdp = data.draw(mdps())
    policy = data.draw(policies_of(mdp))
    rest = mdp.gamma**40 * np.abs(mdp.reward).max() / (1 - mdp.gamma)
    assert_allclose(mdp.evaluate(policy, 40), mdp.evaluate(policy), rtol=0, atol=rest + 1e-12)
    assert_allclose(mdp.solve(40)[1][0], mdp.solve()[1], rtol=0, atol=rest + 1e-12)


@pytest.mark.parametrize("gamma", [0.0, .5, .999])
def test_value_iteration_is_within_its_bound_where_episodes_never_end(gamma):
    mdp = MDP([[[.5, .5]], [[.25, .75]]], [1, 3], gamma, start=0)
    assert_allclose(mdp.solve()[1], mdp.evaluate([[1], [1]]), rtol=1e-15 / (1 - gamma))


def test_values_of_complex_policies_have_the_complex_step_derivative():
    # v = x (1 + v/4) + (1 - x)(2 + v/2), so v = (2 - x) / (1/2 + x/4) and dv/dx = -1 / (1/2 + x/4)^2
    slope = complex_step(lambda x: MDP(**valid()).evaluate([[x[0], 1 - x[0]], [1, 0]])[0], np.array([.5]))
    assert_allclose(slope, [-2.56], rtol=1e-14)


# ---------------------------------------------------------------- gamma = 1

def two_rooms(reward=0.0):
    """State 0 may go on to 1 or stay; 1 ends the episode or goes back; 2 is a room without a door."""
    return MDP([[[1, 0, 0, 0], [0, 1, 0, 0]], [[1, 0, 0, 0], [0, 0, 0, 1]], [[0, 0, 1, 0]] * 2, [[0, 0, 0, 1]] * 2],
               np.full((4, 2), reward), 1.0, start=0, terminal=[0, 0, 0, 1])


def test_gamma_one_names_the_states_that_no_policy_can_end():
    with pytest.raises(ValueError, match=r"gamma is 1.0; expected a number < 1, since states \[2\] never reach a "
                                         "terminal state whatever the policy"):
        two_rooms().solve()


def test_gamma_one_names_the_states_that_this_policy_never_ends():
    stay = np.eye(2)[[0, 1, 0, 0]]
    for method in ("evaluate", "occupancy", "discounted_return"):
        with pytest.raises(ValueError, match=r"since states \[0, 2\] never reach a terminal state under this policy"):
            getattr(two_rooms(), method)(stay)
    assert_array_equal(two_rooms().evaluate(stay, horizon=5), 0)


def test_a_long_list_of_states_is_cut():
    forever = MDP(np.eye(12)[:, None], np.ones(12), 1.0, start=0)
    with pytest.raises(ValueError, match=r"states \[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...\] \(12 in all\)"):
        forever.evaluate(np.ones((12, 1)))


def test_a_reward_for_going_on_for_ever_has_no_best_total(monkeypatch):
    monkeypatch.setattr("rlscratch.mdp.chains.SWEEPS", 1000)
    idle = MDP([[[1, 0], [0, 1]], [[0, 1], [0, 1]]], [[1, 0], [0, 0]], 1.0, start=0, terminal=[0, 1])
    with pytest.raises(ValueError, match=r"gamma is 1.0; .*still changes after 1000 sweeps in states \[0\]"):
        idle.solve()
    assert idle.solve(horizon=7)[1][0, 0] == 7
    assert replace(idle, gamma=.5).solve()[1][0] == pytest.approx(2, rel=1e-15)


def test_waiting_for_nothing_does_no_harm_at_gamma_one():
    assert_array_equal(lake(1.0).solve()[1] == 1, ~np.isin(np.arange(16), ENDS))


# ---------------------------------------------------------------- the strategy

@given(mdps(), mdps(max_states=2, max_actions=1, ending=True))
def test_mdps_are_small_and_end_where_they_should(any_mdp, ending):
    states, actions, _ = any_mdp.transition.shape
    assert 2 <= states <= 3 and 1 <= actions <= 2 and any_mdp.gamma <= 7 / 8
    assert not any_mdp.terminal[:-1].any()
    assert ending.terminal.tolist() == [False, True] and ending.transition.shape == (2, 1, 2)
    assert (ending.transition[..., -1] > 0).all()


@given(st.data())
def test_policies_of_an_mdp_have_its_shape(data):
    mdp = replace(data.draw(mdps(max_states=3)), observation=None)
    assert data.draw(policies_of(mdp)).shape == mdp.transition.shape[:2]
    assert data.draw(policies_of(mdp, 4)).shape == (4, *mdp.transition.shape[:2])
