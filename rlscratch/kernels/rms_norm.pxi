# The glue of csrc/rms_norm.c, part of _compiled.pyx.

@_twin
def rms_norm(x, gain, eps=1e-5, out=None):
    args = (x, gain, eps, out)
    if not (plain(x, 2) and row(gain, x) and type(eps) is float and 0 < <double>eps < 1
            and writes(out, x, length(x, 0), length(x, 1)) and (out is None or apart(out, gain))):
        args = arguments.rms_norm(*args)
    cdef cnp.ndarray rows = args[0], g = args[1]
    cdef double e = args[2]
    cdef int64_t N = rows.shape[0], C = rows.shape[1]
    cdef cnp.ndarray y = _result(args[3], (N, C), rows), rstd = np.empty(N, rows.dtype)
    if single(rows):
        with nogil:
            K.rms_norm_f32(N, C, f32(rows), f32(g), e, f32(y), f32(rstd))
    else:
        with nogil:
            K.rms_norm_f64(N, C, f64(rows), f64(g), e, f64(y), f64(rstd))
    return y, rstd


@_twin
def rms_norm_backward(dy, x, gain, rstd, out=None):
    args = (dy, x, gain, rstd, out)
    if not (plain(x, 2) and matrix(dy, x) and row(gain, x) and column(rstd, x)
            and writes(out, x, length(x, 0), length(x, 1))
            and (out is None or (apart(out, dy) and apart(out, gain) and apart(out, rstd)))):
        args = arguments.rms_norm_backward(*args)
    cdef cnp.ndarray d = args[0], rows = args[1], g = args[2], r = args[3]
    cdef int64_t N = rows.shape[0], C = rows.shape[1], bad
    cdef cnp.ndarray dx = _result(args[4], (N, C), rows), dgain = np.empty(C, rows.dtype)
    if single(rows):
        with nogil:
            bad = K.rms_norm_backward_f32(N, C, f32(d), f32(rows), f32(g), f32(r), f32(dx), f32(dgain))
    else:
        with nogil:
            bad = K.rms_norm_backward_f64(N, C, f64(d), f64(rows), f64(g), f64(r), f64(dx), f64(dgain))
    _memory(bad)
    return dx, dgain
