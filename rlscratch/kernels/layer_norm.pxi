# The glue of csrc/layer_norm.c, part of _compiled.pyx.

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
