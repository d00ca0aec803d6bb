"""Memory: what a policy can earn that remembers the last pairs of observation and action.

By hand: Sutton and Barto's corridor of three rooms that look alike, the middle one's moves exchanged, -1 a step.  No
deterministic policy without memory ever leaves.  Who moves on with probability p needs on average
v0 = (4 - 2p) / (p (1 - p)) steps, at best 6 + 4 sqrt 2 = 11.66 for p = 2 - sqrt 2.  Who remembers one pair needs 3.
"""
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.mdp import MDP, best_stationary, remembering
from strategies import mdps

P = [[[1, 0, 0, 0], [0, 1, 0, 0]], [[0, 0, 1, 0], [1, 0, 0, 0]], [[0, 1, 0, 0], [0, 0, 0, 1]], [[0, 0, 0, 1]] * 2]
CORRIDOR = MDP(P, [-1, -1, -1, 0], 1.0, start=0, terminal=[0, 0, 0, 1], observation=[0, 0, 0, 1])


def test_the_corridor_by_hand():
    assert best_stationary(CORRIDOR, 50)[1] == -50
    assert best_stationary(remembering(CORRIDOR)[0], 50)[1] == -3
    for p in (0.25, 0.5, 2 - np.sqrt(2)):
        mixed = CORRIDOR.evaluate([[1 - p, p], [1, 0]])[0]
        assert_allclose(mixed, -(4 - 2 * p) / (p * (1 - p)), rtol=1e-12)
    assert_allclose(mixed, -(6 + 4 * np.sqrt(2)), rtol=1e-12)
    logits = np.log([[1 - p, p], [.5, .5]])
    assert_allclose(CORRIDOR.policy_gradient(logits)[0], 0, atol=1e-10)         # a maximum


def blind(data, mdp):
    """The MDP of which one thing at most is seen, besides that an episode is over."""
    classes = data.draw(st.lists(st.integers(0, 1), min_size=len(mdp.start), max_size=len(mdp.start)))
    seen = np.where(mdp.terminal, 2, classes)
    return replace(mdp, observation=np.unique(seen, return_inverse=True)[1])


@given(st.data(), mdps(ending=True))
def test_who_ignores_the_past_earns_the_same(data, mdp):
    mdp = blind(data, mdp)
    new, seen = remembering(mdp, 2)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    policy = rng.dirichlet(np.ones(mdp.transition.shape[1]), mdp.observation.max() + 1)
    assert_allclose(new.discounted_return(policy[[what[-1] for what in seen]], 4), mdp.discounted_return(policy, 4),
                    atol=1e-10)


def best_by_beliefs(mdp, weight, steps):
    """What the best of all policies earns that sees observations alone: weight[s] = P(s and all that was seen)."""
    if steps == 0 or not weight.any():
        return 0.0
    total = 0.0
    for o in set(mdp.observation.tolist()):
        here = np.where((mdp.observation == o) & ~mdp.terminal, weight, 0)
        total += max(here @ (mdp.transition[:, a] * mdp.reward[:, a]).sum(axis=1)
                     + mdp.gamma * best_by_beliefs(mdp, here @ mdp.transition[:, a], steps - 1)
                     for a in range(mdp.transition.shape[1]))
    return total


@given(st.data(), mdps(ending=True))
def test_with_memory_for_all_steps_nothing_better_can_be_done_as_beliefs_show(data, mdp):
    mdp = blind(data, mdp)
    all_of_it = best_by_beliefs(mdp, mdp.start, 3)
    some, none = best_stationary(remembering(mdp, 1)[0], 3)[1], best_stationary(mdp, 3)[1]
    assert_allclose(best_stationary(remembering(mdp, 2)[0], 3)[1], all_of_it, atol=1e-10)
    assert none <= some + 1e-10 and some <= all_of_it + 1e-10
    assert all_of_it <= mdp.start @ mdp.solve(3)[1][0] + 1e-10


def test_without_memory_it_is_the_mdp_that_it_was():
    new, seen = remembering(CORRIDOR, 0)
    assert seen == [(0,), (1,)] and new.transition.tolist() == CORRIDOR.transition.tolist()
    assert (new.reward == CORRIDOR.reward * (CORRIDOR.transition > 0)).all()
    assert new.observation.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(("steps", "error"), [(-1, ValueError), (1.0, TypeError)])
def test_what_it_refuses(steps, error):
    with pytest.raises(error, match=rf"steps is {steps}; expected an integer >= 0"):
        remembering(CORRIDOR, steps)
