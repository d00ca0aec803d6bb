"""Softmax of rows, its logarithm, and the log-probability of one chosen token a row.

Rows are (N, V); a logit of -inf is a token that cannot be.  With m = max_j logits[j] and the
temperature T of a row,

    z[j] = (logits[j] - m) / T        S = sum_j exp(z[j])                                  (1)
    p[j] = exp(z[j]) / S              log p[j] = z[j] - log S                              (2)

Subtracting m changes nothing in (2), since it cancels, and keeps every exponent at or below 0:
no logit is too large.  The backward functions invert (2); with dX the derivative of a loss in X,

    softmax       dlogits[j] = p[j] (dp[j] - sum_k dp[k] p[k]) / T                         (3)
    log softmax   dlogits[j] = (dlogp[j] - p[j] sum_k dlogp[k]) / T                        (4)
    entropy       H = - sum_j p[j] log p[j],   dH/dlogits[j] = - p[j] (log p[j] + H) / T   (5)

Compiled: csrc/softmax.c.
"""
import numpy as np

Array = np.ndarray


def scaled(logits: Array, temperature: float) -> Array:
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
    w = np.exp(scaled(logits, temperature))
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
    z = scaled(logits, temperature)
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
    z = scaled(logits, temperature)
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
