# The glue of csrc/softmax.c, part of _compiled.pyx.

@_twin
def softmax(logits, temperature=1.0):
    args = (logits, temperature)
    if not (plain(logits, 2) and hot(temperature)):
        args = arguments.softmax(*args)
    cdef cnp.ndarray x = args[0]
    cdef double t = args[1]
    cdef int64_t N = x.shape[0], V = x.shape[1], bad
    cdef cnp.ndarray out = np.empty((N, V), x.dtype)
    if single(x):
        with nogil:
            bad = K.softmax_f32(N, V, f32(x), t, f32(out))
    else:
        with nogil:
            bad = K.softmax_f64(N, V, f64(x), t, f64(out))
    _good(bad, "softmax", args)
    return out


@_twin
def softmax_backward(dprobs, probs, temperature=1.0):
    args = (dprobs, probs, temperature)
    if not (plain(probs, 2) and matrix(dprobs, probs) and hot(temperature)):
        args = arguments.softmax_backward(*args)
    cdef cnp.ndarray dp = args[0], p = args[1]
    cdef double t = args[2]
    cdef int64_t N = p.shape[0], V = p.shape[1]
    cdef cnp.ndarray out = np.empty((N, V), p.dtype)
    if single(p):
        with nogil:
            K.softmax_backward_f32(N, V, f32(dp), f32(p), t, f32(out))
    else:
        with nogil:
            K.softmax_backward_f64(N, V, f64(dp), f64(p), t, f64(out))
    return out


@_twin
def log_softmax(logits, temperature=1.0):
    args = (logits, temperature)
    if not (plain(logits, 2) and hot(temperature)):
        args = arguments.log_softmax(*args)
    cdef cnp.ndarray x = args[0]
    cdef double t = args[1]
    cdef int64_t N = x.shape[0], V = x.shape[1], bad
    cdef cnp.ndarray out = np.empty((N, V), x.dtype)
    if single(x):
        with nogil:
            bad = K.log_softmax_f32(N, V, f32(x), t, f32(out))
    else:
        with nogil:
            bad = K.log_softmax_f64(N, V, f64(x), t, f64(out))
    _good(bad, "log_softmax", args)
    return out


@_twin
def log_softmax_backward(dlogp, logp, temperature=1.0):
    args = (dlogp, logp, temperature)
    if not (plain(logp, 2) and matrix(dlogp, logp) and hot(temperature)):
        args = arguments.log_softmax_backward(*args)
    cdef cnp.ndarray dl = args[0], l = args[1]
    cdef double t = args[2]
    cdef int64_t N = l.shape[0], V = l.shape[1]
    cdef cnp.ndarray out = np.empty((N, V), l.dtype)
    if single(l):
        with nogil:
            K.log_softmax_backward_f32(N, V, f32(dl), f32(l), t, f32(out))
    else:
        with nogil:
            K.log_softmax_backward_f64(N, V, f64(dl), f64(l), t, f64(out))
    return out


@_twin
def chosen_logp(logits, target, temperature=1.0):
    args = (logits, target, temperature)
    if not (plain(logits, 2) and targets(target, logits) and hot(temperature)):
        args = arguments.chosen_logp(*args)
    cdef cnp.ndarray x = args[0], chosen = args[1]
    cdef double t = args[2]
    cdef int64_t N = x.shape[0], V = x.shape[1], bad
    cdef cnp.ndarray logp = np.empty(N, x.dtype), entropy = np.empty(N, x.dtype), stats = np.empty((N, 2), x.dtype)
    if single(x):
        with nogil:
            bad = K.chosen_logp_f32(N, V, f32(x), i64(chosen), t, f32(logp), f32(entropy), f32(stats))
    else:
        with nogil:
            bad = K.chosen_logp_f64(N, V, f64(x), i64(chosen), t, f64(logp), f64(entropy), f64(stats))
    _good(bad, "chosen_logp", args)
    return logp, entropy, stats


@_twin
def chosen_logp_backward(dlogp, dentropy, logits, target, entropy, stats, temperature=1.0):
    args = (dlogp, dentropy, logits, target, entropy, stats, temperature)
    if not (plain(logits, 2) and targets(target, logits) and hot(temperature) and column(dlogp, logits)
            and column(dentropy, logits) and column(entropy, logits) and like(stats, logits, 2)
            and length(stats, 0) == length(logits, 0) and length(stats, 1) == 2):
        args = arguments.chosen_logp_backward(*args)
    cdef cnp.ndarray dl = args[0], de = args[1], x = args[2], chosen = args[3], h = args[4], s = args[5]
    cdef double t = args[6]
    cdef int64_t N = x.shape[0], V = x.shape[1]
    cdef cnp.ndarray out = np.empty((N, V), x.dtype)
    if single(x):
        with nogil:
            K.chosen_logp_backward_f32(N, V, f32(dl), f32(de), f32(x), i64(chosen), f32(h), f32(s), t, f32(out))
    else:
        with nogil:
            K.chosen_logp_backward_f64(N, V, f64(dl), f64(de), f64(x), i64(chosen), f64(h), f64(s), t, f64(out))
    return out
