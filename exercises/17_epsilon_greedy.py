"""Epsilon-greedy: mostly the best action, sometimes any.

    pi(a) = (1 - epsilon) [a is greedy] + epsilon / A

Document 000; examples 05 and 26.
Is it right?  rlscratch check exercises/17_epsilon_greedy.py
"""
import numpy as np


def epsilon_greedy(q, epsilon):
    """Probabilities, (A,).

    q        (A,)    the value of each action
    epsilon  number  0 to 1

    Of equal values the first is greedy.  Values 0, 2, 2, 1 and epsilon 1/2: .125, .625, .125, .125.
    """
    raise NotImplementedError
