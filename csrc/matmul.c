/*
 * The matrix product, in tiles that stay in registers.
 *
 *     out[i,j] = sum_k a[i,k] b[k,j]
 *
 *     a    (M, K), or (K, M) when transpose_a
 *     b    (K, N), or (N, K) when transpose_b
 *     out  (M, N)
 *
 * Twin: kernels/reference/matmul.py, matmul().  Equal to rounding.
 *
 * The order of the sum is fixed by K alone: each block of K_BLOCK terms is summed from left to
 * right, starting at 0, and the blocks are added from left to right.  Whichever tile computes an
 * entry, and however the result is cut into tiles, packed or shared among threads, its terms meet
 * in this order.  So a row does not change, bit for bit, with the other rows or with their number,
 * nor with the number of threads.
 *
 * Assumed, and checked before the call: M, N, K >= 1, out overlaps neither a nor b.  The result is
 * -1, or RLS_NO_MEMORY when a packing buffer could not be had.
 */
#ifndef RLS_MATMUL_ONCE
#define RLS_MATMUL_ONCE

#define TILE_ROWS 6
#if VECTOR_BYTES == 64
#define TILE_VECTORS 4 /* 24 of 32 registers hold sums */
#else
#define TILE_VECTORS 2 /* 12 of 16 */
#endif
#define K_BLOCK 256      /* so much of K at a time: what was packed stays in the cache */
#define ROW_BLOCK 96     /* rows of a that are packed at a time, when transposed */
#define PANEL_BLOCK 8    /* panels of b that are packed at a time */
#define WORTH_PACKING 24 /* rows that repay the packing of b */
#define PRODUCTS 100     /* multiplications in a nanosecond, about */
#define PANEL (TILE_VECTORS * VECTOR) /* columns of a tile */

/* The grid of rows x columns <= runs that leaves the fewest tiles in the largest; of equals, the one
 * that cuts the longer side. */
static void choose_grid(int64_t tiles, int64_t panels, int tall, int64_t runs, int64_t *rows, int64_t *columns) {
    int64_t fewest = INT64_MAX;
    for (int64_t r = 1; r <= runs; r++) {
        int64_t c = runs / r, load = ((tiles + r - 1) / r) * ((panels + c - 1) / c);
        if (load < fewest || (load == fewest && tall)) fewest = load, *rows = r, *columns = c;
    }
}
#endif

/*
 * One tile:  c[r,:] = (add ? c[r,:] : 0) + sum_k a[r,k] b[k,:]      r < rows, `vectors` vectors wide
 *
 * a[r,k] is at r * a_row + k * a_k, so a may lie either way round; rows of b and c are whole
 * vectors.  `rows` and `vectors` are constants where this is called: the sums are registers.
 */
static inline __attribute__((always_inline)) void FN(tile_of)(const int rows, const int vectors, int64_t K,
                                                              const REAL *a, int64_t a_row, int64_t a_k,
                                                              const REAL *b, int64_t b_row, REAL *c, int64_t c_row,
                                                              int add) {
    FN(vector) sum[TILE_ROWS][TILE_VECTORS];
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = (FN(vector)){0};
    }
    for (int64_t k = 0; k < K; k++) {
        FN(vector) row[TILE_VECTORS];
        UNROLL for (int v = 0; v < vectors; v++) row[v] = *(const FN(loose_vector) *)(b + k * b_row + v * VECTOR);
        UNROLL for (int r = 0; r < rows; r++) {
            const REAL x = a[r * a_row + k * a_k];
            UNROLL for (int v = 0; v < vectors; v++) sum[r][v] += x * row[v];
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int v = 0; v < vectors; v++) {
            FN(loose_vector) *place = (FN(loose_vector) *)(c + r * c_row + v * VECTOR);
            if (add) *place += sum[r][v];
            else *place = sum[r][v];
        }
    }
}

static void FN(tile)(int64_t rows, int64_t vectors, int64_t K, const REAL *a, int64_t a_row, int64_t a_k,
                     const REAL *b, int64_t b_row, REAL *c, int64_t c_row, int add) {
#define CASE(r, v) \
    case 8 * (v) + (r): FN(tile_of)(r, v, K, a, a_row, a_k, b, b_row, c, c_row, add); break;
#define CASES(v) CASE(1, v) CASE(2, v) CASE(3, v) CASE(4, v) CASE(5, v) CASE(6, v)
    switch (8 * vectors + rows) {
        CASES(1)
        CASES(2)
#if TILE_VECTORS == 4
        CASES(3)
        CASES(4)
#endif
    }
#undef CASES
#undef CASE
}

/*
 * c (M, N) = (add ? c : 0) + a (M, K) b (K, N) where N is whole vectors and b and c have rows that
 * long; no packing.  For small products inside other kernels; the same order of the sum.
 */
static void FN(product)(int64_t M, int64_t N, int64_t K, const REAL *a, int64_t a_row, int64_t a_k, const REAL *b,
                        int64_t b_row, REAL *c, int64_t c_row, int add) {
    for (int64_t k = 0; k < K; k += K_BLOCK)
        for (int64_t j = 0; j < N; j += PANEL)
            for (int64_t i = 0; i < M; i += TILE_ROWS)
                FN(tile)(least(TILE_ROWS, M - i), least(PANEL, N - j) / VECTOR, least(K_BLOCK, K - k),
                         a + i * a_row + k * a_k, a_row, a_k, b + k * b_row + j, b_row, c + i * c_row + j, c_row,
                         add || k > 0);
}

/* A panel of b, (K, width) as rows of PANEL, filled with zeros to whole vectors. */
static void FN(pack_panel)(int64_t K, int64_t width, const REAL *b, int64_t b_k, int transposed, REAL *panel) {
    const int64_t full = width / VECTOR * VECTOR, whole = round_up(width, VECTOR);
    if (transposed) FN(transpose)(width, K, b, b_k, panel, PANEL);
    for (int64_t k = 0; k < K; k++) {
        REAL *to = panel + k * PANEL;
        if (!transposed) {
            for (int64_t j = 0; j < full; j += VECTOR)
                *(FN(loose_vector) *)(to + j) = *(const FN(loose_vector) *)(b + k * b_k + j);
            for (int64_t j = full; j < width; j++) to[j] = b[k * b_k + j];
        }
        for (int64_t j = width; j < whole; j++) to[j] = 0;
    }
}

/* Rows of a transposed a, (K, rows), as tiles (K, TILE_ROWS) one after the other. */
static void FN(pack_rows)(int64_t K, int64_t rows, const REAL *a, int64_t a_k, REAL *packed) {
    int64_t i = 0;
    for (; i + TILE_ROWS <= rows; i += TILE_ROWS, packed += K * TILE_ROWS)
        for (int64_t k = 0; k < K; k++) memcpy(packed + k * TILE_ROWS, a + k * a_k + i, TILE_ROWS * sizeof(REAL));
    for (int64_t k = 0; k < K; k++)
        for (int64_t r = i; r < rows; r++) packed[k * TILE_ROWS + r - i] = a[k * a_k + r];
}

/* A tile whose last vector is not full: computed aside, then its true columns copied. */
static void FN(ragged_tile)(int64_t rows, int64_t width, int64_t K, const REAL *a, int64_t a_row, int64_t a_k,
                            const REAL *b, REAL *c, int64_t c_row, int add) {
    REAL aside[TILE_ROWS * TILE_VECTORS * (VECTOR_BYTES / sizeof(REAL))];
    FN(tile)(rows, round_up(width, VECTOR) / VECTOR, K, a, a_row, a_k, b, PANEL, aside, PANEL, 0);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++)
            c[r * c_row + j] = add ? c[r * c_row + j] + aside[r * PANEL + j] : aside[r * PANEL + j];
}

/* What one thread computes: rows [i0, i1) and columns [j0, j1) of the result, a cell of the grid. */
typedef struct {
    int64_t M, N, K, a_row, a_k, b_k, b_column, rows, columns, i0, i1, j0, j1;
    const REAL *a, *b, *panels; /* panels: b packed as a whole, or NULL */
    REAL *out;
} FN(part);

/* rows [i0, i1) of one panel, columns [j, j + width), one block of K. */
static void FN(panel_product)(const FN(part) *p, int64_t i0, int64_t i1, int64_t j, int64_t k, const REAL *rows,
                              const REAL *panel, int64_t panel_row) {
    const int64_t width = least(PANEL, p->j1 - j), depth = least(K_BLOCK, p->K - k);
    for (int64_t i = i0; i < i1; i += TILE_ROWS) {
        const REAL *a = rows ? rows + (i - i0) * depth : p->a + i * p->a_row + k;
        const int64_t a_row = rows ? 1 : p->a_row, a_k = rows ? TILE_ROWS : 1, count = least(TILE_ROWS, i1 - i);
        REAL *c = p->out + i * p->N + j;
        if (width % VECTOR) FN(ragged_tile)(count, width, depth, a, a_row, a_k, panel, c, p->N, k > 0);
        else FN(tile)(count, width / VECTOR, depth, a, a_row, a_k, panel, panel_row, c, p->N, k > 0);
    }
}

static int FN(matmul_part)(const FN(part) *p) {
    const int turned_a = p->a_k != 1, turned_b = p->b_column != 1;
    const int packs = !p->panels && (turned_b || (p->i1 - p->i0 > WORTH_PACKING && p->N > PANEL));
    const int64_t depth = least(K_BLOCK, p->K);
    const int64_t panels = packs ? least(PANEL_BLOCK, (p->j1 - p->j0 + PANEL - 1) / PANEL) : 1;
    const size_t size_a = turned_a ? (size_t)(depth * ROW_BLOCK) : 0;
    const size_t size_b = packs || (!p->panels && (p->j1 - p->j0) % VECTOR) ? (size_t)(depth * panels * PANEL) : 0;
    REAL *buffer = NULL;
    if (size_a + size_b && (buffer = malloc((size_a + size_b) * sizeof(REAL) + 64)) == NULL) return 1;
    REAL *packed_b = (REAL *)(((uintptr_t)buffer + 63) / 64 * 64);
    REAL *packed_a = turned_a ? packed_b + size_b : NULL;
    for (int64_t k = 0; k < p->K; k += K_BLOCK) {
        const int64_t now = least(K_BLOCK, p->K - k);
        for (int64_t j = p->j0; j < p->j1; j += panels * PANEL) {
            const int64_t j_end = least(j + panels * PANEL, p->j1);
            int packed = 0; /* a lone ragged panel is packed even where b is read in place */
            if (packs || (!p->panels && (j_end - j) % VECTOR)) {
                for (int64_t jj = j; jj < j_end; jj += PANEL)
                    FN(pack_panel)(now, least(PANEL, j_end - jj), p->b + k * p->b_k + jj * p->b_column,
                                   turned_b ? p->b_column : p->b_k, turned_b, packed_b + (jj - j) * depth);
                packed = 1;
            }
            for (int64_t i = p->i0; i < p->i1; i += ROW_BLOCK) {
                const int64_t i_end = least(i + ROW_BLOCK, p->i1);
                if (turned_a) FN(pack_rows)(now, i_end - i, p->a + i + k * p->a_k, p->a_k, packed_a);
                for (int64_t jj = j; jj < j_end; jj += PANEL)
                    FN(panel_product)(p, i, i_end, jj, k, packed_a,
                                      p->panels ? p->panels + jj * p->K + k * PANEL
                                      : packed ? packed_b + (jj - j) * depth : p->b + k * p->b_k + jj,
                                      packed || p->panels ? PANEL : p->b_k);
            }
        }
    }
    free(buffer);
    return 0;
}

/* Cells [first, end) of the grid of rows x columns cells. */
static int64_t FN(matmul_task)(const void *call, int64_t first, int64_t end) {
    FN(part) p = *(const FN(part) *)call;
    const int64_t tiles = (p.M + TILE_ROWS - 1) / TILE_ROWS, panels = (p.N + PANEL - 1) / PANEL;
    for (int64_t n = first; n < end; n++) {
        p.i0 = least(p.M, tiles * (n / p.columns) / p.rows * TILE_ROWS);
        p.i1 = least(p.M, tiles * (n / p.columns + 1) / p.rows * TILE_ROWS);
        p.j0 = least(p.N, panels * (n % p.columns) / p.columns * PANEL);
        p.j1 = least(p.N, panels * (n % p.columns + 1) / p.columns * PANEL);
        if (p.i0 < p.i1 && p.j0 < p.j1 && FN(matmul_part)(&p)) return RLS_NO_MEMORY;
    }
    return -1;
}

static int64_t FN(all_cells)(FN(part) *all) {
    const int64_t nanoseconds = (all->M + 4) * all->N * all->K / PRODUCTS; /* 4: b must be read, and perhaps packed */
    choose_grid((all->M + TILE_ROWS - 1) / TILE_ROWS, (all->N + PANEL - 1) / PANEL, all->M >= all->N,
                rls_runs(nanoseconds), &all->rows, &all->columns);
    return rls_share(all->rows * all->columns, nanoseconds, FN(matmul_task), all);
}

static int64_t FN(matmul)(int64_t M, int64_t N, int64_t K, const REAL *a, int transpose_a, const REAL *b,
                          int transpose_b, REAL *out) {
    FN(part) all = {.M = M, .N = N, .K = K, .a = a, .b = b, .out = out};
    all.a_row = transpose_a ? 1 : K;
    all.a_k = transpose_a ? M : 1;
    all.b_k = transpose_b ? 1 : N;
    all.b_column = transpose_b ? K : 1;
    return FN(all_cells)(&all);
}

/* b (K, N) as a whole in panels, for many products with few rows; and such a product. */
static int64_t FN(packed_size)(int64_t K, int64_t N) { return round_up(N, PANEL) * K; }

static void FN(pack)(int64_t K, int64_t N, const REAL *b, REAL *panels) {
    for (int64_t j = 0; j < N; j += PANEL) FN(pack_panel)(K, least(PANEL, N - j), b + j, N, 0, panels + j * K);
}

static int64_t FN(matmul_packed)(int64_t M, int64_t N, int64_t K, const REAL *a, const REAL *panels, REAL *out) {
    FN(part) all = {.M = M, .N = N, .K = K, .a = a, .panels = panels, .out = out, .a_row = K, .a_k = 1, .b_column = 1};
    return FN(all_cells)(&all);
}
