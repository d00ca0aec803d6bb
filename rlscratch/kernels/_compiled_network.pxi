# The glue of a transformer's kernels, part of _compiled.pyx.

cdef _result(out, tuple shape, like):
    """The array to write into: the caller's, or a new one."""
    return np.empty(shape, like.dtype) if out is None else out


@_twin
def matmul(a, b, transpose_a=False, transpose_b=False, out=None):
    args = (a, b, transpose_a, transpose_b, out)
    if not (plain(a, 2) and like(b, a, 2) and type(transpose_a) is bool and type(transpose_b) is bool
            and length(a, not transpose_a) == length(b, transpose_b)
            and writes(out, a, length(a, transpose_a), length(b, not transpose_b)) and (out is None or apart(out, b))):
        args = arguments.matmul(*args)
    cdef cnp.ndarray x = args[0], y = args[1]
    cdef bint turn_x = args[2], turn_y = args[3]
    cdef int64_t rows = x.shape[turn_x], inner = x.shape[not turn_x], columns = y.shape[not turn_y], bad
    cdef cnp.ndarray result = _result(args[4], (rows, columns), x)
    if single(x):
        with nogil:
            bad = K.matmul_f32(rows, columns, inner, f32(x), turn_x, f32(y), turn_y, f32(result))
    else:
        with nogil:
            bad = K.matmul_f64(rows, columns, inner, f64(x), turn_x, f64(y), turn_y, f64(result))
    _memory(bad)
    return result


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


@_twin
def layer_norm(x, gain, bias, eps=1e-5, out=None):
    args = (x, gain, bias, eps, out)
    if not (plain(x, 2) and row(gain, x) and row(bias, x) and type(eps) is float and 0 < <double>eps < 1
            and writes(out, x, length(x, 0), length(x, 1))
            and (out is None or (apart(out, gain) and apart(out, bias)))):
        args = arguments.layer_norm(*args)
    cdef cnp.ndarray rows = args[0], g = args[1], b = args[2]
    cdef double e = args[3]
    cdef int64_t N = rows.shape[0], C = rows.shape[1]
    cdef cnp.ndarray y = _result(args[4], (N, C), rows), stats = np.empty((N, 2), rows.dtype)
    if single(rows):
        with nogil:
            K.layer_norm_f32(N, C, f32(rows), f32(g), f32(b), e, f32(y), f32(stats))
    else:
        with nogil:
            K.layer_norm_f64(N, C, f64(rows), f64(g), f64(b), e, f64(y), f64(stats))
    return y, stats


@_twin
def layer_norm_backward(dy, x, gain, stats, out=None):
    args = (dy, x, gain, stats, out)
    if not (plain(x, 2) and matrix(dy, x) and row(gain, x) and like(stats, x, 2) and length(stats, 0) == length(x, 0)
            and length(stats, 1) == 2 and writes(out, x, length(x, 0), length(x, 1))
            and (out is None or (apart(out, dy) and apart(out, gain) and apart(out, stats)))):
        args = arguments.layer_norm_backward(*args)
    cdef cnp.ndarray d = args[0], rows = args[1], g = args[2], s = args[3]
    cdef int64_t N = rows.shape[0], C = rows.shape[1], bad
    cdef cnp.ndarray dx = _result(args[4], (N, C), rows)
    cdef cnp.ndarray dgain = np.empty(C, rows.dtype), dbias = np.empty(C, rows.dtype)
    if single(rows):
        with nogil:
            bad = K.layer_norm_backward_f32(N, C, f32(d), f32(rows), f32(g), f32(s), f32(dx), f32(dgain), f32(dbias))
    else:
        with nogil:
            bad = K.layer_norm_backward_f64(N, C, f64(d), f64(rows), f64(g), f64(s), f64(dx), f64(dgain), f64(dbias))
    _memory(bad)
    return dx, dgain, dbias


@_twin
def bias_gelu(x, bias, exact=False, out=None):
    args = (x, bias, exact, out)
    if not (plain(x, 2) and row(bias, x) and type(exact) is bool and writes(out, x, length(x, 0), length(x, 1))
            and (out is None or apart(out, bias))):
        args = arguments.bias_gelu(*args)
    cdef cnp.ndarray rows = args[0], b = args[1]
    cdef bint is_exact = args[2]
    cdef int64_t N = rows.shape[0], C = rows.shape[1]
    cdef cnp.ndarray y = _result(args[3], (N, C), rows)
    if single(rows):
        with nogil:
            K.bias_gelu_f32(N, C, f32(rows), f32(b), is_exact, f32(y))
    else:
        with nogil:
            K.bias_gelu_f64(N, C, f64(rows), f64(b), is_exact, f64(y))
    return y


@_twin
def bias_gelu_backward(dy, x, bias, exact=False, out=None):
    args = (dy, x, bias, exact, out)
    if not (plain(x, 2) and matrix(dy, x) and row(bias, x) and type(exact) is bool
            and writes(out, x, length(x, 0), length(x, 1)) and (out is None or (apart(out, dy) and apart(out, bias)))):
        args = arguments.bias_gelu_backward(*args)
    cdef cnp.ndarray d = args[0], rows = args[1], b = args[2]
    cdef bint is_exact = args[3]
    cdef int64_t N = rows.shape[0], C = rows.shape[1], bad
    cdef cnp.ndarray dx = _result(args[4], (N, C), rows), dbias = np.empty(C, rows.dtype)
    if single(rows):
        with nogil:
            bad = K.bias_gelu_backward_f32(N, C, f32(d), f32(rows), f32(b), is_exact, f32(dx), f32(dbias))
    else:
        with nogil:
            bad = K.bias_gelu_backward_f64(N, C, f64(d), f64(rows), f64(b), is_exact, f64(dx), f64(dbias))
    _memory(bad)
    return dx, dbias


@_twin
def embedding(table, ids, out=None):
    args = (table, ids, out)
    if not (plain(table, 2) and integers(ids) and within(ids, length(table, 0))
            and writes(out, table, length(ids, 0), length(table, 1))):
        args = arguments.embedding(*args)
    cdef cnp.ndarray rows = args[0], chosen = args[1]
    cdef int64_t N = chosen.shape[0], C = rows.shape[1]
    cdef cnp.ndarray result = _result(args[2], (N, C), rows)
    if single(rows):
        with nogil:
            K.embedding_f32(N, C, f32(rows), i64(chosen), f32(result))
    else:
        with nogil:
            K.embedding_f64(N, C, f64(rows), i64(chosen), f64(result))
    return result


@_twin
def embedding_backward(dout, ids, V, out=None):
    args = arguments.embedding_backward(dout, ids, V, out)
    cdef cnp.ndarray d = args[0], chosen = args[1]
    cdef int64_t N = d.shape[0], C = d.shape[1], rows = args[2], bad
    cdef cnp.ndarray dtable = _result(args[3], (rows, C), d)
    if single(d):
        with nogil:
            bad = K.embedding_backward_f32(N, C, rows, f32(d), i64(chosen), f32(dtable))
    else:
        with nogil:
            bad = K.embedding_backward_f64(N, C, rows, f64(d), i64(chosen), f64(dtable))
    _memory(bad)
    return dtable


@_twin
def adamw(parameter, gradient, m, v, *, lr, beta1, beta2, eps, weight_decay, step):
    args = arguments.adamw(parameter, gradient, m, v, lr=lr, beta1=beta1, beta2=beta2, eps=eps,
                           weight_decay=weight_decay, step=step)
    cdef cnp.ndarray p = args[0], g = args[1], first = args[2], second = args[3]
    cdef double rate = args[4], b1 = args[5], b2 = args[6], e = args[7], decay = args[8]
    cdef int64_t count = args[9], N = p.size
    if single(p):
        with nogil:
            K.adamw_f32(N, f32(p), f32(g), f32(first), f32(second), rate, b1, b2, e, decay, count)
    else:
        with nogil:
            K.adamw_f64(N, f64(p), f64(g), f64(first), f64(second), rate, b1, b2, e, decay, count)


@_twin
def squared_norm(x):
    (entries,) = arguments.squared_norm(x)
    cdef cnp.ndarray a = entries
    cdef int64_t N = a.size
    cdef double total
    if single(a):
        with nogil:
            total = K.squared_norm_f32(N, f32(a))
    else:
        with nogil:
            total = K.squared_norm_f64(N, f64(a))
    return total
