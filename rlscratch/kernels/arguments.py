"""What each kernel asks of its arguments, whichever backend runs it.

One function a kernel, under its name and with its signature: it returns the arguments converted
(C-contiguous, one dtype) or raises.  The compiled glue calls it and never reads outside an array;
`guarded` puts it in front of a NumPy twin.
"""
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from rlscratch import check
from rlscratch.kernels.arrays import Array, base, float_array, out_array, plain, shaped, writable
from rlscratch.kernels.models import checked_model

P = ParamSpec("P")
R = TypeVar("R")
MOST = 2**63 - 1        # what an integer of the core holds


def guarded(asked: Callable[P, tuple], twin: Callable[..., R]) -> Callable[P, R]:
    """The twin, with its arguments checked first by `asked`, the function here of the same name."""
    names = inspect.signature(twin).parameters

    @functools.wraps(twin)
    def kernel(*args: P.args, **kwargs: P.kwargs) -> R:
        arguments = asked(*args, **kwargs)
        check_rows(arguments)
        plain = (a.view(np.ndarray) if isinstance(a, _Logits) else a for a in arguments)
        return twin(**dict(zip(names, plain, strict=True)))

    return kernel


def check_rows(arguments: tuple) -> None:
    """Raise for the first row of logits with NaN, +inf or nothing but -inf."""
    for value in arguments:
        if isinstance(value, _Logits):
            check.logits(logits=value.view(np.ndarray))


class _Logits(np.ndarray):
    """Marks the one argument whose rows must be good; the kernels find bad rows as they go."""


def _logits(logits: Any) -> Array:
    return float_array(2, logits=logits).view(_Logits)


def _temperature(temperature: float) -> float:
    check.positive(temperature=temperature)
    if temperature < 1e-30:
        check.fail("temperature", temperature, "at least 1e-30; for the most likely token take the arg-max")
    if temperature > 1e30:
        check.fail("temperature", temperature, "at most 1e30; all tokens of a row are as likely there already")
    return float(temperature)


def _flag(**flags: Any) -> bool:
    (name, value), = flags.items()
    return value if isinstance(value, bool) else bool(check.one_of((False, True), value=value, called=name))


# ---------------------------------------------------------------- softmax

def softmax(logits: Array, temperature: float = 1.0) -> tuple:
    return _logits(logits), _temperature(temperature)


log_softmax = softmax


def softmax_backward(dprobs: Array, probs: Array, temperature: float = 1.0) -> tuple:
    probs = float_array(2, probs=probs)
    dprobs = check.shape(probs.shape, "like probs", dprobs=float_array(2, probs, dprobs=dprobs))
    return dprobs, probs, _temperature(temperature)


def log_softmax_backward(dlogp: Array, logp: Array, temperature: float = 1.0) -> tuple:
    logp = float_array(2, logp=logp)
    dlogp = check.shape(logp.shape, "like logp", dlogp=float_array(2, logp, dlogp=dlogp))
    return dlogp, logp, _temperature(temperature)


def chosen_logp(logits: Array, target: Array, temperature: float = 1.0) -> tuple:
    logits = _logits(logits)
    target = plain(check.ids(logits.shape[1], ndim=1, target=target))
    return logits, check.shape(logits.shape[:1], "one token a row", target=target), _temperature(temperature)


def chosen_logp_backward(dlogp: Array, dentropy: Array, logits: Array, target: Array, entropy: Array, stats: Array,
                         temperature: float = 1.0) -> tuple:
    logits, target, temperature = chosen_logp(logits, target, temperature)
    rows = logits.shape[:1]
    dlogp = shaped(rows, "one entry a row", logits, dlogp=dlogp)
    dentropy = shaped(rows, "one entry a row", logits, dentropy=dentropy)
    entropy = shaped(rows, "one entry a row", logits, entropy=entropy)
    stats = check.shape((*rows, 2), "as chosen_logp returned it", stats=float_array(2, logits, stats=stats))
    return dlogp, dentropy, logits.view(np.ndarray), target, entropy, stats, temperature


# ---------------------------------------------------------------- sample

def _uniforms(u: Any, rows: int) -> Array:
    u = check.shape((rows,), "one uniform a row", u=plain(check.real(u=check.array(u=u))))
    if not ((u >= 0) & (u < 1)).all():
        check.fail("u", u[~((u >= 0) & (u < 1))][0], "uniforms in [0, 1)")
    return u


def draw(probs: Array, u: Array) -> tuple:
    probs = check.probabilities(probs=float_array(2, probs=probs))
    return probs, _uniforms(u, len(probs))


def sample(logits: Array, u: Array, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
           min_p: float = 0.0) -> tuple:
    logits = _logits(logits)
    top_k = min(check.integer(0, top_k=top_k), MOST)
    check.fraction(top_p=top_p)
    check.between(0, 1, min_p=min_p)
    return logits, _uniforms(u, len(logits)), _temperature(temperature), top_k, float(top_p), float(min_p)


# ---------------------------------------------------------------- matmul

def matmul(a: Array, b: Array, transpose_a: bool = False, transpose_b: bool = False, out: Array | None = None) -> tuple:
    a = float_array(2, a=a)
    b = float_array(2, a, b=b)
    transpose_a, transpose_b = _flag(transpose_a=transpose_a), _flag(transpose_b=transpose_b)
    (M, K), (inner, N) = a.shape[::-1 if transpose_a else 1], b.shape[::-1 if transpose_b else 1]
    if inner != K:
        check.fail("the inner length of b", inner, f"{K}, for {'the transpose of ' * transpose_a}a of shape {a.shape}")
    return a, b, transpose_a, transpose_b, out_array((M, N), a, (a, b), out=out)


# ---------------------------------------------------------------- attention

def _qkv(qkv: Any, kv_heads: Any) -> tuple[Array, int | None, int]:
    """qkv, kv_heads and the number of heads."""
    if kv_heads is None:
        qkv = float_array(5, qkv=qkv)
        if qkv.shape[2] != 3:
            check.fail("the shape of qkv", qkv.shape, "(B, T, 3, H, D): query, key and value on the third axis")
        return qkv, None, qkv.shape[3]
    qkv = float_array(4, qkv=qkv)
    kv_heads = check.integer(1, kv_heads=kv_heads)
    heads = qkv.shape[2] - 2 * kv_heads
    if heads < 1 or heads % kv_heads:
        check.fail("the shape of qkv", qkv.shape, f"(B, T, H + {2 * kv_heads}, D), H a multiple of kv_heads")
    return qkv, int(kv_heads), heads


def attention(qkv: Array, kv_heads: int | None = None, out: Array | None = None) -> tuple:
    qkv, kv_heads, H = _qkv(qkv, kv_heads)
    B, T, *_, D = qkv.shape
    return qkv, kv_heads, out_array((B, T, H, D), qkv, (qkv,), out=out)


def attention_backward(dout: Array, qkv: Array, out: Array, lse: Array, kv_heads: int | None = None,
                       dqkv: Array | None = None) -> tuple:
    qkv, kv_heads, H = _qkv(qkv, kv_heads)
    B, T, *_, D = qkv.shape
    dout = shaped((B, T, H, D), "one entry for each of out", qkv, dout=dout)
    out = shaped((B, T, H, D), "as attention returned it", qkv, out=out)
    lse = shaped((B, H, T), "as attention returned it", qkv, lse=lse)
    return dout, qkv, out, lse, kv_heads, out_array(qkv.shape, qkv, (dout, qkv, out, lse), dqkv=dqkv)


# ---------------------------------------------------------------- rotary

def rotary(x: Array, turns: Array, places: Array, heads: int, back: bool = False, out: Array | None = None) -> tuple:
    x = float_array(3, x=x)
    N, R, D = x.shape
    turns = float_array(2, x, turns=turns)
    if D % 2 or turns.shape[1] != D:
        check.fail("the shape of turns", turns.shape, f"(P, {D + D % 2}), an even number of channels like x")
    places = check.shape((N,), "one place a token", places=_ids(len(turns), places=places))
    heads = check.integer(0, R, heads=heads)
    return x, turns, places, int(heads), _flag(back=back), out_array(x.shape, x, (x, turns), out=out)


# ---------------------------------------------------------------- layer_norm

def layer_norm(x: Array, gain: Array, bias: Array, eps: float = 1e-5, out: Array | None = None) -> tuple:
    x = float_array(2, x=x)
    gain, bias = _channels(x, gain=gain), _channels(x, bias=bias)
    return x, gain, bias, check.positive(eps=eps), out_array(x.shape, x, (x, gain, bias), out=out)


def _channels(x: Array, **named: Any) -> Array:
    return shaped(x.shape[1:], "one entry a channel", x, **named)


def layer_norm_backward(dy: Array, x: Array, gain: Array, stats: Array, out: Array | None = None) -> tuple:
    x = float_array(2, x=x)
    dy, gain = shaped(x.shape, "like x", x, dy=dy), _channels(x, gain=gain)
    stats = shaped((len(x), 2), "as layer_norm returned it", x, stats=stats)
    return dy, x, gain, stats, out_array(x.shape, x, (dy, x, gain, stats), out=out)


# ---------------------------------------------------------------- rms_norm

def rms_norm(x: Array, gain: Array, eps: float = 1e-5, out: Array | None = None) -> tuple:
    x = float_array(2, x=x)
    gain = _channels(x, gain=gain)
    return x, gain, check.positive(eps=eps), out_array(x.shape, x, (x, gain), out=out)


def rms_norm_backward(dy: Array, x: Array, gain: Array, rstd: Array, out: Array | None = None) -> tuple:
    x = float_array(2, x=x)
    dy, gain = shaped(x.shape, "like x", x, dy=dy), _channels(x, gain=gain)
    rstd = shaped((len(x),), "as rms_norm returned it", x, rstd=rstd)
    return dy, x, gain, rstd, out_array(x.shape, x, (dy, x, gain, rstd), out=out)


# ---------------------------------------------------------------- gelu

def bias_gelu(x: Array, bias: Array, exact: bool = False, out: Array | None = None) -> tuple:
    x = float_array(2, x=x)
    bias = _channels(x, bias=bias)
    return x, bias, _flag(exact=exact), out_array(x.shape, x, (x, bias), out=out)


def bias_gelu_backward(dy: Array, x: Array, bias: Array, exact: bool = False, out: Array | None = None) -> tuple:
    x = float_array(2, x=x)
    dy, bias = shaped(x.shape, "like x", x, dy=dy), _channels(x, bias=bias)
    return dy, x, bias, _flag(exact=exact), out_array(x.shape, x, (dy, x, bias), out=out)


# ---------------------------------------------------------------- swiglu

def _halves(x: Any) -> tuple[Array, int]:
    x = float_array(2, x=x)
    if x.shape[1] % 2:
        check.fail("the shape of x", x.shape, "(N, 2 inner): two halves")
    return x, x.shape[1] // 2


def swiglu(x: Array, out: Array | None = None) -> tuple:
    x, inner = _halves(x)
    return x, out_array((len(x), inner), x, (x,), out=out)


def swiglu_backward(dy: Array, x: Array, out: Array | None = None) -> tuple:
    x, inner = _halves(x)
    dy = shaped((len(x), inner), "half as wide as x", x, dy=dy)
    return dy, x, out_array(x.shape, x, (dy, x), out=out)


# ---------------------------------------------------------------- embedding

def embedding(table: Array, ids: Array, out: Array | None = None) -> tuple:
    table = float_array(2, table=table)
    ids = _ids(len(table), ids=ids)
    return table, ids, out_array((len(ids), table.shape[1]), table, (table,), out=out)


def _ids(V: int, **named: Any) -> Array:
    (name, _), = named.items()
    ids = plain(check.ids(V, ndim=1, **named))
    if ids.size == 0:
        check.fail(f"the shape of {name}", ids.shape, "at least one id")
    return ids


def embedding_backward(dout: Array, ids: Array, V: int, out: Array | None = None) -> tuple:
    dout = float_array(2, dout=dout)
    V = check.integer(1, V=V)
    check.memory(V * dout.shape[1] * dout.itemsize, V=V)
    ids = check.shape(dout.shape[:1], "one id a row of dout", ids=_ids(V, ids=ids))
    return dout, ids, V, out_array((V, dout.shape[1]), dout, (dout,), out=out)


# ---------------------------------------------------------------- adamw

def adamw(parameter: Array, gradient: Array, m: Array, v: Array, *, lr: float, beta1: float, beta2: float, eps: float,
          weight_decay: float, step: int) -> tuple:
    parameter = writable(None, float_array(None, parameter=parameter), (), parameter=parameter)
    gradient = shaped(parameter.shape, "like parameter", parameter, gradient=gradient)
    m = writable(parameter.shape, parameter, (parameter, gradient), m=m)
    v = writable(parameter.shape, parameter, (parameter, gradient, m), v=v)
    if np.may_share_memory(parameter, gradient):
        check.fail("the memory of gradient", "shared with another argument", "memory of its own")
    lr, eps, weight_decay = check.non_negative(lr=lr, eps=eps, weight_decay=weight_decay)
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        if not 0 <= check.number(beta=beta, called=name) < 1:
            check.fail(name, beta, "a number in [0, 1)")
    step = min(check.integer(1, step=step), MOST)
    return parameter, gradient, m, v, lr, float(beta1), float(beta2), eps, weight_decay, step


def squared_norm(x: Array) -> tuple:
    return (float_array(None, x=x),)


# ---------------------------------------------------------------- decode

def decode(tokens: Array, last: Array, weights: Sequence[Any], output: Array, keys: Sequence[Array],
           values: Sequence[Array], lengths: Array, heads: int, exact_gelu: bool = False, eps: float = 1e-5) -> tuple:
    if not isinstance(tokens, np.ndarray) or tokens.ndim != 2 or tokens.size == 0:
        check.fail("the shape of tokens", np.shape(tokens), "(B, T), none of length 0")
    B, T = tokens.shape
    model = checked_model(weights, output, keys, values, lengths, heads, T)
    check.shape((len(model[4]), T), "one row a sequence of the cache", tokens=tokens)
    tokens = np.require(check.ids(model[1].shape[1], ndim=2, tokens=tokens), np.int64, ("C", "A"))
    last = np.require(check.shape((B,), "one place a sequence", last=check.ids(T, ndim=1, last=last)), np.int64,
                      ("C", "A"))
    return tokens, last, *model, _flag(exact_gelu=exact_gelu), check.positive(eps=eps)


def answer(logits: Array, u: Array, stops: Array, weights: Sequence[Any], output: Array, keys: Sequence[Array],
           values: Sequence[Array], lengths: Array, heads: int, exact_gelu: bool = False, eps: float = 1e-5,
           temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> tuple:
    u = check.array(u=u)
    if u.ndim != 2 or u.size == 0:
        check.fail("the shape of u", u.shape, "(B, N), none of length 0")
    model = checked_model(weights, output, keys, values, lengths, heads, u.shape[1])
    B, V = len(model[4]), model[1].shape[1]
    logits, _, temperature, *filters = sample(logits, u[:, 0], temperature, top_k, top_p, min_p)
    check.shape((B, V), "one row a sequence of the cache, one column a word", logits=logits)
    if logits.dtype != model[1].dtype:
        check.fail("the dtype of logits", logits.dtype, f"{model[1].dtype} like the weights", TypeError)
    u = check.shape((B, u.shape[1]), "one row a sequence of the cache", u=_uniforms(u.ravel(), u.size).reshape(u.shape))
    stops = base("stops", stops)
    if not (isinstance(stops, np.ndarray) and stops.dtype == bool and stops.shape == (V,)):
        check.fail("stops", stops, f"an array of {V} bools", TypeError)
    return (logits, u, np.ascontiguousarray(stops), *model, _flag(exact_gelu=exact_gelu), check.positive(eps=eps),
            temperature, *filters)
