# cython: language_level=3, binding=True, boundscheck=False, wraparound=False, initializedcheck=False
"""Glue between Python and csrc/: checks, allocates the result, calls.  It computes nothing.

Names, signatures and docstrings are those of the NumPy twins in reference/.  The glue of csrc/softmax.c
is softmax.pxi, and so on.
"""
import os

import numpy as np

from rlscratch import check
from rlscratch.kernels import arguments, cores, reference

cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

cnp.import_array()

cdef extern from "rlscratch.h" nogil:
    int RLS_NO_MEMORY
    int RLS_STEP

    ctypedef struct rls_shape:
        int64_t V, C, inner, L, H, K, D, room
        int exact_gelu, gated
        double eps

    ctypedef struct rls_knobs:
        double temperature, top_p, min_p
        int64_t top_k

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
        int64_t (*attention_f32)(int64_t, int64_t, int64_t, int64_t, int64_t, const float *, float *,
                                 float *) noexcept nogil
        int64_t (*attention_f64)(int64_t, int64_t, int64_t, int64_t, int64_t, const double *, double *,
                                 double *) noexcept nogil
        int64_t (*attention_backward_f32)(int64_t, int64_t, int64_t, int64_t, int64_t, const float *, const float *,
                                          const float *, const float *, float *) noexcept nogil
        int64_t (*attention_backward_f64)(int64_t, int64_t, int64_t, int64_t, int64_t, const double *, const double *,
                                          const double *, const double *, double *) noexcept nogil
        void (*rotary_f32)(int64_t, int64_t, int64_t, int64_t, const float *, const float *, const int64_t *, int,
                           float *) noexcept nogil
        void (*rotary_f64)(int64_t, int64_t, int64_t, int64_t, const double *, const double *, const int64_t *, int,
                           double *) noexcept nogil
        void (*layer_norm_f32)(int64_t, int64_t, const float *, const float *, const float *, double, float *,
                               float *) noexcept nogil
        void (*layer_norm_f64)(int64_t, int64_t, const double *, const double *, const double *, double, double *,
                               double *) noexcept nogil
        int64_t (*layer_norm_backward_f32)(int64_t, int64_t, const float *, const float *, const float *, const float *,
                                           float *, float *, float *) noexcept nogil
        int64_t (*layer_norm_backward_f64)(int64_t, int64_t, const double *, const double *, const double *,
                                           const double *, double *, double *, double *) noexcept nogil
        void (*rms_norm_f32)(int64_t, int64_t, const float *, const float *, double, float *, float *) noexcept nogil
        void (*rms_norm_f64)(int64_t, int64_t, const double *, const double *, double, double *,
                             double *) noexcept nogil
        int64_t (*rms_norm_backward_f32)(int64_t, int64_t, const float *, const float *, const float *, const float *,
                                         float *, float *) noexcept nogil
        int64_t (*rms_norm_backward_f64)(int64_t, int64_t, const double *, const double *, const double *,
                                         const double *, double *, double *) noexcept nogil
        void (*bias_gelu_f32)(int64_t, int64_t, const float *, const float *, int, float *) noexcept nogil
        void (*bias_gelu_f64)(int64_t, int64_t, const double *, const double *, int, double *) noexcept nogil
        int64_t (*bias_gelu_backward_f32)(int64_t, int64_t, const float *, const float *, const float *, int, float *,
                                          float *) noexcept nogil
        int64_t (*bias_gelu_backward_f64)(int64_t, int64_t, const double *, const double *, const double *, int,
                                          double *, double *) noexcept nogil
        void (*swiglu_f32)(int64_t, int64_t, const float *, float *) noexcept nogil
        void (*swiglu_f64)(int64_t, int64_t, const double *, double *) noexcept nogil
        void (*swiglu_backward_f32)(int64_t, int64_t, const float *, const float *, float *) noexcept nogil
        void (*swiglu_backward_f64)(int64_t, int64_t, const double *, const double *, double *) noexcept nogil
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
        void *(*pack_model_f32)(const rls_shape *, const float *const *, const float *) noexcept nogil
        void *(*pack_model_f64)(const rls_shape *, const double *const *, const double *) noexcept nogil
        int64_t (*decode_f32)(const rls_shape *, int64_t, int64_t, const float *const *, const float *, const void *,
                              float *const *, float *const *, const int64_t *, const int64_t *, const int64_t *,
                              const int64_t *, float *) noexcept nogil
        int64_t (*decode_f64)(const rls_shape *, int64_t, int64_t, const double *const *, const double *, const void *,
                              double *const *, double *const *, const int64_t *, const int64_t *, const int64_t *,
                              const int64_t *, double *) noexcept nogil
        int64_t (*answer_f32)(const rls_shape *, const rls_knobs *, int64_t, int64_t, int64_t, const float *const *,
                              const float *, const void *, float *const *, float *const *, int64_t *, const double *,
                              const char *, int64_t *, int64_t *, float *, int64_t *, float *,
                              int64_t *) noexcept nogil
        int64_t (*answer_f64)(const rls_shape *, const rls_knobs *, int64_t, int64_t, int64_t, const double *const *,
                              const double *, const void *, double *const *, double *const *, int64_t *, const double *,
                              const char *, int64_t *, int64_t *, double *, int64_t *, double *,
                              int64_t *) noexcept nogil

    const rls_kernels *rls_select(const char *isa)
    int RLS_MOST_THREADS
    int rls_threads()
    void rls_set_threads(int threads)
    void rls_mind_forks()

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


def threads():
    """How many threads a kernel may use."""
    return rls_threads()


def set_threads(count):
    """Let kernels use `count` threads; results do not depend on it.  Kernels called at the same time share them."""
    rls_set_threads(check.integer(1, RLS_MOST_THREADS, count=count))


rls_mind_forks()
set_threads(cores.wanted())


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


cdef _result(out, tuple shape, like):
    """The array to write into: the caller's, or a new one."""
    return np.empty(shape, like.dtype) if out is None else out


cdef _good(int64_t bad, kernel, tuple args):
    """Make a kernel's row number, if it found a bad row, the error that the NumPy backend raises."""
    _memory(bad)
    if bad >= 0:
        arguments.check_rows(getattr(arguments, kernel)(*args))
        raise AssertionError(f"row {bad} of the logits has no softmax")


include "plain.pxi"
include "softmax.pxi"
include "sample.pxi"
include "matmul.pxi"
include "attention.pxi"
include "rotary.pxi"
include "layer_norm.pxi"
include "rms_norm.pxi"
include "gelu.pxi"
include "swiglu.pxi"
include "embedding.pxi"
include "adamw.pxi"
include "decode.pxi"
