"""From logits to a token: temperature, filters and the repetition penalty, in one of two orders.

    "document"      temperature, top-k, repetition penalty, top-p, min-p
    "huggingface"   repetition penalty, temperature, top-k, top-p, min-p

The first three of the upper line are document 003's "Distribution Shaping"; it does not place top-p
and min-p, which need probabilities and therefore come last.  When do the orders differ?  With a
temperature T > 0 and the penalty f(z) = z/c if z > 0, z c if not,

    z_i > z_j  iff  z_i / T > z_j / T        so temperature changes places with top-k        (1)
    f(z / T) = f(z) / T                      and with the penalty: T > 0 keeps the sign      (2)

but the penalty changes which tokens are the first k.  So the orders differ only where top-k and a
penalty are both in use: "document" counts before the penalty, and a repeated token keeps its place
among the k; "huggingface" counts after it, and the token may lose its place.  By hand, logits
4, 3, 2, 1, the first token just seen, c = 4, k = 2:

    document      top 2:    4  3  -  -    penalty:  1  3  -  -    p = .119  .881   0    0
    huggingface   penalty:  1  3  2  1    top 2:    -  3  2  -    p =  0    .731  .269  0

>>> logits, seen = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[0]])
>>> for order in ORDERS:
...     filtered(logits, seen, top_k=2, repetition_penalty=4.0, order=order).round(3).tolist()
[[0.119, 0.881, 0.0, 0.0]]
[[0.0, 0.731, 0.269, 0.0]]

With k = 1 the document's order repeats for ever, whatever the penalty.

Temperature 0 is no division but the limit T -> 0 of either order: all the probability on the largest
of the logits that the penalty and top-k leave, the lowest id among equals.  Its log-probability is 0,
since that is the distribution sampled from.

Source: document 003, "Distribution Shaping", part 3 and "Common Questions" (temperature 0);
        transformers' generation utilities for the other order, with two differences: of tokens
        equal to the k-th ours keeps those with the lowest ids, and thresholds have the margin of
        rlscratch.formulas.distribution.
Leaves out: bans of n-grams, biases for single tokens, typical and epsilon sampling.
"""
from typing import Any

import numpy as np

from rlscratch import check, kernels
from rlscratch.check import Array
from rlscratch.formulas import distribution

ORDERS = {
    "document": ("temperature", "top_k", "repetition_penalty", "top_p", "min_p"),
    "huggingface": ("repetition_penalty", "temperature", "top_k", "top_p", "min_p"),
}
COLDEST = 1e-30     # below, 1 / T is no longer safe in float32


def checked(*, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
            min_p: float | None = None, repetition_penalty: float = 1.0, order: str = "document") -> dict[str, Any]:
    """The knobs as a dict, checked.

    temperature         >= 0    below 1 sharpens, above 1 flattens; 0 takes the most likely token
    top_k               >= 1    keep the k most likely tokens; None keeps all
    top_p               (0, 1]  keep the fewest that hold so much of the mass; None keeps all
    min_p               [0, 1]  keep those with so much of the largest probability; None keeps all
    repetition_penalty  > 0     1 changes nothing; more makes what is in the text less likely
    order               one of ORDERS

    Raises ValueError or TypeError that names the knob.
    """
    if 0 < check.non_negative(temperature=temperature) < COLDEST:
        check.fail("temperature", temperature, f"0, for the most likely token, or at least {COLDEST}")
    check.positive(repetition_penalty=repetition_penalty)
    check.one_of(tuple(ORDERS), order=order)
    return {
        "temperature": float(temperature), "top_k": top_k if top_k is None else check.integer(1, top_k=top_k),
        "top_p": top_p if top_p is None else check.fraction(top_p=top_p),
        "min_p": min_p if min_p is None else check.between(0, 1, min_p=min_p),
        "repetition_penalty": float(repetition_penalty), "order": order}


def filtered(logits: Array, previous: Array, **knobs: Any) -> Array:
    """The distribution that `sample` draws from, written as the orders say it: (B, V), float64.

    logits    (B, V)  -inf marks a token that cannot be
    previous  (B, T)  the text so far, as repetition_penalty takes it
    knobs     as in `checked`
    """
    knobs = checked(**knobs)
    z = check.real(logits=check.logits(ndim=2, logits=logits))
    steps = {
        "temperature": lambda z, T: z / T if T else z,
        "top_k": _top_k,
        "repetition_penalty": lambda z, c: distribution.repetition_penalty(z, previous, c),
        "top_p": lambda z, p: np.where(distribution.top_p(distribution.softmax(z), p) > 0, z, -np.inf),
        "min_p": lambda z, p: np.where(distribution.min_p(distribution.softmax(z), p) > 0, z, -np.inf),
    }
    for name in ORDERS[knobs["order"]]:
        if knobs[name] is not None:
            z = steps[name](z, knobs[name])
    return distribution.softmax(z if knobs["temperature"] else _top_k(z, 1))


def sample(logits: Array, u: Array, previous: Array, *, temperature: float = 1.0, top_k: int | None = None,
           top_p: float | None = None, min_p: float | None = None, repetition_penalty: float = 1.0,
           order: str = "document") -> tuple[Array, Array]:
    """One token a row: ids (B,), and the log-probability of each under the distribution it was drawn from, (B,).

    logits    (B, V)  float32 or float64
    u         (B,)    uniforms in [0, 1); without effect at temperature 0
    previous  (B, T)  the text so far; read if there is a penalty
    knobs     as `checked` returned them

    By (1) and (2) all but the penalty is one call of kernels.sample, for all rows together.
    """
    if repetition_penalty != 1:
        penalised = distribution.repetition_penalty(logits, previous, repetition_penalty)
        if order == "document" and top_k is not None:
            penalised = np.where(_kept(logits, top_k), penalised, logits.dtype.type(-np.inf))
            top_k = None
        logits = penalised
    return kernels.sample(logits, u, **for_kernel(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p))


def for_kernel(*, temperature: float, top_k: int | None, top_p: float | None, min_p: float | None,
               **_: Any) -> dict[str, Any]:
    """The knobs but the penalty, as kernels.sample takes them; at temperature 0 all the mass is on the first token."""
    if temperature == 0:
        return {"top_k": 1}
    return {"temperature": temperature, "top_k": top_k or 0, "top_p": 1.0 if top_p is None else top_p,
            "min_p": min_p or 0.0}


def _top_k(z: Array, k: int) -> Array:
    return np.where(_kept(z, k), z, -np.inf)


def _kept(z: Array, k: int) -> Array:
    """Which are the k largest of a row, the lowest ids first among equals; no sort of the whole row."""
    least = np.partition(z, -min(k, z.shape[-1]), axis=-1)[:, [-min(k, z.shape[-1])]]
    above, equal = z > least, z == least
    return above | (equal & (np.cumsum(equal, axis=-1) <= k - above.sum(axis=-1, keepdims=True)))
