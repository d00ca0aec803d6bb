"""TRPO's step on one row of logits: how far to go is measured in nats, not in logits.

Logits are not what matters; the distribution is.  Near z, by Taylor,

    KL(pi_z || pi_z+x) = x' F x / 2 + O(|x|^3),     F = E[score score'] = diag(p) - p p'       (1)

F is the Fisher information, the second derivative of the KL; for a softmax both forms are one, as score(a) = e_a - p.
Largest gain g'x within KL delta, with the KL replaced by (1): by Lagrange x is along F^-1 g, and

    x = sqrt( 2 delta / (g' n) ) n,         F n = g                                            (2)

n is the natural gradient.  F takes a constant to 0, for equal shifts of all logits change nothing, so n is fixed up to
a constant; we take the one whose sum is 0.  For J = sum_a p_a r_a the gradient is g_a = p_a (r_a - J) = (F r)_a: then

    n = r - mean r,       pi_z+eta n (a)  is proportional to  p_a exp(eta r_a)                 (3)

The natural step is the policy of the KL brake, kl_optimal_policy(p, r, beta = 1 / eta): both ask for the most reward at
a price of nats.  An answer with p = .001 moves as far in logits as one with .5; the plain gradient moves it hardly.

(1) is an approximation.  So TRPO shortens x, halving it until the true KL is at most delta and nothing is lost.  PPO's
clip bounds the ratio of each answer instead, and has no second derivatives.

Source: document 002, "Key Benefits of PPO" (it names TRPO); Schulman et al. 2015, arXiv:1502.05477; Kakade 2001 (3).
Leaves out: networks, where F is never written down and F n = g is solved by conjugate gradients.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.kl import kl

HALVINGS = 50


def fisher(logits: ArrayLike) -> Array:
    """Equation (1): F, (V, V).

    logits  (V,)  finite

    >>> fisher([0.0, 0.0]).tolist()
    [[0.25, -0.25], [-0.25, 0.25]]

    Proof: tests/test_formulas_trust_region.py, test_the_fisher_matrix_is_the_mean_of_scores_and_the_curvature_of_the_kl
    """
    p = softmax(check.array(ndim=1, logits=logits))
    return np.diag(p) - np.outer(p, p)


def natural_gradient(logits: ArrayLike, grad: ArrayLike) -> Array:
    """Equation (2): n, (V,), whose sum is 0.

    logits  (V,)  finite
    grad    (V,)  g, a derivative with respect to the logits: its sum is 0

    Raises ValueError where an answer has so little probability that no double holds n.

    The gradient of expected reward, three equally likely answers worth 10, 5 and -10; the mean is 5/3.

    >>> natural_gradient([0.0, 0.0, 0.0], [25 / 9, 10 / 9, -35 / 9]).round(4).tolist()
    [8.3333, 3.3333, -11.6667]

    Proof: tests/test_formulas_trust_region.py, test_the_natural_gradient_of_expected_reward_is_the_reward_itself
    """
    logits, grad = check.same_rank(logits=logits, grad=grad)
    check.between(-1e-9, 1e-9, total=(grad / max(1.0, np.abs(grad).max())).sum(), called="the sum of grad")
    with np.errstate(all="ignore"):
        n = grad / softmax(logits)          # F n = p (n - p'n), and p'n = sum of grad = 0
        n = n - n.mean()
    if not np.isfinite(n).all():
        check.fail("logits", logits, "logits that give every answer a probability p > 0 with grad / p finite: "
                   "here the Fisher matrix is singular, or too nearly so")
    return n


def trust_region_step(logits: ArrayLike, grad: ArrayLike, delta: float, objective: Callable[[Array], float]) -> Array:
    """Equation (2), shortened until KL(old || new) <= delta and the objective has not fallen: new logits, (V,).

    logits, grad  as in natural_gradient
    delta         > 0, in nats
    objective     of logits, what is to be raised

    Proof: tests/test_formulas_trust_region.py, test_a_step_stays_in_its_region_and_never_loses
    """
    check.positive(delta=delta)
    logits, grad = check.same_rank(logits=logits, grad=grad)
    check.real(logits=logits, grad=grad)
    near_one = np.ldexp(grad, -np.frexp(np.abs(grad).max())[1])
    if abs(near_one.sum()) <= 1e-9:         # (2) is the same for every multiple of g, but not of rounding alone
        grad = near_one                     # by a power of 2, which rounds nothing
    n = natural_gradient(logits, grad)
    if not grad @ n > 0:                    # a gradient of 0, but for rounding
        return logits.copy()
    x, p, before = np.sqrt(2 * delta / (grad @ n)) * n, softmax(logits), objective(logits)
    for _ in range(HALVINGS):
        if kl(p, softmax(logits + x)) <= delta and objective(logits + x) >= before:
            return logits + x
        x = x / 2
    return logits.copy()
