"""How sure a mean of samples is: its standard error, for answers to prompts and for pairs of rankings.

Each of P prompts is answered R times, independently, and x_pr is what answer r to prompt p is worth, with variance
sigma_p^2.  The mean over all m = 1/(P R) sum_pr x_pr is what is reported, and

    Var m = 1/(P R)^2 sum_pr sigma_p^2 = 1/(P R) mean_p sigma_p^2                              (1)

With s_p^2 = 1/(R - 1) sum_r (x_pr - mean_r x_pr)^2, whose expectation is sigma_p^2,

    error^2 = 1/(P R) mean_p s_p^2                                                             (2)

is unbiased for (1): how far m moves when the same prompts are asked again.  Where R = 1 no s_p is known.  The variance
s^2 of all P numbers has the expectation mean_p sigma_p^2 plus the variance of the prompts' own means, so

    error^2 = s^2 / P                                                                          (3)

is on average no less than (1); and it is the error of a mean over other prompts of this kind, too.

A ratio.  Of the n_i pairs of ranking i, c_i are in order, and a = sum_i c_i / sum_i n_i is the share of all.  Pairs of
one ranking hang together, rankings do not: to first order a is off by sum_i (c_i - a n_i) / sum_i n_i, a sum of N
independent terms whose mean is 0,

    error^2 = N/(N - 1) sum_i (c_i - a n_i)^2 / (sum_i n_i)^2                                  (4)

which is (3) where every n_i is 1.

Source: Miller 2024, arXiv:2411.00640 (errors of evaluations, clustered).
Leaves out: intervals, which want a distribution as well; the seeds of training, which no sample of one run contains.
"""
import math

import numpy as np

from rlscratch import check
from rlscratch.check import Array


def mean_error(values: Array) -> float:
    """Equation (2), or (3) where each prompt has one answer.

    values  (P, R)  what R answers to each of P prompts are worth; two numbers at least

    >>> mean_error([[1.0, 3.0], [10.0, 10.0]])                  # s^2 is 2 and 0, so sqrt(1 / 4)
    0.5

    Proof: tests/test_formulas_standard_error.py, test_its_square_is_on_average_the_variance_of_the_mean
    """
    values = check.real(values=check.array(ndim=2, values=values))
    check.integer(2, count=values.size, called="the number of values")
    rows = values if values.shape[1] > 1 else values.T
    return math.sqrt(rows.var(axis=1, ddof=1).mean() / values.size)


def ratio_error(counts: Array, sizes: Array) -> float:
    """Equation (4).

    counts  (N,)  c_i, of N >= 2 groups
    sizes   (N,)  n_i, > 0

    >>> ratio_error([2.0, 0.0], [2.0, 2.0])                     # a = 1/2, off by 1 and -1: sqrt(2 x 2) / 4
    0.5

    Proof: tests/test_formulas_standard_error.py, test_a_ratio_of_groups_of_one_size_is_a_mean_of_groups
    """
    counts, sizes = check.array(ndim=1, counts=counts, sizes=sizes)
    counts, sizes = check.real(counts=counts, sizes=sizes)
    check.shape(counts.shape, "like counts", sizes=sizes)
    N = check.integer(2, count=len(counts), called="the number of groups")
    check.positive(least=sizes.min(), called="the least of sizes")
    off = counts - counts.sum() / sizes.sum() * sizes
    return math.sqrt(N / (N - 1) * np.square(off).sum()) / sizes.sum().item()
