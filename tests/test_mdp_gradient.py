"""grad J three ways: the policy-gradient theorem, every trajectory's log-derivative, differences of J.

Document 004, 1.5.1: grad log P(tau) = sum_t grad log pi(a_t|s_t), since start and dynamics do not depend
on the policy; grad J = E[grad log P(tau) R(tau)].

By hand: two doors, gamma 1/2, pi = [1/2, 1/2].  One ends the episode and pays 1, the other pays 1/4 and
leads back: v = 5/6, q = [1, 2/3], d = 4/3, so dJ/dz = 4/3 * 1/2 * (1/6) = 1/9.
"""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.policy_gradient import score
from rlscratch.mdp import MDP
from strategies import arrays, eighths, mdps

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

DOORS = MDP([[[0, 1], [1, 0]], [[0, 1], [0, 1]]], [[1, 1 / 4], [0, 0]], .5, start=0, terminal=[0, 1])
EVEN = np.zeros((2, 2))
THREE = MDP([[[.5, .25, .25], [0, 1, 0]], [[.25, .25, .5], [1, 0, 0]], [[0, 0, 1], [.5, .5, 0]]],
            [[1, -2], [3, 0], [-1, 2]], .5, start=[.5, .5, 0])
Z = np.array([[.5, -.25], [0, 1], [-.5, .125]])


@st.composite
def problems(draw, steps=None, ending=False):
    """An MDP and logits for it, (S, A) or (T, S, A)."""
    mdp = draw(mdps(ending=ending))
    shape = mdp.transition.shape[:2]
    return mdp, draw(arrays(shape if steps is None else (steps, *shape), eighths(-2, 2)))


def j_of(mdp, horizon=None):
    return lambda z: mdp.discounted_return(softmax(z), horizon)


def test_the_two_doors_by_hand():
    expected = [[1 / 9, -1 / 9], [0, 0]]
    assert_allclose(DOORS.policy_gradient(EVEN), expected, rtol=1e-14)
    assert_allclose(DOORS.log_derivative_gradient(EVEN, 50), expected, rtol=1e-12)


@given(problems(), st.integers(1, 3))
@example((THREE, Z), 3)
def test_theorem_trajectories_and_difference_agree_over_a_horizon(problem, horizon):
    mdp, z = problem
    theorem = mdp.policy_gradient(z, horizon)
    assert_allclose(mdp.log_derivative_gradient(z, horizon), theorem, rtol=1e-9, atol=1e-12)
    assert_allclose(complex_step(j_of(mdp, horizon), z), theorem, rtol=1e-9, atol=1e-12)
    assert_allclose(central_difference(j_of(mdp, horizon), z), theorem, rtol=0, atol=1e-9 * _scale(mdp))


@given(problems(ending=True))
@example((THREE, Z))
@example((DOORS, EVEN))
def test_theorem_and_difference_agree_without_a_horizon(problem):
    mdp, z = problem
    theorem = mdp.policy_gradient(z)
    assert_allclose(complex_step(j_of(mdp), z), theorem, rtol=1e-9, atol=1e-11)
    assert_allclose(central_difference(j_of(mdp), z, h=1e-4), theorem, rtol=1e-6, atol=1e-6 * _scale(mdp))


def _scale(mdp):
    """J and its third derivative, which bound a central difference's two errors, are a few rewards large."""
    return 10 * max(1, np.abs(mdp.reward).max())


@given(problems(steps=3))
def test_a_policy_that_knows_the_time_has_a_gradient_for_each_step(problem):
    mdp, z = problem
    assert_allclose(complex_step(j_of(mdp, 3), z), mdp.policy_gradient(z, 3), rtol=1e-9, atol=1e-12)


@given(problems())
def test_the_gradient_of_shared_logits_is_the_sum_over_the_steps_that_share_them(problem):
    mdp, z = problem
    each = mdp.policy_gradient(np.broadcast_to(z, (3, *z.shape)), 3)
    assert_allclose(each.sum(axis=0), mdp.policy_gradient(z, 3), rtol=1e-12, atol=1e-13)


@given(problems(ending=True))
def test_a_shift_of_all_logits_of_a_state_changes_nothing(problem):
    mdp, z = problem
    assert_allclose(mdp.policy_gradient(z).sum(axis=1), 0, atol=1e-11)


def test_an_action_that_is_never_taken_has_no_gradient():
    z = np.array([[0, -np.inf], [0, 0], [0, 0]])
    for grad in (THREE.policy_gradient(z), THREE.policy_gradient(z, 3), THREE.log_derivative_gradient(z, 3)):
        assert_array_equal(grad[0], 0)
        assert (grad[1:] != 0).any()


# ---------------------------------------------------------------- the dynamics vanish

@given(problems())
@example((THREE, Z))
def test_the_dynamics_vanish_from_the_gradient_of_every_trajectory_s_log_probability(problem):
    mdp, z = problem
    for tau, (_, states, actions, _) in enumerate(mdp.trajectories(softmax(z), 2)):
        scores = np.zeros_like(z)
        for s, a in zip(states, actions, strict=False):
            scores[s] += score(z[s], np.array(a))
        if tau % 7 == 0:        # a complex step for each of them would take long
            def log_probability(x, tau=tau):
                return np.log([p for p, *_ in mdp.trajectories(softmax(x), 2)][tau])

            assert_allclose(complex_step(log_probability, z), scores, rtol=1e-12, atol=1e-14)


@given(problems())
def test_the_score_of_a_trajectory_has_mean_zero(problem):
    mdp, z = problem
    mean = np.zeros_like(z)
    for p, states, actions, _ in mdp.trajectories(softmax(z), 3):
        for s, a in zip(states, actions, strict=False):
            mean[s] += p * score(z[s], np.array(a))
    assert_allclose(mean, 0, atol=1e-13)


# ---------------------------------------------------------------- partial observability

@given(st.data(), st.sampled_from([None, 3]))
def test_states_that_look_the_same_share_a_policy_and_add_their_gradients(data, horizon):
    seen = data.draw(mdps(max_states=3))
    o = np.array(data.draw(st.lists(st.integers(0, 1), min_size=len(seen.start), max_size=len(seen.start))))
    hidden = replace(seen, observation=o)
    z = data.draw(arrays((o.max() + 1, seen.transition.shape[1]), eighths(-2, 2)))
    assert_allclose(hidden.evaluate(softmax(z), horizon), seen.evaluate(softmax(z)[o], horizon), rtol=1e-14)
    by_state, expected = seen.policy_gradient(z[o], horizon), np.zeros_like(z)
    for s, row in enumerate(by_state):
        expected[o[s]] += row
    assert_allclose(hidden.policy_gradient(z, horizon), expected, rtol=1e-12, atol=1e-13)
    assert_allclose(complex_step(j_of(hidden, horizon), z), expected, rtol=1e-9, atol=1e-12)
    if horizon is not None:
        assert_allclose(hidden.log_derivative_gradient(z, horizon), expected, rtol=1e-9, atol=1e-12)


def test_a_blind_policy_does_no_better_than_a_coin_where_the_right_door_alternates():
    doors = MDP([[[0, 1], [0, 1]], [[1, 0], [1, 0]]], [[1, 0], [0, 1]], .5, start=0)
    blind = replace(doors, observation=[0, 0])
    assert_allclose([doors.solve()[1], blind.solve()[1]], 2, rtol=1e-15)        # the optimum sees the state
    assert blind.evaluate([[.5, .5]]).tolist() == [1, 1]
    assert_allclose(blind.policy_gradient([[0, 0]]), [[1 / 6, -1 / 6]])     # d = [4/3, 2/3], advantage 1/2, half each


# ---------------------------------------------------------------- bad input, and the checks are checked

@pytest.mark.parametrize("z, horizon, error, message", [
    (np.zeros((1, 2)), None, ValueError, r"the shape of policy is \(1, 2\); expected \(2, 2\)"),
    ([[0, np.nan], [0, 0]], None, ValueError, r"logits\[0, 1\] is nan; expected no NaN"),
    ([[-np.inf, -np.inf], [0, 0]], None, ValueError, r"logits\[0, 0\] is -inf; expected at least one finite logit"),
    ([["a", "b"], ["c", "d"]], None, TypeError, "logits is .*; expected an array of real or complex numbers"),
    (EVEN, 0, ValueError, "horizon is 0; expected an integer >= 1"),
])
def test_bad_logits_are_named(z, horizon, error, message):
    with pytest.raises(error, match=message):
        DOORS.policy_gradient(z, horizon)


def test_enumeration_takes_one_policy_for_all_steps():
    with pytest.raises(ValueError, match=r"the shape of logits is \(3, 2, 2\); expected 2 dimensions"):
        DOORS.log_derivative_gradient(np.zeros((3, 2, 2)), 3)


def test_single_precision_logits_give_the_gradient_in_double_precision():
    grad = THREE.policy_gradient(Z.astype(np.float32))
    assert grad.dtype == np.float64
    assert_allclose(grad, THREE.policy_gradient(Z), rtol=1e-14)


def test_the_comparison_notices_a_gradient_that_is_almost_right():
    right, pi = THREE.policy_gradient(Z, 3), softmax(Z)
    q = [(THREE.transition * (THREE.reward + .5 * THREE.evaluate(pi, n))).sum(axis=2) if n else
         (THREE.transition * THREE.reward).sum(axis=2) for n in (2, 1, 0)]
    v = [(pi * each).sum(axis=1, keepdims=True) for each in q]
    p = THREE.marginals(pi, 3)
    assert_allclose(sum(.5**t * p[t] * (q[t] - v[t]) for t in range(3)), right, rtol=1e-12)
    wrong = {
        "sign": -right,
        "factor": 1.001 * right,
        "horizon": THREE.policy_gradient(Z, 4),
        "no baseline and no score": sum(.5**t * p[t] * q[t] for t in range(3)),
        "discount of the visits left out": sum(p[t] * (q[t] - v[t]) for t in range(3)),
        "time shifted": sum(.5**t * p[t] * (q[t - 1] - v[t - 1]) for t in range(3)),
        "first power": .5 * right,
    }
    for name, grad in wrong.items():
        assert not np.allclose(grad, right, rtol=1e-6, atol=1e-6), name
