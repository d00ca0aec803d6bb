/*
 * T more tokens a sequence through the whole transformer, and whole answers, without Python in between.
 *
 *     x = wte[token] + wpe[length + t]                                                (A, T, C)
 *     L times:
 *         n = norm(x)            q, k, v = n W + b      q, k turned by their places      a = attention over the cache
 *         x = (a W + b) + x
 *         n = norm(x)            x = (f(n W + b) W + b) + x                   f: gelu or swiglu
 *     logits = norm(x[last]) output                                                   (A, V)
 *
 *     weights   3 + 12 L + 2 arrays: wte (V, C), wpe (., C), turns (., D); a layer's two norms and four matrices with
 *               their biases, in the order of blocks.shapes(), matrices (in, out); the last norm.  NULL where a model
 *               has none: no wpe or no turns, no bias of a matrix; a norm without a bias is RMS norm
 *     output    (C, V)          the output matrix, turned so that its columns are words
 *     keys      L arrays (B, K, room / 16, D, 16)     values  L arrays (B, K, room, D)         the cache
 *     lengths   (B,)            tokens of each sequence in the cache
 *     rows      (A,)            the sequences of the cache that go on
 *     tokens    (A, T)          the next tokens of each, padded on the right
 *     last      (A,)            which of them the logits are wanted after; NULL: the last
 *
 * Twins: kernels/reference/decode.py, decode() and answer().  Equal to rounding.
 *
 * It is made of the kernels that the training step runs, in the same order on the same numbers.  Their
 * rows do not depend on their neighbours, so logits are those of the training forward pass bit for bit.
 *
 * Assumed, and checked before the call: ids in range, lengths below the context and the room.
 */
#ifndef RLS_DECODE_ONCE
#define RLS_DECODE_ONCE

/* The arrays before the first layer's, and a layer's from its first one on. */
enum { WTE, WPE, TURNS, BEFORE };
enum { NORM_1 = 0, QKV = 2, MIX = 4, NORM_2 = 6, WIDEN = 8, NARROW = 10, A_LAYER = 12 };

/* Columns of a layer's first and third matrices. */
static int64_t qkv_width(const rls_shape *s) { return (s->H + 2 * s->K) * s->D; }
static int64_t widened(const rls_shape *s) { return s->gated ? 2 * s->inner : s->inner; }
#endif

/* x = (y + bias) + x, each of n rows. */
static void FN(add_branch)(int64_t n, int64_t C, const REAL *y, const REAL *bias, REAL *x) {
    for (int64_t i = 0; i < n * C; i += C)
        if (bias)
#pragma omp simd
            for (int64_t j = 0; j < C; j++) x[i + j] = (y[i + j] + bias[j]) + x[i + j];
        else
#pragma omp simd
            for (int64_t j = 0; j < C; j++) x[i + j] = y[i + j] + x[i + j];
}

static void FN(add_bias)(int64_t n, int64_t C, const REAL *bias, REAL *y) {
    for (int64_t i = 0; bias && i < n; i++)
#pragma omp simd
        for (int64_t j = 0; j < C; j++) y[i * C + j] += bias[j];
}

/* `norm`: a gain, and a bias or NULL. */
static void FN(norm)(int64_t N, int64_t C, const REAL *x, const REAL *const *norm, double eps, REAL *y, REAL *stats) {
    if (norm[1]) FN(layer_norm)(N, C, x, norm[0], norm[1], eps, y, stats);
    else FN(rms_norm)(N, C, x, norm[0], eps, y, stats);
}

/* y (A, N) = x (A, K) matrix (K, N).  Where there are panels the matrix is read from there, and they move on to the
 * next one's. */
static int FN(apply)(int64_t A, int64_t N, int64_t K, const REAL *x, const REAL *matrix, const REAL **panels, REAL *y) {
    if (*panels == NULL) return FN(matmul)(A, N, K, x, 0, matrix, 0, y) != -1;
    FN(matmul_packed)(A, N, K, x, *panels, y);
    *panels += FN(packed_size)(K, N);
    return 0;
}

/* What a call of decode() has for every layer: `places` of the tokens; `n`, `wide` and `stats` as scratch. */
typedef struct {
    int64_t A, T;
    const REAL *turns;
    const int64_t *lengths, *rows, *places;
    REAL *n, *wide, *stats;
} FN(decoded);

/* One layer: x (A, T, C) in place. */
static int FN(decode_layer)(const rls_shape *s, const FN(decoded) *c, const REAL *const *w, const REAL **panels,
                            REAL *keys, REAL *values, REAL *x) {
    const int64_t C = s->C, N = c->A * c->T, QKV_C = qkv_width(s), inner = widened(s);
    REAL *n = c->n, *wide = c->wide;
    FN(norm)(N, C, x, w + NORM_1, s->eps, n, c->stats);
    if (FN(apply)(N, QKV_C, C, n, w[QKV], panels, wide)) return 1;
    FN(add_bias)(N, QKV_C, w[QKV + 1], wide);
    if (c->turns) FN(rotary)(N, s->H + 2 * s->K, s->D, s->H + s->K, wide, c->turns, c->places, 0, wide);
    if (FN(attention_rows)(c->A, c->T, s, wide, keys, values, c->lengths, c->rows, n) != -1) return 1;
    if (FN(apply)(N, C, s->H * s->D, n, w[MIX], panels, wide)) return 1;
    FN(add_branch)(N, C, wide, w[MIX + 1], x);
    FN(norm)(N, C, x, w + NORM_2, s->eps, n, c->stats);
    if (FN(apply)(N, inner, C, n, w[WIDEN], panels, wide)) return 1;
    REAL *act = wide;
    if (s->gated) {
        FN(add_bias)(N, inner, w[WIDEN + 1], wide);
        FN(swiglu)(N, s->inner, wide, act = wide + N * inner);
    } else FN(bias_gelu)(N, inner, wide, w[WIDEN + 1], s->exact_gelu, wide);
    if (FN(apply)(N, C, s->inner, act, w[NARROW], panels, n)) return 1;
    FN(add_branch)(N, C, n, w[NARROW + 1], x);
    return 0;
}

/*
 * All matrices of a model as panels, in the order in which a token meets them: to be read once a token from
 * its first byte to its last.  The result is for free(), or NULL where there is no memory.
 */
static void *FN(pack_model)(const rls_shape *s, const REAL *const *weights, const REAL *output) {
    const int64_t C = s->C, V = s->V, from[4] = {C, s->H * s->D, C, s->inner}, to[4] = {qkv_width(s), C, widened(s), C};
    static const int matrix[4] = {QKV, MIX, WIDEN, NARROW};
    int64_t size = FN(packed_size)(C, V);
    for (int m = 0; m < 4; m++) size += s->L * FN(packed_size)(from[m], to[m]);
    void *block;
    REAL *panels = FN(workspace)(size, &block);
    if (panels == NULL) return NULL;
    for (int64_t l = 0; l < s->L; l++)
        for (int m = 0; m < 4; panels += FN(packed_size)(from[m], to[m]), m++)
            FN(pack)(from[m], to[m], weights[BEFORE + A_LAYER * l + matrix[m]], panels);
    FN(pack)(C, V, output, panels);
    return block;
}

/* packed: what pack_model returned, or NULL. */
static int64_t FN(decode)(const rls_shape *s, int64_t A, int64_t T, const REAL *const *weights, const REAL *output,
                          const void *packed, REAL *const *keys, REAL *const *values, const int64_t *lengths,
                          const int64_t *rows, const int64_t *tokens, const int64_t *last, REAL *logits) {
    const int64_t C = s->C, N = A * T, most = C > s->H * s->D ? C : s->H * s->D, q = qkv_width(s);
    const int64_t act = widened(s) + (s->gated ? s->inner : 0), both = q > C ? q : C, widest = act > both ? act : both;
    int64_t *places = malloc((size_t)N * (sizeof(int64_t) + (size_t)(C + most + widest + 2) * sizeof(REAL)));
    if (places == NULL) return RLS_NO_MEMORY;
    REAL *x = (REAL *)(places + N), *n = x + N * C;
    const FN(decoded) call = {.A = A, .T = T, .turns = weights[TURNS], .lengths = lengths, .rows = rows,
                              .places = places, .n = n, .stats = n + N * most, .wide = n + N * (most + 2)};
    for (int64_t i = 0; i < N; i++) {
        places[i] = lengths[rows[i / T]] + i % T;
        memcpy(x + i * C, weights[WTE] + tokens[i] * C, (size_t)C * sizeof(REAL));
        const REAL *place = weights[WPE] ? weights[WPE] + places[i] * C : NULL;
        for (int64_t j = 0; place && j < C; j++) x[i * C + j] += place[j];
    }
    int failed = 0;
    const REAL *panels = packed ? FN(aligned)(packed) : NULL;
    for (int64_t l = 0; l < s->L && !failed; l++)
        failed = FN(decode_layer)(s, &call, weights + BEFORE + A_LAYER * l, &panels, keys[l], values[l], x);
    if (!failed) {
        for (int64_t i = 0; i < A; i++)
            memcpy(n + i * C, x + (i * T + (last ? last[i] : T - 1)) * C, (size_t)C * sizeof(REAL));
        FN(norm)(A, C, n, weights + BEFORE + A_LAYER * s->L, s->eps, x, call.stats);
        failed = FN(apply)(A, s->V, C, x, output, &panels, logits);
    }
    free(places);
    return failed ? RLS_NO_MEMORY : -1;
}

/*
 * Tokens first, ..., end - 1 of the answers of the sequences `rows`, which number *A and have these logits
 * (A, V) for the next.  Each token is drawn as in sample.c with its uniform u[row, n].  A sequence leaves
 * when its token is a stop token; *A and `rows` are then those that go on, in their order.
 *
 *     u (B, N)   stops (V,)   ids, logp (B, N)   counts (B,) tokens of each answer   lengths grow
 *
 * Token N - 1 needs no step behind it.  Returns the first bad row of the logits among those that go on,
 * RLS_NO_MEMORY, or -1.
 */
static int64_t FN(answer)(const rls_shape *s, const rls_knobs *knobs, int64_t N, int64_t first, int64_t end,
                          const REAL *const *weights, const REAL *output, const void *packed, REAL *const *keys,
                          REAL *const *values, int64_t *lengths, const double *u, const char *stops, int64_t *A,
                          int64_t *rows, REAL *logits, int64_t *ids, REAL *logp, int64_t *counts) {
    double *uniforms = malloc((size_t)*A * (sizeof(double) + sizeof(int64_t) + sizeof(REAL)));
    if (uniforms == NULL) return RLS_NO_MEMORY;
    int64_t *drawn = (int64_t *)(uniforms + *A), result = -1;
    REAL *logps = (REAL *)(drawn + *A);
    for (int64_t n = first; n < end && *A > 0 && result == -1; n++) {
        for (int64_t i = 0; i < *A; i++) uniforms[i] = u[rows[i] * N + n];
        result = FN(sample)(*A, s->V, logits, uniforms, knobs->temperature, knobs->top_k, knobs->top_p, knobs->min_p,
                            drawn, logps);
        int64_t left = 0;
        for (int64_t i = 0; i < *A && result == -1; i++) {
            const int64_t row = rows[i];
            ids[row * N + n] = drawn[i], logp[row * N + n] = logps[i], counts[row] = n + 1;
            if (!stops[drawn[i]]) rows[left] = row, drawn[left++] = drawn[i];
        }
        if (result == -1) *A = left;
        if (result != -1 || left == 0 || n + 1 == N) break;
        result = FN(decode)(s, left, 1, weights, output, packed, keys, values, lengths, rows, drawn, NULL, logits);
        for (int64_t i = 0; i < left; i++) lengths[rows[i]]++;
    }
    free(uniforms);
    return result;
}
