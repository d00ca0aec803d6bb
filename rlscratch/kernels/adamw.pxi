# The glue of csrc/adamw.c, part of _compiled.pyx.

@_twin
def adamw(parameter, gradient, m, v, *, lr, beta1, beta2, eps, weight_decay, step):
    args = arguments.adamw(parameter, gradient, m, v, lr=lr, beta1=beta1, beta2=beta2, eps=eps,
                           weight_decay=weight_decay, step=step)
    cdef cnp.ndarray p = args[0], g = args[1], first = args[2], second = args[3]
    cdef double rate = args[4], b1 = args[5], b2 = args[6], e = args[7], decay = args[8]
    cdef int64_t count = args[9], N = p.size
    if single(p):
        with nogil:
            K.adamw_f32(N, f32(p), f32(g), f32(first), f32(second), rate, b1, b2, e, decay, count)
    else:
        with nogil:
            K.adamw_f64(N, f64(p), f64(g), f64(first), f64(second), rate, b1, b2, e, decay, count)


@_twin
def squared_norm(x):
    (entries,) = arguments.squared_norm(x)
    cdef cnp.ndarray a = entries
    cdef int64_t N = a.size
    cdef double total
    if single(a):
        with nogil:
            total = K.squared_norm_f32(N, f32(a))
    else:
        with nogil:
            total = K.squared_norm_f64(N, f64(a))
    return total
