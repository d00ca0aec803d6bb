# The glue of csrc/gelu.c, part of _compiled.pyx.

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
