/* The kernels for any processor that the compiler targets by default. */
#define LEVEL baseline
#define VECTOR_BYTES 16
#include "level.h"
