"""The car of document 001 as a table.

By hand.  Right lane, full speed, one free cell: steering makes two cells; the vehicle ahead makes 0 with .1: collision.
"""
import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch.tasks.car import ACTIONS, CRASH, STATES, three_lanes

CAR = three_lanes(time=1, abrupt=3, collision=50)


def row(state, action):
    """Where an action leads, and what it pays on average."""
    s, a = STATES.index(state), ACTIONS.index(action)
    p = CAR.transition[s, a]
    return {"crash" if t == CRASH else STATES[t]: round(p[t], 12) for t in np.flatnonzero(p)}, p @ CAR.reward[s, a]


@pytest.mark.parametrize(("state", "action", "after", "paid"), [
    ((0, 2, 1), "steer", {"crash": 0.1, (0, 2, 0): 0.7, (0, 2, 1): 0.2}, 2 - 5),
    ((0, 0, 3), "steer", {(0, 0, 3): 1.0}, 0),
    ((2, 1, 3), "accelerate", {(2, 2, 1): 0.02, (2, 2, 2): 0.18, (2, 2, 3): 0.8}, 2),
    ((0, 2, 0), "stop", {(0, 0, 0): 0.1, (0, 0, 1): 0.7, (0, 0, 2): 0.2}, -3),
    ((0, 1, 0), "stop", {(0, 0, 0): 0.1, (0, 0, 1): 0.7, (0, 0, 2): 0.2}, 0),
    ((0, 2, 2), "brake", {(0, 1, 1): 0.1, (0, 1, 2): 0.7, (0, 1, 3): 0.2}, 1)])
def test_a_step_by_hand(state, action, after, paid):
    found, reward = row(state, action)
    assert found == pytest.approx(after)
    assert_allclose(reward, paid, atol=1e-12)


def test_a_change_of_lanes_draws_the_gap_and_goes_left_or_back_to_the_middle():
    for lane, there in ((0, 1), (1, 2), (2, 1)):
        found, _ = row((lane, 0, 0), "change lanes")
        assert {state[0] for state in found} == {there} and "crash" not in found        # it stands: nothing can be hit
    assert_allclose(row((0, 1, 3), "change lanes")[0]["crash"], 0.2 * 0.05)             # gap 0, and the other stands


def test_what_is_paid_for_decides_what_is_best():
    def moves(**rewards):
        car = three_lanes(**rewards)
        q = car.solve()[0]
        return car, np.eye(5)[q.argmax(axis=1)]

    car, policy = moves(time=0.0)
    assert car.solve()[1].max() == 0                                                    # standing still is best
    assert car.discounted_return(policy) == 0
    reckless, careful = (moves(collision=c)[1] for c in (0.0, 200.0))
    crash = np.zeros((CRASH + 1, 5))
    crash[:] = CAR.transition[:, :, CRASH]
    crash[CRASH] = 0
    assert (CAR.occupancy(reckless) * crash).sum() > 10 * (CAR.occupancy(careful) * crash).sum()


def test_what_it_refuses():
    with pytest.raises(ValueError, match="collision is nan"):
        three_lanes(collision=float("nan"))
