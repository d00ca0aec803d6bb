"""The NumPy twin of every kernel: the definition that the compiled core is tested against.

Rows are (N, V); a logit of -inf is a token that cannot be.  With m = max_j logits[j] and the
temperature T of a row,

    z[j] = (logits[j] - m) / T        S = sum_j exp(z[j])                                  (1)
    p[j] = exp(z[j]) / S              log p[j] = z[j] - log S                              (2)

Subtracting m changes nothing in (2), since it cancels, and keeps every exponent at or below 0:
no logit is too large.  The backward functions invert (2); with dX the derivative of a loss in X,

    softmax       dlogits[j] = p[j] (dp[j] - sum_k dp[k] p[k]) / T                         (3)
    log softmax   dlogits[j] = (dlogp[j] - p[j] sum_k dlogp[k]) / T                        (4)
    entropy       H = - sum_j p[j] log p[j],   dH/dlogits[j] = - p[j] (log p[j] + H) / T   (5)

The twins of a transformer's kernels stand in reference_network.py.

Compiled: csrc/softmax.c and csrc/sample.c.  Arguments are taken as they come here; the kernels
package checks them before either backend sees them.  Complex logits pass, for the complex step.
"""
import math

import numpy as np

from rlscratch.kernels.reference_network import (
    adamw,
    attention,
    attention_backward,
    attention_cached,
    bias_gelu,
    bias_gelu_backward,
    embedding,
    embedding_backward,
    layer_norm,
    layer_norm_backward,
    matmul,
    squared_norm,
)

__all__ = ["adamw", "attention", "attention_backward", "attention_cached", "bias_gelu", "bias_gelu_backward",
           "chosen_logp", "chosen_logp_backward", "draw", "embedding", "embedding_backward", "layer_norm",
           "layer_norm_backward", "log_softmax", "log_softmax_backward", "matmul", "sample", "softmax",
           "softmax_backward", "squared_norm"]

MARGIN = 1e-6   # room for rounding at decimal thresholds: .25 + .20 + .18 + .15 + .12 reaches .9

Array = np.ndarray


def _scaled(logits: Array, temperature: float) -> Array:
    """z of equation (1).  Multiplying by the inverse is what the compiled loop does, bit for bit."""
    z = logits - logits.real.max(axis=-1, keepdims=True)
    inverse = z.real.dtype.type(1 / temperature)
    if not np.iscomplexobj(z):
        return z * inverse
    return (z.view(z.real.dtype) * inverse).view(z.dtype)     # -inf times a complex number would be NaN


def softmax(logits: Array, temperature: float = 1.0) -> Array:
    """p of equation (2), (N, V); each row adds to 1.

    logits       (N, V)  float32 or float64; -inf is probability 0
    temperature  > 0     divides the logits

    Raises ValueError for a row with NaN, +inf or nothing but -inf, TypeError for other dtypes.
    """
    w = np.exp(_scaled(logits, temperature))
    return w / w.sum(axis=-1, keepdims=True)


def softmax_backward(dprobs: Array, probs: Array, temperature: float = 1.0) -> Array:
    """Equation (3): dlogits, (N, V).

    dprobs       (N, V)  derivative of the loss in the probabilities
    probs        (N, V)  what softmax returned
    temperature  > 0     as in the forward call
    """
    dot = (dprobs * probs).sum(axis=-1, keepdims=True)
    return probs * (dprobs - dot) * probs.dtype.type(1 / temperature)


def log_softmax(logits: Array, temperature: float = 1.0) -> Array:
    """log p of equation (2), (N, V), natural logarithm; -inf stays -inf.  Arguments as in softmax."""
    z = _scaled(logits, temperature)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def log_softmax_backward(dlogp: Array, logp: Array, temperature: float = 1.0) -> Array:
    """Equation (4): dlogits, (N, V).

    dlogp        (N, V)  derivative of the loss in the log-probabilities
    logp         (N, V)  what log_softmax returned
    temperature  > 0     as in the forward call
    """
    total = dlogp.sum(axis=-1, keepdims=True)
    return (dlogp - np.exp(logp) * total) * logp.dtype.type(1 / temperature)


def chosen_logp(logits: Array, target: Array, temperature: float = 1.0) -> tuple[Array, Array, Array]:
    """Log-probability of one chosen token a row, and the entropy of the row.

    logits       (N, V)  as in softmax
    target       (N,)    the chosen tokens, integers in [0, V)
    temperature  > 0

    Returns logp (N,), natural log; entropy (N,), in nats; and stats (N, 2) = m, log S, which the
    backward call takes.  Raises as softmax does, and for targets outside the vocabulary.
    """
    z = _scaled(logits, temperature)
    e = np.exp(z)
    S = e.sum(axis=-1)
    moment = np.multiply(e, z, where=e != 0, out=np.zeros_like(e)).sum(axis=-1)
    logp = np.take_along_axis(z, target[:, None], axis=-1)[:, 0] - np.log(S)
    return logp, np.log(S) - moment / S, np.stack([logits.max(axis=-1), np.log(S)], axis=-1)


def chosen_logp_backward(dlogp: Array, dentropy: Array, logits: Array, target: Array, entropy: Array,
                         stats: Array, temperature: float = 1.0) -> Array:
    """Equations (4) and (5) for the chosen token: dlogits, (N, V).

    dlogp, dentropy  (N,)    derivatives of the loss in the two results of chosen_logp
    logits, target, temperature      as in the forward call
    entropy, stats   (N,), (N, 2)    what the forward call returned
    """
    inverse = logits.dtype.type(1 / temperature)
    logp = (logits - stats[:, :1]) * inverse - stats[:, 1:]
    p = np.exp(logp)
    slope = np.multiply(p, logp + entropy[:, None], where=p != 0, out=np.zeros_like(p))
    dlogits = -(dlogp[:, None] * p + dentropy[:, None] * slope) * inverse
    dlogits[np.arange(len(target)), target] += dlogp * inverse
    return dlogits


def draw(probs: Array, u: Array) -> Array:
    """One token a row by inverting the cumulative distribution: the least j with p[0] + ... + p[j] > u.

    probs  (N, V)  rows of probabilities
    u      (N,)    float64 uniforms in [0, 1)

    Returns (N,) ids.  Sums run in double from left to right.  Where rounding leaves the whole sum
    at or below u, the last token that has any probability is drawn.  Raises ValueError for rows
    that are not probabilities and uniforms outside [0, 1).
    """
    cum = np.cumsum(probs, axis=-1, dtype=np.float64)
    return _invert(cum, u, probs)


def _invert(cum: Array, threshold: Array, probs: Array) -> Array:
    beyond = cum > threshold[:, None]
    last = probs.shape[-1] - 1 - np.argmax(probs[:, ::-1] > 0, axis=-1)
    return np.where(beyond.any(axis=-1), np.argmax(beyond, axis=-1), last)


def sample(logits: Array, u: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
           min_p: float = 0.0) -> tuple[Array, Array]:
    """One token a row from logits, through the filters in this order: temperature, top-k, top-p, min-p.

    logits       (N, V)  as in softmax
    u            (N,)    float64 uniforms in [0, 1)
    temperature  > 0
    top_k        >= 0    keep the k most likely tokens, the lower id first among equals; 0 keeps all
    top_p        (0, 1]  keep a token iff those before it hold less than top_p - 1e-6 of the mass
    min_p        [0, 1]  keep a token iff its probability is at least min_p (1 - 1e-6) of the greatest

    Returns ids (N,) and logp (N,): the log-probability of each under the distribution that was
    left after the filters.  All in double.  Raises as softmax and draw do.
    """
    z = _scaled(logits.astype(np.float64), temperature)
    order = np.argsort(-z, axis=-1, kind="stable")     # descending; ties keep the lower id first
    w = np.exp(z)
    if top_k:
        np.put_along_axis(w, order[:, top_k:], 0.0, axis=-1)
    if top_p < 1:
        mass = np.cumsum(np.take_along_axis(w, order, axis=-1), axis=-1)
        before = np.concatenate([np.zeros((len(w), 1)), mass[:, :-1]], axis=-1)
        kept = before < (top_p - MARGIN) * np.cumsum(w, axis=-1)[:, -1:]
        kept[:, 0] = True
        dropped = np.empty_like(kept)
        np.put_along_axis(dropped, order, ~kept, axis=-1)
        w[dropped] = 0
    if min_p > 0:
        w[z < math.log(min_p * (1 - MARGIN))] = 0
    cum = np.cumsum(w, axis=-1)
    total = cum[:, -1]
    ids = _invert(cum, u * total, w)
    logp = np.take_along_axis(z, ids[:, None], axis=-1)[:, 0] - np.log(total)
    return ids, logp.astype(logits.dtype)
