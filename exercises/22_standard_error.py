"""The standard error of a success rate: how far it moves when the same prompts are asked again.

    error^2 = 1/(P R) mean over prompts of s_p^2,    s_p^2 = 1/(R - 1) sum_r (x_pr - mean_r x_pr)^2

Document 003, RLHF Results; Miller 2024, arXiv:2411.00640; example 46.
Is it right?  rlscratch check exercises/22_standard_error.py
"""
import numpy as np


def mean_error(values):
    """The error, a number, in units of the values.

    values  (P, R)  what R answers, at least 2, to each of P prompts are worth

    Two prompts with the answers 1, 3 and 10, 10: the variances are 2 and 0, their mean is 1, and of
    four values the error is the root of 1/4, .5.
    """
    raise NotImplementedError
