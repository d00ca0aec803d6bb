/*
 * Causal attention, forward, backward and over a cache of earlier keys and values.
 *
 *     s[i,j] = q[i] . k[j] / sqrt(D)          j <= i: a token sees itself and what is before it
 *     lse[i] = log sum_j exp(s[i,j])
 *     p[i,j] = exp(s[i,j] - lse[i])           out[i] = sum_j p[i,j] v[j]
 *
 *     qkv, dqkv   (B, T, H + 2 K, D)  a token's H queries, then K keys, then K values: H / K heads, one behind
 *                                     the other, share a key and a value
 *     out, dout   (B, T, H, D)        lse (B, H, T)
 *     keys        (B, K, room / RLS_STEP, D, RLS_STEP)     values (B, K, room, D)      the cache
 *     start       (B,)                how many tokens of a sequence the cache holds already
 *
 * Twins: kernels/reference/attention.py, attention() and attention_backward().  Equal to rounding.  decode.c
 * calls attention_rows().
 *
 * No T x T matrix is stored: STRIP queries at a time meet the keys before them, so that a thread
 * needs memory for STRIP rows of scores and a few copies of one head, linear in T.  Keys lie with
 * their tokens side by side, (D, T), so that q k' is a product of rows; the cache holds blocks of
 * RLS_STEP tokens so, and what has been filled of it is read from its first byte to its last.
 *
 * A row of `out` comes from the same operations in the same order in a strip, alone, from a cache or
 * from qkv: terms of a sum meet as in matmul.c, exp(s) is summed in an order that depends on i alone, and
 * terms beyond the row's own token are exact zeros.  So the cached result equals the other bit for
 * bit, and a row does not change with the rest of the batch.
 *
 * Assumed, and checked before the call: B, T, H, K, D >= 1; K divides H; start[b] + T <= room.
 */
#ifndef RLS_ATTENTION_ONCE
#define RLS_ATTENTION_ONCE

#define STRIP 24 /* queries that share one pass over the keys: four tiles */
#endif

/* Scores of one query over n keys become exp(s - max), zeros up to `width` follow.  Returns 1 / sum.
 * Maximum and sum are taken over j mod RLS_STEP first, in lanes; the lanes are then folded in halves. */
static REAL FN(attend_row)(int64_t n, int64_t width, REAL scale, REAL *s, REAL *lse) {
    const int64_t whole = round_up(n, RLS_STEP);
    REAL top[RLS_STEP], sum[RLS_STEP] = {0}, *last = s + whole - RLS_STEP;
#pragma omp simd
    for (int l = 0; l < RLS_STEP; l++) {
        last[l] = l < n - (whole - RLS_STEP) ? last[l] : -(REAL)INFINITY;
        top[l] = last[l];
    }
    for (int64_t j = 0; j < whole - RLS_STEP; j += RLS_STEP)
#pragma omp simd
        for (int l = 0; l < RLS_STEP; l++) top[l] = s[j + l] > top[l] ? s[j + l] : top[l];
    UNROLL for (int half = RLS_STEP / 2; half > 0; half /= 2) {
        UNROLL for (int l = 0; l < half; l++) top[l] = top[l + half] > top[l] ? top[l + half] : top[l];
    }
    const REAL m = top[0];
    for (int64_t j = 0; j < whole; j += RLS_STEP)
#pragma omp simd
        for (int l = 0; l < RLS_STEP; l++) {
            const REAL e = EXP((s[j + l] - m) * scale);
            s[j + l] = e;
            sum[l] += e;
        }
    UNROLL for (int half = RLS_STEP / 2; half > 0; half /= 2) {
        UNROLL for (int l = 0; l < half; l++) sum[l] += sum[l + half];
    }
    for (int64_t j = whole; j < width; j += RLS_STEP) memset(s + j, 0, RLS_STEP * sizeof(REAL));
    if (lse != NULL) *lse = m * scale + LOG(sum[0]);
    return 1 / sum[0];
}

/*
 * One strip: `rows` queries, the first of them token `first`, against keys and values (., wide) from token 0
 * on.  Keys lie in blocks of tokens, (D, block) each.  `work` holds STRIP rows of scores and STRIP rows of
 * `wide`, D in whole vectors.
 */
static void FN(attend_strip)(int64_t rows, int64_t first, int64_t D, const REAL *q, int64_t q_row, const REAL *keys,
                             int64_t block, const REAL *values, int64_t values_row, REAL *work, REAL *out,
                             int64_t out_row, REAL *lse) {
    const int64_t n = first + rows, width = round_up(n, RLS_STEP), wide = round_up(D, VECTOR);
    const REAL scale = (REAL)(1 / sqrt((double)D));
    REAL *scores = work, *mixed = work + STRIP * width, inverse[STRIP];
    for (int64_t j = 0; j < width; j += block)
        FN(product)(rows, least(block, width - j), D, q, q_row, 1, keys + j * D, block, scores + j, width, 0);
    for (int64_t r = 0; r < rows; r++)
        inverse[r] = FN(attend_row)(first + r + 1, width, scale, scores + r * width, lse ? lse + r : NULL);
    FN(product)(rows, wide, n, scores, width, 1, values, values_row, mixed, wide, 0);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t d = 0; d < D; d++) out[r * out_row + d] = mixed[r * wide + d] * inverse[r];
}

/* n rows of D, `from_row` apart, to rows of whole vectors, zeros in the rest. */
static void FN(copy_rows)(int64_t n, int64_t D, const REAL *from, int64_t from_row, REAL *to) {
    const int64_t wide = round_up(D, VECTOR);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t d = 0; d < D; d += VECTOR) __builtin_prefetch(from + (i + AHEAD) * from_row + d);
        memcpy(to + i * wide, from + i * from_row, (size_t)D * sizeof(REAL));
        for (int64_t d = D; d < wide; d++) to[i * wide + d] = 0;
    }
}

/* n rows of D, `from_row` apart, to (D, width), zeros beyond n. */
static void FN(turn_rows)(int64_t n, int64_t D, const REAL *from, int64_t from_row, REAL *to, int64_t width) {
    FN(transpose)(n, D, from, from_row, to, width);
    for (int64_t d = 0; d < D; d++)
        for (int64_t j = n; j < width; j++) to[d * width + j] = 0;
}

/* The first cache line in a block. */
static REAL *FN(aligned)(const void *block) { return (REAL *)(((uintptr_t)block + 63) / 64 * 64); }

/* Room for `count` reals that starts a cache line; `block` is what to free. */
static REAL *FN(workspace)(int64_t count, void **block) {
    *block = malloc((size_t)count * sizeof(REAL) + 64);
    return *block == NULL ? NULL : FN(aligned)(*block);
}

/* One head over a sequence whose tokens lie `token` apart. */
static int FN(attention_head)(int64_t T, int64_t token, int64_t D, const REAL *q, const REAL *k, const REAL *v,
                              REAL *out, int64_t out_row, REAL *lse) {
    const int64_t width = round_up(T, RLS_STEP), wide = round_up(D, VECTOR);
    void *block;
    REAL *keys = FN(workspace)(D * width + T * wide + STRIP * (width + wide), &block);
    if (keys == NULL) return 1;
    REAL *values = keys + D * width, *work = values + T * wide;
    FN(turn_rows)(T, D, k, token, keys, width);
    FN(copy_rows)(T, D, v, token, values);
    for (int64_t i = 0; i < T; i += STRIP)
        FN(attend_strip)(least(STRIP, T - i), i, D, q + i * token, token, keys, width, values, wide, work,
                         out + i * out_row, out_row, lse + i);
    free(block);
    return 0;
}

/* What the tasks of this file read and write; each uses some of it. */
typedef struct {
    int64_t T, H, K, D, room;
    const REAL *qkv, *dout, *y, *lse;
    const int64_t *start, *rows; /* rows: where sequence b stands in the cache */
    REAL *keys, *values, *out, *out_lse, *dqkv;
} FN(heads);

static int64_t FN(attention_task)(const void *call, int64_t first, int64_t end) {
    const FN(heads) *c = call;
    const int64_t H = c->H, K = c->K, D = c->D, token = (H + 2 * K) * D;
    for (int64_t n = first; n < end; n++) {
        const int64_t b = n / H, h = n % H;
        const REAL *row = c->qkv + b * c->T * token, *k = row + (H + h / (H / K)) * D;
        if (FN(attention_head)(c->T, token, D, row + h * D, k, k + K * D, c->out + (b * c->T * H + h) * D, H * D,
                               c->out_lse + n * c->T))
            return RLS_NO_MEMORY;
    }
    return -1;
}

static int64_t FN(attention)(int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, const REAL *qkv, REAL *out,
                             REAL *lse) {
    const FN(heads) call = {.T = T, .H = H, .K = K, .D = D, .qkv = qkv, .out = out, .out_lse = lse};
    return rls_share(B * H, 2 * B * H * T * (T + RLS_STEP) * D / PRODUCTS, FN(attention_task), &call);
}

/*
 * Forward s = q k' / sqrt(D), p = exp(s - lse), out = p v, so with delta[i] = dout[i] . out[i]
 *
 *     dp[i,j] = dout[i] . v[j]        ds[i,j] = p[i,j] (dp[i,j] - delta[i]) / sqrt(D)
 *     dq[i] = sum_j ds[i,j] k[j]      dk[j] = sum_i ds[i,j] q[i]      dv[j] = sum_i p[i,j] dout[i]
 *
 * p is computed again from lse, strip by strip.  After a strip dk and dv hold the sums over its
 * queries and all earlier ones, and over the heads before it that share the key.
 */
typedef struct {
    int64_t T, D, width, wide;
    REAL *keys, *keys_turned, *values_turned, *dk, *dv; /* (T, wide), (D, width) twice, (T, wide) twice */
    REAL *p, *ds, *q, *dout, *dq;                       /* STRIP rows of width, twice, and of wide, thrice */
} FN(backward_work);

/* The row of query i < n: scores become p, dp becomes ds; zeros up to `width` follow. */
static void FN(attend_row_backward)(int64_t n, int64_t width, REAL scale, REAL lse, REAL delta, REAL *p, REAL *ds) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        p[j] = EXP(p[j] * scale - lse);
        ds[j] = p[j] * (ds[j] - delta) * scale;
    }
    for (int64_t j = n; j < width; j++) p[j] = ds[j] = 0;
}

static void FN(attend_strip_backward)(const FN(backward_work) *w, int64_t i0, int64_t rows, const REAL *out,
                                      int64_t out_row, const REAL *lse) {
    const int64_t n = i0 + rows, width = round_up(n, RLS_STEP), wide = w->wide, D = w->D;
    const REAL scale = (REAL)(1 / sqrt((double)D));
    FN(product)(rows, width, D, w->q, wide, 1, w->keys_turned, w->width, w->p, width, 0);
    FN(product)(rows, width, D, w->dout, wide, 1, w->values_turned, w->width, w->ds, width, 0);
    for (int64_t r = 0; r < rows; r++) {
        REAL delta = 0;
        for (int64_t d = 0; d < D; d++) delta += w->dout[r * wide + d] * out[r * out_row + d];
        FN(attend_row_backward)(i0 + r + 1, width, scale, lse[r], delta, w->p + r * width, w->ds + r * width);
    }
    FN(product)(rows, wide, n, w->ds, width, 1, w->keys, wide, w->dq, wide, 0);
    FN(product)(n, wide, rows, w->ds, 1, width, w->q, wide, w->dk, wide, 1);
    FN(product)(n, wide, rows, w->p, 1, width, w->dout, wide, w->dv, wide, 1);
}

static void FN(write_rows)(int64_t n, int64_t D, const REAL *from, REAL *to, int64_t to_row) {
    for (int64_t i = 0; i < n; i++) memcpy(to + i * to_row, from + i * round_up(D, VECTOR), (size_t)D * sizeof(REAL));
}

/* The heads of sequence b that share key and value g. */
static int FN(attention_group_backward)(const FN(heads) *c, int64_t b, int64_t g) {
    const int64_t T = c->T, H = c->H, K = c->K, D = c->D, token = (H + 2 * K) * D;
    const int64_t width = round_up(T, RLS_STEP), wide = round_up(D, VECTOR), key = b * T * token + (H + g) * D;
    void *block;
    FN(backward_work) w = {.T = T, .D = D, .width = width, .wide = wide};
    w.dk = FN(workspace)(3 * T * wide + 2 * D * width + STRIP * (2 * width + 3 * wide), &block);
    if (w.dk == NULL) return 1;
    w.dv = w.dk + T * wide, w.keys = w.dv + T * wide, w.keys_turned = w.keys + T * wide;
    w.values_turned = w.keys_turned + D * width, w.p = w.values_turned + D * width, w.ds = w.p + STRIP * width;
    w.q = w.ds + STRIP * width, w.dout = w.q + STRIP * wide, w.dq = w.dout + STRIP * wide;
    memset(w.dk, 0, (size_t)(2 * T * wide) * sizeof(REAL));
    FN(copy_rows)(T, D, c->qkv + key, token, w.keys);
    FN(turn_rows)(T, D, c->qkv + key, token, w.keys_turned, width);
    FN(turn_rows)(T, D, c->qkv + key + K * D, token, w.values_turned, width);
    for (int64_t h = g * (H / K); h < (g + 1) * (H / K); h++)
        for (int64_t i = 0; i < T; i += STRIP) {
            const int64_t rows = least(STRIP, T - i), q = (b * T + i) * token + h * D, y = ((b * T + i) * H + h) * D;
            FN(copy_rows)(rows, D, c->qkv + q, token, w.q);
            FN(copy_rows)(rows, D, c->dout + y, H * D, w.dout);
            FN(attend_strip_backward)(&w, i, rows, c->y + y, H * D, c->lse + (b * H + h) * T + i);
            FN(write_rows)(rows, D, w.dq, c->dqkv + q, token);
        }
    FN(write_rows)(T, D, w.dk, c->dqkv + key, token);
    FN(write_rows)(T, D, w.dv, c->dqkv + key + K * D, token);
    free(block);
    return 0;
}

static int64_t FN(attention_backward_task)(const void *call, int64_t first, int64_t end) {
    const FN(heads) *c = call;
    for (int64_t n = first; n < end; n++)
        if (FN(attention_group_backward)(c, n / c->K, n % c->K)) return RLS_NO_MEMORY;
    return -1;
}

static int64_t FN(attention_backward)(int64_t B, int64_t T, int64_t H, int64_t K, int64_t D, const REAL *dout,
                                      const REAL *qkv, const REAL *out, const REAL *lse, REAL *dqkv) {
    const FN(heads) call = {.T = T, .H = H, .K = K, .D = D, .dout = dout, .qkv = qkv, .y = out, .lse = lse,
                            .dqkv = dqkv};
    return rls_share(B * K, 4 * B * H * T * (T + RLS_STEP) * D / PRODUCTS, FN(attention_backward_task), &call);
}

/*
 * One query of ABREAST heads against the keys, or scores against the values, of each:
 *
 *     c[h,:] = sum_k a[h,k] b_h[k,:]          b_h is b_each behind the one before
 *
 * b_h lies in blocks of RLS_STEP columns, b_block apart.  Each term of a sum waits for the one before it; the sums
 * of several heads fill the waiting.  Their order is the order of product.
 */
#define ABREAST 4
#define COLUMN(j) ((j) / RLS_STEP * b_block + (j) % RLS_STEP)

static inline __attribute__((always_inline)) void FN(abreast_of)(const int vectors, int64_t K, const REAL *a,
                                                                 int64_t a_row, const REAL *b, int64_t b_each,
                                                                 int64_t b_block, int64_t b_row, REAL *c,
                                                                 int64_t c_row, int add) {
    FN(vector) sum[ABREAST][TILE_VECTORS];
    UNROLL for (int h = 0; h < ABREAST; h++) {
        UNROLL for (int v = 0; v < vectors; v++) sum[h][v] = (FN(vector)){0};
    }
    for (int64_t k = 0; k < K; k++) {
        UNROLL for (int h = 0; h < ABREAST; h++) {
            const REAL x = a[h * a_row + k], *row = b + h * b_each + k * b_row;
            UNROLL for (int v = 0; v < vectors; v++)
                sum[h][v] += x * *(const FN(loose_vector) *)(row + COLUMN(v * VECTOR));
        }
    }
    UNROLL for (int h = 0; h < ABREAST; h++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            FN(loose_vector) *place = (FN(loose_vector) *)(c + h * c_row + v * VECTOR);
            if (add) *place += sum[h][v];
            else *place = sum[h][v];
        }
    }
}

static void FN(product_abreast)(int64_t N, int64_t K, const REAL *a, int64_t a_row, const REAL *b, int64_t b_each,
                                int64_t b_block, int64_t b_row, REAL *c, int64_t c_row) {
#define CASE(vectors) \
    case vectors: FN(abreast_of)(vectors, now, x, a_row, from, b_each, b_block, b_row, c + j, c_row, k > 0); break;
    for (int64_t k = 0; k < K; k += K_BLOCK)
        for (int64_t j = 0; j < N; j += PANEL) {
            const int64_t now = least(K_BLOCK, K - k);
            const REAL *x = a + k, *from = b + k * b_row + COLUMN(j);
            switch (least(PANEL, N - j) / VECTOR) {
                CASE(1)
                CASE(2)
#if TILE_VECTORS == 4
                CASE(3)
                CASE(4)
#endif
            }
        }
#undef CASE
}

/* The keys and values of T new tokens go into the cache behind the `start` tokens that it holds. */
static void FN(remember)(const FN(heads) *c, int64_t start, const REAL *k, REAL *keys, REAL *values) {
    const int64_t K = c->K, D = c->D;
    for (int64_t t = 0; t < c->T; t++, k += (c->H + 2 * K) * D) {
        REAL *place = keys + (start + t) / RLS_STEP * RLS_STEP * D + (start + t) % RLS_STEP;
        for (int64_t d = 0; d < D; d++) place[d * RLS_STEP] = k[d];
        memcpy(values + (start + t) * D, k + K * D, (size_t)D * sizeof(REAL));
    }
}

/* One new token, for ABREAST heads that share nothing. */
static void FN(attend_abreast)(const FN(heads) *c, int64_t start, const REAL *q, const REAL *keys, const REAL *values,
                               REAL *scores, REAL *out) {
    const int64_t D = c->D, room = c->room, width = round_up(start + 1, RLS_STEP);
    REAL inverse[ABREAST];
    FN(product_abreast)(width, D, q, D, keys, room * D, RLS_STEP * D, RLS_STEP, scores, width);
    for (int h = 0; h < ABREAST; h++)
        inverse[h] = FN(attend_row)(start + 1, width, (REAL)(1 / sqrt((double)D)), scores + h * width, NULL);
    FN(product_abreast)(D, start + 1, scores, width, values, room * D, RLS_STEP, D, out, D);
    for (int h = 0; h < ABREAST; h++)
        for (int64_t d = 0; d < D; d++) out[h * D + d] *= inverse[h];
}

/* T new tokens a sequence, for the heads that share key and value g: each attends to all tokens up to itself.  Reads
 * nothing behind the new tokens but as far as the next multiple of RLS_STEP, and what it reads there does not count. */
static void FN(attend_cached)(const FN(heads) *c, int64_t g, int64_t start, const REAL *qkv, const REAL *keys,
                              const REAL *values, REAL *work, REAL *out) {
    const int64_t T = c->T, H = c->H, K = c->K, D = c->D, token = (H + 2 * K) * D;
    const int64_t n = start + T, width = round_up(n, RLS_STEP), wide = round_up(D, VECTOR);
    if (wide > D) { /* rows of whole vectors are needed */
        REAL *copy = work + STRIP * (width + wide);
        FN(copy_rows)(n, D, values, D, copy);
        values = copy;
    }
    for (int64_t h = g * (H / K); h < (g + 1) * (H / K); h++)
        for (int64_t t = 0; t < T; t += STRIP)
            FN(attend_strip)(least(STRIP, T - t), start + t, D, qkv + t * token + h * D, token, keys, RLS_STEP,
                             values, wide, work, out + (t * H + h) * D, H * D, NULL);
}

static int64_t FN(attention_cached_task)(const void *call, int64_t first, int64_t end) {
    const FN(heads) *c = call;
    const int64_t D = c->D, K = c->K, wide = round_up(D, VECTOR), each = c->room * D;
    const int alone = c->T == 1 && c->H == K && wide == D;
    void *block;
    REAL *work = FN(workspace)(STRIP * (c->room + wide) + (wide > D ? c->room * wide : 0), &block);
    if (work == NULL) return RLS_NO_MEMORY;
    for (int64_t n = first, now; n < end; n += now) {
        const int64_t b = n / K, g = n % K, row = c->rows[b], start = c->start[row];
        const REAL *qkv = c->qkv + b * c->T * (c->H + 2 * K) * D;
        REAL *keys = c->keys + (row * K + g) * each, *values = c->values + (row * K + g) * each;
        REAL *out = c->out + b * c->T * c->H * D;
        now = alone && g + ABREAST <= K && n + ABREAST <= end ? ABREAST : 1;
        for (int64_t h = 0; h < now; h++)
            FN(remember)(c, start, qkv + (c->H + g + h) * D, keys + h * each, values + h * each);
        if (now == ABREAST) FN(attend_abreast)(c, start, qkv + g * D, keys, values, work, out + g * D);
        else FN(attend_cached)(c, g, start, qkv, keys, values, work, out);
    }
    free(block);
    return -1;
}

/* B sequences, which stand in the cache at `rows`. */
static int64_t FN(attention_rows)(int64_t B, int64_t T, const rls_shape *s, const REAL *qkv, REAL *keys, REAL *values,
                                  const int64_t *start, const int64_t *rows, REAL *out) {
    const FN(heads) call = {.T = T, .H = s->H, .K = s->K, .D = s->D, .room = s->room, .qkv = qkv, .keys = keys,
                            .values = values, .start = start, .rows = rows, .out = out};
    int64_t products = 0; /* and something for each head */
    for (int64_t b = 0; b < B; b++) products += s->H * T * (start[rows[b]] + T + 4 * RLS_STEP) * s->D;
    return rls_share(B * s->K, 4 * products / PRODUCTS, FN(attention_cached_task), &call);
}
