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
 * What is to be packed is packed once, by all threads, and then read by all of them.
 *
 * Assumed, and checked before the call: M, N, K >= 1, out overlaps neither a nor b.  The result is
 * -1, or RLS_NO_MEMORY when there is no memory to pack into.
 */
#ifndef RLS_MATMUL_ONCE
#define RLS_MATMUL_ONCE

#define TILE_ROWS 6
#if VECTOR_BYTES == 64
#define TILE_VECTORS 4 /* 24 of 32 registers hold sums */
#else
#define TILE_VECTORS 2 /* 12 of 16 */
#endif
#define K_BLOCK 256      /* so many terms of a sum at a time */
#define K_PASS 512       /* so many are packed at a time: what was packed stays in the cache */
#define ROW_BLOCK 96     /* rows of a that meet the same panels */
#define PANEL_BLOCK 8    /* and so many panels of b */
#define COLUMNS 2048     /* columns of b that are packed at a time */
#define WORTH_PACKING 24 /* rows that repay the packing of b */
#define PRODUCTS 100     /* multiplications in a nanosecond, about */
#define COPIES 3         /* and entries that are packed */
#define AHEAD 8          /* so many rows are asked for before they are copied */
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
    UNROLL for (int r = 0; r < rows; r++) { /* c is wanted at the end: it comes while the sums are made */
        UNROLL for (int v = 0; v < vectors; v++) __builtin_prefetch(c + r * c_row + v * VECTOR, 1);
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
            for (int64_t j = 0; j < full; j += VECTOR) {
                __builtin_prefetch(b + (k + AHEAD) * b_k + j);
                *(FN(loose_vector) *)(to + j) = *(const FN(loose_vector) *)(b + k * b_k + j);
            }
            for (int64_t j = full; j < width; j++) to[j] = b[k * b_k + j];
        }
        for (int64_t j = width; j < whole; j++) to[j] = 0;
    }
}

/* Rows of a transposed a, (K, rows), as tiles (K, TILE_ROWS) one after the other. */
static void FN(pack_rows)(int64_t K, int64_t rows, const REAL *a, int64_t a_k, REAL *packed) {
    for (int64_t k = 0; k < K; k++, a += a_k, packed += TILE_ROWS) {
        for (int64_t i = 0; i < rows; i += VECTOR) __builtin_prefetch(a + AHEAD * a_k + i);
        int64_t i = 0;
        for (; i + TILE_ROWS <= rows; i += TILE_ROWS) memcpy(packed + i * K, a + i, TILE_ROWS * sizeof(REAL));
        for (int64_t r = i; r < rows; r++) packed[i * K + r - i] = a[r];
    }
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

/*
 * A product, and what of it is under way: terms [k, k + depth) of the sums in columns [j0, j1), which
 * the grid cuts into rows x columns cells.  Panels hold b from column `packed` on; tiles hold a, or are NULL.
 */
typedef struct {
    int64_t M, N, K, a_row, a_k, b_k, b_column, k, depth, j0, j1, packed, rows, columns;
    const REAL *a, *b;
    REAL *out, *panels, *tiles;
} FN(under_way);

/* Rows [i0, i1) of the panel of columns that begins at j. */
static void FN(panel_product)(const FN(under_way) *p, int64_t i0, int64_t i1, int64_t j) {
    const int packed = j >= p->packed;
    const int64_t width = least(PANEL, p->j1 - j), b_row = packed ? PANEL : p->b_k;
    const REAL *panel = packed ? p->panels + (j - p->packed) * p->depth : p->b + p->k * p->b_k + j;
    const int64_t a_row = p->tiles ? 1 : p->a_row, a_k = p->tiles ? TILE_ROWS : 1;
    for (int64_t i = i0; i < i1; i += TILE_ROWS)
        for (int64_t k = 0; k < p->depth; k += K_BLOCK) {
            const int64_t rows = least(TILE_ROWS, i1 - i), now = least(K_BLOCK, p->depth - k);
            const REAL *a = p->tiles ? p->tiles + k * round_up(p->M, TILE_ROWS) + i * now
                                     : p->a + i * p->a_row + p->k + k;
            const REAL *b = panel + k * b_row;
            REAL *c = p->out + i * p->N + j;
            if (width % VECTOR) FN(ragged_tile)(rows, width, now, a, a_row, a_k, b, c, p->N, p->k + k > 0);
            else FN(tile)(rows, width / VECTOR, now, a, a_row, a_k, b, b_row, c, p->N, p->k + k > 0);
        }
}

/* Cells [first, end). */
static int64_t FN(cells_task)(const void *call, int64_t first, int64_t end) {
    const FN(under_way) *p = call;
    const int64_t tiles = (p->M + TILE_ROWS - 1) / TILE_ROWS, panels = (p->j1 - p->j0 + PANEL - 1) / PANEL;
    for (int64_t n = first; n < end; n++) {
        const int64_t i0 = tiles * (n / p->columns) / p->rows * TILE_ROWS;
        const int64_t i1 = least(p->M, tiles * (n / p->columns + 1) / p->rows * TILE_ROWS);
        const int64_t j0 = p->j0 + panels * (n % p->columns) / p->columns * PANEL;
        const int64_t j1 = least(p->j1, p->j0 + panels * (n % p->columns + 1) / p->columns * PANEL);
        for (int64_t j = j0; j < j1; j += PANEL_BLOCK * PANEL)
            for (int64_t i = i0; i < i1; i += ROW_BLOCK)
                for (int64_t jj = j; jj < least(j1, j + PANEL_BLOCK * PANEL); jj += PANEL)
                    FN(panel_product)(p, i, least(i1, i + ROW_BLOCK), jj);
    }
    return -1;
}

/* Panels of b to be packed, and the items of packing: those, then blocks of rows of a. */
static int64_t FN(panels_to_pack)(const FN(under_way) *p) {
    return p->packed < p->j1 && p->b ? (p->j1 - p->packed + PANEL - 1) / PANEL : 0;
}

static int64_t FN(pack_task)(const void *call, int64_t first, int64_t end) {
    const FN(under_way) *p = call;
    const int64_t panels = FN(panels_to_pack)(p);
    const int turned = p->b_column != 1;
    for (int64_t n = first; n < end; n++) {
        const int64_t j = p->packed + n * PANEL, i = (n - panels) * ROW_BLOCK, rows = least(ROW_BLOCK, p->M - i);
        if (n < panels)
            FN(pack_panel)(p->depth, least(PANEL, p->j1 - j), p->b + p->k * p->b_k + j * p->b_column,
                           turned ? p->b_column : p->b_k, turned, p->panels + n * PANEL * p->depth);
        else
            for (int64_t k = 0; k < p->depth; k += K_BLOCK) {
                const int64_t now = least(K_BLOCK, p->depth - k);
                FN(pack_rows)(now, rows, p->a + i + (p->k + k) * p->a_k, p->a_k,
                              p->tiles + k * round_up(p->M, TILE_ROWS) + i * now);
            }
    }
    return -1;
}

/* Columns [j0, j1): pass by pass, what is to be packed, then the cells. */
static void FN(strip_of_columns)(FN(under_way) *p, int64_t pass) {
    const int64_t wide = p->j1 - p->j0, blocks = p->tiles ? (p->M + ROW_BLOCK - 1) / ROW_BLOCK : 0;
    const int64_t copies = FN(panels_to_pack)(p) + blocks;
    for (p->k = 0; p->k < p->K; p->k += p->depth) {
        p->depth = least(pass, p->K - p->k);
        if (copies) rls_share(copies, p->depth * (wide + (p->tiles ? p->M : 0)) / COPIES, FN(pack_task), p);
        const int64_t nanoseconds = (p->M + 4) * wide * p->depth / PRODUCTS; /* 4: b must be read */
        choose_grid((p->M + TILE_ROWS - 1) / TILE_ROWS, (wide + PANEL - 1) / PANEL, p->M >= wide,
                    rls_runs(nanoseconds), &p->rows, &p->columns);
        rls_share(p->rows * p->columns, nanoseconds, FN(cells_task), p);
    }
}

static int64_t FN(matmul)(int64_t M, int64_t N, int64_t K, const REAL *a, int transpose_a, const REAL *b,
                          int transpose_b, REAL *out) {
    FN(under_way) p = {.M = M, .N = N, .K = K, .a = a, .b = b, .out = out};
    p.a_row = transpose_a ? 1 : K;
    p.a_k = transpose_a ? M : 1;
    p.b_k = transpose_b ? 1 : N;
    p.b_column = transpose_b ? K : 1;
    const int packs = transpose_b || (M > WORTH_PACKING && N > PANEL);
    const int64_t pass = packs || transpose_a ? least(K_PASS, K) : K, wide = packs ? least(COLUMNS, N) : N;
    const int64_t panels = packs ? round_up(wide, PANEL) : N % VECTOR ? PANEL : 0;
    const int64_t tiles = transpose_a ? round_up(M, TILE_ROWS) : 0;
    REAL *buffer = NULL;
    if (panels + tiles && (buffer = malloc((size_t)((panels + tiles) * pass) * sizeof(REAL) + 64)) == NULL)
        return RLS_NO_MEMORY;
    p.panels = (REAL *)(((uintptr_t)buffer + 63) / 64 * 64);
    p.tiles = tiles ? p.panels + panels * pass : NULL;
    for (; p.j0 < N; p.j0 = p.j1) {
        p.j1 = least(N, p.j0 + wide);
        p.packed = packs ? p.j0 : N % VECTOR ? N / PANEL * PANEL : N; /* else a lone ragged panel */
        FN(strip_of_columns)(&p, pass);
    }
    free(buffer);
    return -1;
}

/* b (K, N) as a whole in panels, for many products with few rows; and such a product. */
static int64_t FN(packed_size)(int64_t K, int64_t N) { return round_up(N, PANEL) * K; }

static void FN(pack)(int64_t K, int64_t N, const REAL *b, REAL *panels) {
    for (int64_t j = 0; j < N; j += PANEL) FN(pack_panel)(K, least(PANEL, N - j), b + j, N, 0, panels + j * K);
}

static void FN(matmul_packed)(int64_t M, int64_t N, int64_t K, const REAL *a, const REAL *panels, REAL *out) {
    FN(under_way) p = {.M = M, .N = N, .K = K, .a = a, .panels = (REAL *)panels, .out = out, .a_row = K, .a_k = 1,
                       .b_column = 1, .j1 = N};
    FN(strip_of_columns)(&p, K);
}
