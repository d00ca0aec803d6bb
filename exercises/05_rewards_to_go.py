"""Rewards-to-go: for each step, what is still to come.

    Q_t = r_t + gamma r_{t+1} + gamma^2 r_{t+2} + ...

Document 004, 1.5.2; examples 06 and 19.
Is it right?  rlscratch check exercises/05_rewards_to_go.py
"""
import numpy as np


def rewards_to_go(rewards, gamma):
    """Q, (T,): a number for each step.

    rewards  (T,)    in their order
    gamma    number  0 to 1

    Five rewards of 0 and then a 1, at gamma .99: .951, .961, .970, .980, .990, 1.
    """
    raise NotImplementedError
