"""The Gaussian policy: an action is a row of numbers, and has a density in place of a probability.

    e        = (a - mean) / sigma,    sigma = exp(log_std)
    log pi(a) = sum over the numbers of the action of  - e^2 / 2 - log_std - log(2 pi) / 2

Document 004, 1.3; Williams 1992; examples 45 and 46.
Is it right?  rlscratch check exercises/21_gaussian.py
"""
import numpy as np


def gaussian_logp(mean, log_std, action):
    """log pi(a), a number: the natural log of a density, which may be above 0.

    mean     (D,)  where the Gaussian has its middle
    log_std  (D,)  the logarithm of its width sigma
    action   (D,)  a

    At its mean a Gaussian of sigma 1/10 has the density 3.989, whose logarithm is 1.384.
    """
    raise NotImplementedError
