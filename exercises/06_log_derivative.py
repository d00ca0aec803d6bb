"""The log-derivative estimate: one drawn action says in which direction the mean reward grows.

    g_j = R d log pi(a) / dz_j,    pi = softmax(z)

Document 003, "The Log-Derivative Trick"; document 004, 1.5.1; examples 07 and 18.
Is it right?  rlscratch check exercises/06_log_derivative.py
"""
import numpy as np


def log_derivative(logits, action, reward):
    """g, the estimate of the gradient in the logits from one action, (A,).

    logits  (A,)    z
    action  int     a, that was drawn
    reward  number  R, that it earned

    With probabilities .4, .3, .2, .1, the first action drawn and a reward of 1: .6, -.3, -.2, -.1.
    """
    raise NotImplementedError
