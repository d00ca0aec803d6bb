/*
 * Layer norm of rows, forward and backward.
 *
 *     xhat[i,j] = (x[i,j] - mean[i]) rstd[i],     rstd[i] = 1 / sqrt(variance[i] + eps)
 *     y[i,j]    = gain[j] xhat[i,j] + bias[j]
 *
 *     x, y (N, C)   gain, bias (C,)   stats (N, 2) = mean, rstd     variance: the mean square, over C
 *
 * Twins: kernels/reference/layer_norm.py, layer_norm() and layer_norm_backward().  Equal to rounding.
 *
 * Forward, threads split rows.  Backward, dgain and dbias are sums over rows: the rows are cut into
 * PARTS runs whatever the number of threads, each is summed from its first row to its last, and the
 * sums are added in order.  Assumed, and checked before the call: N, C >= 1, eps > 0.
 */
#ifndef RLS_LAYER_NORM_ONCE
#define RLS_LAYER_NORM_ONCE

#define PARTS 16 /* runs of rows (or of entries) that a sum is cut into */

/* The first entry of run `part` of n entries. */
static inline int64_t part_start(int64_t n, int64_t part) { return n * part / PARTS; }
#endif

/* total[j] = the sum of PARTS rows of `sums`, `stride` apart, first row first. */
static void FN(add_parts)(int64_t C, const REAL *sums, int64_t stride, REAL *total) {
    memcpy(total, sums, (size_t)C * sizeof(REAL));
    for (int64_t part = 1; part < PARTS; part++)
        for (int64_t j = 0; j < C; j++) total[j] += sums[part * stride + j];
}

static void FN(layer_norm_row)(int64_t C, const REAL *x, const REAL *gain, const REAL *bias, double eps, REAL *y,
                               REAL *stats) {
    REAL sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < C; j++) sum += x[j];
    const REAL mean = sum / (REAL)C;
#pragma omp simd reduction(+ : square)
    for (int64_t j = 0; j < C; j++) square += (x[j] - mean) * (x[j] - mean);
    const REAL rstd = (REAL)(1 / sqrt((double)square / (double)C + eps));
#pragma omp simd
    for (int64_t j = 0; j < C; j++) y[j] = gain[j] * ((x[j] - mean) * rstd) + bias[j];
    stats[0] = mean;
    stats[1] = rstd;
}

/* What the tasks of this file read and write; each uses some of it. */
typedef struct {
    int64_t N, C;
    double eps;
    const REAL *x, *gain, *bias, *dy, *stats;
    REAL *y, *out_stats, *dx, *sums;
} FN(norm_rows);

static int64_t FN(layer_norm_task)(const void *call, int64_t first, int64_t end) {
    const FN(norm_rows) *c = call;
    for (int64_t i = first; i < end; i++)
        FN(layer_norm_row)(c->C, c->x + i * c->C, c->gain, c->bias, c->eps, c->y + i * c->C, c->out_stats + 2 * i);
    return -1;
}

static void FN(layer_norm)(int64_t N, int64_t C, const REAL *x, const REAL *gain, const REAL *bias, double eps,
                           REAL *y, REAL *stats) {
    const FN(norm_rows) call = {.C = C, .x = x, .gain = gain, .bias = bias, .eps = eps, .y = y, .out_stats = stats};
    rls_share(N, N * C / 2, FN(layer_norm_task), &call);
}

/*
 * Forward y = gain xhat + bias, so with g[j] = dy[j] gain[j] and means over j
 *
 *     dx[j] = rstd ( g[j] - mean(g) - xhat[j] mean(g xhat) )
 *     dgain[j] = sum_i dy[i,j] xhat[i,j]        dbias[j] = sum_i dy[i,j]
 *
 * Rows [i0, i1): writes dx, and the sums over these rows to dgain and dbias.
 */
static void FN(layer_norm_backward_rows)(int64_t i0, int64_t i1, int64_t C, const REAL *dy, const REAL *x,
                                         const REAL *gain, const REAL *stats, REAL *dx, REAL *dgain, REAL *dbias) {
    for (int64_t j = 0; j < 2 * C; j++) dgain[j] = 0; /* dbias follows dgain */
    for (int64_t i = i0; i < i1; i++) {
        const REAL mean = stats[2 * i], rstd = stats[2 * i + 1], *row = x + i * C, *drow = dy + i * C;
        REAL sum = 0, moment = 0;
#pragma omp simd reduction(+ : sum, moment)
        for (int64_t j = 0; j < C; j++) {
            const REAL xhat = (row[j] - mean) * rstd, g = drow[j] * gain[j];
            sum += g;
            moment += g * xhat;
            dgain[j] += drow[j] * xhat;
            dbias[j] += drow[j];
        }
        sum /= (REAL)C, moment /= (REAL)C;
        REAL *out = dx + i * C;
#pragma omp simd
        for (int64_t j = 0; j < C; j++) {
            const REAL xhat = (row[j] - mean) * rstd;
            out[j] = rstd * (drow[j] * gain[j] - sum - xhat * moment);
        }
    }
}

static int64_t FN(layer_norm_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(norm_rows) *c = call;
    for (int64_t part = first; part < end; part++) {
        REAL *sums = c->sums + part * 2 * c->C;
        FN(layer_norm_backward_rows)(part_start(c->N, part), part_start(c->N, part + 1), c->C, c->dy, c->x, c->gain,
                                     c->stats, c->dx, sums, sums + c->C);
    }
    return -1;
}

static int64_t FN(layer_norm_backward)(int64_t N, int64_t C, const REAL *dy, const REAL *x, const REAL *gain,
                                       const REAL *stats, REAL *dx, REAL *dgain, REAL *dbias) {
    REAL *sums = malloc((size_t)(PARTS * 2 * C) * sizeof(REAL));
    if (sums == NULL) return RLS_NO_MEMORY;
    const FN(norm_rows) call = {.N = N, .C = C, .dy = dy, .x = x, .gain = gain, .stats = stats, .dx = dx, .sums = sums};
    rls_share(PARTS, N * C, FN(layer_norm_backward_task), &call);
    FN(add_parts)(C, sums, 2 * C, dgain);
    FN(add_parts)(C, sums + C, 2 * C, dbias);
    free(sums);
    return -1;
}
