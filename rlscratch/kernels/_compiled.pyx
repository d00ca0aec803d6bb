# cython: language_level=3, binding=True, boundscheck=False, wraparound=False, initializedcheck=False
"""Glue between Python and csrc/: checks, allocates the result, calls.  It computes nothing.

Names, signatures and docstrings are those of the NumPy twins in reference/.
"""
import os

import numpy as np

from rlscratch import check
from rlscratch.kernels import arguments, reference

cimport numpy as cnp
from libc.stdint cimport int64_t

cnp.import_array()

cdef extern from "rlscratch.h" nogil:
    int RLS_NO_MEMORY
    int RLS_STEP

    ctypedef struct rls_kernels:
        const char *isa
        int64_t (*softmax_f32)(int64_t, int64_t, const float *, double, float *) noexcept nogil
        int64_t (*softmax_f64)(int64_t, int64_t, const double *, double, double *) noexcept nogil
        void (*softmax_backward_f32)(int64_t, int64_t, const float *, const float *, double, float *) noexcept nogil
        void (*softmax_backward_f64)(int64_t, int64_t, const double *, const double *, double, double *) noexcept nogil
        int64_t (*log_softmax_f32)(int64_t, int64_t, const float *, double, float *) noexcept nogil
        int64_t (*log_softmax_f64)(int64_t, int64_t, const double *, double, double *) noexcept nogil
        void (*log_softmax_backward_f32)(int64_t, int64_t, const float *, const float *, double, float *) noexcept nogil
        void (*log_softmax_backward_f64)(int64_t, int64_t, const double *, const double *, double,
                                         double *) noexcept nogil
        int64_t (*chosen_logp_f32)(int64_t, int64_t, const float *, const int64_t *, double, float *, float *,
                                   float *) noexcept nogil
        int64_t (*chosen_logp_f64)(int64_t, int64_t, const double *, const int64_t *, double, double *, double *,
                                   double *) noexcept nogil
        void (*chosen_logp_backward_f32)(int64_t, int64_t, const float *, const float *, const float *,
                                         const int64_t *, const float *, const float *, double, float *) noexcept nogil
        void (*chosen_logp_backward_f64)(int64_t, int64_t, const double *, const double *, const double *,
                                         const int64_t *, const double *, const double *, double,
                                         double *) noexcept nogil
        void (*draw_f32)(int64_t, int64_t, const float *, const double *, int64_t *) noexcept nogil
        void (*draw_f64)(int64_t, int64_t, const double *, const double *, int64_t *) noexcept nogil
        int64_t (*sample_f32)(int64_t, int64_t, const float *, const double *, double, int64_t, double, double,
                              int64_t *, float *) noexcept nogil
        int64_t (*sample_f64)(int64_t, int64_t, const double *, const double *, double, int64_t, double, double,
                              int64_t *, double *) noexcept nogil
        int64_t (*matmul_f32)(int64_t, int64_t, int64_t, const float *, int, const float *, int, float *) noexcept nogil
        int64_t (*matmul_f64)(int64_t, int64_t, int64_t, const double *, int, const double *, int,
                              double *) noexcept nogil
        int64_t (*attention_f32)(int64_t, int64_t, int64_t, int64_t, const float *, float *, float *) noexcept nogil
        int64_t (*attention_f64)(int64_t, int64_t, int64_t, int64_t, const double *, double *, double *) noexcept nogil
        int64_t (*attention_backward_f32)(int64_t, int64_t, int64_t, int64_t, const float *, const float *,
                                          const float *, const float *, float *) noexcept nogil
        int64_t (*attention_backward_f64)(int64_t, int64_t, int64_t, int64_t, const double *, const double *,
                                          const double *, const double *, double *) noexcept nogil
        int64_t (*attention_cached_f32)(int64_t, int64_t, int64_t, int64_t, int64_t, const float *, float *, float *,
                                        const int64_t *, float *) noexcept nogil
        int64_t (*attention_cached_f64)(int64_t, int64_t, int64_t, int64_t, int64_t, const double *, double *, double *,
                                        const int64_t *, double *) noexcept nogil
        void (*layer_norm_f32)(int64_t, int64_t, const float *, const float *, const float *, double, float *,
                               float *) noexcept nogil
        void (*layer_norm_f64)(int64_t, int64_t, const double *, const double *, const double *, double, double *,
                               double *) noexcept nogil
        int64_t (*layer_norm_backward_f32)(int64_t, int64_t, const float *, const float *, const float *, const float *,
                                           float *, float *, float *) noexcept nogil
        int64_t (*layer_norm_backward_f64)(int64_t, int64_t, const double *, const double *, const double *,
                                           const double *, double *, double *, double *) noexcept nogil
        void (*bias_gelu_f32)(int64_t, int64_t, const float *, const float *, int, float *) noexcept nogil
        void (*bias_gelu_f64)(int64_t, int64_t, const double *, const double *, int, double *) noexcept nogil
        int64_t (*bias_gelu_backward_f32)(int64_t, int64_t, const float *, const float *, const float *, int, float *,
                                          float *) noexcept nogil
        int64_t (*bias_gelu_backward_f64)(int64_t, int64_t, const double *, const double *, const double *, int,
                                          double *, double *) noexcept nogil
        void (*embedding_f32)(int64_t, int64_t, const float *, const int64_t *, float *) noexcept nogil
        void (*embedding_f64)(int64_t, int64_t, const double *, const int64_t *, double *) noexcept nogil
        int64_t (*embedding_backward_f32)(int64_t, int64_t, int64_t, const float *, const int64_t *,
                                          float *) noexcept nogil
        int64_t (*embedding_backward_f64)(int64_t, int64_t, int64_t, const double *, const int64_t *,
                                          double *) noexcept nogil
        void (*adamw_f32)(int64_t, float *, const float *, float *, float *, double, double, double, double, double,
                          int64_t) noexcept nogil
        void (*adamw_f64)(int64_t, double *, const double *, double *, double *, double, double, double, double, double,
                          int64_t) noexcept nogil
        double (*squared_norm_f32)(int64_t, const float *) noexcept nogil
        double (*squared_norm_f64)(int64_t, const double *) noexcept nogil

    const rls_kernels *rls_select(const char *isa)
    int rls_threads()
    void rls_set_threads(int threads)
    int rls_has_openmp()

cdef const rls_kernels *K
cdef list RUNNABLE = [isa for isa in ("baseline", "avx2", "avx512") if rls_select(isa.encode()) != NULL]


def _choose(isa):
    """Use the kernels for `isa`, or the best for None; returns the name."""
    global K
    if isa is not None:
        check.one_of(RUNNABLE, RLSCRATCH_ISA=isa)
        K = rls_select(isa.encode())
    else:
        K = rls_select(NULL)
    return K.isa.decode()


ISA = _choose(os.environ.get("RLSCRATCH_ISA") or None)
ISAS = tuple(RUNNABLE)
OPENMP = bool(rls_has_openmp())


def threads():
    """How many threads a kernel may use."""
    return rls_threads()


def set_threads(count):
    """Let kernels use `count` threads; results do not depend on it."""
    rls_set_threads(check.integer(1, 1024, count=count))


cdef inline float *f32(cnp.ndarray a) noexcept nogil:
    return <float *>cnp.PyArray_DATA(a)

cdef inline double *f64(cnp.ndarray a) noexcept nogil:
    return <double *>cnp.PyArray_DATA(a)

cdef inline int64_t *i64(cnp.ndarray a) noexcept nogil:
    return <int64_t *>cnp.PyArray_DATA(a)

cdef inline bint single(cnp.ndarray a) noexcept nogil:
    return cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT32


def _twin(kernel):
    """The docstring stands once, in reference/."""
    kernel.__doc__ = getattr(reference, kernel.__name__).__doc__
    return kernel


cdef _memory(int64_t result):
    if result == RLS_NO_MEMORY:
        raise MemoryError("no memory for the working arrays of a kernel")


cdef _good(int64_t bad, kernel, tuple args):
    """Make a kernel's row number, if it found a bad row, the error that the NumPy backend raises."""
    _memory(bad)
    if bad >= 0:
        arguments.check_rows(getattr(arguments, kernel)(*args))
        raise AssertionError(f"row {bad} of the logits has no softmax")


include "_compiled_plain.pxi"


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


@_twin
def draw(probs, u):
    args = arguments.draw(probs, u)
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
    if not (plain(logits, 2) and fractions(u, logits) and hot(temperature)
            and type(top_k) is int and 0 <= top_k <= 1 << 40 and type(top_p) is float and 0 < <double>top_p <= 1
            and type(min_p) is float and 0 <= <double>min_p <= 1):
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


include "_compiled_network.pxi"
