/*
 * Draw one token a row: by inverting the cumulative distribution of given probabilities, and from
 * logits through temperature, top-k, top-p and min-p.
 *
 * Twins: kernels/reference/sample.py, draw() and sample().  The draw from given probabilities is
 * the same bit for bit, since both add in double from left to right.  From logits both work in
 * double too, and differ only where a uniform lies within rounding of a boundary.
 *
 * The caller draws the uniforms: this file owns no random state, and a run replays from its seed.
 */

/*
 *     ids[i] = the least j with  p[i,0] + ... + p[i,j] > u[i]
 *
 *     p    (N, V)  rows of probabilities
 *     u    (N,)    uniforms in [0, 1)
 *     ids  (N,)    token ids in [0, V)
 *
 * In the loop cum = p[i,0] + ... + p[i,j], and no earlier sum exceeded u[i].  Rounding may leave
 * the last sum at or below u[i]: the answer is then the last token that has any probability.
 *
 * Assumed, and checked before the call: p >= 0, a positive entry in every row, 0 <= u < 1.
 */
static int64_t FN(draw_row)(int64_t V, const REAL *p, double u) {
    double cum = 0;
    int64_t last = 0;
    for (int64_t j = 0; j < V; j++) {
        if (p[j] > 0) last = j;
        cum += p[j];
        if (cum > u) return j;
    }
    return last;
}

static void FN(draw)(int64_t N, int64_t V, const REAL *probs, const double *u, int64_t *ids) {
    for (int64_t i = 0; i < N; i++) ids[i] = FN(draw_row)(V, probs + i * V, u[i]);
}

#ifndef RLS_SAMPLE_ONCE
#define RLS_SAMPLE_ONCE

#define BINS 4096 /* 12 bits of a key at a time */
#define FEW 64    /* so many candidates are sorted directly */

/* What one thread needs for one row: n surviving tokens in order of their ids. */
typedef struct {
    double *z, *w;      /* (V,) scaled logit <= 0, and exp(z) */
    int32_t *id, *cand; /* (V,) token id; candidates of keep_prefix */
    double *bin;        /* (BINS,) */
} survivors;

/* z <= 0, so the bits of -z, read as an integer, grow as z falls.  Adding 0 turns -0 into 0. */
static inline uint64_t sort_key(double z) {
    double positive = 0.0 - z;
    uint64_t key;
    memcpy(&key, &positive, sizeof key);
    return key;
}

/* Candidates by descending z, the lower id first among equals. */
static void sort_few(const double *z, int32_t *cand, int64_t count) {
    for (int64_t a = 1; a < count; a++) {
        int32_t c = cand[a];
        int64_t b = a;
        for (; b > 0 && z[cand[b - 1]] < z[c]; b--) cand[b] = cand[b - 1];
        cand[b] = c;
    }
}

/*
 * Keep each token that has less than `target` before it, in descending order of z (the lower id
 * first among equals); "before it" counts tokens for top-k (by_mass = 0) and adds w for top-p.
 * Returns how many stay; they move to the front, still in order of their ids.  The first stays
 * even where the target is not positive, as for a top_p within MARGIN of 0.
 *
 * No sort of the row: a histogram over the first 12 bits of the keys tells in which bin the
 * target is crossed, the next 12 bits split that bin, and so on to the last bit.  In the loop,
 * `before` is the amount in all bins that precede the candidates', and the crossing token is a
 * candidate.  A bin that reached the target may add up to less, by rounding, once it is split:
 * the crossing is then in the last of its parts that holds anything.
 */
static int64_t keep_prefix(survivors s, int64_t n, double target, int by_mass) {
    int64_t count = n;
    double before = 0;
    for (int64_t j = 0; j < n; j++) s.cand[j] = (int32_t)j;
    for (int bits = 51; bits > -12 && count > FEW; bits -= 12) {
        const int shift = bits > 0 ? bits : 0;
        memset(s.bin, 0, BINS * sizeof *s.bin);
        for (int64_t c = 0; c < count; c++) {
            int32_t j = s.cand[c];
            s.bin[sort_key(s.z[j]) >> shift & (BINS - 1)] += by_mass ? s.w[j] : 1;
        }
        uint64_t b = 0, last = BINS - 1;
        while (s.bin[last] == 0) last--;
        while (b < last && before + s.bin[b] < target) before += s.bin[b++];
        int64_t kept = 0;
        for (int64_t c = 0; c < count; c++)
            if ((sort_key(s.z[s.cand[c]]) >> shift & (BINS - 1)) == b) s.cand[kept++] = s.cand[c];
        count = kept;
    }
    if (count <= FEW) sort_few(s.z, s.cand, count);
    double edge = 1;       /* z of the last token kept */
    int64_t at_edge = 0;   /* and how many are kept that share it */
    int64_t c = 0;
    do {
        at_edge = s.z[s.cand[c]] == edge ? at_edge + 1 : 1;
        edge = s.z[s.cand[c]];
        before += by_mass ? s.w[s.cand[c]] : 1;
    } while (++c < count && before < target);
    int64_t kept = 0;
    for (int64_t j = 0; j < n; j++) {
        if (!(s.z[j] > edge || (s.z[j] == edge && at_edge-- > 0))) continue;
        s.z[kept] = s.z[j], s.w[kept] = s.w[j], s.id[kept] = s.id[j];
        kept++;
    }
    return kept;
}

/* exp of every survivor, and their sum from left to right: the twin's order. */
static double weigh(survivors s, int64_t n) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) s.w[j] = exp_f64(s.z[j]);
    double total = 0;
    for (int64_t j = 0; j < n; j++) total += s.w[j];
    return total;
}

static int64_t keep_above(survivors s, int64_t n, double least) {
    int64_t kept = 0;
    for (int64_t j = 0; j < n; j++) {
        if (!(s.z[j] >= least)) continue;
        s.z[kept] = s.z[j], s.w[kept] = s.w[j], s.id[kept] = s.id[j];
        kept++;
    }
    return kept;
}

static double add_up(survivors s, int64_t n) {
    double total = 0;
    for (int64_t j = 0; j < n; j++) total += s.w[j];
    return total;
}

static int survivors_alloc(survivors *s, int64_t V) {
    char *block = malloc((size_t)V * (2 * sizeof(double) + 2 * sizeof(int32_t)) + BINS * sizeof(double));
    if (block == NULL) return 0;
    s->bin = (double *)block;
    s->z = s->bin + BINS;
    s->w = s->z + V;
    s->id = (int32_t *)(s->w + V);
    s->cand = s->id + V;
    return 1;
}

/* Room for rounding at decimal thresholds: .25 + .20 + .18 + .15 + .12 reaches .9. */
#define MARGIN 1e-6
#endif

/* No more than the k-th greatest logit: each of k blocks has one that is as great. */
static REAL FN(at_most_kth)(int64_t V, const REAL *x, int64_t k) {
    REAL least = (REAL)INFINITY;
    for (int64_t b = 0; b < k; b++) {
        const REAL most = FN(row_max)((b + 1) * V / k - b * V / k, x + b * V / k);
        if (most < least) least = most;
    }
    return least;
}

/*
 * From logits, one row:
 *
 *     z = (logits - max) / T          keep the top_k greatest z (0: all)
 *     w = exp(z)                      keep those with less than (top_p - 1e-6) sum w before them
 *                                     keep those with z >= log(min_p (1 - 1e-6)), that is, w >= min_p
 *     id = the least with  w[0] + ... + w[id] > u sum w        over what was kept
 *     logp = z[id] - log sum w                                 its log-probability there
 *
 *     logits (N, V), u (N,) in [0, 1), temperature > 0, top_k >= 0, 0 < top_p <= 1, 0 <= min_p <= 1
 *
 * Returns the first row with a NaN, a +inf or nothing but -inf; RLS_NO_MEMORY; or -1.
 */
static int FN(sample_row)(int64_t V, const REAL *x, double u, double inverse, int64_t top_k, double top_p,
                          double min_p, survivors s, int64_t *id, REAL *logp) {
    const REAL m = FN(row_max)(V, x);
    int nan = !(m > -(REAL)INFINITY && m < (REAL)INFINITY);
#pragma omp simd reduction(| : nan)
    for (int64_t j = 0; j < V; j++) {
        s.z[j] = ((double)x[j] - (double)m) * inverse;
        s.id[j] = (int32_t)j;
        nan |= x[j] != x[j];
    }
    if (nan) return 0;
    int64_t n = V;
    if (top_k > 0 && top_k <= V / 16) /* some hundreds are left of tens of thousands */
        n = keep_above(s, n, ((double)FN(at_most_kth)(V, x, top_k) - (double)m) * inverse);
    if (top_k > 0 && top_k < n) n = keep_prefix(s, n, (double)top_k, 0);
    double total = weigh(s, n);
    if (top_p < 1) n = keep_prefix(s, n, (top_p - MARGIN) * total, 1);
    if (min_p > 0) n = keep_above(s, n, log(min_p * (1 - MARGIN)));
    if (top_p < 1 || min_p > 0) total = add_up(s, n);
    const double threshold = u * total;
    double cum = 0;
    int64_t chosen = 0;
    for (int64_t j = 0; j < n; j++) {
        if (s.w[j] > 0) chosen = j;
        cum += s.w[j];
        if (cum > threshold) break;
    }
    *id = s.id[chosen];
    *logp = (REAL)(s.z[chosen] - log(total));
    return 1;
}

typedef struct {
    int64_t V, top_k;
    const REAL *logits;
    const double *u;
    double inverse, top_p, min_p; /* 1 / temperature */
    int64_t *ids;
    REAL *logp;
} FN(sample_call);

static int64_t FN(sample_task)(const void *call, int64_t first, int64_t end) {
    const FN(sample_call) *c = call;
    survivors s;
    if (!survivors_alloc(&s, c->V)) return RLS_NO_MEMORY;
    int64_t i = first;
    while (i < end && FN(sample_row)(c->V, c->logits + i * c->V, c->u[i], c->inverse, c->top_k, c->top_p, c->min_p, s,
                                     c->ids + i, c->logp + i)) i++;
    free(s.bin);
    return i < end ? i : -1;
}

static int64_t FN(sample)(int64_t N, int64_t V, const REAL *logits, const double *u, double temperature,
                          int64_t top_k, double top_p, double min_p, int64_t *ids, REAL *logp) {
    const FN(sample_call) call = {V, top_k, logits, u, 1 / temperature, top_p, min_p, ids, logp};
    return rls_share(N, 8 * N * V, FN(sample_task), &call);
}
