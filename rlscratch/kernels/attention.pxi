# The glue of csrc/attention.c, part of _compiled.pyx.

cdef inline bint groups(kv_heads, int64_t rows):
    """Heads of keys that can be shared by those of queries, `rows` together with keys and values."""
    return (type(kv_heads) is int and 0 < kv_heads < rows and 2 * kv_heads < rows
            and (rows - 2 * kv_heads) % kv_heads == 0)


@_twin
def attention(qkv, kv_heads=None, out=None):
    args = (qkv, kv_heads, out)
    if not (out is None and ((kv_heads is None and plain(qkv, 5) and length(qkv, 2) == 3)
                             or (plain(qkv, 4) and groups(kv_heads, length(qkv, 2))))):
        args = arguments.attention(*args)
    cdef cnp.ndarray x = args[0]
    cdef int64_t B = x.shape[0], T = x.shape[1], H, G, D = x.shape[x.ndim - 1], bad
    G = x.shape[3] if args[1] is None else args[1]
    H = x.shape[3] if args[1] is None else x.shape[2] - 2 * G
    cdef cnp.ndarray result = _result(args[2], (B, T, H, D), x), lse = np.empty((B, H, T), x.dtype)
    if single(x):
        with nogil:
            bad = K.attention_f32(B, T, H, G, D, f32(x), f32(result), f32(lse))
    else:
        with nogil:
            bad = K.attention_f64(B, T, H, G, D, f64(x), f64(result), f64(lse))
    _memory(bad)
    return result, lse


@_twin
def attention_backward(dout, qkv, out, lse, kv_heads=None, dqkv=None):
    args = (dout, qkv, out, lse, kv_heads, dqkv)
    if not (dqkv is None and plain(out, 4) and like(dout, out, 4) and like(qkv, out, 4) and like(lse, out, 3)
            and groups(kv_heads, length(qkv, 2)) and length(out, 2) == length(qkv, 2) - 2 * <int64_t>kv_heads
            and length(qkv, 0) == length(out, 0) == length(dout, 0) == length(lse, 0)
            and length(qkv, 1) == length(out, 1) == length(dout, 1) == length(lse, 2)
            and length(out, 2) == length(dout, 2) == length(lse, 1)
            and length(qkv, 3) == length(out, 3) == length(dout, 3)):
        args = arguments.attention_backward(*args)
    cdef cnp.ndarray dy = args[0], x = args[1], y = args[2], l = args[3]
    cdef int64_t B = y.shape[0], T = y.shape[1], H = y.shape[2], D = y.shape[3], bad
    cdef int64_t G = H if args[4] is None else args[4]
    cdef cnp.ndarray dx = _result(args[5], np.shape(x), x)
    if single(x):
        with nogil:
            bad = K.attention_backward_f32(B, T, H, G, D, f32(dy), f32(x), f32(y), f32(l), f32(dx))
    else:
        with nogil:
            bad = K.attention_backward_f64(B, T, H, G, D, f64(dy), f64(x), f64(y), f64(l), f64(dx))
    _memory(bad)
    return dx
