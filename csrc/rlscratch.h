/*
 * The compiled core of rlscratch: plain C99, no Python.h, no state, no randomness.
 *
 * Letters for the axes, as everywhere in the project:
 *
 *     N  rows        V  vocabulary     B  sequences     T  tokens
 *     C  channels    H  heads          D  width of one head    K  heads of keys
 *
 * Arrays are C-contiguous, rows first.  A kernel stands three times: here and in its .c file,
 * as a NumPy twin in rlscratch/kernels/reference/, and as glue in rlscratch/kernels/_compiled.pyx,
 * under one base name.  README.md tells how to add one.
 *
 * Each kernel exists for float and double (_f32, _f64) and for each instruction set that the
 * compiler can target.  rls_kernels is one such set of functions; rls_select() gives the best one
 * that the processor runs.
 */
#ifndef RLSCRATCH_H
#define RLSCRATCH_H

#include <stdint.h>

/* What decode.c asks of a model, and of a draw. */
typedef struct {
    int64_t V, C, inner, L, H, K, D, room; /* inner: channels before a block's last matrix */
    int exact_gelu, gated;
    double eps;
} rls_shape;

typedef struct {
    double temperature, top_p, min_p;
    int64_t top_k;
} rls_knobs;

/* Every prototype, written once for a real type R.  int64_t results are the first bad row,
 * RLS_NO_MEMORY, or -1 when all went well. */
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
                          int64_t top_k, double top_p, double min_p, int64_t *ids, R *logp);              \
    int64_t (*matmul_##S)(int64_t M, int64_t N, int64_t K, const R *a, int transpose_a, const R *b,       \
                          int transpose_b, R *out);                                                       \
    int64_t (*attention_##S)(int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, const R *qkv,         \
                             R *out, R *lse);                                                             \
    int64_t (*attention_backward_##S)(int64_t B, int64_t T, int64_t H, int64_t K, int64_t D,              \
                                      const R *dout, const R *qkv, const R *out, const R *lse, R *dqkv);  \
    void (*rotary_##S)(int64_t N, int64_t rows, int64_t D, int64_t heads, const R *x, const R *turns,     \
                       const int64_t *places, int back, R *y);                                            \
    void *(*pack_model_##S)(const rls_shape *s, const R *const *weights, const R *output);                 \
    int64_t (*decode_##S)(const rls_shape *s, int64_t A, int64_t T, const R *const *weights,              \
                          const R *output, const void *packed, R *const *keys, R *const *values,          \
                          const int64_t *lengths, const int64_t *rows, const int64_t *tokens,             \
                          const int64_t *last, R *logits);                                                \
    int64_t (*answer_##S)(const rls_shape *s, const rls_knobs *knobs, int64_t N, int64_t first,           \
                          int64_t end, const R *const *weights, const R *output, const void *packed,      \
                          R *const *keys, R *const *values, int64_t *lengths, const double *u,            \
                          const char *stops, int64_t *A, int64_t *rows, R *logits, int64_t *ids,          \
                          R *logp, int64_t *counts);                                                      \
    void (*layer_norm_##S)(int64_t N, int64_t C, const R *x, const R *gain, const R *bias, double eps,    \
                           R *y, R *stats);                                                               \
    int64_t (*layer_norm_backward_##S)(int64_t N, int64_t C, const R *dy, const R *x, const R *gain,      \
                                       const R *stats, R *dx, R *dgain, R *dbias);                        \
    void (*rms_norm_##S)(int64_t N, int64_t C, const R *x, const R *gain, double eps, R *y, R *rstd);     \
    int64_t (*rms_norm_backward_##S)(int64_t N, int64_t C, const R *dy, const R *x, const R *gain,        \
                                     const R *rstd, R *dx, R *dgain);                                     \
    void (*bias_gelu_##S)(int64_t N, int64_t C, const R *x, const R *bias, int exact, R *y);              \
    int64_t (*bias_gelu_backward_##S)(int64_t N, int64_t C, const R *dy, const R *x, const R *bias,       \
                                      int exact, R *dx, R *dbias);                                        \
    void (*swiglu_##S)(int64_t N, int64_t inner, const R *x, R *y);                                       \
    void (*swiglu_backward_##S)(int64_t N, int64_t inner, const R *dy, const R *x, R *dx);                \
    void (*embedding_##S)(int64_t N, int64_t C, const R *table, const int64_t *ids, R *out);              \
    int64_t (*embedding_backward_##S)(int64_t N, int64_t C, int64_t V, const R *dout, const int64_t *ids, \
                                      R *dtable);                                                         \
    void (*adamw_##S)(int64_t N, R *parameter, const R *gradient, R *m, R *v, double lr, double beta1,    \
                      double beta2, double eps, double weight_decay, int64_t step);                       \
    double (*squared_norm_##S)(int64_t N, const R *x);

typedef struct {
    const char *isa;
    RLS_FUNCTIONS(float, f32)
    RLS_FUNCTIONS(double, f64)
} rls_kernels;

/* The kernels for `isa` ("baseline", "avx2", "avx512"), or for the best one when isa is NULL.
 * NULL when this processor or this build lacks it. */
const rls_kernels *rls_select(const char *isa);

/* team.c: how many threads kernels may use, 1 at first and RLS_MOST_THREADS at most. */
#define RLS_MOST_THREADS 64
int rls_threads(void);
void rls_set_threads(int threads);

/* Items [first, end) of a task; returns as kernels do. */
typedef int64_t (*rls_task)(const void *call, int64_t first, int64_t end);

/* All n items, shared among threads if one would need long enough; and into how many runs they would be cut. */
int64_t rls_share(int64_t n, int64_t nanoseconds, rls_task task, const void *call);
int64_t rls_runs(int64_t nanoseconds);

/* Once a process: let it fork. */
void rls_mind_forks(void);

#define RLS_NO_MEMORY (-2)

/* The room of attention's cache is a multiple of this: whole vectors of every kind. */
#define RLS_STEP 16

#endif
