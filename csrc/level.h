/*
 * All kernels for one instruction set: the including file sets LEVEL (a name), VECTOR_BYTES (the
 * width of a register) and TARGET (what the compiler may use).  System headers come first, so that
 * the target covers our code alone.
 *
 * The kernel sources are written for a type REAL and included once for float, once for double;
 * FN(softmax) becomes softmax_f32_avx2, and so on.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rlscratch.h"

#ifdef TARGET
#if defined(__clang__)
#define RLS_PRAGMA(x) _Pragma(#x)
#define RLS_ATTRIBUTE(t) RLS_PRAGMA(clang attribute push(__attribute__((target(t))), apply_to = function))
RLS_ATTRIBUTE(TARGET)
#elif defined(__GNUC__)
#pragma GCC push_options
#define RLS_PRAGMA(x) _Pragma(#x)
#define RLS_TARGET(t) RLS_PRAGMA(GCC target(t))
RLS_TARGET(TARGET)
#endif
#endif

#define PASTE3(a, b, c) a##_##b##_##c
#define EXPAND3(a, b, c) PASTE3(a, b, c)
#define FN(name) EXPAND3(name, SUFFIX, LEVEL)

#include "exp.h"

#define REAL float
#define REAL_BYTES 4
#define SUFFIX f32
#define EXP exp_f32
#define SQRT sqrtf
#define LOG logf
#include "softmax.c"
#include "sample.c"
#include "vector.h"
#include "transpose.c"
#include "matmul.c"
#include "attention.c"
#include "layer_norm.c"
#include "rms_norm.c"
#include "gelu.c"
#include "swiglu.c"
#include "rotary.c"
#include "embedding.c"
#include "adamw.c"
#include "decode.c"
#undef REAL
#undef REAL_BYTES
#undef SUFFIX
#undef EXP
#undef SQRT
#undef LOG

#define REAL double
#define REAL_BYTES 8
#define SUFFIX f64
#define EXP exp_f64
#define SQRT sqrt
#define LOG log
#include "softmax.c"
#include "sample.c"
#include "vector.h"
#include "transpose.c"
#include "matmul.c"
#include "attention.c"
#include "layer_norm.c"
#include "rms_norm.c"
#include "gelu.c"
#include "swiglu.c"
#include "rotary.c"
#include "embedding.c"
#include "adamw.c"
#include "decode.c"
#undef REAL
#undef REAL_BYTES
#undef SUFFIX
#undef EXP
#undef SQRT
#undef LOG

#define NAMED(name, S) .name##_##S = EXPAND3(name, S, LEVEL)
#define ALL(S)                                                                                     \
    NAMED(softmax, S), NAMED(softmax_backward, S), NAMED(log_softmax, S), NAMED(log_softmax_backward, S), \
    NAMED(chosen_logp, S), NAMED(chosen_logp_backward, S), NAMED(draw, S), NAMED(sample, S), \
    NAMED(matmul, S), NAMED(attention, S), NAMED(attention_backward, S), NAMED(rotary, S), \
    NAMED(layer_norm, S), NAMED(layer_norm_backward, S), NAMED(rms_norm, S), NAMED(rms_norm_backward, S), \
    NAMED(bias_gelu, S), NAMED(bias_gelu_backward, S), NAMED(swiglu, S), NAMED(swiglu_backward, S), \
    NAMED(embedding, S), NAMED(embedding_backward, S), NAMED(adamw, S), NAMED(squared_norm, S), \
    NAMED(pack_model, S), NAMED(decode, S), NAMED(answer, S)
#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)
#define TABLE2(level) rls_kernels_##level
#define TABLE(level) TABLE2(level)

extern const rls_kernels TABLE(LEVEL);
const rls_kernels TABLE(LEVEL) = {.isa = TEXT(LEVEL), ALL(f32), ALL(f64)};

#ifdef TARGET
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
