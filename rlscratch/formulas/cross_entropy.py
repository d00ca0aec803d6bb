"""Cross-entropy: the loss of next-token prediction and of supervised fine-tuning.

Token t was written by somebody else; the policy is to find it likely.

    L = - sum_t w_t log pi(a_t | s_t)                                                (1)
    dL/dlogp_t = - w_t                                                               (2)

w_t is the weight of token t (formulas.weights).  Pre-training weighs every token but the
first of a text, fine-tuning the tokens of the answer and not those of the prompt; nothing
else differs.  (2) is REINFORCE in which every token's return is 1: imitation treats what was
shown as the one thing that pays.

On logits, with p = softmax(z), N rows and target a_i in row i, all weights are 1/N:

    L = - (1/N) sum_i log p_{i, a_i}                                                 (3)
    dL/dz_ij = - (1/N) d log p_{i, a_i} / dz_ij = (p_ij - [j = a_i]) / N             (4)

by equation (3) of formulas.distribution.  Averaged over targets drawn from a distribution q,
(3) is H(q) + KL(q || p): least where p = q, and then the entropy of the text itself.

Losses are in nats.  In bits they are L / log 2, and per byte of text

    bits per byte = (nats per token) (tokens / bytes) / log 2                        (5)

which, unlike (3), compares models with different tokenizers; exp(L) is the perplexity.

Source: document 002, table "Pretraining vs SFT vs RLHF", row "Loss Function".
Leaves out: label smoothing, and the weights themselves (formulas.weights).
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas import distribution


def cross_entropy_loss(logp: ArrayLike, weight: ArrayLike) -> float:
    """Equation (1), a float, in nats; lower is better.

    logp    (B, T)  log pi(a_t | s_t) of the tokens that were written, natural log
    weight  (B, T)  how much each token counts; 0 for prompt and padding

    ValueError for an infinite logp, since a token of probability 0 has no finite loss, and for one above 0.

    Two tokens of probability 1/2 and 1/8, weighed equally, cost (1 + 3) / 2 = 2 bits each:

    >>> loss = cross_entropy_loss(np.log([[.5, .125]]), [[.5, .5]])
    >>> round(loss, 6), round(loss / float(np.log(2)), 6)
    (1.386294, 2.0)

    Proof: tests/test_formulas_cross_entropy.py, test_the_loss_is_the_weighted_sum_and_its_gradient_the_derivative
    """
    logp, weight = check.weighted(weight, logp=logp)
    check.log_probabilities(logp=logp)
    return -(weight * logp).sum().item()


def cross_entropy_grad(logp: ArrayLike, weight: ArrayLike) -> Array:
    """Equation (2): dL/dlogp, the shape and dtype of logp.  Arguments as in cross_entropy_loss.

    >>> cross_entropy_grad(np.log([[.5, .125]]), [[.5, .5]]).tolist()
    [[-0.5, -0.5]]

    Proof: tests/test_formulas_cross_entropy.py, test_the_loss_is_the_weighted_sum_and_its_gradient_the_derivative
    """
    logp, weight = check.weighted(weight, logp=logp)
    check.log_probabilities(logp=logp)
    return np.broadcast_to(-weight, logp.shape).astype(logp.dtype)


def logits_cross_entropy(logits: ArrayLike, target: ArrayLike) -> float:
    """Equation (3), a float, in nats: the mean over all rows.  Divide by log 2 for bits.

    logits  (..., V)  a row for each prediction; -inf marks a token that cannot be
    target  (...)     the id of the token that came, in [0, V)

    TypeError for targets that are not integers; ValueError for targets outside [0, V), of
    another shape than the rows, or whose logit is -inf.

    A uniform row costs log V, whatever came: here log 2.

    >>> round(logits_cross_entropy([[0.0, 0.0], [5.0, 5.0]], [0, 1]), 6)
    0.693147

    Proof: tests/test_formulas_cross_entropy.py, test_the_loss_on_logits_is_the_mean_and_its_gradient_the_derivative
    """
    logits, target = _rows(logits, target)
    logp = distribution.log_softmax(logits)
    return -np.take_along_axis(logp, target, axis=-1).mean().item()


def logits_cross_entropy_grad(logits: ArrayLike, target: ArrayLike) -> Array:
    """Equation (4): dL/dz, the shape and dtype of the logits.  Arguments as in logits_cross_entropy.

    >>> logits_cross_entropy_grad([[0.0, np.log(3.0)]], [0]).round(6).tolist()
    [[-0.75, 0.75]]

    Proof: tests/test_formulas_cross_entropy.py, test_the_loss_on_logits_is_the_mean_and_its_gradient_the_derivative
    """
    logits, target = _rows(logits, target)
    grad = distribution.softmax(logits)
    chosen = np.take_along_axis(grad, target, axis=-1)
    np.put_along_axis(grad, target, chosen - 1, axis=-1)
    return grad / target.size


def _rows(logits: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    """Both checked; the target (..., 1), so that it picks along the last axis."""
    logits = check.logits(logits=logits)
    target = check.ids(logits.shape[-1], target=target)
    check.shape(logits.shape[:-1], "an id for each row of logits", target=target)
    target = target[..., None]
    check.array(chosen=np.take_along_axis(logits, target, axis=-1)[..., 0], called="the logit of target")
    return logits, target
