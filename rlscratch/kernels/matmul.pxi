# The glue of csrc/matmul.c, part of _compiled.pyx.

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
