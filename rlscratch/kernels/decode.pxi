# The glue of csrc/decode.c, part of _compiled.pyx.

cdef enum:
    BEFORE = 3      # arrays of a model before its first layer's
    LAYER = 12      # arrays of a layer
    CHUNK = 32      # tokens between two looks for an interrupt
    PACK = 8        # tokens that repay a copy of the matrices


cdef bint vector(a, x, int64_t length_of):
    return like(a, x, 1) and length(a, 0) == length_of


cdef bint norm(gain, bias, x, int64_t C):
    return vector(gain, x, C) and (bias is None or vector(bias, x, C))


cdef bint linear(matrix, bias, x, int64_t inner, int64_t outer):
    return (like(matrix, x, 2) and length(matrix, 0) == inner and length(matrix, 1) == outer
            and (bias is None or vector(bias, x, outer)))


cdef bint table(a, x, int64_t columns):
    """Rows for places, or none."""
    return a is None or (like(a, x, 2) and length(a, 1) == columns)


cdef bint whole(weights, output, keys, values, lengths, heads, int64_t new):
    """A model and a cache as decode wants them, with room for `new` tokens more."""
    cdef Py_ssize_t L, l
    cdef int64_t C, G, D, B, H, inner, wide, room, context
    if not (type(weights) is list and type(keys) is list and type(values) is list and type(heads) is int
            and 0 < heads < 1 << 30 and len(keys) == len(values) > 0 and len(weights) == BEFORE + LAYER * len(keys) + 2
            and plain(weights[0], 2) and like(weights[11], weights[0], 2) and like(weights[13], weights[0], 2)
            and like(keys[0], weights[0], 5) and integers(lengths) and cnp.PyArray_ISWRITEABLE(lengths)):
        return False
    x, C, H, B, L = weights[0], length(weights[0], 1), heads, length(lengths, 0), len(keys)
    G, D, room = length(keys[0], 1), length(keys[0], 3), length(keys[0], 2) * RLS_STEP
    inner, wide = length(weights[13], 0), length(weights[11], 1)
    if not (H % G == 0 and like(output, x, 2) and length(output, 0) == C and length(output, 1) == length(x, 0)
            and table(weights[1], x, C) and table(weights[2], x, D) and (weights[2] is None or D % 2 == 0)
            and (wide == inner or wide == 2 * inner)):
        return False
    for l in range(L):
        w, k, v = weights[BEFORE + LAYER * l:BEFORE + LAYER * (l + 1)], keys[l], values[l]
        if not (norm(w[0], w[1], x, C) and linear(w[2], w[3], x, C, (H + 2 * G) * D) and linear(w[4], w[5], x, H * D, C)
                and norm(w[6], w[7], x, C) and linear(w[8], w[9], x, C, wide) and linear(w[10], w[11], x, inner, C)
                and (wide != inner or w[9] is not None)
                and like(k, x, 5) and like(v, x, 4) and cnp.PyArray_ISWRITEABLE(k) and cnp.PyArray_ISWRITEABLE(v)
                and length(k, 0) == B == length(v, 0) and length(k, 1) == G == length(v, 1)
                and length(k, 3) == D == length(v, 3) and length(k, 2) * RLS_STEP == room == length(v, 2)
                and length(k, 4) == RLS_STEP and apart(k, v)):
            return False
    context = room
    for places in weights[1:BEFORE]:
        if places is not None:
            context = min(context, length(places, 0))
    return (norm(weights[BEFORE + LAYER * L], weights[BEFORE + LAYER * L + 1], x, C)
            and within(lengths, context - new + 1))


cdef rls_shape shape(list weights, list keys, heads, exact_gelu, eps):
    cdef rls_shape s
    s.V, s.C, s.L, s.H = length(weights[0], 0), length(weights[0], 1), len(keys), heads
    s.K, s.D, s.room = length(keys[0], 1), length(keys[0], 3), length(keys[0], 2) * RLS_STEP
    s.inner, s.exact_gelu, s.eps = length(weights[13], 0), exact_gelu, eps
    s.gated = length(weights[11], 1) == 2 * s.inner
    return s


cdef const void **addresses(list arrays) except NULL:
    """Where each array's entries are, NULL for None; to be freed."""
    cdef const void **found = <const void **>malloc(len(arrays) * sizeof(void *))
    cdef Py_ssize_t i
    if found == NULL:
        raise MemoryError("no memory for the addresses of a model's arrays")
    for i in range(len(arrays)):
        found[i] = NULL if arrays[i] is None else cnp.PyArray_DATA(arrays[i])
    return found


@_twin
def decode(tokens, last, weights, output, keys, values, lengths, heads, exact_gelu=False, eps=1e-5):
    args = (tokens, last, weights, output, keys, values, lengths, heads, exact_gelu, eps)
    if not (integers(tokens, 2) and integers(last)
            and whole(weights, output, keys, values, lengths, heads, length(tokens, 1))
            and length(tokens, 0) == length(lengths, 0) == length(last, 0)
            and within(tokens, length(output, 1)) and within(last, length(tokens, 1)) and type(exact_gelu) is bool
            and type(eps) is float and 0 < eps < 1e300):
        args = arguments.decode(*args)
    cdef list w = args[2], k = args[4], v = args[5]
    cdef cnp.ndarray ids = args[0], ends = args[1], out = args[3], start = args[6]
    cdef rls_shape s = shape(w, k, args[7], args[8], args[9])
    cdef int64_t A = ids.shape[0], T = ids.shape[1], bad
    cdef cnp.ndarray rows = np.arange(A), logits = np.empty((A, s.V), out.dtype)
    cdef const void **starts = addresses([*w, *k, *v])
    cdef void **cache = <void **>starts + len(w)
    if single(out):
        with nogil:
            bad = K.decode_f32(&s, A, T, <const float *const *>starts, f32(out), NULL, <float *const *>cache,
                               <float *const *>(cache + s.L), i64(start), i64(rows), i64(ids), i64(ends), f32(logits))
    else:
        with nogil:
            bad = K.decode_f64(&s, A, T, <const double *const *>starts, f64(out), NULL, <double *const *>cache,
                               <double *const *>(cache + s.L), i64(start), i64(rows), i64(ids), i64(ends), f64(logits))
    free(starts)
    _memory(bad)
    return logits


@_twin
def answer(logits, u, stops, weights, output, keys, values, lengths, heads, exact_gelu=False, eps=1e-5,
           temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    args = (logits, u, stops, weights, output, keys, values, lengths, heads, exact_gelu, eps, temperature, top_k,
            top_p, min_p)
    if not (fractions(u, 2)
            and whole(weights, output, keys, values, lengths, heads, length(u, 1)) and like(logits, output, 2)
            and length(logits, 0) == length(u, 0) == length(lengths, 0) and length(logits, 1) == length(output, 1)
            and type(stops) is np.ndarray and stops.dtype == np.bool_ and stops.shape == (length(output, 1),)
            and stops.flags.c_contiguous and type(exact_gelu) is bool and type(eps) is float and 0 < eps < 1e300
            and filters(temperature, top_k, top_p, min_p)):
        args = arguments.answer(*args)
    cdef list w = args[3], k = args[5], v = args[6]
    cdef cnp.ndarray z = args[0].copy(), uniforms = args[1], ends = args[2], out = args[4], start = args[7]
    cdef rls_shape s = shape(w, k, args[8], args[9], args[10])
    cdef rls_knobs knobs
    knobs.temperature, knobs.top_k, knobs.top_p, knobs.min_p = args[11:15]
    cdef int64_t B = uniforms.shape[0], N = uniforms.shape[1], A = B, n, bad = -1
    cdef cnp.ndarray rows = np.arange(B), ids = np.zeros((B, N), np.int64), logp = np.zeros((B, N), z.dtype)
    cdef cnp.ndarray counts = np.zeros(B, np.int64)
    cdef const void **starts = addresses([*w, *k, *v])
    cdef void **cache = <void **>starts + len(w)
    cdef void *packed = NULL
    try:
        if N > PACK:
            packed = (K.pack_model_f32(&s, <const float *const *>starts, f32(out)) if single(out)
                      else K.pack_model_f64(&s, <const double *const *>starts, f64(out)))
            _memory(RLS_NO_MEMORY if packed == NULL else -1)
        for n in range(0, N, CHUNK):
            if single(out):
                with nogil:
                    bad = K.answer_f32(&s, &knobs, N, n, min(n + CHUNK, N), <const float *const *>starts, f32(out),
                                       packed, <float *const *>cache, <float *const *>(cache + s.L), i64(start),
                                       f64(uniforms), <const char *>cnp.PyArray_DATA(ends), &A, i64(rows), f32(z),
                                       i64(ids), f32(logp), i64(counts))
            else:
                with nogil:
                    bad = K.answer_f64(&s, &knobs, N, n, min(n + CHUNK, N), <const double *const *>starts, f64(out),
                                       packed, <double *const *>cache, <double *const *>(cache + s.L), i64(start),
                                       f64(uniforms), <const char *>cnp.PyArray_DATA(ends), &A, i64(rows), f64(z),
                                       i64(ids), f64(logp), i64(counts))
            PyErr_CheckSignals()
            if bad != -1 or A == 0:
                break
    finally:
        free(packed)
        free(starts)
    _good(bad, "softmax", (z[:A],))
    return ids, logp, counts
