"""Potential-based shaping leaves the best policy and every gradient as they are; another bonus does not.

By hand.  A ring of three rooms and a door: walk round for ever, or leave for 1.  A bonus of 1/2 for each step round,
gamma 1/2, makes going round worth 1/2 + 1/4 + ... = 1, and the door 1: nobody has a reason to leave.
"""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.mdp import MDP, shaped
from strategies import arrays, mdps


def potential_of(data, mdp):
    return data.draw(arrays(mdp.start.shape)) * ~mdp.terminal


@given(st.data(), mdps(max_actions=3))
def test_every_value_falls_by_the_potential_and_the_best_action_stays_the_best(data, mdp):
    phi = potential_of(data, mdp)
    (q, v), (q_new, v_new) = mdp.solve(), shaped(mdp, phi).solve()
    assert_allclose(q_new, np.where(mdp.terminal[:, None], 0, q - phi[:, None]), atol=1e-9)
    assert_allclose(v_new, v - phi, atol=1e-9)


@given(st.data(), mdps(max_actions=3, ending=True))
def test_no_policy_s_gradient_changes(data, mdp):
    """At gamma = 1 too, since every episode of these ends."""
    phi, logits = potential_of(data, mdp), data.draw(arrays(mdp.transition.shape[:2]))
    policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    new = shaped(mdp, phi)
    assert_allclose(new.evaluate(policy), mdp.evaluate(policy) - phi, atol=1e-7)
    assert_allclose(new.policy_gradient(logits), mdp.policy_gradient(logits), atol=1e-7)
    cut = new.evaluate(policy, 3) + phi - mdp.evaluate(policy, 3)           # what is left of T steps: gamma^T phi(s_T)
    left = mdp.gamma**3 * np.linalg.matrix_power(np.einsum("sa,sap->sp", policy, mdp.transition), 3) @ phi
    assert_allclose(cut, left, atol=1e-9)


def ring(bonus):
    """Rooms 0, 1, 2 in a ring and the outside: walk on, or leave for 1; `bonus` for walking."""
    P = np.zeros((4, 2, 4))
    for s in range(3):
        P[s, 0, (s + 1) % 3] = P[s, 1, 3] = 1
    P[3, :, 3] = 1
    R = np.zeros((4, 2))
    R[:3, 0], R[:3, 1] = bonus, 1
    return MDP(P, R, 0.5, start=0, terminal=[0, 0, 0, 1])


def test_a_bonus_that_is_never_taken_back_makes_the_agent_circle():
    assert ring(0.0).solve()[0][0].tolist() == [0.5, 1.0]
    assert_allclose(ring(0.5).solve()[0][0], [1.0, 1.0])
    circling = ring(0.625)
    assert circling.solve()[0][0].argmax() == 0
    assert_allclose(circling.solve()[1][0], 1.25)                   # .625 / (1 - 1/2), and the door is never used
    phi = np.array([1.0, 2.0, 3.0, 0.0])
    assert shaped(ring(0.0), phi).solve()[0][0].argmax() == 1
    planted = replace(ring(0.0), reward=ring(0.0).reward + phi - phi[:, None, None])        # gamma forgotten
    assert planted.solve()[0][0].argmax() == 0


def test_with_the_best_values_for_a_potential_the_next_step_alone_shows_the_best_action():
    mdp = ring(0.25)
    new = shaped(mdp, mdp.solve()[1])
    greedy = replace(new, gamma=0.0).solve()[0]
    assert_allclose(greedy.max(axis=1), 0, atol=1e-12)
    assert (greedy.argmax(axis=1) == mdp.solve()[0].argmax(axis=1)).all()


@pytest.mark.parametrize(("phi", "message"), [
    ([0, 0, 0, 1], r"potential\[3\] is 1.0; expected 0, since the episode is over there"),
    ([0, 0, 0], r"the shape of potential is \(3,\)"), ([0, 0, np.nan, 0], r"potential\[2\] is nan")])
def test_what_it_refuses(phi, message):
    with pytest.raises(ValueError, match=message):
        shaped(ring(0.0), phi)
