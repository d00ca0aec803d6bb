/*
 * A vector register of REALs, in the compilers' own notation for them: `a + b` adds entry by entry.
 * Included once for float and once for double; VECTOR is how many fit, VECTOR_BYTES how wide it is.
 */
typedef REAL FN(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef REAL FN(loose_vector) __attribute__((vector_size(VECTOR_BYTES), aligned(REAL_BYTES), may_alias)); /* anywhere */

#ifndef RLS_VECTOR_ONCE
#define RLS_VECTOR_ONCE

#define VECTOR ((int64_t)(VECTOR_BYTES / REAL_BYTES))

#if defined(__clang__) /* loops of a constant length, laid out so that arrays of vectors become registers */
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

static inline int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
static inline int64_t round_up(int64_t x, int64_t step) { return (x + step - 1) / step * step; }
#endif
