"""The NumPy twins of a transformer's kernels.  reference.py holds the others and says what a twin is.

    attention    s[i,j] = q[i] . k[j] / sqrt(D)  for j <= i,    p = softmax(s),    out[i] = sum_j p[i,j] v[j]      (1)
    layer norm   xhat = (x - mean) rstd,    rstd = 1 / sqrt(variance + eps),    y = gain xhat + bias               (2)
    GELU         y = z s(z),   s = sigmoid(2 u),   u = sqrt(2 / pi) (z + 0.044715 z^3);   exact: y = z Phi(z)      (3)
    AdamW        m <- m + (1 - beta1) (g - m),    v <- beta2 v + (1 - beta2) g^2                                   (4)

Backward functions invert these.  From (1), with delta[i] = dout[i] . out[i], which is sum_j p[i,j] dp[i,j],

    dp[i,j] = dout[i] . v[j]         ds[i,j] = p[i,j] (dp[i,j] - delta[i]) / sqrt(D)                               (5)
    dq[i] = sum_j ds[i,j] k[j]       dk[j] = sum_i ds[i,j] q[i]       dv[j] = sum_i p[i,j] dout[i]                 (6)

From (2), with g = gain dy and means over the channels,

    dx = rstd (g - mean(g) - xhat mean(g xhat))      dgain = sum_i dy xhat      dbias = sum_i dy                   (7)

`out`, where a function has it, is an array to write the result into instead of a new one.
Compiled: csrc/matmul.c, attention.c, layer_norm.c, gelu.c, embedding.c, adamw.c.
"""
import math

import numpy as np

STRIP = 64      # queries at a time: memory for scores is linear in T

Array = np.ndarray


def matmul(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False, out: Array | None = None) -> Array:
    """The product of two matrices, (M, N): out[i,j] = sum_k a[i,k] b[k,j].

    a  (M, K), or (K, M) with transpose_a
    b  (K, N), or (N, K) with transpose_b

    Compiled, a row of the result is the same bit for bit whatever the other rows are and however
    many; NumPy does not promise that.  Raises ValueError for shapes that do not fit, TypeError for
    dtypes other than float32 and float64 or two different ones.
    """
    return np.matmul(a.T if transpose_a else a, b.T if transpose_b else b, out=out)


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
    """Equations (5) and (6): dqkv, (B, T, 3, H, D); the argument dqkv is an array to write it into.

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


def layer_norm(x: Array, gain: Array, bias: Array, eps: float = 1e-5, out: Array | None = None) -> tuple[Array, Array]:
    """Equation (2) for each row: y (N, C), and stats (N, 2) = mean, rstd, which the backward call takes.

    x           (N, C)
    gain, bias  (C,)
    eps         > 0     added to the variance, which divides by C
    """
    mean = x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(axis=-1, keepdims=True) + eps)
    return np.add(gain * ((x - mean) * rstd), bias, out=out), np.concatenate([mean, rstd], axis=-1)


def layer_norm_backward(dy: Array, x: Array, gain: Array, stats: Array,
                        out: Array | None = None) -> tuple[Array, Array, Array]:
    """Equation (7): dx (N, C), dgain (C,), dbias (C,); `out` receives dx.

    dy       (N, C)        derivative of the loss in y
    x, gain  (N, C), (C,)  as in the forward call
    stats    (N, 2)        what the forward call returned
    """
    mean, rstd = stats[:, :1], stats[:, 1:]
    xhat, g = (x - mean) * rstd, dy * gain
    centred = g - g.mean(axis=-1, keepdims=True) - xhat * (g * xhat).mean(axis=-1, keepdims=True)
    return np.multiply(rstd, centred, out=out), (dy * xhat).sum(axis=0), dy.sum(axis=0)


def _gate(z: Array) -> Array:
    """sigmoid(2 u) of (3), through exp(-2 |u|), which cannot overflow."""
    v = 2 * math.sqrt(2 / math.pi) * z * (1 + 0.044715 * z * z)
    e = np.exp(np.where(v.real < 0, v, -v))
    return np.where(v.real < 0, e, 1) / (1 + e)


def _normal_cdf(z: Array) -> Array:
    """Phi(z) = erfc(-z / sqrt 2) / 2, in double, entry by entry: NumPy has no erfc."""
    entries = [0.5 * math.erfc(-math.sqrt(0.5) * value) for value in z.ravel().tolist()]
    return np.array(entries, z.dtype).reshape(z.shape)


def bias_gelu(x: Array, bias: Array, exact: bool = False, out: Array | None = None) -> Array:
    """Equation (3) with z = x + bias: y, (N, C).

    x      (N, C)
    bias   (C,)
    exact  False: the tanh form, GPT-2's.  True: with the normal distribution function, PyTorch's default.
    """
    z = x + bias
    return np.multiply(z, _normal_cdf(z) if exact else _gate(z), out=out)


def bias_gelu_backward(dy: Array, x: Array, bias: Array, exact: bool = False,
                       out: Array | None = None) -> tuple[Array, Array]:
    """The derivative of (3): dx (N, C), and dbias (C,) = the sum of its rows; `out` receives dx.

    dy              (N, C)  derivative of the loss in y
    x, bias, exact          as in the forward call

    tanh form: dy/dz = s + z s (1 - s) 2 du/dz.  Exact: Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi).
    """
    z = x + bias
    if exact:
        slope = _normal_cdf(z) + z * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    else:
        s = _gate(z)
        slope = s + z * s * (1 - s) * (2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z * z))
    dx = np.multiply(dy, slope, out=out)
    return dx, dx.sum(axis=0)


def embedding(table: Array, ids: Array, out: Array | None = None) -> Array:
    """Rows of a table: out[i] = table[ids[i]], (N, C).

    table  (V, C)
    ids    (N,)    integers in [0, V)
    """
    return np.take(table, ids, axis=0, out=out)


def embedding_backward(dout: Array, ids: Array, V: int, out: Array | None = None) -> Array:
    """The table's gradient, (V, C): row v is the sum of dout[i] over ids[i] = v, in the order of i.

    dout  (N, C)  derivative of the loss in what embedding returned
    ids   (N,)    as in the forward call
    V             rows of the table
    """
    dtable = np.empty((V, dout.shape[1]), dout.dtype) if out is None else out
    dtable[...] = 0
    np.add.at(dtable, ids, dout)
    return dtable


def adamw(parameter: Array, gradient: Array, m: Array, v: Array, *, lr: float, beta1: float, beta2: float,
          eps: float, weight_decay: float, step: int) -> None:
    """One step of AdamW with PyTorch's meaning; parameter, m and v change in place.

    parameter, gradient, m, v   of one shape and dtype; m and v start at 0
    lr            >= 0    learning rate
    beta1, beta2  [0, 1)  memory of the two averages
    eps           >= 0    added to sqrt(v) after the bias correction
    weight_decay  >= 0    decoupled: parameter <- parameter (1 - lr weight_decay), before all else
    step          >= 1    how many steps this makes, with this one

    (4), then  parameter <- parameter - lr / (1 - beta1^step)  m / (sqrt(v) / sqrt(1 - beta2^step) + eps).
    """
    m += (1 - beta1) * (gradient - m)
    v *= beta2
    v += (1 - beta2) * gradient * gradient
    parameter *= 1 - lr * weight_decay
    parameter -= lr / (1 - beta1 ** step) * m / (np.sqrt(v) * (1 / math.sqrt(1 - beta2 ** step)) + eps)


def squared_norm(x: Array) -> float:
    """The sum of the squares of all entries, a float, summed in double.

    x  any shape
    """
    return float(np.square(x, dtype=np.float64).sum())
