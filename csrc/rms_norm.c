/*
 * RMS norm of rows, forward and backward: layer norm without the mean and without a bias.
 *
 *     xhat[i,j] = x[i,j] rstd[i],     rstd[i] = 1 / sqrt(mean over j of x[i,j]^2 + eps)
 *     y[i,j]    = gain[j] xhat[i,j]
 *
 *     x, y (N, C)   gain (C,)   rstd (N,)
 *
 * Twins: kernels/reference/rms_norm.py, rms_norm() and rms_norm_backward().  Equal to rounding.
 *
 * Forward, threads split rows; backward, dgain is summed as in layer_norm.c, whose FN(norm_rows) this file uses.
 * Assumed, and checked before the call: N, C >= 1, eps > 0.
 */

static int64_t FN(rms_norm_task)(const void *call, int64_t first, int64_t end) {
    const FN(norm_rows) *c = call;
    for (int64_t i = first; i < end; i++) {
        const REAL *x = c->x + i * c->C;
        REAL square = 0, *y = c->y + i * c->C;
#pragma omp simd reduction(+ : square)
        for (int64_t j = 0; j < c->C; j++) square += x[j] * x[j];
        const REAL rstd = (REAL)(1 / sqrt((double)square / (double)c->C + c->eps));
#pragma omp simd
        for (int64_t j = 0; j < c->C; j++) y[j] = c->gain[j] * (x[j] * rstd);
        c->out_stats[i] = rstd;
    }
    return -1;
}

static void FN(rms_norm)(int64_t N, int64_t C, const REAL *x, const REAL *gain, double eps, REAL *y, REAL *rstd) {
    const FN(norm_rows) call = {.C = C, .x = x, .gain = gain, .eps = eps, .y = y, .out_stats = rstd};
    rls_share(N, N * C / 2, FN(rms_norm_task), &call);
}

/*
 * Forward y = gain xhat, so with g[j] = dy[j] gain[j] and the mean over j
 *
 *     dx[j] = rstd ( g[j] - xhat[j] mean(g xhat) )        dgain[j] = sum_i dy[i,j] xhat[i,j]
 *
 * Runs [first, end) of the rows: writes dx, and each run's share of dgain to its row of `sums`.
 */
static int64_t FN(rms_norm_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(norm_rows) *c = call;
    const int64_t C = c->C;
    for (int64_t part = first; part < end; part++) {
        REAL *dgain = c->sums + part * C;
        for (int64_t j = 0; j < C; j++) dgain[j] = 0;
        for (int64_t i = part_start(c->N, part); i < part_start(c->N, part + 1); i++) {
            const REAL rstd = c->stats[i], *x = c->x + i * C, *dy = c->dy + i * C;
            REAL moment = 0, *dx = c->dx + i * C;
#pragma omp simd reduction(+ : moment)
            for (int64_t j = 0; j < C; j++) {
                const REAL xhat = x[j] * rstd;
                moment += dy[j] * c->gain[j] * xhat;
                dgain[j] += dy[j] * xhat;
            }
            moment /= (REAL)C;
#pragma omp simd
            for (int64_t j = 0; j < C; j++) dx[j] = rstd * (dy[j] * c->gain[j] - x[j] * rstd * moment);
        }
    }
    return -1;
}

static int64_t FN(rms_norm_backward)(int64_t N, int64_t C, const REAL *dy, const REAL *x, const REAL *gain,
                                     const REAL *rstd, REAL *dx, REAL *dgain) {
    REAL *sums = malloc((size_t)(PARTS * C) * sizeof(REAL));
    if (sums == NULL) return RLS_NO_MEMORY;
    const FN(norm_rows) call = {.N = N, .C = C, .dy = dy, .x = x, .gain = gain, .stats = rstd, .dx = dx, .sums = sums};
    rls_share(PARTS, N * C, FN(rms_norm_backward_task), &call);
    FN(add_parts)(C, sums, C, dgain);
    free(sums);
    return -1;
}
