# The glue of csrc/rotary.c, part of _compiled.pyx.

@_twin
def rotary(x, turns, places, heads, back=False, out=None):
    args = (x, turns, places, heads, back, out)
    if not (plain(x, 3) and like(turns, x, 2) and length(turns, 1) == length(x, 2) and length(x, 2) % 2 == 0
            and integers(places) and length(places, 0) == length(x, 0) and within(places, length(turns, 0))
            and type(heads) is int and 0 <= heads <= length(x, 1) and type(back) is bool and out is None):
        args = arguments.rotary(*args)
    cdef cnp.ndarray rows = args[0], table = args[1], at = args[2]
    cdef int64_t turned = args[3], N = rows.shape[0], R = rows.shape[1], D = rows.shape[2]
    cdef bint turn_back = args[4]
    cdef cnp.ndarray y = _result(args[5], (N, R, D), rows)
    if single(rows):
        with nogil:
            K.rotary_f32(N, R, D, turned, f32(rows), f32(table), i64(at), turn_back, f32(y))
    else:
        with nogil:
            K.rotary_f64(N, R, D, turned, f64(rows), f64(table), i64(at), turn_back, f64(y))
    return y
