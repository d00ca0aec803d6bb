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


def attention(qkv: Array, out: Array | None = None) -> tuple[Array, Array]:
    """Causal attention, equation (1): out (B, T, H, D) and lse (B, H, T) = log sum_j exp(s[i,j]).

    qkv  (B, T, 3, H, D)  query, key and value of each token and head; any D

    Memory beyond the results is linear in T.
    """
    B, T, _, H, D = qkv.shape
    result = np.empty((B, T, H, D), qkv.dtype) if out is None else out
    lse = np.empty((B, H, T), qkv.dtype)
    for i in _strips(T):
        result[:, i], lse[:, :, i] = _attend(qkv[:, i, 0], qkv[:, :i.stop, 1], qkv[:, :i.stop, 2], i.start)
    return result, lse


def attention_backward(dout: Array, qkv: Array, out: Array, lse: Array, dqkv: Array | None = None) -> Array:
    """Equations (2) and (3): dqkv, (B, T, 3, H, D); the argument dqkv is an array to write it into.

    dout      (B, T, H, D)     derivative of the loss in out
    qkv       (B, T, 3, H, D)  as in the forward call
    out, lse  (B, T, H, D), (B, H, T)   what the forward call returned
    """
    result = np.empty_like(qkv) if dqkv is None else dqkv
    result[...] = 0
    scale = qkv.dtype.type(1 / math.sqrt(qkv.shape[-1]))
    delta = np.einsum("bthd,bthd->bht", dout, out)
    for i in _strips(qkv.shape[1]):
        q, k, v = qkv[:, i, 0], qkv[:, :i.stop, 1], qkv[:, :i.stop, 2]
        p = np.exp(_scores(q, k, i.start) - lse[:, :, i, None])
        ds = p * (np.einsum("brhd,bnhd->bhrn", dout[:, i], v) - delta[:, :, i, None]) * scale
        result[:, i, 0] = np.einsum("bhrn,bnhd->brhd", ds, k)
        result[:, :i.stop, 1] += np.einsum("bhrn,brhd->bnhd", ds, q)
        result[:, :i.stop, 2] += np.einsum("bhrn,brhd->bnhd", p, dout[:, i])
    return result


def attention_cached(qkv: Array, keys: Array, values: Array, start: Array, out: Array | None = None) -> Array:
    """Causal attention of T new tokens a sequence to themselves and to a cache of earlier ones: (B, T, H, D).

    qkv     (B, T, 3, H, D)  of the new tokens
    keys    (B, H, D, room)  the cache; the new keys are written to keys[b, :, :, start[b] : start[b] + T]
    values  (B, H, room, D)  likewise; both change in place
    start   (B,)             how many tokens of each sequence the cache holds already

    Rows may have different lengths.  A batch of prompts padded on the right starts at 0: the rows of
    padding hold no meaning, and the next tokens, at start[b] = length of prompt b, overwrite them.
    Compiled, a row equals that of attention() over the whole sequence bit for bit.

    room is a multiple of 16, which the compiled loop reads at a time; the cache may hold anything
    behind start.  Raises ValueError where start[b] + T > room.
    """
    B, T, _, H, D = qkv.shape
    result = np.empty((B, T, H, D), qkv.dtype) if out is None else out
    for b, n in enumerate(start.tolist()):
        keys[b, :, :, n:n + T] = qkv[b, :, 1].transpose(1, 2, 0)
        values[b, :, n:n + T] = qkv[b, :, 2].swapaxes(0, 1)
        for i in _strips(T):
            k, v = keys[b, :, :, :n + i.stop].transpose(2, 0, 1), values[b, :, :n + i.stop].swapaxes(0, 1)
            result[b, i] = _attend(qkv[b:b + 1, i, 0], k[None], v[None], n + i.start)[0][0]
    return result
