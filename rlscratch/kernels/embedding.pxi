# The glue of csrc/embedding.c, part of _compiled.pyx.

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
    args = (dout, ids, V, out)
    if not (out is None and plain(dout, 2) and integers(ids) and length(ids, 0) == length(dout, 0) and type(V) is int
            and 0 < V < 1 << 24 and V * length(dout, 1) < 1 << 24 and within(ids, V)):
        args = arguments.embedding_backward(*args)
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
