# The glue of csrc/sample.c, part of _compiled.pyx.

@_twin
def draw(probs, u):
    args = (probs, u)
    if not (plain(probs, 2) and fractions(u, 1) and length(u, 0) == length(probs, 0) and distributions(probs)):
        args = arguments.draw(*args)
    cdef cnp.ndarray p = args[0], uniforms = args[1]
    cdef int64_t N = p.shape[0], V = p.shape[1]
    cdef cnp.ndarray ids = np.empty(N, np.int64)
    if single(p):
        with nogil:
            K.draw_f32(N, V, f32(p), f64(uniforms), i64(ids))
    else:
        with nogil:
            K.draw_f64(N, V, f64(p), f64(uniforms), i64(ids))
    return ids


@_twin
def sample(logits, u, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    args = (logits, u, temperature, top_k, top_p, min_p)
    if not (plain(logits, 2) and fractions(u, 1) and length(u, 0) == length(logits, 0)
            and filters(temperature, top_k, top_p, min_p)):
        args = arguments.sample(*args)
    cdef cnp.ndarray x = args[0], uniforms = args[1]
    cdef double t = args[2], p = args[4], least = args[5]
    cdef int64_t k = args[3], N = x.shape[0], V = x.shape[1], bad
    cdef cnp.ndarray ids = np.empty(N, np.int64), logp = np.empty(N, x.dtype)
    if single(x):
        with nogil:
            bad = K.sample_f32(N, V, f32(x), f64(uniforms), t, k, p, least, i64(ids), f32(logp))
    else:
        with nogil:
            bad = K.sample_f64(N, V, f64(x), f64(uniforms), t, k, p, least, i64(ids), f64(logp))
    _good(bad, "sample", args)
    return ids, logp
