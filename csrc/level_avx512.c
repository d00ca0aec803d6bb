/* The kernels for x86-64 processors with AVX-512 F, DQ, BW and VL.  Empty elsewhere. */
#if defined(__x86_64__)
#define LEVEL avx512
#define VECTOR_BYTES 64
#if defined(__clang__)
#define TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"
#else /* gcc would use half of each register */
#define TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512"
#endif
#include "level.h"
#else
typedef int rls_no_avx512_here;
#endif
