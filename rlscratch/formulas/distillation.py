"""Distillation: a student's distribution p is pulled to a teacher's q, on all words, on a few, or on the one drawn.

p = softmax(z) at one prefix.  Two divergences and what lies between, with m = b q + (1 - b) p:

    forward  F = KL(q || p) = sum q log(q/p)             covers all that the teacher may say         (1)
    reverse  R = KL(p || q) = sum p log(p/q)             says only what the teacher says             (2)
    between  b KL(q || m) + (1 - b) KL(p || m),   0 < b < 1; b = 1/2 is Jensen and Shannon's         (3)

For a sum of f(p_a), dp_j/dz_a = p_j ([j = a] - p_a) gives

    d/dz_a = p_a ( f'(p_a) - sum_j p_j f'(p_j) )                                                     (4)

    forward  f' = -q/p:            d/dz = p - q
    reverse  f' = log(p/q) + 1:    d/dz = p ( log(p/q) - R )
    between  f' = (1-b) log(p/m):  the rest of the product rule adds to (1-b) (1 - m/m) = 0

The ends.  (3) goes to 0 as b goes to 0 or 1; divided by b it goes to F, divided by 1 - b to R.  So "b = 0 is
forward, b = 1 is reverse", as libraries define the ends, is a jump in size: at b = .01 the loss is .01 F.

The top k.  Whoever ships only the teacher's k largest probabilities has a choice for the rest of both rows:

    bucket        one more word, with all that is left: (1) to (4) on k + 1 words, a lower bound
    drop          the sum over the k words alone: for reverse and between no divergence, it may be negative
    renormalise   both rows divided by their kept mass: nothing is said of how much mass that is

"renormalise" is the loss on the kept logits alone.  With "drop" the constants of f' matter: the reverse needs its + 1.

On policy.  Answers drawn from the student itself, d_t = log p(y_t) - log q(y_t) of the word drawn:

    all words   sum over prefixes of (2)      E = sum_h P(h) grad R_h: prefixes are held             (5)
    sampled     coefficient d_t on its own score, reinforce_grad(logp, -d, w): E[d s] = grad R_h     (6)
                the same mean as (5), with the noise of one draw
    to go       reinforce_grad(logp, -rewards_to_go(d), w): grad KL of whole answers                 (7)

(6) and (5) miss how early words decide which prefixes come; (7) has it.  And a penalty that does not look at the word
drawn, such as R itself or its top k put into the reward of that step, teaches nothing there: E[R s] = R E[s] = 0.  Only
through later steps' scores, in (7), would it count.  On answers from the teacher or a dataset, (1) is supervised
learning with soft labels.

Source: Hinton et al. 2015, arXiv:1503.02531; GKD, Agarwal et al. 2023, arXiv:2306.13649 (3); its ends as in TRL
        1.16.0's generalized_jsd_loss, read.  The papers' texts were not read again.
Leaves out: temperatures other than 1 (divide the logits; the gradient has 1/T), teachers with another vocabulary.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.distribution import log_softmax


def distillation_loss(
    logits: ArrayLike, teacher: ArrayLike, weight: ArrayLike, mix: float = 0.0, kept: ArrayLike | None = None,
    rest: str = "bucket",
) -> float:
    """Equation (1) for mix = 0, (2) for mix = 1, (3) between; the sum over rows of w times it.

    logits   (N, V)  the student's, finite
    teacher  (N, V)  probabilities > 0
    weight   (N,)    how much each row counts, >= 0
    mix      in [0, 1]  b of (3)
    kept     (N, V)  1 for the words that both are compared on; None: all
    rest     "bucket" or "drop": what becomes of the others

    p is uniform over two words, q = 3/4, 1/4: log(1/2 / 3/4) / 2 + log(1/2 / 1/4) / 2.

    >>> round(distillation_loss([[0, 0]], [[.75, .25]], [1], mix=1), 6)
    0.143841

    Proof: tests/test_formulas_distillation.py, test_the_gradient_is_the_derivative_of_the_loss
    """
    _, p, q, weight, mix, _ = _rows(logits, teacher, weight, mix, kept, rest)
    if mix == 0:
        terms = q * np.log(q / p)
    elif mix == 1:
        terms = p * np.log(p / q)
    else:
        m = mix * q + (1 - mix) * p
        terms = mix * q * np.log(q / m) + (1 - mix) * p * np.log(p / m)
    return np.sum(weight * terms.sum(axis=-1)).item()


def distillation_grad(
    logits: ArrayLike, teacher: ArrayLike, weight: ArrayLike, mix: float = 0.0, kept: ArrayLike | None = None,
    rest: str = "bucket",
) -> Array:
    """Equation (4): dL/dlogits, (N, V).  Arguments as in distillation_loss.

    >>> distillation_grad([[0, 0]], [[.75, .25]], [1]).tolist()                   # p - q
    [[-0.25, 0.25]]

    Proof: tests/test_formulas_distillation.py, test_the_gradient_is_the_derivative_of_the_loss
    """
    words, p, q, weight, mix, kept = _rows(logits, teacher, weight, mix, kept, rest)
    if mix == 0:
        slope = -q / p
    elif mix == 1:
        slope = np.log(p / q) + 1
    else:
        slope = (1 - mix) * np.log(p / (mix * q + (1 - mix) * p))
    V = words.shape[-1]
    tail = slope[:, V:] if slope.shape[-1] > V else np.zeros((len(slope), 1))
    slope = np.where(kept, slope[:, :V], tail)
    return weight[:, None] * words * (slope - (words * slope).sum(axis=-1, keepdims=True))


def _rows(logits: ArrayLike, teacher: ArrayLike, weight: ArrayLike, mix: float, kept: ArrayLike | None,
          rest: str) -> tuple[Array, Array, Array, Array, float, Array]:
    """p over all words; p and q over those compared, 1 for both where nothing is (it adds 0); w, b, kept."""
    logits, teacher = check.array(ndim=2, logits=logits), check.probabilities(ndim=2, teacher=teacher)
    check.shape(logits.shape, "like logits", teacher=teacher)
    check.entries_between(np.finfo(float).tiny, 1.001, "so that its logarithm is finite", teacher=teacher)
    _, weight = check.weighted(weight, rows=logits[:, 0])
    weight = np.broadcast_to(weight, logits.shape[:1])
    mix, words = check.between(0, 1, mix=mix), np.exp(log_softmax(logits))
    bucket = check.one_of(("bucket", "drop"), rest=rest) == "bucket"
    chosen = np.ones(logits.shape, bool) if kept is None else check.mask(kept=kept) == 1
    check.shape(logits.shape, "like logits", kept=chosen)
    p, q = np.where(chosen, words, 1), np.where(chosen, teacher, 1)
    if bucket and not chosen.all():
        outside = ~chosen.all(axis=-1, keepdims=True)
        left = [np.where(outside, (x * ~chosen).sum(axis=-1, keepdims=True), 1) for x in (words, teacher)]
        p, q = np.concatenate([p, left[0]], axis=-1), np.concatenate([q, left[1]], axis=-1)
    return words, p, q, weight, mix, chosen
