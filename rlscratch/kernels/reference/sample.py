"""Draw one token a row: from given probabilities, and from logits through the filters.

Compiled: csrc/sample.c.
"""
import math

import numpy as np

from rlscratch.kernels.reference.softmax import scaled

MARGIN = 1e-6   # room for rounding at decimal thresholds: .25 + .20 + .18 + .15 + .12 reaches .9

Array = np.ndarray


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
    z = scaled(logits.astype(np.float64), temperature)
    w = np.exp(z)
    if top_k or top_p < 1:
        order = np.argsort(-z, axis=-1, kind="stable")     # descending; ties keep the lower id first
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
