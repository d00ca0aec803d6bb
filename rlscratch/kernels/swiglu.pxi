# The glue of csrc/swiglu.c, part of _compiled.pyx.

@_twin
def swiglu(x, out=None):
    args = (x, out)
    if not (plain(x, 2) and length(x, 1) % 2 == 0 and writes(out, x, length(x, 0), length(x, 1) // 2)):
        args = arguments.swiglu(*args)
    cdef cnp.ndarray rows = args[0]
    cdef int64_t N = rows.shape[0], inner = rows.shape[1] // 2
    cdef cnp.ndarray y = _result(args[1], (N, inner), rows)
    if single(rows):
        with nogil:
            K.swiglu_f32(N, inner, f32(rows), f32(y))
    else:
        with nogil:
            K.swiglu_f64(N, inner, f64(rows), f64(y))
    return y


@_twin
def swiglu_backward(dy, x, out=None):
    args = (dy, x, out)
    if not (plain(x, 2) and length(x, 1) % 2 == 0 and like(dy, x, 2) and length(dy, 0) == length(x, 0)
            and 2 * length(dy, 1) == length(x, 1) and writes(out, x, length(x, 0), length(x, 1))
            and (out is None or apart(out, dy))):
        args = arguments.swiglu_backward(*args)
    cdef cnp.ndarray d = args[0], rows = args[1]
    cdef int64_t N = rows.shape[0], inner = rows.shape[1] // 2
    cdef cnp.ndarray dx = _result(args[2], (N, 2 * inner), rows)
    if single(rows):
        with nogil:
            K.swiglu_backward_f32(N, inner, f32(d), f32(rows), f32(dx))
    else:
        with nogil:
            K.swiglu_backward_f64(N, inner, f64(d), f64(rows), f64(dx))
    return dx
