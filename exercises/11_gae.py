"""Generalised advantage estimation: a sum of errors of the value, each later one for less.

    delta_t = r_t + gamma V_{t+1} - V_t
    A_t = delta_t + gamma lam A_{t+1}

Document 002, "PPO Steps" 3; Schulman et al. 2015, arXiv:1506.02438; example 23.
Is it right?  rlscratch check exercises/11_gae.py
"""
import numpy as np


def gae(rewards, values, gamma, lam):
    """A, (T,), of an episode that ends with its last reward: nothing is worth anything after it.

    rewards  (T,)    r
    values   (T,)    V: what was expected at each step
    gamma    number  the discount, 0 to 1
    lam      number  0: one error alone; 1: all rewards to come

    Rewards 0, 1, values .5, .5, gamma .9, lam .9: the last advantage is .5, the first -.05 + .81 *
    .5 = .355.
    """
    raise NotImplementedError
