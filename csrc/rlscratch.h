/*
 * The compiled core of rlscratch: plain C99, no Python.h, no state, no randomness.
 *
 * Letters for the axes, as everywhere in the project:
 *
 *     N  rows        V  vocabulary
 *
 * Arrays are C-contiguous, rows first.  A kernel stands three times: here and in its .c file,
 * as a NumPy twin in rlscratch/kernels/reference.py, and as glue in rlscratch/kernels/_compiled.pyx,
 * under one base name.  README.md tells how to add one.
 *
 * Each kernel exists for float and double (_f32, _f64) and for each instruction set that the
 * compiler can target.  rls_kernels is one such set of functions; rls_select() gives the best one
 * that the processor runs.
 */
#ifndef RLSCRATCH_H
#define RLSCRATCH_H

#include <stdint.h>

/* Every prototype, written once for a real type R.  int64_t results are the first bad row, or -1. */
#define RLS_FUNCTIONS(R, S)                                                                               \
    int64_t (*softmax_##S)(int64_t N, int64_t V, const R *logits, double temperature, R *probs);          \
    void (*softmax_backward_##S)(int64_t N, int64_t V, const R *dprobs, const R *probs,                   \
                                 double temperature, R *dlogits);                                         \
    int64_t (*log_softmax_##S)(int64_t N, int64_t V, const R *logits, double temperature, R *logp);       \
    void (*log_softmax_backward_##S)(int64_t N, int64_t V, const R *dlogp, const R *logp,                 \
                                     double temperature, R *dlogits);                                     \
    int64_t (*chosen_logp_##S)(int64_t N, int64_t V, const R *logits, const int64_t *target,              \
                               double temperature, R *logp, R *entropy, R *stats);                        \
    void (*chosen_logp_backward_##S)(int64_t N, int64_t V, const R *dlogp, const R *dentropy,             \
                                     const R *logits, const int64_t *target, const R *entropy,            \
                                     const R *stats, double temperature, R *dlogits);                     \
    void (*draw_##S)(int64_t N, int64_t V, const R *probs, const double *u, int64_t *ids);                \
    int64_t (*sample_##S)(int64_t N, int64_t V, const R *logits, const double *u, double temperature,     \
                          int64_t top_k, double top_p, double min_p, int64_t *ids, R *logp);

typedef struct {
    const char *isa;
    RLS_FUNCTIONS(float, f32)
    RLS_FUNCTIONS(double, f64)
} rls_kernels;

/* The kernels for `isa` ("baseline", "avx2", "avx512"), or for the best one when isa is NULL.
 * NULL when this processor or this build lacks it. */
const rls_kernels *rls_select(const char *isa);

/* How many threads a kernel may use, and the way to change it.  Without OpenMP: always 1. */
int rls_threads(void);
void rls_set_threads(int threads);
int rls_has_openmp(void);

#define RLS_NO_MEMORY (-2)

#endif
