/*
 * Rotary positions: in each head, channels d and d + D/2 are a point of the plane, and turn with the token's place.
 *
 *     y[n,h,d]       = x[n,h,d] cos - x[n,h,d+D/2] sin          d < D/2,  h < heads
 *     y[n,h,d+D/2]   = x[n,h,d+D/2] cos + x[n,h,d] sin
 *     y[n,h,:]       = x[n,h,:]                                 heads <= h < R: values stay as they are
 *
 *     x, y     (N, R, D)   may be one array
 *     turns    (., D)      of each place, the cosines of its D/2 angles, then their sines
 *     places   (N,)        of the tokens
 *     back     turns by minus the angles: the inverse, and so the derivative, of a turn
 *
 * Twin: kernels/reference/rotary.py, rotary().  Equal to rounding.
 *
 * Threads split tokens.  Assumed, and checked before the call: N, R >= 1, D even, heads <= R, places in range.
 */
typedef struct {
    int64_t R, D, heads;
    int back;
    const REAL *x, *turns;
    const int64_t *places;
    REAL *y;
} FN(turned_rows);

static int64_t FN(rotary_task)(const void *call, int64_t first, int64_t end) {
    const FN(turned_rows) *c = call;
    const int64_t R = c->R, D = c->D, half = D / 2, turned = c->heads * D;
    const REAL sign = c->back ? -1 : 1;
    for (int64_t n = first; n < end; n++) {
        const REAL *cosine = c->turns + c->places[n] * D, *sine = cosine + half, *x = c->x + n * R * D;
        REAL *y = c->y + n * R * D;
        for (int64_t h = 0; h < turned; h += D)
#pragma omp simd
            for (int64_t d = 0; d < half; d++) {
                const REAL a = x[h + d], b = x[h + half + d], s = sign * sine[d];
                y[h + d] = a * cosine[d] - b * s;
                y[h + half + d] = b * cosine[d] + a * s;
            }
        if (x != y) memcpy(y + turned, x + turned, (size_t)(R * D - turned) * sizeof(REAL));
    }
    return -1;
}

static void FN(rotary)(int64_t N, int64_t R, int64_t D, int64_t heads, const REAL *x, const REAL *turns,
                       const int64_t *places, int back, REAL *y) {
    const FN(turned_rows) call = {.R = R, .D = D, .heads = heads, .back = back, .x = x, .turns = turns,
                                  .places = places, .y = y};
    rls_share(N, N * R * D / 2, FN(rotary_task), &call);
}
