"""Document 001's self-driving car, small enough for a table: three lanes, three speeds, a vehicle ahead.

A state is (lane, speed, gap): lane 0 (right) to 2 (left), speed 0 to 2 cells a step, and 0 to 3 free cells up to the
vehicle ahead, 3 for "far".  The document's five manoeuvres, and the speed v after each:

    accelerate   v + 1, at most 2            steer         v, in the lane
    brake        v - 1, at least 0           change lanes  v, one lane to the left; from the left lane one to the right
    stop         0 at once

The vehicle ahead makes u cells, drawn by its lane: the left lane is fast, the right one slow.  After a change of lanes
the gap is drawn by the lane.  Then gap <- gap + u - v, at most 3; below 0 it is a collision, which ends the episode.

    reward  =  time * v  -  abrupt [speed fell by 2]  -  collision [there was one]

Leaves out: vehicles behind, exits, anything that a sensor could get wrong.
"""
import numpy as np

from rlscratch import check
from rlscratch.mdp import MDP

ACTIONS = ("accelerate", "brake", "steer", "change lanes", "stop")
AHEAD = np.array([[0.1, 0.7, 0.2], [0.05, 0.45, 0.5], [0.02, 0.18, 0.8]])               # P(u) by lane
DRAWN = np.array([[0.3, 0.3, 0.2, 0.2], [0.2, 0.2, 0.3, 0.3], [0.15, 0.15, 0.2, 0.5]])    # P(gap) after a change
STATES = tuple((lane, speed, gap) for lane in range(3) for speed in range(3) for gap in range(4))
CRASH = len(STATES)


def three_lanes(time: float = 1.0, abrupt: float = 1.0, collision: float = 50.0, gamma: float = 0.95) -> MDP:
    """States as in STATES, and one more after a collision; an episode begins in the right lane, stopped, gap 3.

    time       reward of a cell of way
    abrupt     cost of a stop from full speed
    collision  cost of a collision

    >>> three_lanes()
    MDP(37 states, 5 actions, gamma 0.95, 1 terminal)
    """
    time, abrupt, collision = check.number(time=time, abrupt=abrupt, collision=collision)
    transition, reward = np.zeros((CRASH + 1, len(ACTIONS), CRASH + 1)), np.zeros((CRASH + 1, len(ACTIONS)))
    for s, (lane, speed, gap) in enumerate(STATES):
        for a, action in enumerate(ACTIONS):
            v = {"accelerate": min(speed + 1, 2), "brake": max(speed - 1, 0), "stop": 0}.get(action, speed)
            changes = action == "change lanes"
            there = (lane + 1 if lane < 2 else 1) if changes else lane
            for g, of_gap in enumerate(DRAWN[there] if changes else np.eye(4)[gap]):
                for u, of_ahead in enumerate(AHEAD[there]):
                    left = g + u - v
                    after = CRASH if left < 0 else STATES.index((there, v, min(left, 3)))
                    transition[s, a, after] += of_gap * of_ahead
            reward[s, a] = time * v - abrupt * (speed - v == 2) - collision * transition[s, a, CRASH]
    transition[CRASH, :, CRASH] = 1
    return MDP(transition, reward, gamma, start=STATES.index((0, 0, 3)), terminal=np.arange(CRASH + 1) == CRASH)
