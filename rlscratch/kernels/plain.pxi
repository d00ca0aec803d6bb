# Arguments that need no conversion, part of _compiled.pyx.
#
# The checks in arguments.py take longer than a small kernel.  So a call whose arguments are seen at
# once to be as the kernel wants them goes straight on; every other call goes through those checks,
# which convert or raise.  Each function below says what it has seen, never what is wrong.

cdef inline bint plain(a, int ndim):
    """A C-contiguous float32 or float64 array of so many dimensions, not empty."""
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_NDIM(a) == ndim and cnp.PyArray_ISCARRAY_RO(a)
            and (cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT32 or cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT64)
            and cnp.PyArray_SIZE(a) > 0)

cdef inline bint like(a, x, int ndim):
    """The same, of x's dtype."""
    return plain(a, ndim) and cnp.PyArray_TYPE(a) == cnp.PyArray_TYPE(x)

cdef inline bint fractions(u, int ndim):
    """Doubles in [0, 1)."""
    cdef const double *entries
    cdef int64_t i
    if not (plain(u, ndim) and cnp.PyArray_TYPE(u) == cnp.NPY_FLOAT64):
        return False
    entries = f64(u)
    for i in range(cnp.PyArray_SIZE(u)):
        if not 0 <= entries[i] < 1:
            return False
    return True

cdef inline bint distributions(p):
    """Rows that are >= 0 and add to 1, with room for the rounding of check.probabilities' sum."""
    cdef int64_t V = length(p, 1), i, j
    cdef bint narrow = single(p)
    cdef double x, total, tolerance = 1e-4 if narrow else 5e-7
    for i in range(length(p, 0)):
        total = 0
        for j in range(i * V, (i + 1) * V):
            x = f32(p)[j] if narrow else f64(p)[j]
            if not x >= 0:
                return False
            total += x
        if not 1 - tolerance < total < 1 + tolerance:
            return False
    return True

cdef inline bint filters(temperature, top_k, top_p, min_p):
    """The knobs of a draw."""
    return (hot(temperature) and type(top_k) is int and 0 <= top_k <= 1 << 40 and type(top_p) is float
            and 0 < <double>top_p <= 1 and type(min_p) is float and 0 <= <double>min_p <= 1)

cdef inline bint hot(temperature):
    """A float that is a temperature."""
    return type(temperature) is float and 1e-30 <= <double>temperature <= 1e30

cdef inline bint column(a, x):
    """One entry for each row of x."""
    return like(a, x, 1) and length(a, 0) == length(x, 0)

cdef inline bint targets(ids, x):
    """One column of x for each row."""
    return integers(ids) and length(ids, 0) == length(x, 0) and within(ids, length(x, 1))

cdef inline int64_t length(a, int axis) noexcept:
    return cnp.PyArray_DIM(a, axis)

cdef inline bint row(a, x):
    """One entry for each column of x."""
    return like(a, x, 1) and length(a, 0) == length(x, 1)

cdef inline bint matrix(a, x):
    """Of the shape of the matrix x."""
    return like(a, x, 2) and length(a, 0) == length(x, 0) and length(a, 1) == length(x, 1)

cdef inline bint apart(a, b):
    """No memory in common."""
    return (cnp.PyArray_BYTES(a) + cnp.PyArray_NBYTES(a) <= cnp.PyArray_BYTES(b)
            or cnp.PyArray_BYTES(b) + cnp.PyArray_NBYTES(b) <= cnp.PyArray_BYTES(a))

cdef inline bint writes(out, x, int64_t rows, int64_t columns):
    """No array to write into, or a matrix of this shape and x's dtype."""
    return out is None or (like(out, x, 2) and cnp.PyArray_ISWRITEABLE(out) and length(out, 0) == rows
                           and length(out, 1) == columns and apart(out, x))

cdef inline bint integers(a, int ndim=1):
    """Some int64s."""
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_NDIM(a) == ndim and cnp.PyArray_ISCARRAY_RO(a)
            and cnp.PyArray_TYPE(a) == cnp.NPY_INT64 and cnp.PyArray_SIZE(a) > 0)

cdef inline bint within(a, int64_t end):
    """All in [0, end)."""
    cdef const int64_t *entries = i64(a)
    cdef int64_t i
    for i in range(cnp.PyArray_SIZE(a)):
        if entries[i] < 0 or entries[i] >= end:
            return False
    return True

