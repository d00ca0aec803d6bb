/* The kernels for x86-64 processors with AVX2 and FMA (2013 on).  Empty elsewhere. */
#if defined(__x86_64__)
#define LEVEL avx2
#define VECTOR_BYTES 32
#define TARGET "avx2,fma"
#include "level.h"
#else
typedef int rls_no_avx2_here;
#endif
