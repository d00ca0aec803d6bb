/*
 * Softmax of rows with a temperature, its logarithm, and the log-probability of one chosen token
 * a row with the entropy of the row; forward beside backward.
 *
 *     z[i,j] = (logits[i,j] - m[i]) / temperature,     m[i] = max_j logits[i,j]
 *     S[i]   = sum_j exp(z[i,j])
 *     p[i,j] = exp(z[i,j]) / S[i],     log p[i,j] = z[i,j] - log S[i]
 *
 * Twins: kernels/reference/softmax.py, softmax(), softmax_backward(), log_softmax(),
 * log_softmax_backward(), chosen_logp() and chosen_logp_backward().  Equal to rounding: sums over V
 * run in the order that the vector width asks for.
 *
 * A logit of -inf is a token that cannot be: p = 0, and its terms count as 0 below.  The forward
 * functions return the first row that has a NaN, a +inf, or nothing but -inf, else -1; such a
 * row shows as a sum S that is not a positive number.  _compiled.pyx makes it an error.
 *
 * Assumed, and checked before the call: N >= 1, V >= 1, temperature > 0 with a finite inverse,
 * 0 <= target[i] < V.  Threads split rows, so a row's result does not depend on their number.
 */

/* max_j x[j]; NaN entries are passed over and show up in the sum.  In the loop, lane[l] is the
 * maximum of the entries at l, l + LANES, ...: lanes that never meet become one vector. */
static REAL FN(row_max)(int64_t V, const REAL *x) {
    enum { LANES = 32 };
    REAL lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = -(REAL)INFINITY;
    int64_t j = 0;
    for (; j + LANES <= V; j += LANES)
        for (int l = 0; l < LANES; l++) lane[l] = x[j + l] > lane[l] ? x[j + l] : lane[l];
    REAL m = -(REAL)INFINITY;
    for (; j < V; j++) m = x[j] > m ? x[j] : m;
    for (int l = 0; l < LANES; l++) m = lane[l] > m ? lane[l] : m;
    return m;
}

static int FN(is_positive)(REAL sum) { return sum > 0 && sum < (REAL)INFINITY; }

/* What the tasks of this file read and write; each uses some of it. */
typedef struct {
    int64_t V;
    REAL inverse; /* 1 / temperature */
    const REAL *x, *y, *dy, *dentropy, *entropy, *stats;
    const int64_t *target;
    REAL *out, *out_entropy, *out_stats;
} FN(rows);

/* p = exp(z) / S.  Returns whether the row was good. */
static int FN(softmax_row)(int64_t V, const REAL *x, REAL inverse, REAL *p) {
    const REAL m = FN(row_max)(V, x);
    REAL sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < V; j++) {
        p[j] = EXP((x[j] - m) * inverse);
        sum += p[j];
    }
    const REAL scale = 1 / sum;
#pragma omp simd
    for (int64_t j = 0; j < V; j++) p[j] *= scale;
    return FN(is_positive)(sum);
}

static int64_t FN(softmax_task)(const void *call, int64_t first, int64_t end) {
    const FN(rows) *c = call;
    for (int64_t i = first; i < end; i++)
        if (!FN(softmax_row)(c->V, c->x + i * c->V, c->inverse, c->out + i * c->V)) return i;
    return -1;
}

static int64_t FN(softmax)(int64_t N, int64_t V, const REAL *logits, double temperature, REAL *probs) {
    const FN(rows) call = {.V = V, .x = logits, .inverse = (REAL)(1 / temperature), .out = probs};
    return rls_share(N, N * V, FN(softmax_task), &call);
}

/* Forward p = softmax(x / T), so  dx[j] = p[j] (dp[j] - sum_k dp[k] p[k]) / T. */
static void FN(softmax_backward_row)(int64_t V, const REAL *dp, const REAL *p, REAL inverse, REAL *dx) {
    REAL dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j < V; j++) dot += dp[j] * p[j];
#pragma omp simd
    for (int64_t j = 0; j < V; j++) dx[j] = p[j] * (dp[j] - dot) * inverse;
}

static int64_t FN(softmax_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(rows) *c = call;
    for (int64_t i = first; i < end; i++)
        FN(softmax_backward_row)(c->V, c->dy + i * c->V, c->y + i * c->V, c->inverse, c->out + i * c->V);
    return -1;
}

static void FN(softmax_backward)(int64_t N, int64_t V, const REAL *dprobs, const REAL *probs, double temperature,
                                 REAL *dlogits) {
    const FN(rows) call = {.V = V, .dy = dprobs, .y = probs, .inverse = (REAL)(1 / temperature), .out = dlogits};
    rls_share(N, N * V, FN(softmax_backward_task), &call);
}

/* log p = z - log S.  Returns whether the row was good. */
static int FN(log_softmax_row)(int64_t V, const REAL *x, REAL inverse, REAL *logp) {
    const REAL m = FN(row_max)(V, x);
    REAL sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < V; j++) sum += EXP((x[j] - m) * inverse);
    const REAL log_sum = (REAL)log((double)sum);
#pragma omp simd
    for (int64_t j = 0; j < V; j++) logp[j] = (x[j] - m) * inverse - log_sum;
    return FN(is_positive)(sum);
}

static int64_t FN(log_softmax_task)(const void *call, int64_t first, int64_t end) {
    const FN(rows) *c = call;
    for (int64_t i = first; i < end; i++)
        if (!FN(log_softmax_row)(c->V, c->x + i * c->V, c->inverse, c->out + i * c->V)) return i;
    return -1;
}

static int64_t FN(log_softmax)(int64_t N, int64_t V, const REAL *logits, double temperature, REAL *logp) {
    const FN(rows) call = {.V = V, .x = logits, .inverse = (REAL)(1 / temperature), .out = logp};
    return rls_share(N, N * V, FN(log_softmax_task), &call);
}

/* Forward log p = z - log S, so  dx[j] = (dlogp[j] - p[j] sum_k dlogp[k]) / T. */
static void FN(log_softmax_backward_row)(int64_t V, const REAL *dlogp, const REAL *logp, REAL inverse, REAL *dx) {
    REAL total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t j = 0; j < V; j++) total += dlogp[j];
#pragma omp simd
    for (int64_t j = 0; j < V; j++) dx[j] = (dlogp[j] - EXP(logp[j]) * total) * inverse;
}

static int64_t FN(log_softmax_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(rows) *c = call;
    for (int64_t i = first; i < end; i++)
        FN(log_softmax_backward_row)(c->V, c->dy + i * c->V, c->y + i * c->V, c->inverse, c->out + i * c->V);
    return -1;
}

static void FN(log_softmax_backward)(int64_t N, int64_t V, const REAL *dlogp, const REAL *logp, double temperature,
                                     REAL *dlogits) {
    const FN(rows) call = {.V = V, .dy = dlogp, .y = logp, .inverse = (REAL)(1 / temperature), .out = dlogits};
    rls_share(N, N * V, FN(log_softmax_backward_task), &call);
}

/*
 * One pass over a row for all that a policy gradient wants of it:
 *
 *     logp[i]    = z[i,target[i]] - log S[i]
 *     entropy[i] = - sum_j p[i,j] log p[i,j] = log S[i] - sum_j exp(z[i,j]) z[i,j] / S[i]
 *     stats[i]   = m[i], log S[i]        (N, 2), what the backward needs besides the logits
 */
static int FN(chosen_logp_row)(int64_t V, const REAL *x, int64_t target, REAL inverse, REAL *logp, REAL *entropy,
                               REAL *stats) {
    const REAL m = FN(row_max)(V, x);
    REAL sum = 0, moment = 0;
#pragma omp simd reduction(+ : sum, moment)
    for (int64_t j = 0; j < V; j++) {
        REAL z = (x[j] - m) * inverse, e = EXP(z);
        sum += e;
        moment += e == 0 ? 0 : e * z; /* 0 * -inf counts as 0 */
    }
    const REAL log_sum = (REAL)log((double)sum);
    *logp = (x[target] - m) * inverse - log_sum;
    *entropy = log_sum - moment / sum;
    stats[0] = m;
    stats[1] = log_sum;
    return FN(is_positive)(sum);
}

static int64_t FN(chosen_logp_task)(const void *call, int64_t first, int64_t end) {
    const FN(rows) *c = call;
    for (int64_t i = first; i < end; i++)
        if (!FN(chosen_logp_row)(c->V, c->x + i * c->V, c->target[i], c->inverse, c->out + i, c->out_entropy + i,
                                 c->out_stats + 2 * i)) return i;
    return -1;
}

static int64_t FN(chosen_logp)(int64_t N, int64_t V, const REAL *logits, const int64_t *target, double temperature,
                               REAL *logp, REAL *entropy, REAL *stats) {
    const FN(rows) call = {.V = V, .x = logits, .target = target, .inverse = (REAL)(1 / temperature), .out = logp,
                           .out_entropy = entropy, .out_stats = stats};
    return rls_share(N, N * V, FN(chosen_logp_task), &call);
}

/*
 * Forward logp = log p[target] and entropy = H = - sum p log p, so
 *
 *     dx[j] = ( dlogp (1[j = target] - p[j])  -  dentropy p[j] (log p[j] + H) ) / T
 */
static void FN(chosen_logp_backward_row)(int64_t V, REAL dlogp, REAL dentropy, const REAL *x, int64_t target,
                                         REAL entropy, const REAL *stats, REAL inverse, REAL *dx) {
    const REAL m = stats[0], log_sum = stats[1];
#pragma omp simd
    for (int64_t j = 0; j < V; j++) {
        REAL logp = (x[j] - m) * inverse - log_sum, p = EXP(logp);
        REAL slope = p == 0 ? 0 : p * (logp + entropy); /* 0 * -inf counts as 0 */
        dx[j] = -(dlogp * p + dentropy * slope) * inverse;
    }
    dx[target] += dlogp * inverse;
}

static int64_t FN(chosen_logp_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(rows) *c = call;
    for (int64_t i = first; i < end; i++)
        FN(chosen_logp_backward_row)(c->V, c->dy[i], c->dentropy[i], c->x + i * c->V, c->target[i], c->entropy[i],
                                     c->stats + 2 * i, c->inverse, c->out + i * c->V);
    return -1;
}

static void FN(chosen_logp_backward)(int64_t N, int64_t V, const REAL *dlogp, const REAL *dentropy,
                                     const REAL *logits, const int64_t *target, const REAL *entropy,
                                     const REAL *stats, double temperature, REAL *dlogits) {
    const FN(rows) call = {.V = V, .dy = dlogp, .dentropy = dentropy, .x = logits, .target = target,
                           .entropy = entropy, .stats = stats, .inverse = (REAL)(1 / temperature), .out = dlogits};
    rls_share(N, N * V, FN(chosen_logp_backward_task), &call);
}
