/*
 * GELU of a biased row, forward and backward, in the tanh form (GPT-2's) and the exact one.
 *
 *     z[i,j] = x[i,j] + bias[j]
 *     tanh form   y = z s,    s = sigmoid(2 u),   u = sqrt(2 / pi) (z + 0.044715 z^3)
 *     exact       y = z Phi(z),                   Phi(z) = erfc(-z / sqrt 2) / 2
 *
 *     x, y (N, C)   bias (C,)
 *
 * sigmoid(2 u) = (1 + tanh u) / 2, so the first is the usual 0.5 z (1 + tanh u) without a tanh and
 * without its cancellation where z is negative.  The sigmoid is taken through exp(-2 |u|), which
 * cannot overflow.
 *
 * Twins: kernels/reference/gelu.py, bias_gelu() and bias_gelu_backward().  Equal to rounding.
 *
 * Forward, threads split rows; backward, dbias is summed as in layer_norm.c.
 * Assumed, and checked before the call: N, C >= 1.
 */
#ifndef RLS_GELU_ONCE
#define RLS_GELU_ONCE

#define GELU_SCALE 0.7978845608028654 /* sqrt(2 / pi) */
#define GELU_CUBE 0.044715
#define ROOT_HALF 0.7071067811865476
#define NORMAL_PEAK 0.3989422804014327 /* 1 / sqrt(2 pi) */
#endif

static inline REAL FN(sigmoid)(REAL v) {
    const REAL size = v < 0 ? -v : v, e = EXP(-size);
    return (v < 0 ? e : 1) / (1 + e);
}

/* s of the tanh form. */
static inline REAL FN(gelu_gate)(REAL z) {
    return FN(sigmoid)(2 * (REAL)GELU_SCALE * z * (1 + (REAL)GELU_CUBE * z * z));
}

static void FN(bias_gelu_row)(int64_t C, const REAL *x, const REAL *bias, int exact, REAL *y) {
    if (exact) {
        for (int64_t j = 0; j < C; j++) {
            const REAL z = x[j] + bias[j];
            y[j] = z * (REAL)(0.5 * erfc(-ROOT_HALF * (double)z));
        }
        return;
    }
#pragma omp simd
    for (int64_t j = 0; j < C; j++) {
        const REAL z = x[j] + bias[j];
        y[j] = z * FN(gelu_gate)(z);
    }
}

/* What the tasks of this file read and write; each uses some of it. */
typedef struct {
    int64_t N, C;
    int exact;
    const REAL *x, *bias, *dy;
    REAL *y, *dx, *sums;
} FN(gelu_rows);

static int64_t FN(bias_gelu_task)(const void *call, int64_t first, int64_t end) {
    const FN(gelu_rows) *c = call;
    for (int64_t i = first; i < end; i++) FN(bias_gelu_row)(c->C, c->x + i * c->C, c->bias, c->exact, c->y + i * c->C);
    return -1;
}

static void FN(bias_gelu)(int64_t N, int64_t C, const REAL *x, const REAL *bias, int exact, REAL *y) {
    const FN(gelu_rows) call = {.C = C, .x = x, .bias = bias, .exact = exact, .y = y};
    rls_share(N, N * C, FN(bias_gelu_task), &call);
}

/*
 *     tanh form   y = z s,        dy/dz = s + z s (1 - s) 2 du/dz,    du/dz = sqrt(2 / pi) (1 + 3 (0.044715) z^2)
 *     exact       y = z Phi(z),   dy/dz = Phi(z) + z exp(-z^2 / 2) / sqrt(2 pi)
 *
 * Rows [i0, i1): writes dx, and its sum over these rows to dbias.
 */
static void FN(bias_gelu_backward_rows)(int64_t i0, int64_t i1, int64_t C, const REAL *dy, const REAL *x,
                                        const REAL *bias, int exact, REAL *dx, REAL *dbias) {
    for (int64_t j = 0; j < C; j++) dbias[j] = 0;
    for (int64_t i = i0; i < i1; i++) {
        const REAL *row = x + i * C, *drow = dy + i * C;
        REAL *out = dx + i * C;
        if (exact) {
            for (int64_t j = 0; j < C; j++) {
                const REAL z = row[j] + bias[j];
                out[j] = drow[j] * ((REAL)(0.5 * erfc(-ROOT_HALF * (double)z)) +
                                    z * (REAL)NORMAL_PEAK * EXP((REAL)-0.5 * z * z));
            }
        } else {
#pragma omp simd
            for (int64_t j = 0; j < C; j++) {
                const REAL z = row[j] + bias[j], s = FN(gelu_gate)(z);
                const REAL slope = 2 * (REAL)GELU_SCALE * (1 + 3 * (REAL)GELU_CUBE * z * z);
                out[j] = drow[j] * (s + z * s * (1 - s) * slope);
            }
        }
        for (int64_t j = 0; j < C; j++) dbias[j] += out[j];
    }
}

static int64_t FN(bias_gelu_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(gelu_rows) *c = call;
    for (int64_t part = first; part < end; part++)
        FN(bias_gelu_backward_rows)(part_start(c->N, part), part_start(c->N, part + 1), c->C, c->dy, c->x, c->bias,
                                    c->exact, c->dx, c->sums + part * c->C);
    return -1;
}

static int64_t FN(bias_gelu_backward)(int64_t N, int64_t C, const REAL *dy, const REAL *x, const REAL *bias, int exact,
                                      REAL *dx, REAL *dbias) {
    REAL *sums = malloc((size_t)(PARTS * C) * sizeof(REAL));
    if (sums == NULL) return RLS_NO_MEMORY;
    const FN(gelu_rows) call = {.N = N, .C = C, .dy = dy, .x = x, .bias = bias, .exact = exact, .dx = dx, .sums = sums};
    rls_share(PARTS, N * C, FN(bias_gelu_backward_task), &call);
    FN(add_parts)(C, sums, C, dbias);
    free(sums);
    return -1;
}
