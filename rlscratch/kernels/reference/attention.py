"""Causal attention, forward, backward and over a cache.

    s[i,j] = q[i] . k[j] / sqrt(D)  for j <= i,    p = softmax(s),    out[i] = sum_j p[i,j] v[j]      (1)

Backward, with delta[i] = dout[i] . out[i], which is sum_j p[i,j] dp[i,j],

    dp[i,j] = dout[i] . v[j]         ds[i,j] = p[i,j] (dp[i,j] - delta[i]) / sqrt(D)                  (2)
    dq[i] = sum_j ds[i,j] k[j]       dk[j] = sum_i ds[i,j] q[i]       dv[j] = sum_i p[i,j] dout[i]    (3)

Compiled: csrc/attention.c.
"""
import math

import numpy as np

STRIP = 64      # queries at a time: memory for scores is linear in T

Array = np.ndarray


def _strips(tokens: int) -> list[slice]:
    return [slice(i, min(i + STRIP, tokens)) for i in range(0, tokens, STRIP)]


def _scores(q: Array, k: Array, first: Array | int) -> Array:
    """s of (1), (B, H, R, n), for the queries q (B, R, H, D) of tokens first, first + 1, ...; -inf where j > i."""
    s = np.einsum("brhd,bnhd->bhrn", q, k) * q.real.dtype.type(1 / math.sqrt(q.shape[-1]))
    last = np.reshape(first, (-1, 1, 1, 1)) + np.arange(q.shape[1])[:, None]
    s[np.broadcast_to(np.arange(k.shape[1]) > last, s.shape)] = -np.inf
    return s


def _attend(q: Array, k: Array, v: Array, first: Array | int) -> tuple[Array, Array]:
    """Equation (1) for one strip: its rows of out (B, R, H, D) and lse (B, H, R)."""
    s = _scores(q, k, first)
    m = s.real.max(axis=-1, keepdims=True)
    w = np.exp(s - m)
    S = w.sum(axis=-1, keepdims=True)
    return np.einsum("bhrn,bnhd->brhd", w / S, v), (m + np.log(S))[..., 0]


def _split(qkv: Array, kv_heads: int | None) -> tuple[Array, Array, Array]:
    """Queries, keys and values, (B, T, H, D) each: a key once for each query that it is shared by."""
    if kv_heads is None:
        return qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    H = qkv.shape[2] - 2 * kv_heads
    q, k, v = np.split(qkv, [H, H + kv_heads], axis=2)
    return q, np.repeat(k, H // kv_heads, axis=2), np.repeat(v, H // kv_heads, axis=2)


def attention(qkv: Array, kv_heads: int | None = None, out: Array | None = None) -> tuple[Array, Array]:
    """Causal attention, equation (1): out (B, T, H, D) and lse (B, H, T) = log sum_j exp(s[i,j]).

    qkv       (B, T, 3, H, D)                query, key and value of each token and head; any D
    kv_heads  with it qkv is (B, T, H + 2 kv_heads, D): a token's queries, keys, values.  H / kv_heads queries, one
              behind the other, share a key and a value

    Memory beyond the results is linear in T.
    """
    q, k, v = _split(qkv, kv_heads)
    B, T, H, D = q.shape
    result = np.empty((B, T, H, D), qkv.dtype) if out is None else out
    lse = np.empty((B, H, T), qkv.dtype)
    for i in _strips(T):
        result[:, i], lse[:, :, i] = _attend(q[:, i], k[:, :i.stop], v[:, :i.stop], i.start)
    return result, lse


def attention_backward(dout: Array, qkv: Array, out: Array, lse: Array, kv_heads: int | None = None,
                       dqkv: Array | None = None) -> Array:
    """Equations (2) and (3): dqkv, in the shape of qkv; the argument dqkv is an array to write it into.

    dout           (B, T, H, D)              derivative of the loss in out
    qkv, kv_heads                            as in the forward call
    out, lse       (B, T, H, D), (B, H, T)   what the forward call returned
    """
    q, k, v = _split(qkv, kv_heads)
    dq, dk, dv = (np.zeros_like(q) for _ in range(3))
    scale = qkv.dtype.type(1 / math.sqrt(qkv.shape[-1]))
    delta = np.einsum("bthd,bthd->bht", dout, out)
    for i in _strips(q.shape[1]):
        p = np.exp(_scores(q[:, i], k[:, :i.stop], i.start) - lse[:, :, i, None])
        ds = p * (np.einsum("brhd,bnhd->bhrn", dout[:, i], v[:, :i.stop]) - delta[:, :, i, None]) * scale
        dq[:, i] = np.einsum("bhrn,bnhd->brhd", ds, k[:, :i.stop])
        dk[:, :i.stop] += np.einsum("bhrn,brhd->bnhd", ds, q[:, i])
        dv[:, :i.stop] += np.einsum("bhrn,brhd->bnhd", p, dout[:, i])
    if kv_heads is None:
        return np.stack([dq, dk, dv], axis=2, out=dqkv)
    B, T, H, D = q.shape
    dk, dv = (a.reshape(B, T, kv_heads, H // kv_heads, D).sum(axis=3) for a in (dk, dv))    # of all that share it
    return np.concatenate([dq, dk, dv], axis=2, out=dqkv)


def attention_cached(qkv: Array, keys: Array, values: Array, start: Array) -> Array:
    """Causal attention of T new tokens a sequence to themselves and to a cache of earlier ones: (B, T, H, D).

    qkv     (B, T, H + 2 K, D)          of the new tokens, K heads of keys
    keys    (B, K, blocks, D, 16)       the cache, tokens in blocks of 16: token t is keys[b, :, t // 16, :, t % 16]
    values  (B, K, 16 blocks, D)        both change in place, from token start[b] on
    start   (B,)                        how many tokens of each sequence the cache holds already

    Rows may have different lengths.  A batch of prompts padded on the right starts at 0: the rows of
    padding hold no meaning, and the next tokens, at start[b] = length of prompt b, overwrite them.  For decode.py.
    """
    T, (_, K, _, D, block) = qkv.shape[1], keys.shape
    H = qkv.shape[2] - 2 * K
    q, new_k, new_v = np.split(qkv, [H, H + K], axis=2)
    result = np.empty((len(q), T, H, D), qkv.dtype)
    for b, n in enumerate(start.tolist()):
        of, at = np.divmod(np.arange(n + T), block)
        keys[b][:, of[n:], :, at[n:]] = new_k[b]
        values[b, :, n:n + T] = new_v[b].swapaxes(0, 1)
        k, v = (np.repeat(a, H // K, axis=1)[None] for a in (
            keys[b][:, of, :, at], values[b, :, :n + T].swapaxes(0, 1)))
        for i in _strips(T):
            result[b, i] = _attend(q[b:b + 1, i], k[:, :n + i.stop], v[:, :n + i.stop], n + i.start)[0][0]
    return result
