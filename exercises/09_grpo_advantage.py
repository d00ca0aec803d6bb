"""GRPO's advantage: how far a reward is above its group, in standard deviations.

    A_i = (r_i - mean r) / std r

Document 002, "GRPO Walkthrough"; examples 12 and 24.
Is it right?  rlscratch check exercises/09_grpo_advantage.py
"""
import numpy as np


def group_advantage(rewards):
    """A, (P, G); 0 in a group in which all answers earn the same.

    rewards  (P, G)  of G answers, at least 2, to each of P prompts

    The standard deviation is the one of a sample: the sum of squares is divided by G - 1.  No
    epsilon is added.  Rewards 10, 5, -10 have the mean 1.67 and the deviation 10.41, so their
    advantages are .80, .32, -1.12.
    """
    raise NotImplementedError
