"""Best-of-N: what the best of n answers is worth, how far it is from the policy, and how both are estimated.

Draw n answers from a policy p and keep the one with the highest score.  The policy stays as it is, and yet the
answers come from another distribution.  Let F(y) be the probability of an answer that scores at most what y does, and
F(y-) of one that scores less.  The best of n scores at most r iff all n do, so where no two answers have the same
score, y is the best with the probability

    q(y) = F(y)^n - F(y-)^n                                                                    (1)

Answers of one score share what (1) gives to all of them, in proportion to p: the first of equals is kept, and
among n independent draws each order is equally likely.  With scores in ascending order and F_0 = 0,

    E max = sum_y q(y) r_y = sum_k r_k (F_k^n - F_{k-1}^n)                                     (2)

in which equal scores may be taken one by one: between them the powers of F cancel.

The distance.  KL(q || p) follows from (1).  If no answer is likely to be drawn twice, u = F is uniform on (0, 1) and
the density of the best is n u^(n-1), so

    KL(q || p) <= int_0^1 n u^(n-1) log( n u^(n-1) ) du = log n - (n - 1) / n                  (3)

by int_0^1 n u^(n-1) log u du = -1/n.  Where answers are drawn twice, or scores tie, (3) is an upper bound: 1.835 nats
for n = 16.  It is the yardstick for every policy that was trained against the same score.

From a pool.  Of N answers to one prompt let the order by score be 1, 2, ..., N.  A set of n of them, drawn without
replacement, has answer i for its best if i is in it and the n - 1 others lie behind, so

    w_i = C(N - i, n - 1) / C(N, n)                                                            (4)

and sum_i w_i g_i is the mean worth g of the best over all such sets: unbiased for any n <= N, and less noisy than one
set.  The w_i add to 1, for C(N, n) counts the sets by the place of their best.  If g is 1 for a right answer, 0 for a
wrong one, and the score is g itself, the best of a set is wrong iff all of it is.  With c right answers among N,

    pass@k = 1 - C(N - c, k) / C(N, k)                                                         (5)

1 - (1 - c/N)^k is biased: the pool's own share stands in it to the power k.

Source: document 003, part 6, "best of" its rollouts; Stiennon et al. 2020, arXiv:2009.01325 (3); Beirami et al. 2024,
        arXiv:2401.01879 (that it is a bound); Nakano et al. 2021, arXiv:2112.09332 (4); Chen et al. 2021,
        arXiv:2107.03374 (5).
Leaves out: n that differs by prompt; a policy that is trained to answer like the best of n.
"""
from __future__ import annotations

import math

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike


def best_of_n(probs: ArrayLike, rewards: ArrayLike, n: int) -> float:
    """Equation (2): the exact expectation of the largest reward among n independent draws, a float.

    probs    (Y,)  probability of each answer; divided by its sum, so that F ends at exactly 1
    rewards  (Y,)  in units of reward
    n        >= 1  how many draws; 1 gives the expected reward

    >>> best_of_n([.5, .5], [0.0, 1.0], 2)                  # 0 only if both draws are 0
    0.75

    Proof: tests/test_formulas_distribution.py, test_best_of_n_is_the_mean_over_every_possible_n_draws
    """
    order, rewards, shares = _shares(probs, rewards, n)
    return (rewards[order] * shares).sum().item()


def best_of_n_policy(probs: ArrayLike, scores: ArrayLike, n: int) -> Array:
    """Equation (1): the distribution of the best of n, (Y,); equal scores keep their proportions.

    probs, scores, n  as in best_of_n

    >>> best_of_n_policy([.5, .25, .25], [0.0, 1.0, 1.0], 2).tolist()
    [0.25, 0.375, 0.375]

    Proof: tests/test_formulas_best_of_n.py, test_the_policy_of_the_best_is_that_of_all_draws
    """
    order, scores, shares = _shares(probs, scores, n)
    _, level = np.unique(scores, return_inverse=True)
    of_level = np.bincount(level[order], shares)                      # what all answers of one score get
    probs = np.asarray(probs, float)
    return probs * (of_level / np.maximum(np.bincount(level, probs), np.finfo(float).tiny))[level]


def best_of_n_kl(probs: ArrayLike, scores: ArrayLike, n: int) -> float:
    """KL(best of n || policy), exactly, in nats.  Arguments as in best_of_n.

    >>> round(best_of_n_kl([.5, .5], [0.0, 1.0], 2), 4)
    0.1308

    Proof: tests/test_formulas_best_of_n.py, test_the_policy_of_the_best_is_that_of_all_draws
    """
    best, probs = best_of_n_policy(probs, scores, n), np.asarray(probs, float)
    some = best > 0
    return np.sum(best[some] * np.log(best[some] / (probs / probs.sum())[some])).item()


def best_of_n_kl_bound(n: int) -> float:
    """Equation (3): what no best of n >= 1 answers can exceed, in nats.

    >>> round(best_of_n_kl_bound(16), 4)
    1.8351

    Proof: tests/test_formulas_best_of_n.py, test_where_no_answer_comes_twice_the_bound_is_reached
    """
    return math.log(check.integer(1, n=n)) - (n - 1) / n


def best_of_n_from_pool(scores: ArrayLike, worth: ArrayLike, n: int) -> float:
    """The worth that is expected of the best by score of n answers, the mean over prompts: equation (4).

    scores  (P, N)  of N answers to each of P prompts; equal ones keep their order
    worth   (P, N)  what is asked about: the scores themselves, a gold reward, a length
    n       1 to N

    Of three answers, pairs: {1st, 2nd} and {1st, 3rd} give the first, {2nd, 3rd} the second.

    >>> best_of_n_from_pool([[0.1, 0.9, 0.5]], [[0.0, 6.0, 3.0]], 2)
    5.0

    Proof: tests/test_formulas_best_of_n.py, test_the_worth_of_the_best_is_the_mean_over_all_sets_of_answers
    """
    return best_of_n_by_prompt(scores, worth, n).mean().item()


def best_of_n_by_prompt(scores: ArrayLike, worth: ArrayLike, n: int) -> Array:
    """Equation (4) for each prompt by itself, (P,); their spread says how sure the mean is.

    Arguments as in best_of_n_from_pool.

    >>> best_of_n_by_prompt([[0.1, 0.9], [0.1, 0.9]], [[0.0, 6.0], [3.0, 1.0]], 2).tolist()
    [6.0, 1.0]

    Proof: tests/test_formulas_best_of_n.py, test_the_worth_of_the_best_is_the_mean_over_all_sets_of_answers
    """
    scores, worth = check.array(ndim=2, scores=scores, worth=worth)
    check.shape(scores.shape, "like scores", worth=worth)
    N = scores.shape[1]
    check.integer(1, N, n=n)
    behind = np.arange(N - 1.0, 0, -1)                      # w_i+1 / w_i = C(N-i-1, n-1) / C(N-i, n-1)
    weight = n / N * np.cumprod(np.r_[1.0, np.maximum(behind - n + 1, 0) / behind])
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(worth, order, axis=1) @ weight


def pass_at_k(answers: int, right: int, k: int) -> float:
    """Equation (5): the unbiased estimate of the probability that one of k answers is right.

    answers  N >= 1
    right    c, 0 to N
    k        1 to N

    >>> round(pass_at_k(10, 3, 1), 9), round(pass_at_k(10, 3, 5), 9)            # 1 - C(7, 5) / C(10, 5)
    (0.3, 0.916666667)

    Proof: tests/test_formulas_best_of_n.py, test_pass_at_k_is_unbiased_and_the_share_to_the_power_k_is_not
    """
    N = check.integer(1, answers=answers)
    c, k = check.integer(0, N, right=right), check.integer(1, N, k=k)
    return 1 - math.comb(N - c, k) / math.comb(N, k)


def _shares(probs: ArrayLike, rewards: ArrayLike, n: int) -> tuple[Array, Array, Array]:
    """The ascending order, the checked rewards, and F_k^n - F_{k-1}^n in that order."""
    probs, rewards = check.probabilities(ndim=1, probs=probs), check.array(rewards=rewards)
    check.shape(probs.shape, "a reward for each answer", rewards=rewards)
    n = check.integer(1, n=n)
    order = np.argsort(rewards.real, kind="stable")
    at_most = np.cumsum(probs[order].astype(np.result_type(probs, np.float64)))
    return order, rewards, np.diff((at_most / at_most[-1]) ** n, prepend=0)
