"""More tokens of each sequence through a whole transformer, and whole answers, by the other kernels.

The arrays of a model come as a list, in the order of rlscratch.transformer.shapes: wte (V, C), wpe (context, C);
for each of L layers a norm (gain, bias), c_attn and c_proj (matrix, bias), a norm, c_fc and c_proj; the last norm.

Compiled: csrc/decode.c.
"""
from collections.abc import Sequence

import numpy as np

from rlscratch.kernels.reference.attention import attention_cached
from rlscratch.kernels.reference.gelu import bias_gelu
from rlscratch.kernels.reference.layer_norm import layer_norm
from rlscratch.kernels.reference.sample import sample

LAYER = 12      # arrays of a layer

Array = np.ndarray


def decode(tokens: Array, last: Array, weights: Sequence[Array], output: Array, keys: Sequence[Array],
           values: Sequence[Array], lengths: Array, heads: int, exact_gelu: bool = False, eps: float = 1e-5) -> Array:
    """The logits after more tokens of each sequence, (B, V); their keys and values go into the cache.

    tokens   (B, T)               ids, padded on the right
    last     (B,)                 which of the T the logits are wanted after
    weights  2 + 12 L + 2 arrays  of the model
    output   (C, V)               the output matrix, a column for each word
    keys     L arrays (B, H, D, room), values  L arrays (B, H, room, D): the cache, changed in place
    lengths  (B,)                 tokens of each sequence that it holds; the caller adds last + 1 afterwards

    Compiled, a row equals that of the whole sequence's forward pass bit for bit.
    """
    x = weights[0][tokens] + weights[1][lengths[:, None] + np.arange(tokens.shape[1])]
    B, T, C = x.shape
    x = x.reshape(B * T, C)
    for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
        g1, b1, qkv, qkv_bias, mix, mix_bias, g2, b2, widen, widen_bias, narrow, narrow_bias = \
            weights[2 + LAYER * layer:2 + LAYER * (layer + 1)]
        n = layer_norm(x, g1, b1, eps)[0] @ qkv + qkv_bias
        a = attention_cached(n.reshape(B, T, 3, heads, C // heads), k, v, lengths)
        x = a.reshape(B * T, C) @ mix + mix_bias + x
        x = bias_gelu(layer_norm(x, g2, b2, eps)[0] @ widen, widen_bias, exact_gelu) @ narrow + narrow_bias + x
    return layer_norm(x[np.arange(B) * T + last], weights[-2], weights[-1], eps)[0] @ output


def answer(logits: Array, u: Array, stops: Array, weights: Sequence[Array], output: Array, keys: Sequence[Array],
           values: Sequence[Array], lengths: Array, heads: int, exact_gelu: bool = False, eps: float = 1e-5,
           temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
           ) -> tuple[Array, Array, Array]:
    """Answers of at most N tokens: ids (B, N), logp (B, N) and counts (B,), the tokens of each.

    logits   (B, V)  of the first token of each
    u        (B, N)  a uniform for each token
    stops    (V,)    bool, whether a token ends the answer that it belongs to
    weights, output, keys, values, lengths, heads, exact_gelu, eps    as in decode; cache and lengths grow in place
    temperature, top_k, top_p, min_p                                  as in sample

    Behind its count a row of ids and logp holds 0.
    """
    (B, N), rows = u.shape, np.arange(len(u))
    ids, logp, counts = np.zeros((B, N), np.int64), np.zeros((B, N), logits.dtype), np.zeros(B, np.int64)
    for n in range(N):
        drawn, logp[rows, n] = sample(logits, u[rows, n], temperature, top_k, top_p, min_p)
        ids[rows, n], counts[rows] = drawn, n + 1
        going = ~stops[drawn]
        rows, drawn = rows[going], drawn[going]
        if n + 1 == N or not len(rows):
            break
        k, v = [a[rows] for a in keys], [a[rows] for a in values]
        logits = decode(drawn[:, None], 0 * drawn, weights, output, k, v, lengths[rows], heads, exact_gelu, eps)
        if np.isnan(logits).any():
            raise ValueError(f"logits{np.argwhere(np.isnan(logits))[0].tolist()} is nan; expected no NaN")
        for array, grown in zip([*keys, *values], k + v, strict=True):
            array[rows] = grown
        lengths[rows] += 1
    return ids, logp, counts
