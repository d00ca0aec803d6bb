/*
 * exp(x) that a compiler can vectorise: no branch, no table, no call.
 *
 *     x = n ln 2 + r,  |r| <= ln 2 / 2         exp(x) = 2^n exp(r)
 *
 * exp(r) is its Taylor polynomial: degree 7 leaves 5e-9 in float, degree 13 leaves 4e-18 in
 * double, both below the rounding of the type.  Adding 1.5 * 2^23 (2^52) to x / ln 2 rounds it
 * to an integer n, which then stands in the low bits of the sum; shifted, it is 2^n.
 *
 * Where exp(x) would be below the least normal number the result is 0: exp(-inf) = 0, and
 * tails are not computed with subnormal numbers.  NaN gives NaN.  For x <= 0 only: a softmax
 * subtracts the maximum first.
 */
#ifndef RLS_EXP_H
#define RLS_EXP_H

static inline float exp_f32(float x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23 */
    float shifted = x * 1.44269504f + magic;
    float n = shifted - magic;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 1.0f / 2;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.0f ? 0.0f : p * scale;
}

static inline double exp_f64(double x) {
    const double magic = 6755399441055744.0; /* 1.5 * 2^52 */
    double shifted = x * 1.4426950408889634 + magic;
    double n = shifted - magic;
    double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 1.0 / 2;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < -708.0 ? 0.0 : p * scale;
}

#endif
