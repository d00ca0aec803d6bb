/*
 * SwiGLU of rows, forward and backward: one half of a row, through SiLU, says how much of the other passes.
 *
 *     y[i,j] = g s(g) u,     g = x[i,j],  u = x[i,inner+j],  s(g) = sigmoid(g) = 1 / (1 + exp(-g))
 *
 *     x, dx (N, 2 inner)   y, dy (N, inner)
 *
 * Twins: kernels/reference/swiglu.py, swiglu() and swiglu_backward().  Equal to rounding.
 *
 * Threads split rows.  Assumed, and checked before the call: N, inner >= 1.
 */

/* What the tasks of this file read and write; each uses some of it. */
typedef struct {
    int64_t inner;
    const REAL *x, *dy;
    REAL *y, *dx;
} FN(gated_rows);

static int64_t FN(swiglu_task)(const void *call, int64_t first, int64_t end) {
    const FN(gated_rows) *c = call;
    for (int64_t i = first; i < end; i++) {
        const REAL *g = c->x + i * 2 * c->inner, *u = g + c->inner;
        REAL *y = c->y + i * c->inner;
#pragma omp simd
        for (int64_t j = 0; j < c->inner; j++) y[j] = g[j] * FN(sigmoid)(g[j]) * u[j];
    }
    return -1;
}

static void FN(swiglu)(int64_t N, int64_t inner, const REAL *x, REAL *y) {
    const FN(gated_rows) call = {.inner = inner, .x = x, .y = y};
    rls_share(N, N * inner, FN(swiglu_task), &call);
}

/*
 * Forward y = g s(g) u, so with s = s(g), whose derivative is s (1 - s),
 *
 *     dg = dy u s (1 + g (1 - s))        du = dy g s
 */
static int64_t FN(swiglu_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(gated_rows) *c = call;
    for (int64_t i = first; i < end; i++) {
        const REAL *g = c->x + i * 2 * c->inner, *u = g + c->inner, *dy = c->dy + i * c->inner;
        REAL *dg = c->dx + i * 2 * c->inner, *du = dg + c->inner;
#pragma omp simd
        for (int64_t j = 0; j < c->inner; j++) {
            const REAL gate = g[j], s = FN(sigmoid)(gate), d = dy[j];
            dg[j] = d * u[j] * s * (1 + gate * (1 - s));
            du[j] = d * gate * s;
        }
    }
    return -1;
}

static void FN(swiglu_backward)(int64_t N, int64_t inner, const REAL *dy, const REAL *x, REAL *dx) {
    const FN(gated_rows) call = {.inner = inner, .x = x, .dy = dy, .dx = dx};
    rls_share(N, N * inner, FN(swiglu_backward_task), &call);
}
