/* The kernels for any processor that the compiler targets by default. */
#define LEVEL baseline
#include "level.h"
