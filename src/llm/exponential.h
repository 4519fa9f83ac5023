/* exp for float32 as an inline polynomial, so that loops over it are vectorised. */
#ifndef LLM_EXPONENTIAL_H
#define LLM_EXPONENTIAL_H

#include <stdint.h>
#include <string.h>

/* exp(x) within 2 units in the last place for |x| <= 87; beyond, exp(-87) = 2^-125.5 or exp(87): finite and
 * not 0. NaN stays NaN. x = n log 2 + r, exp x = 2^n exp r, |r| <= log(2) / 2 (Cody and Waite 1980; the
 * polynomial is the Taylor series of degree 7, its remainder below 2^-27). */
static inline float rls_exp32(float x)
{
    const float to_integer = 0x1.8p23F; /* adding it rounds to an integer, held in the lowest bits */
    x = x < -87.0F ? -87.0F : x;
    x = x > 87.0F ? 87.0F : x;
    const float shifted = x * 0x1.715476p+0F + to_integer;
    const float n = shifted - to_integer;
    const float r = (x - n * 0x1.62e4p-1F) - n * 0x1.7f7d1cp-20F; /* n times the first is exact */
    float p = 1.0F / 5040.0F;
    p = p * r + 1.0F / 720.0F;
    p = p * r + 1.0F / 120.0F;
    p = p * r + 1.0F / 24.0F;
    p = p * r + 1.0F / 6.0F;
    p = p * r + 0.5F;
    p = p * r * r + r + 1.0F;
    uint32_t bits = 0;
    memcpy(&bits, &shifted, sizeof bits);
    const uint32_t scale_bits = (bits << 23) + 0x3f800000U;
    float scale = 0.0F;
    memcpy(&scale, &scale_bits, sizeof scale);
    return p * scale;
}

#endif
