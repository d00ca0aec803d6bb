"""Which of several arms to try next, when what they pay is known from tries alone.

Arm a pays 1 with probability p_a, else 0.  Who knew the best arm would earn T max p in T tries.  The regret is what
is missing.  A try of arm a misses gap_a = max p - p_a on average, whatever led to it, so

    R_T = T max p - E[ sum_t r_t ] = sum_a gap_a E[ N_a(T) ]                                   (1)

with N_a(T) the number of tries of arm a.  A rule that goes on trying every arm in a fixed share of its steps, as
epsilon-greedy does, has a regret that grows like T.  One that never looks back may have settled on a worse arm.

Optimism.  Of n tries of an arm the mean m lies below p by u or more with probability at most exp(-2 n u^2)
(Hoeffding).  That is t^-4 for u = sqrt(2 ln t / n).  So take the arm that could be the best:

    index = m + sqrt(2 ln t / n),     infinite for n = 0                                       (2)

An arm with a small mean is tried again only when ln t has grown: N_a(T) <= 8 ln T / gap_a^2 + 1 + pi^2 / 3, and by
(1) the regret grows like ln T.  No rule that is good for every p has a slower growth than

    R_T / ln T  ->  sum_a gap_a / KL(p_a || max p)     over the arms with gap_a > 0            (3)

Thompson.  Before the first try let every p_a be equally likely.  After s ones and f zeros its density is Beta(s + 1,
f + 1), proportional to p^s (1 - p)^f.  Draw one p of each arm, take the arm with the largest.  For two arms the
probability of that needs no draw.  Let X be Beta(a, b), Y be Beta(c, d), and c whole.  Integration by parts gives

    P(Y_c+1 > x) = P(Y_c > x) + x^c (1 - x)^d / (c B(c, d)),     P(Y_1 > x) = (1 - x)^d        (4)

Averaged over x, each term is a ratio of Beta functions, and (1 - x)^d is the term of c = 0, as c B(c, d) is
Gamma(c + 1) Gamma(d) / Gamma(c + d), which is 1 there:

    P(Y > X) = sum_{i<c} B(a + i, b + d) / (i B(i, d) B(a, b))                                 (5)

Source: document 000, exploration and exploitation; Lai, Robbins 1985 (3); Auer, Cesa-Bianchi, Fischer 2002 (2);
        Thompson 1933.
Leaves out: more than two arms in (5), rewards other than 0 and 1, arms that depend on a context.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike

MOST = 10**6        # tries, of which logarithms of factorials are summed


def ucb_index(mean: ArrayLike, tries: ArrayLike, t: int) -> Array:
    """Equation (2), (..., A): what each arm could be worth.

    mean   (..., A)   the mean reward of its tries, in [0, 1]; any number there where it has none
    tries  like mean  n, >= 0
    t      int        tries of all arms so far, and this one: >= 1

    Raises ValueError or TypeError for other arrays or another t.

    One arm tried four times, one never; t = 5, and sqrt(2 ln 5 / 4) is .897.

    >>> ucb_index([.5, 0], [4, 0], 5).round(3).tolist()
    [1.397, inf]

    Proof: tests/test_formulas_exploration.py, test_an_arm_is_worth_more_than_its_index_in_one_case_of_t_to_the_fourth
    """
    mean, tries = check.same_rank(mean=mean, tries=tries)
    mean, tries = check.real(mean=mean, tries=tries)
    check.entries_between(0, 1, mean=mean)
    check.entries_between(0, np.inf, tries=tries)
    margin = np.divide(2 * np.log(check.integer(1, t=t)), tries, out=np.full(mean.shape, np.inf), where=tries > 0)
    return mean + np.sqrt(margin)


def thompson(successes: ArrayLike, failures: ArrayLike) -> Array:
    """Equation (5): how likely each of two arms is taken, (..., 2).

    successes  (..., 2)        ones so far, whole numbers >= 0
    failures   like successes  zeros so far

    Raises ValueError or TypeError for anything else.

    Nothing known of either; then one zero of the first: P(Y > X) = 2/3 for densities 1 and 2 (1 - p).

    >>> thompson([[0, 0], [0, 0]], [[0, 0], [1, 0]]).round(4).tolist()
    [[0.5, 0.5], [0.3333, 0.6667]]

    Proof: tests/test_formulas_exploration.py, test_thompson_is_the_integral_over_both_posteriors
    """
    successes, failures = check.ids(MOST, successes=successes, failures=failures)
    if successes.ndim == 0 or successes.shape[-1] != 2:
        check.fail("the shape of successes", successes.shape, "(..., 2), two arms on the last axis")
    check.shape(successes.shape, "like successes", failures=failures)
    a, c = np.moveaxis(successes.reshape(-1, 2), 1, 0) + 1
    b, d = np.moveaxis(failures.reshape(-1, 2), 1, 0) + 1
    log_gamma = np.concatenate([[0.0, 0.0], np.cumsum(np.log(np.arange(1, (a + b + c + d).max() + 1)))])
    second = np.zeros(len(a))
    same = log_gamma[b + d] + log_gamma[a + b] - log_gamma[a] - log_gamma[b] - log_gamma[d]
    for i in range(c.max()):
        n = np.flatnonzero(c > i)
        second[n] += np.exp(same[n] + log_gamma[a[n] + i] + log_gamma[i + d[n]]
                            - log_gamma[i + 1] - log_gamma[(a + b + d)[n] + i])
    second = np.minimum(second, 1)      # the sum may round to a little more
    return np.stack([1 - second, second], axis=-1).reshape(successes.shape)
