/*
 * Copy a matrix with its axes exchanged.
 *
 *     to[j,i] = from[i,j]         from (rows, columns), to (columns, rows), rows `from_row`, `to_row` apart
 *
 * Blocks of VECTOR x VECTOR entries are exchanged in registers.  Interleaving row i with row
 * i + VECTOR / 2 into rows 2i and 2i + 1 moves, seen as addresses, the highest bit of the row into
 * the lowest bit of the column, as a perfect shuffle does; after log2(VECTOR) of them the bits of
 * row and column have changed places.
 */
#ifndef RLS_TRANSPOSE_ONCE
#define RLS_TRANSPOSE_ONCE

#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define HAS_SHUFFLE 1 /* clang; gcc from version 12 on.  Without it the plain loop below does all */
#endif
#endif

/* The first halves of a and b with their entries in turn, and the second halves. */
#define FIRST_2(a, b) __builtin_shufflevector(a, b, 0, 2)
#define SECOND_2(a, b) __builtin_shufflevector(a, b, 1, 3)
#define FIRST_4(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define SECOND_4(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define FIRST_8(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define SECOND_8(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define FIRST_16(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define SECOND_16(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#endif

#undef INTERLEAVE_FIRST
#undef INTERLEAVE_SECOND
#if VECTOR_BYTES / REAL_BYTES == 2
#define INTERLEAVE_FIRST FIRST_2
#define INTERLEAVE_SECOND SECOND_2
#elif VECTOR_BYTES / REAL_BYTES == 4
#define INTERLEAVE_FIRST FIRST_4
#define INTERLEAVE_SECOND SECOND_4
#elif VECTOR_BYTES / REAL_BYTES == 8
#define INTERLEAVE_FIRST FIRST_8
#define INTERLEAVE_SECOND SECOND_8
#else
#define INTERLEAVE_FIRST FIRST_16
#define INTERLEAVE_SECOND SECOND_16
#endif

/* Any block, entry by entry. */
static void FN(transpose_rest)(int64_t rows, int64_t columns, const REAL *from, int64_t from_row, REAL *to,
                               int64_t to_row) {
    for (int64_t j = 0; j < columns; j++)
        for (int64_t i = 0; i < rows; i++) to[j * to_row + i] = from[i * from_row + j];
}

#ifdef HAS_SHUFFLE
static void FN(transpose_block)(const REAL *from, int64_t from_row, REAL *to, int64_t to_row) {
    FN(vector) x[VECTOR_BYTES / REAL_BYTES], y[VECTOR_BYTES / REAL_BYTES];
    UNROLL for (int i = 0; i < VECTOR_BYTES / REAL_BYTES; i++) x[i] = *(const FN(loose_vector) *)(from + i * from_row);
    UNROLL for (int width = VECTOR_BYTES / REAL_BYTES; width > 1; width /= 2) {
        UNROLL for (int i = 0; i < VECTOR_BYTES / REAL_BYTES / 2; i++) {
            y[2 * i] = INTERLEAVE_FIRST(x[i], x[i + VECTOR_BYTES / REAL_BYTES / 2]);
            y[2 * i + 1] = INTERLEAVE_SECOND(x[i], x[i + VECTOR_BYTES / REAL_BYTES / 2]);
        }
        UNROLL for (int i = 0; i < VECTOR_BYTES / REAL_BYTES; i++) x[i] = y[i];
    }
    UNROLL for (int i = 0; i < VECTOR_BYTES / REAL_BYTES; i++) *(FN(loose_vector) *)(to + i * to_row) = x[i];
}
#endif

static void FN(transpose)(int64_t rows, int64_t columns, const REAL *from, int64_t from_row, REAL *to, int64_t to_row) {
    int64_t i = 0;
#ifdef HAS_SHUFFLE
    for (; i + VECTOR <= rows; i += VECTOR) {
        int64_t j = 0;
        for (; j + VECTOR <= columns; j += VECTOR)
            FN(transpose_block)(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
        FN(transpose_rest)(VECTOR, columns - j, from + i * from_row + j, from_row, to + j * to_row + i, to_row);
    }
#endif
    FN(transpose_rest)(rows - i, columns, from + i * from_row, from_row, to + i, to_row);
}
