"""A model of bytes by counting, smoothed as Witten and Bell did: what a network has to beat.

c(h, b) is how often byte b followed the context h in the training text, N(h) = sum_b c(h, b) how often
anything did, and T(h) the number of different bytes that did.  Counts alone give what was never seen
probability 0.  So the next byte is taken as new in this context with probability T / (N + T), for new
things have come T times in N; and a new one is guessed from the context h' that lacks the oldest byte:

    P(b | h) = N(h) / (N(h) + T(h)) * c(h, b) / N(h)  +  T(h) / (N(h) + T(h)) * P(b | h')
             = (c(h, b) + T(h) P(b | h')) / (N(h) + T(h))                                   (1)
    P(b | h) = P(b | h')                                        where h was never seen      (2)

and below the empty context P = 1/256.  If P(. | h') sums to 1, (1) does: (N + T) / (N + T).  Nothing
has probability 0, and nothing is tuned.  An n-gram model has contexts of up to n - 1 bytes.

Counting is sorting: n bytes are one integer in base 256, and np.unique gives the different ones in
order.  The n-grams of one context stand side by side there, c in a row; with the running sums of c,
N and T are differences of two places.

Source: Witten and Bell 1991, "The Zero-Frequency Problem", method C; Chen and Goodman 1999, 2.5.
Leaves out: Kneser-Ney, which does better on words; learning from the text that is being predicted.
"""
from typing import NamedTuple

import numpy as np

from rlscratch import check
from rlscratch.check import Array

LARGEST = 7                     # bytes that a signed integer of 64 bits holds, its sign left alone


class Table(NamedTuple):
    """The different n-grams of one length in order (G,), and the sums of the counts before each (G + 1,)."""

    grams: Array
    before: Array

    def context(self, contexts: Array) -> tuple[Array, Array, Array]:
        """N and T of each context, and where its n-grams begin; all (N,)."""
        first, last = np.searchsorted(self.grams, [contexts * 256, contexts * 256 + 256])
        return self.before[last] - self.before[first], last - first, first


def fit(text: bytes, order: int = 5) -> list[Table]:
    """The tables of all n-grams up to `order`, n = 1 first.

    >>> [len(table.grams) for table in fit(b"aab", 2)]              # a, b; aa, ab
    [2, 2]
    """
    order = check.integer(1, LARGEST, order=order)
    if len(text) < order:
        check.fail("the length of text", len(text), f"at least {order} bytes, the order")
    tables = []
    for n in range(1, order + 1):
        grams, counts = np.unique(_numbers(text, n), return_counts=True)
        tables.append(Table(grams, np.concatenate(([0], counts.cumsum()))))
    return tables


def probabilities(tables: list[Table], context: bytes = b"") -> Array:
    """P(b | context) for every byte b, (256,): equations (1) and (2).

    context  any length; the model looks at the last order - 1 bytes

    After "aab" by counts of single bytes N = 3 and T = 2, so a has (2 + 2/256) / 5 = .4015625.

    >>> round(probabilities(fit(b"aab", 1))[ord("a")].item(), 9)
    0.4015625
    """
    p = np.full(256, 1 / 256)
    for n, table in enumerate(tables[:len(context) + 1]):
        here = int.from_bytes(context[len(context) - n:], "big")
        (total,), (kinds,), (first,) = table.context(np.array([here]))
        if not kinds:
            break                                               # then longer contexts were not seen either
        p *= kinds / (total + kinds)
        p[table.grams[first:first + kinds] % 256] += np.diff(table.before[first:first + kinds + 1]) / (total + kinds)
    return p


def bits(tables: list[Table], text: bytes, start: int = 0) -> Array:
    """-log2 P of each byte from text[start] on, given those before it, (len(text) - start,)."""
    start = check.integer(0, len(text) - 1, start=start)
    p = np.full(len(text) - start, 1 / 256)
    for n, table in enumerate(tables, 1):
        grams = _numbers(text, n)[max(0, start - n + 1):]
        at = slice(len(p) - len(grams), None)                   # the first bytes of a text have shorter contexts
        total, kinds, _ = table.context(grams // 256)
        place = np.searchsorted(table.grams, grams)
        count = table.before[np.searchsorted(table.grams, grams, side="right")] - table.before[place]
        p[at] = np.where(kinds, (count + kinds * p[at]) / np.maximum(total + kinds, 1), p[at])
    return -np.log2(p)


def _numbers(text: bytes, n: int) -> Array:
    """All runs of n bytes as integers, (len(text) - n + 1,)."""
    places = np.frombuffer(text, np.uint8).astype(np.int64)
    number = np.zeros(max(0, len(places) - n + 1), np.int64)
    for k in range(n):
        number = number * 256 + places[k:k + len(number)]
    return number
