"""What is sampled is what is trained: the ratio is 1 before the first update, or the run stops.

The ratio pi / pi_old compares the policy that is trained with the one that answered.  Before anything has changed they
are one policy, so every ratio is 1 but for rounding: 1e-12 in float64, about 1e-6 in float32.  Another temperature, a
filter, dropout, a token read one place off would all show here, and every objective that uses the ratio would then
be about another distribution than the one that answered.  So each run reports the largest deviation.
"""
import numpy as np

from rlscratch.check import Array
from rlscratch.formulas import ppo

MOST = 1e-3


def deviation(logp: Array, logp_old: Array, mask: Array | float = 1.0) -> float:
    """The largest |ratio - 1| over the chosen tokens; arrays of one shape.  Raises RuntimeError above MOST.

    logp, logp_old  natural log, of probabilities or densities, by the policy that is trained and by the one that was
                    sampled from
    """
    largest = np.abs(mask * (ppo.exp_of(logp - logp_old) - 1)).max().item()
    if not largest <= MOST:
        raise RuntimeError(f"before the update a ratio is {largest:.2g} away from 1; expected at most {MOST}: the "
                           "answers were not sampled from the distribution that is trained")
    return largest
