# The glue of csrc/attention.c, part of _compiled.pyx.

@_twin
def attention(qkv, out=None):
    args = (qkv, out)
    if not (plain(qkv, 5) and length(qkv, 2) == 3 and out is None):
        args = arguments.attention(*args)
    cdef cnp.ndarray x = args[0]
    cdef int64_t B = x.shape[0], T = x.shape[1], H = x.shape[3], D = x.shape[4], bad
    cdef cnp.ndarray result = _result(args[1], (B, T, H, D), x), lse = np.empty((B, H, T), x.dtype)
    if single(x):
        with nogil:
            bad = K.attention_f32(B, T, H, D, f32(x), f32(result), f32(lse))
    else:
        with nogil:
            bad = K.attention_f64(B, T, H, D, f64(x), f64(result), f64(lse))
    _memory(bad)
    return result, lse


@_twin
def attention_backward(dout, qkv, out, lse, dqkv=None):
    args = arguments.attention_backward(dout, qkv, out, lse, dqkv)
    cdef cnp.ndarray dy = args[0], x = args[1], y = args[2], l = args[3]
    cdef int64_t B = x.shape[0], T = x.shape[1], H = x.shape[3], D = x.shape[4], bad
    cdef cnp.ndarray dx = _result(args[4], (B, T, 3, H, D), x)
    if single(x):
        with nogil:
            bad = K.attention_backward_f32(B, T, H, D, f32(dy), f32(x), f32(y), f32(l), f32(dx))
    else:
        with nogil:
            bad = K.attention_backward_f64(B, T, H, D, f64(dy), f64(x), f64(y), f64(l), f64(dx))
    _memory(bad)
    return dx


cdef inline bint cached(qkv, keys, values):
    """A cache for this qkv."""
    return (like(keys, qkv, 4) and like(values, qkv, 4) and cnp.PyArray_ISWRITEABLE(keys)
            and cnp.PyArray_ISWRITEABLE(values) and length(keys, 0) == length(qkv, 0) == length(values, 0)
            and length(keys, 1) == length(qkv, 3) == length(values, 1)
            and length(keys, 2) == length(qkv, 4) == length(values, 3)
            and length(keys, 3) == length(values, 2) and length(keys, 3) % RLS_STEP == 0
            and apart(keys, values) and apart(keys, qkv) and apart(values, qkv))


@_twin
def attention_cached(qkv, keys, values, start, out=None):
    args = (qkv, keys, values, start, out)
    if not (plain(qkv, 5) and length(qkv, 2) == 3 and out is None and cached(qkv, keys, values)
            and integers(start) and length(start, 0) == length(qkv, 0)
            and within(start, length(keys, 3) - length(qkv, 1) + 1)):
        args = arguments.attention_cached(*args)
    cdef cnp.ndarray x = args[0], k = args[1], v = args[2], first = args[3]
    cdef int64_t B = x.shape[0], T = x.shape[1], H = x.shape[3], D = x.shape[4], room = k.shape[3], bad
    cdef cnp.ndarray result = _result(args[4], (B, T, H, D), x)
    if single(x):
        with nogil:
            bad = K.attention_cached_f32(B, T, H, D, room, f32(x), f32(k), f32(v), i64(first), f32(result))
    else:
        with nogil:
            bad = K.attention_cached_f64(B, T, H, D, room, f64(x), f64(k), f64(v), i64(first), f64(result))
    _memory(bad)
    return result
