"""Random calls of every kernel: python tests/fuzz_kernels.py [CALLS] [SEED].

A call is a good one with changes: other shapes and strides, no entries, odd addresses, foreign byte order, read-only
or shared arrays to write into, numbers that are huge, tiny, infinite or none, ids that are no ids, integers without
end.  Then one of two things happens, on the compiled core and on NumPy alike:

    both give an answer, and the answers agree where all that went in was finite and nothing overflowed
    both refuse with the same error, a ValueError or a TypeError, and have changed nothing

Where NaN or an infinity is let in, or an answer overflows, only that is held: no crash, an answer of the same shape.
It prints how many calls ended in which way; another end is printed with its call, and the exit status is 1.
"""
import sys
import warnings
from collections import Counter

import numpy as np

from kernel_cases import STEP
from rlscratch import kernels
from rlscratch.kernels import _numpy, reference

HUGE = [10**30, -10**30, 2**63, 2**63 - 1, -2**63, 0, -1, 1, 1024]
REALS = [float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-320, 1e-31, 1e46, 1e300, 0.5, 1.0, True, None, "1"]


def good(name, rng):
    """Arguments of a good call of a kernel, small."""
    dtype = rng.choice([np.float32, np.float64])
    B, T, H, D, N, C = rng.integers(1, 5), rng.integers(1, 7), rng.integers(1, 3), rng.integers(1, 9), *rng.integers(
        1, 40, 2)

    def normal(*shape):
        return rng.normal(size=shape).astype(dtype)

    ids, qkv, x, row = rng.integers(0, C, N), normal(B, T, 3, H, D), normal(N, C), normal(C)
    shared, halves, places = normal(B, T, 3 * H + 2, D), normal(N, 2 * C), rng.integers(0, 9, N)
    temperature = {"temperature": float(rng.choice([0.5, 1.0, 3.0]))}
    out, lse = reference.attention(qkv)
    _, entropy, stats = reference.chosen_logp(x, ids, 1.0)
    room, V = 16 * int(rng.integers(1, 3)), int(rng.integers(1, 9))

    def model():
        W, inner, G, gated, even = int(rng.integers(1, 9)), int(rng.integers(1, 9)), *rng.integers(1, 3, 2), 2 * int(D)
        Q, wide = (H * G + 2 * G) * even, inner * gated
        layer = [W, W, (W, Q), Q, (H * G * even, W), W, W, W, (W, wide), wide, (inner, W), W]
        sizes = [(V, W), (room, W), (room, even), *layer, W, W]
        bare = {i for i in (1, 2, *range(4, len(sizes), 2)) if rng.random() < 0.5 and (i != 12 or gated == 2)}
        weights = [None if i in bare else normal(*np.atleast_1d(size)) for i, size in enumerate(sizes)]
        return {"weights": weights, "output": normal(W, V), "keys": [normal(B, G, room // 16, even, 16)],
                "values": [normal(B, G, room, even)], "lengths": rng.integers(0, room - T + 1, B), "heads": int(H * G)}

    return {
        "softmax": lambda: {"logits": x, **temperature}, "log_softmax": lambda: {"logits": x, **temperature},
        "softmax_backward": lambda: {"dprobs": normal(N, C), "probs": reference.softmax(x), **temperature},
        "log_softmax_backward": lambda: {"dlogp": normal(N, C), "logp": reference.log_softmax(x), **temperature},
        "chosen_logp": lambda: {"logits": x, "target": ids, **temperature},
        "chosen_logp_backward": lambda: {"dlogp": normal(N), "dentropy": normal(N), "logits": x, "target": ids,
                                         "entropy": entropy, "stats": stats, "temperature": 1.0},
        "draw": lambda: {"probs": reference.softmax(x), "u": rng.random(N)},
        "sample": lambda: {"logits": x, "u": rng.random(N), **temperature, "top_k": int(rng.integers(0, C + 2)),
                           "top_p": float(rng.choice([1.0, 0.9, 1e-7])), "min_p": float(rng.choice([0.0, 0.1]))},
        "matmul": lambda: {"a": normal(N, C), "b": normal(C, B)},
        "attention": lambda: {"qkv": qkv} if rng.integers(2) else {"qkv": shared, "kv_heads": 1},
        "attention_backward": lambda: {"dout": normal(*out.shape), "qkv": qkv, "out": out, "lse": lse},
        "rotary": lambda: {"x": normal(N, H, 2 * D), "turns": normal(9, 2 * D), "places": places,
                           "heads": int(rng.integers(0, H + 1)), "back": bool(rng.integers(2))},
        "layer_norm": lambda: {"x": x, "gain": row, "bias": normal(C)},
        "layer_norm_backward": lambda: {"dy": normal(N, C), "x": x, "gain": row,
                                        "stats": reference.layer_norm(x, row, row, 1e-5)[1]},
        "rms_norm": lambda: {"x": x, "gain": row},
        "rms_norm_backward": lambda: {"dy": normal(N, C), "x": x, "gain": row,
                                      "rstd": reference.rms_norm(x, row, 1e-5)[1]},
        "swiglu": lambda: {"x": halves}, "swiglu_backward": lambda: {"dy": normal(N, C), "x": halves},
        "bias_gelu": lambda: {"x": x, "bias": row, "exact": bool(rng.integers(2))},
        "bias_gelu_backward": lambda: {"dy": normal(N, C), "x": x, "bias": row, "exact": bool(rng.integers(2))},
        "embedding": lambda: {"table": normal(C, B), "ids": ids},
        "embedding_backward": lambda: {"dout": normal(N, B), "ids": ids, "V": int(C)},
        "adamw": lambda: {"parameter": x, "gradient": normal(N, C), "m": normal(N, C), "v": normal(N, C) ** 2, **STEP},
        "squared_norm": lambda: {"x": x},
        "decode": lambda: {"tokens": rng.integers(0, V, (B, T)), "last": rng.integers(0, T, B), **model()},
        "answer": lambda: {"logits": normal(B, V), "u": rng.random((B, 1)), "stops": rng.random(V) < 0.5, **model()},
    }[name]()


KERNELS = ("softmax", "softmax_backward", "log_softmax", "log_softmax_backward", "chosen_logp", "chosen_logp_backward",
           "draw", "sample", "matmul", "attention", "attention_backward", "rotary", "layer_norm", "layer_norm_backward",
           "rms_norm", "rms_norm_backward", "bias_gelu", "bias_gelu_backward", "swiglu", "swiglu_backward", "embedding",
           "embedding_backward", "adamw", "squared_norm", "decode", "answer")
WRITTEN = ("parameter", "m", "v", "keys", "values")         # by their kernels


# ---------------------------------------------------------------- changes

def misaligned(array, rng):
    room = np.empty(array.nbytes + 1, np.uint8)
    view = room[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def shorter(array, rng):
    axis = rng.integers(array.ndim) if array.ndim else 0
    return array.take(range(rng.integers(0, array.shape[axis])), axis=axis) if array.ndim else array


def numbers(array, rng):
    if array.dtype.kind != "f" or not array.size:
        return array
    big = np.finfo(array.dtype).max
    some = rng.choice([np.nan, np.inf, -np.inf, big, -big, np.sqrt(big), np.finfo(array.dtype).tiny / 8, 0.0])
    changed = array.copy()
    changed.reshape(-1)[rng.integers(array.size, size=rng.integers(1, 3))] = some
    return changed


def other_ids(array, rng):
    return array + rng.choice([-1, 1, 100, 2**40, -2**62]) if array.dtype.kind in "iu" else array


def read_only(array, rng):
    changed = array.copy()
    changed.flags.writeable = False
    return changed


ARRAYS = [
    misaligned, shorter, numbers, numbers, other_ids, read_only, lambda a, rng: np.asfortranarray(a),
    lambda a, rng: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a, lambda a, rng: a[::-1].copy()[::-1],
    lambda a, rng: a.astype(a.dtype.newbyteorder(">")), lambda a, rng: a[..., None], lambda a, rng: a[0],
    lambda a, rng: a.astype(rng.choice([np.float32, np.float64, np.float16, np.int32, np.complex128, object])),
    lambda a, rng: np.broadcast_to(a[:1], a.shape), lambda a, rng: a.tolist(), lambda a, rng: None]


def changed(args, rng):
    """Some of the arguments, changed."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")         # casts that lose something
        return _changed(args, rng)


def _changed(args, rng):
    args = dict(args)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        name = rng.choice([*args])
        value = args[name]
        if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            place = rng.integers(len(value))
            args[name] = [a if i != place or a is None else _changed({"a": a}, rng)["a"] for i, a in enumerate(value)]
        elif isinstance(value, np.ndarray):
            try:
                args[name] = ARRAYS[rng.integers(len(ARRAYS))](value, rng)
            except (IndexError, ValueError, TypeError):     # of an array that an earlier change has left empty, say
                continue
        elif isinstance(value, bool):
            args[name] = [True, False, 0, 1, "yes", None][rng.integers(6)]
        elif isinstance(value, int):
            args[name] = [*HUGE, 1.5, True][rng.integers(len(HUGE) + 2)]
        elif isinstance(value, float):
            args[name] = REALS[rng.integers(len(REALS))]
    return args


# ---------------------------------------------------------------- one call

def called(kernel, args):
    """What a call gives, its arguments copied first: an answer or an error, and what was written into."""
    mine = {name: own(value) if name in WRITTEN else value for name, value in args.items()}
    before = {name: own(mine[name]) for name in WRITTEN if isinstance(mine.get(name), np.ndarray)}
    try:
        with np.errstate(all="ignore"):
            result = kernel(**mine)
    except (ValueError, TypeError) as refused:
        for name, value in before.items():
            np.testing.assert_array_equal(mine[name], value, err_msg="changed, though it was refused")
        return type(refused).__name__, str(refused)
    results = [np.asarray(r) for r in (result if isinstance(result, tuple) else (result,)) if r is not None]
    return "answer", results + [mine[name] for name in before]


def own(value):
    """A copy of an array that a kernel may write into, or of a list of them."""
    if isinstance(value, list):
        return [own(a) for a in value]
    plain = isinstance(value, np.ndarray) and value.flags.carray
    return value.copy() if plain else value


def finite(arrays):
    """Whether nothing is NaN or infinite, or so large that a sum or a square of it may be."""
    return all(a.dtype.kind != "f" or bool((np.abs(a.astype(float)) < 1e15).all()) for a in arrays)


def one(name, args):
    """How a call ended; raises AssertionError where core and twin differ."""
    (kind, got), (other, want) = (called(getattr(home, name), args) for home in (kernels, _numpy))
    assert kind == other, f"{kind}: {got}; on NumPy {other}: {want}"
    if kind != "answer":
        assert got == want, f"{got!r}; on NumPy {want!r}"
        return kind
    for mine, twin in zip(got, want, strict=True):
        assert (mine.shape, mine.dtype) == (twin.shape, twin.dtype)
    given = [a for value in args.values() for a in (value if isinstance(value, list) else [value])]
    if not finite([*got, *want, *(a for a in given if isinstance(a, np.ndarray))]):
        return "answer to what is not finite, or huge"
    for mine, twin in zip(got, want, strict=True):
        most = max(1.0, np.abs(twin).max(initial=0).item()) if twin.dtype.kind == "f" else 0
        tight = 2e-4 if twin.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(mine, twin, rtol=tight, atol=tight * most)
    return "answer"


def told(name, args):
    """A call on a line: arrays by dtype, shape, strides and largest number."""
    def said(value):
        if not isinstance(value, np.ndarray):
            return repr(value)[:60]
        largest = f" to {np.abs(value).max()}" if value.size and value.dtype.kind in "fiu" else ""
        return f"{value.dtype}{value.shape} strides {value.strides}{largest}"

    return f"{name}({', '.join(f'{key}={said(value)}' for key, value in args.items())})"


def fuzz(count, seed, names=KERNELS):
    """So many calls: how they ended, and what went wrong in which."""
    rng, ends, wrong = np.random.default_rng(seed), Counter(), []
    for number in range(count):
        name = names[number % len(names)]
        args = changed(good(name, rng), rng)
        try:
            ends[one(name, args)] += 1
        except MemoryError:
            ends["MemoryError"] += 1
        except Exception as error:
            wrong.append(f"call {number}, {told(name, args)}: {type(error).__name__}: {error!s:.400}")
    return ends, wrong


if __name__ == "__main__":
    calls, seed = (int(word) for word in (sys.argv[1:] + ["20000", "0"][len(sys.argv) - 1:])[:2])
    how, faults = fuzz(calls, seed)
    print("\n".join(faults[:20]))
    print(f"{calls} calls of {len(KERNELS)} kernels on {kernels.BACKEND} ({kernels.ISA}): "
          + ", ".join(f"{count} {end}" for end, count in how.most_common()) + f", {len(faults)} wrong")
    sys.exit(bool(faults))
