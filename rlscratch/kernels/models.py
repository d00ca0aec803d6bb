"""The arrays of a model and of its cache, as the kernels that decode take them (reference/decode.py)."""
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.kernels.arrays import Array, base, float_array, shaped, writable

STEP = 16                   # the cache holds keys in blocks of this many tokens (csrc/attention.c)
BEFORE, LAYER = 3, 12       # arrays of a model before its first layer's, and of a layer


def checked_model(weights: Any, output: Any, keys: Any, values: Any, lengths: Any, heads: Any, new: int = 1) -> tuple:
    """The arrays of a model and of its cache, which has room for `new` tokens more."""
    weights, keys, values = list(weights), list(keys), list(values)
    if not keys or len(values) != len(keys) or len(weights) != BEFORE + LAYER * len(keys) + 2:
        check.fail("the numbers of weights, keys and values", (len(weights), len(keys), len(values)),
                   "3 + 12 L + 2, L and L for L >= 1 layers")
    wte = float_array(2, **{"weights[0]": weights[0]})
    B, K, blocks, D, _ = float_array(5, wte, **{"keys[0]": keys[0]}).shape
    room = blocks * STEP
    if check.integer(1, heads=heads) % K:
        check.fail("heads", heads, f"a multiple of {K}, the heads of the keys")
    expected = _shapes(wte, weights, len(keys), int(heads), K, D)
    gelus = {BEFORE + LAYER * layer + 9 for layer in range(len(keys)) if expected[11][1] == expected[13][0]}
    needless = {1, 2, *range(4, len(weights), 2)} - gelus           # places, biases but those of a GELU
    weights = [array if array is None and i in needless else
               shaped(shape, "as rlscratch.blocks.shapes has it", wte, **{f"weights[{i}]": array})
               for i, (shape, array) in enumerate(zip(expected, weights, strict=True))]
    output = shaped((wte.shape[1], len(wte)), "a column for each word", wte, output=output)
    lengths = base("lengths", lengths)
    if not (isinstance(lengths, np.ndarray) and lengths.dtype == np.int64 and lengths.flags.carray):
        check.fail("lengths", lengths, "a contiguous array of int64 that can be written to", TypeError)
    B = lengths.size
    for i, (k, v) in enumerate(zip(keys, values, strict=True)):
        keys[i] = writable((B, K, blocks, D, STEP), wte, (), **{f"keys[{i}]": k})
        values[i] = writable((B, K, room, D), wte, (k,), **{f"values[{i}]": v})
    context = min([room, *(len(places) for places in weights[1:BEFORE] if places is not None)])
    check.ids(max(0, context - new) + 1, ndim=1, lengths=lengths)
    return weights, output, keys, values, lengths, int(heads)


def _shapes(wte: Array, weights: list, layers: int, H: int, K: int, D: int) -> list[tuple[int, ...]]:
    """What shapes the arrays of a model have, by those of a few.  Raises ValueError for turns of odd D."""
    (V, C), Q = wte.shape, (H + 2 * K) * D
    wpe, turns = (1 if array is None else len(float_array(2, wte, **{f"weights[{i}]": array}))
                  for i, array in enumerate(weights[1:BEFORE], 1))
    if weights[2] is not None and D % 2:
        check.fail("the fourth length of keys[0]", D, "an even number where there are turns")
    inner = len(float_array(2, wte, **{"weights[13]": weights[13]}))
    gated = float_array(2, wte, **{"weights[11]": weights[11]}).shape[1] == 2 * inner
    wide = 2 * inner if gated else inner
    layer = ((C,), (C,), (C, Q), (Q,), (H * D, C), (C,), (C,), (C,), (C, wide), (wide,), (inner, C), (C,))
    return [(V, C), (wpe, C), (turns, D), *layer * layers, (C,), (C,)]
