"""How well a text is predicted, in bits per byte; and what compressors and counting reach on it.

A model that gives the next token probability p spends -log2 p bits on it: an arithmetic coder would
write the text in that many.  Divided by bytes, not tokens, the figure compares models whatever their
tokens are:

    bits per byte = sum over held-out tokens of -ln p(token | before)  /  (ln 2 * bytes)       (1)

Every held-out token is predicted exactly once, from at least half a context before it: windows of the
context's length follow each other at half that distance, and the later half of each counts.  What
precedes the first held-out token is the end of the training part.

    token      0   1   2   3   4   5   6   7   8       0 to 2 learned from, 3 to 8 held out; context 6
    window 1   .   .   .   #   #   #                   # counts
    window 2               .   .   .   #   #   #

One text has many token sequences, and (1) counts the probability of the one that the tokenizer makes,
so it is an upper bound of what the model needs for the text.

The others are asked the same question: the held-out part, given the training part.  The 5-gram has
counted the training part.  A compressor gets bytes(train + held) - bytes(train): gzip looks back
32 KB, xz over everything, and what occurred before word for word costs xz next to nothing.

Source: formulas.cross_entropy, equation (5).
Leaves out: the bits to describe the model itself, far more than the text's: this is no compression.
"""
import gzip
import lzma
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.autograd import no_grad
from rlscratch.check import Array
from rlscratch.formulas import cross_entropy
from rlscratch.formulas.standard_error import ratio_error
from rlscratch.train import distributed
from rlscratch.train.pretraining import n_gram

ROWS = 16                       # windows that go through the model at once


def nats(model: Any, ids: Sequence[int] | Array, start: int) -> float:
    """-ln p of ids[start:], each token once: the sum in (1).

    model  a Transformer, or whatever has config.context and logp
    start  >= 1: the first token of all has nothing before it
    """
    ids = np.asarray(ids)
    start = check.integer(1, len(ids) - 1, start=start)
    tokens, counted = _windows(ids, start, model.config.context)
    with no_grad(), distributed.share(distributed.cut(slice(0, len(tokens)), ROWS)) as (mine, found):
        for part in mine:
            logp = model.logp(tokens[part]).data.astype(np.float64)
            found.append(cross_entropy.cross_entropy_loss(logp, counted[part]))
    return sum(found)


def _windows(ids: Array, start: int, context: int) -> tuple[Array, Array]:
    """Windows (N, context), padded on the right with 0, and 1 where a token counts."""
    stride = max(1, context // 2)
    first = np.arange(start, len(ids), stride)                  # that counts, of each window
    end = np.minimum(first + stride, len(ids))
    begin = np.maximum(end - context, 0)
    places = begin[:, None] + np.arange(context)
    inside = places < end[:, None]
    return np.where(inside, ids[np.minimum(places, len(ids) - 1)], 0), (inside & (places >= first[:, None])) * 1.0


def bits_per_byte(nats: float, size: int) -> float:
    """Equation (1).

    >>> round(bits_per_byte(nats=2 * 8 * float(np.log(2)), size=2), 12)         # each byte as likely as any
    8.0
    """
    return nats / float(np.log(2)) / check.integer(1, size=size)


def of_pages(model: Any, tokenizer: Any, pages: Sequence[str]) -> dict[str, float]:
    """Of pages, each by itself after a line's end: bits_per_byte, its error over pages, measured_pages.

    tokenizer  the model's, whichever it is
    """
    sizes = np.array([len(page.encode()) for page in pages], float)
    bits = np.array([nats(model, tokenizer.encode("\n" + page), 1) for page in pages]) / np.log(2)
    return {"bits_per_byte": (bits.sum() / sizes.sum()).item(), "bits_per_byte_error": ratio_error(bits, sizes),
            "measured_pages": len(pages)}


def rivals(train: bytes, held: bytes, order: int = 5) -> dict[str, float]:
    """Bits per byte of `held`, given `train`: gzip, xz, and the n-gram of this order."""
    counted = n_gram.bits(n_gram.fit(train, order), train + held, len(train))
    return {"gzip": _added(lambda data: gzip.compress(data, 9, mtime=0), train, held),
            "xz": _added(lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME), train, held),
            f"{order}-gram": counted.mean().item()}


def _added(compress: Any, train: bytes, held: bytes) -> float:
    return 8 * (len(compress(train + held)) - len(compress(train))) / len(held)
