"""More tokens of each sequence through a whole transformer, and whole answers, by the other kernels.

The arrays of a model come as a list: wte (V, C), wpe (context, C), turns (context, D); for each of L layers a norm
(gain, bias), c_attn and c_proj (matrix, bias), a norm, c_fc and c_proj; the last norm.  None stands where a model has
no such array: wpe with rotary positions and turns without, a bias.  What a model is made of is read off them:

    a norm without a bias is RMS norm           else layer norm
    c_fc with twice the columns that c_proj has rows is SwiGLU      else GELU, which has a bias always
    keys with fewer heads than there are queries are shared

Compiled: csrc/decode.c.
"""
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlscratch.kernels.reference.attention import attention_cached
from rlscratch.kernels.reference.gelu import bias_gelu
from rlscratch.kernels.reference.layer_norm import layer_norm
from rlscratch.kernels.reference.rms_norm import rms_norm
from rlscratch.kernels.reference.rotary import rotary
from rlscratch.kernels.reference.sample import sample
from rlscratch.kernels.reference.swiglu import swiglu

BEFORE, LAYER = 3, 12       # arrays before the first layer's, and of a layer

Array = np.ndarray


def _norm(x: Array, gain: Array, bias: Array | None, eps: float) -> Array:
    return rms_norm(x, gain, eps)[0] if bias is None else layer_norm(x, gain, bias, eps)[0]


def _affine(x: Array, W: Array, bias: Array | None, stream: Array | float = 0.0) -> Array:
    return (x @ W if bias is None else x @ W + bias) + stream


def decode(tokens: Array, last: Array, weights: Sequence[Any], output: Array, keys: Sequence[Array],
           values: Sequence[Array], lengths: Array, heads: int, exact_gelu: bool = False, eps: float = 1e-5) -> Array:
    """The logits after more tokens of each sequence, (B, V); their keys and values go into the cache.

    tokens   (B, T)               ids, padded on the right
    last     (B,)                 which of the T the logits are wanted after
    weights  3 + 12 L + 2 arrays  of the model, or None
    output   (C, V)               the output matrix, a column for each word
    keys     L arrays (B, K, blocks, D, 16), values  L arrays (B, K, 16 blocks, D): the cache, changed in place; K
             heads of keys
    lengths  (B,)                 tokens of each sequence that it holds; the caller adds last + 1 afterwards
    heads    H                    of queries

    Compiled, a row equals that of the whole sequence's forward pass bit for bit.
    """
    (B, T), wte, wpe, turns = tokens.shape, *weights[:BEFORE]
    places = (lengths[:, None] + np.arange(T)).ravel()
    x = wte[tokens.ravel()] if wpe is None else wte[tokens.ravel()] + wpe[places]
    for layer, (k, v) in enumerate(zip(keys, values, strict=True)):
        g1, b1, qkv, qkv_bias, mix, mix_bias, g2, b2, widen, widen_bias, narrow, narrow_bias = \
            weights[BEFORE + LAYER * layer:BEFORE + LAYER * (layer + 1)]
        K, D = k.shape[1], k.shape[3]
        n = _affine(_norm(x, g1, b1, eps), qkv, qkv_bias).reshape(B * T, heads + 2 * K, D)
        n = n if turns is None else rotary(n, turns, places, heads + K)
        a = attention_cached(n.reshape(B, T, heads + 2 * K, D), k, v, lengths)
        x = _affine(a.reshape(B * T, heads * D), mix, mix_bias, x)
        n = _norm(x, g2, b2, eps)
        if widen.shape[1] == 2 * len(narrow):
            inner = swiglu(_affine(n, widen, widen_bias))
        else:
            inner = bias_gelu(n @ widen, widen_bias, exact_gelu)
        x = _affine(inner, narrow, narrow_bias, x)
    return _norm(x[np.arange(B) * T + last], weights[-2], weights[-1], eps) @ output


def answer(logits: Array, u: Array, stops: Array, weights: Sequence[Any], output: Array, keys: Sequence[Array],
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
