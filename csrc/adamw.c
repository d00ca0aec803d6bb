/*
 * One step of AdamW, in place, and the sum of squares that gradient clipping wants.
 *
 *     p <- p (1 - lr weight_decay)
 *     m <- m + (1 - beta1) (g - m)                v <- beta2 v + (1 - beta2) g^2
 *     p <- p - lr / (1 - beta1^step)  m / ( sqrt(v) / sqrt(1 - beta2^step) + eps )
 *
 *     parameter p, gradient g, m, v (N,)    step counts from 1
 *
 * The decay is decoupled and comes first; eps is added after the bias correction.  Both as PyTorch.
 *
 * Twins: kernels/reference/adamw.py, adamw() and squared_norm().  Equal to rounding.
 *
 * Assumed, and checked before the call: N >= 1, the four arrays do not overlap.
 */
#ifndef RLS_ADAMW_ONCE
#define RLS_ADAMW_ONCE

/* The step's numbers, once a call:  decay = 1 - lr weight_decay,  rate = lr / (1 - beta1^step),
 * root = 1 / sqrt(1 - beta2^step). */
typedef struct {
    double decay, rate, root, beta1, beta2, eps;
} adamw_step;
#endif

/* Entries [start, end). */
static void FN(adamw_run)(int64_t start, int64_t end, REAL *p, const REAL *g, REAL *m, REAL *v, const adamw_step *s) {
    const REAL decay = (REAL)s->decay, rate = (REAL)s->rate, root = (REAL)s->root, eps = (REAL)s->eps;
    const REAL new1 = (REAL)(1 - s->beta1), new2 = (REAL)(1 - s->beta2), beta2 = (REAL)s->beta2;
#pragma omp simd
    for (int64_t j = start; j < end; j++) {
        m[j] += new1 * (g[j] - m[j]);
        v[j] = beta2 * v[j] + new2 * g[j] * g[j];
        p[j] = decay * p[j] - rate * m[j] / (SQRT(v[j]) * root + eps);
    }
}

/* What the tasks of this file read and write; each uses some of it. */
typedef struct {
    int64_t N;
    REAL *p, *m, *v;
    const REAL *g;
    adamw_step step;
    double *sums;
} FN(entries);

static int64_t FN(adamw_task)(const void *call, int64_t first, int64_t end) {
    const FN(entries) *c = call;
    FN(adamw_run)(part_start(c->N, first), part_start(c->N, end), c->p, c->g, c->m, c->v, &c->step);
    return -1;
}

static void FN(adamw)(int64_t N, REAL *parameter, const REAL *gradient, REAL *m, REAL *v, double lr, double beta1,
                      double beta2, double eps, double weight_decay, int64_t step) {
    const adamw_step s = {.decay = 1 - lr * weight_decay, .rate = lr / (1 - pow(beta1, (double)step)),
                          .root = 1 / sqrt(1 - pow(beta2, (double)step)), .beta1 = beta1, .beta2 = beta2, .eps = eps};
    const FN(entries) call = {.N = N, .p = parameter, .m = m, .v = v, .g = gradient, .step = s};
    rls_share(PARTS, N, FN(adamw_task), &call);
}

/* sum_j x[j]^2 in double.  The entries are cut into PARTS runs whatever the number of threads. */
static double FN(squared_norm_run)(int64_t start, int64_t end, const REAL *x) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = start; j < end; j++) sum += (double)x[j] * (double)x[j];
    return sum;
}

static int64_t FN(squared_norm_task)(const void *call, int64_t first, int64_t end) {
    const FN(entries) *c = call;
    for (int64_t part = first; part < end; part++)
        c->sums[part] = FN(squared_norm_run)(part_start(c->N, part), part_start(c->N, part + 1), c->g);
    return -1;
}

static double FN(squared_norm)(int64_t N, const REAL *x) {
    double sums[PARTS], total = 0;
    const FN(entries) call = {.N = N, .g = x, .sums = sums};
    rls_share(PARTS, N / 2, FN(squared_norm_task), &call);
    for (int64_t part = 0; part < PARTS; part++) total += sums[part];
    return total;
}
