"""The discounted return: what a row of rewards is worth at its beginning.

    G = r_0 + gamma r_1 + gamma^2 r_2 + ...

Documents 000 and 001; document 004, 1.4.3, begins with another power; example 06.
Is it right?  rlscratch check exercises/04_discounted_return.py
"""
import numpy as np


def discounted_return(rewards, gamma):
    """G, a number.

    rewards  (T,)    in their order
    gamma    number  0 to 1

    Five rewards of 0 and then a 1 are worth .99^5 = .951 at gamma .99.
    """
    raise NotImplementedError
