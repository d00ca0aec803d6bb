"""Rotary positions: pairs of channels turn by an angle that grows with the token's place.

In a head of D channels, channels d and d + D/2 are a point of the plane.  At place p it turns by p f_d:

    y[d] = x[d] cos(p f_d) - x[d + D/2] sin(p f_d)        y[d + D/2] = x[d + D/2] cos(p f_d) + x[d] sin(p f_d)    (1)

Turn a query at place i and a key at place j so, and their product depends on i - j alone: turns keep products, so both
may be turned back by j.  That is how attention learns of places where no vector says them.

(1) is linear in x, and a turn's transpose is the turn back.  So the derivative of the loss in x is (1) of dy with -p.

Source: Su et al. 2021, "RoFormer"; the pairs are those of Hugging Face's Llama, halves and not neighbours.
Compiled: csrc/rotary.c.
"""
import numpy as np

Array = np.ndarray


def rotary(x: Array, turns: Array, places: Array, heads: int, back: bool = False, out: Array | None = None) -> Array:
    """Equation (1) for the first `heads` of a token's R heads, the others as they are: y, (N, R, D).

    x       (N, R, D)  tokens; D even
    turns   (P, D)     of each place, the cosines of its D/2 angles, then their sines
    places  (N,)       of the tokens, in [0, P)
    heads   <= R       queries and keys turn, values do not
    back    True turns by minus the angles: the derivative, dx from dy
    """
    result = np.empty_like(x) if out is None else out
    result[...] = x
    a, b = np.split(x[:, :heads], 2, axis=2)
    cosine, sine = np.split(turns[places][:, None], 2, axis=2)
    sine = -sine if back else sine
    result[:, :heads] = np.concatenate([a * cosine - b * sine, b * cosine + a * sine], axis=2)
    return result
