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

Listed answers.  Some answers y can be listed, and the model says how likely each is: p_y.  What they are worth, x_y,
needs no sampling.  The others have the probability rest = 1 - sum_y p_y, and n sampled ones have the mean m:

    E[x] = sum_y p_y x_y + rest E[x | not listed],     estimated with m in place of the last factor    (5)
    error = rest s / sqrt(n),   s^2 = 1/(n - 1) sum_i (x_i - m)^2                                       (6)

unbiased for each n >= 1, and exact where all other answers are worth the same.  Sampling all answers has the variance
Var[x] / N; (6) keeps of it only what lies among the others, which is what stratified sampling does.

Source: Miller 2024, arXiv:2411.00640 (errors of evaluations, clustered); Cochran 1977, Sampling Techniques (strata).
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


def listed_mean(logp: Array, values: Array, others: Array | None = None) -> tuple[float, float]:
    """Equations (5) and (6) for P prompts that are equally likely: the mean and its error.

    logp    (P, Y)  log-probabilities of the listed answers to each prompt, natural log; float32 may round them by 1e-4
    values  (P, Y)  what these answers are worth
    others  (n,)    what sampled answers are worth that are not listed; None where all that were sampled are

    None: the listed answers stand for the others.  One or none has no s: then the error is the distance
    between the largest and the smallest number of all, times rest.

    >>> mean, error = listed_mean(np.log([[0.5, 0.25]]), [[10.0, 2.0]], [-4.0, -4.0])     # 5 + 1/2 - 4 / 4
    >>> round(mean, 12), error
    (4.5, 0.0)

    Proof: tests/test_formulas_standard_error.py, test_listed_answers_need_no_sampling
    """
    logp, values = check.array(ndim=2, logp=logp, values=values)
    logp, values = check.real(logp=logp, values=values)
    check.log_probabilities(logp=logp)
    check.shape(values.shape, "like values", logp=logp)
    others = values[:0, 0] if others is None else check.real(others=check.array(ndim=1, others=others))
    probs = np.exp(logp) / len(logp)
    total, n = probs.sum().item(), len(others)
    if total > 1 + 1e-4:
        check.fail("the sum of the probabilities", total, "at most 1")
    rest, listed = max(0.0, 1 - total), (probs * values).sum().item()
    mean = listed + rest * others.mean().item() if n else listed / total
    spread = others.std(ddof=1).item() / math.sqrt(n) if n > 1 else np.ptp(np.append(values, others)).item()
    return mean, rest * spread
