"""What each kernel asks of its arguments, whichever backend runs it.

One function a kernel, under its name and with its signature: it returns the arguments converted
(C-contiguous, one dtype) or raises.  The compiled glue calls it and never reads outside an array;
`guarded` puts it in front of a NumPy twin.
"""
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.kernels.arguments_network import (
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
from rlscratch.kernels.arrays import Array, float_array, shaped

__all__ = ["adamw", "attention", "attention_backward", "attention_cached", "bias_gelu", "bias_gelu_backward",
           "chosen_logp", "chosen_logp_backward", "draw", "embedding", "embedding_backward", "layer_norm",
           "layer_norm_backward", "log_softmax", "log_softmax_backward", "matmul", "sample", "softmax",
           "softmax_backward", "squared_norm"]


def guarded(twin: Callable) -> Callable:
    """The twin, with its arguments checked first."""
    asked = globals()[twin.__name__]

    names = inspect.signature(twin).parameters

    @functools.wraps(twin)
    def kernel(*args: Any, **kwargs: Any) -> Any:
        arguments = asked(*args, **kwargs)
        check_rows(arguments)
        plain = (a.view(np.ndarray) if isinstance(a, _Logits) else a for a in arguments)
        return twin(**dict(zip(names, plain, strict=True)))

    return kernel


def check_rows(arguments: tuple) -> None:
    """Raise for the first row of logits with NaN, +inf or nothing but -inf."""
    for value in arguments:
        if isinstance(value, _Logits):
            check.logits(logits=value.view(np.ndarray))


class _Logits(np.ndarray):
    """Marks the one argument whose rows must be good; the kernels find bad rows as they go."""


def _logits(logits: Any) -> Array:
    return float_array(2, logits=logits).view(_Logits)


def _temperature(temperature: float) -> float:
    check.positive(temperature=temperature)
    if temperature < 1e-30:
        check.fail("temperature", temperature, "at least 1e-30; for the most likely token take the arg-max")
    return float(temperature)


def _uniforms(u: Any, rows: int) -> Array:
    u = check.shape((rows,), "one uniform a row", u=np.ascontiguousarray(check.array(u=u), dtype=np.float64))
    if not ((u >= 0) & (u < 1)).all():
        check.fail("u", u[~((u >= 0) & (u < 1))][0], "uniforms in [0, 1)")
    return u


def softmax(logits: Any, temperature: float = 1.0) -> tuple:
    return _logits(logits), _temperature(temperature)


log_softmax = softmax


def softmax_backward(dprobs: Any, probs: Any, temperature: float = 1.0) -> tuple:
    probs = float_array(2, probs=probs)
    dprobs = check.shape(probs.shape, "like probs", dprobs=float_array(2, probs, dprobs=dprobs))
    return dprobs, probs, _temperature(temperature)


def log_softmax_backward(dlogp: Any, logp: Any, temperature: float = 1.0) -> tuple:
    logp = float_array(2, logp=logp)
    dlogp = check.shape(logp.shape, "like logp", dlogp=float_array(2, logp, dlogp=dlogp))
    return dlogp, logp, _temperature(temperature)


def chosen_logp(logits: Any, target: Any, temperature: float = 1.0) -> tuple:
    logits = _logits(logits)
    target = np.ascontiguousarray(check.ids(logits.shape[1], ndim=1, target=target))
    return logits, check.shape(logits.shape[:1], "one token a row", target=target), _temperature(temperature)


def chosen_logp_backward(dlogp: Any, dentropy: Any, logits: Any, target: Any, entropy: Any, stats: Any,
                         temperature: float = 1.0) -> tuple:
    logits, target, temperature = chosen_logp(logits, target, temperature)
    rows = logits.shape[:1]
    dlogp = shaped(rows, "one entry a row", logits, dlogp=dlogp)
    dentropy = shaped(rows, "one entry a row", logits, dentropy=dentropy)
    entropy = shaped(rows, "one entry a row", logits, entropy=entropy)
    stats = check.shape((*rows, 2), "as chosen_logp returned it", stats=float_array(2, logits, stats=stats))
    return dlogp, dentropy, logits.view(np.ndarray), target, entropy, stats, temperature


def draw(probs: Any, u: Any) -> tuple:
    probs = check.probabilities(probs=float_array(2, probs=probs))
    return probs, _uniforms(u, len(probs))


def sample(logits: Any, u: Any, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
           min_p: float = 0.0) -> tuple:
    logits = _logits(logits)
    check.integer(0, top_k=top_k)
    check.fraction(top_p=top_p)
    check.between(0, 1, min_p=min_p)
    return logits, _uniforms(u, len(logits)), _temperature(temperature), int(top_k), float(top_p), float(min_p)
