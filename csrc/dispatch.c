/*
 * Which build of the kernels this processor runs, asked once at import.
 *
 * Each level_*.c compiles the same sources for one instruction set.  Results agree between the
 * sets to rounding; within one set they do not depend on the number of threads.
 */
#include <stddef.h>
#include <string.h>

#include "rlscratch.h"

extern const rls_kernels rls_kernels_baseline;

#if defined(__x86_64__)
extern const rls_kernels rls_kernels_avx2, rls_kernels_avx512;

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

const rls_kernels *rls_select(const char *isa) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if ((isa == NULL || strcmp(isa, "avx512") == 0) && has_avx512()) return &rls_kernels_avx512;
    if ((isa == NULL || strcmp(isa, "avx2") == 0) && has_avx2()) return &rls_kernels_avx2;
#endif
    if (isa == NULL || strcmp(isa, "baseline") == 0) return &rls_kernels_baseline;
    return NULL;
}
