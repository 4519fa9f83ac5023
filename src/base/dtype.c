#include "base/dtype.h"

#include <float.h>
#include <stdbool.h>
#include <string.h>

#include "base/simd.h"

size_t rls_dtype_size(rls_dtype dtype)
{
    switch (dtype) {
    case RLS_F64:
        return 8;
    case RLS_F32:
        return 4;
    case RLS_F16:
    case RLS_BF16:
        return 2;
    }
    return 0;
}

const char *rls_dtype_name(rls_dtype dtype)
{
    switch (dtype) {
    case RLS_F64:
        return "float64";
    case RLS_F32:
        return "float32";
    case RLS_F16:
        return "float16";
    case RLS_BF16:
        return "bfloat16";
    }
    return "unknown";
}

double rls_dtype_eps(rls_dtype dtype)
{
    switch (dtype) {
    case RLS_F64:
        return 0x1p-52;
    case RLS_F32:
        return 0x1p-23;
    case RLS_F16:
        return 0x1p-10;
    case RLS_BF16:
        return 0x1p-7;
    }
    return 1.0;
}

/* A 16-bit float format: 1 sign, then exponent and fraction bits. */
typedef struct {
    int fraction_bits, exponent_bits;
} small_format;

static const small_format F16_FORMAT = {10, 5};
static const small_format BF16_FORMAT = {7, 8};

/* Rounds a float64 to a 16-bit format, to nearest even, in one rounding
 * (subnormals included). */
static uint16_t small_from_double(small_format f, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)((bits >> 63) << 15);
    const uint64_t magnitude = bits & 0x7fffffffffffffffU;
    const uint16_t infinity = (uint16_t)(((1U << f.exponent_bits) - 1U) << f.fraction_bits);
    if (magnitude > 0x7ff0000000000000U) /* a NaN stays one: quiet bit set */
        return (uint16_t)(sign | infinity | (1U << (f.fraction_bits - 1)));
    const int bias = (1 << (f.exponent_bits - 1)) - 1;
    const int exponent = (int)(magnitude >> 52) - 1023 + bias; /* biased exponent in the small format */
    if (exponent >= (1 << f.exponent_bits) - 1)
        return (uint16_t)(sign | infinity);
    uint64_t fraction = magnitude & 0xfffffffffffffU;
    int shift = 52 - f.fraction_bits;
    uint64_t base = 0;
    if (exponent > 0) {
        base = (uint64_t)exponent << f.fraction_bits;
    } else { /* subnormal: the hidden bit comes into the fraction */
        fraction |= 0x10000000000000U;
        shift += 1 - exponent;
        if (shift > 54)
            return sign;
    }
    const uint64_t half = (uint64_t)1 << (shift - 1);
    const uint64_t rest = fraction & ((half << 1) - 1);
    uint64_t result = base + (fraction >> shift);
    if (rest > half || (rest == half && (result & 1U) != 0))
        result++; /* a carry runs into the exponent, up to infinity, as it should */
    return (uint16_t)(sign | (uint16_t)result);
}

/* Without branches, so that loops over it are vectorised. The exponent is moved
 * up by 112, of Inf and NaN by 224, to the top. A subnormal is moved up by 113,
 * where it reads as 2^-14 + its value: 2^-14 is taken off.
 */
static inline float f16_to_float(uint16_t half)
{
    const uint32_t shifted = (uint32_t)(half & 0x7fffU) << 13, exponent = shifted & 0x0f800000U;
    const uint32_t up = exponent == 0x0f800000U ? 224U << 23 : exponent == 0 ? 113U << 23 : 112U << 23;
    const uint32_t bits = shifted + up, sign = (uint32_t)(half & 0x8000U) << 16;
    float value = 0.0F;
    memcpy(&value, &bits, sizeof value);
    value -= exponent == 0 ? 0x1p-14F : 0.0F;
    uint32_t magnitude = 0;
    memcpy(&magnitude, &value, sizeof magnitude);
    magnitude |= sign;
    memcpy(&value, &magnitude, sizeof value);
    return value;
}

static inline float bf16_to_float(uint16_t value)
{
    const uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): types cannot stand in parentheses.
 */
/* One loop for each pair of types that the program uses, with the element's
 * conversion spelled out. */
#define CONVERT_LOOP(to_type, from_type, expression)                                                         \
    do {                                                                                                     \
        to_type *restrict to = dst;                                                                          \
        const from_type *restrict from = src;                                                                \
        for (int64_t i = 0; i < count; i++) {                                                                \
            const from_type x = from[i * src_stride];                                                        \
            to[i * dst_stride] = (expression);                                                               \
        }                                                                                                    \
    } while (0)

/* NOLINTEND(bugprone-macro-parentheses) */

static void convert_to_f64(void *dst, int64_t dst_stride, rls_dtype src_dtype, const void *src,
                           int64_t src_stride, int64_t count)
{
    switch (src_dtype) {
    case RLS_F64:
        CONVERT_LOOP(double, double, x);
        break;
    case RLS_F32:
        CONVERT_LOOP(double, float, (double)x);
        break;
    case RLS_F16:
        CONVERT_LOOP(double, uint16_t, (double)f16_to_float(x));
        break;
    case RLS_BF16:
        CONVERT_LOOP(double, uint16_t, (double)bf16_to_float(x));
        break;
    }
}

/* Contiguous widening: what a model's weights go through all the time. */
RLS_VECTORISED static void widen_f16(float *restrict to, const uint16_t *restrict from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = f16_to_float(from[i]);
}

RLS_VECTORISED static void widen_bf16(float *restrict to, const uint16_t *restrict from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = bf16_to_float(from[i]);
}

RLS_VECTORISED static void widen_f16_f64(double *restrict to, const uint16_t *restrict from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (double)f16_to_float(from[i]);
}

RLS_VECTORISED static void widen_bf16_f64(double *restrict to, const uint16_t *restrict from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = (double)bf16_to_float(from[i]);
}

static void convert_to_f32(void *dst, int64_t dst_stride, rls_dtype src_dtype, const void *src,
                           int64_t src_stride, int64_t count)
{
    switch (src_dtype) {
    case RLS_F64:
        CONVERT_LOOP(float, double, (float)x);
        break;
    case RLS_F32:
        CONVERT_LOOP(float, float, x);
        break;
    case RLS_F16:
        CONVERT_LOOP(float, uint16_t, f16_to_float(x));
        break;
    case RLS_BF16:
        CONVERT_LOOP(float, uint16_t, bf16_to_float(x));
        break;
    }
}

/* All bits set where the difference a - b of two numbers below 2^63 is negative: a comparison that loops over
 * 64-bit integers are vectorised with everywhere. */
static inline uint64_t is_less(uint64_t a, uint64_t b)
{
    return 0U - ((a - b) >> 63);
}

/* Contiguous narrowing: what a model's edited weights go through at export. Numbers that are normal in the
 * small format, zeros and overflows, in integers: the fraction is rounded to nearest even, with a carry into
 * the exponent, whose bias is changed. Returns whether there is anything else: then nothing of the result
 * counts. */
static inline bool narrow_common(small_format f, uint16_t *restrict to, const double *restrict from,
                                 int64_t count)
{
    const int shift = 52 - f.fraction_bits, bias = (1 << (f.exponent_bits - 1)) - 1;
    const uint64_t infinity = (((uint64_t)1 << f.exponent_bits) - 1) << f.fraction_bits;
    const uint64_t rebias = (uint64_t)(1023 - bias) << f.fraction_bits;
    const uint64_t smallest = (uint64_t)(1024 - bias) << 52, largest = (uint64_t)0x7ff << 52;
    uint64_t other = 0;
    for (int64_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &from[i], sizeof bits);
        const uint64_t magnitude = bits & 0x7fffffffffffffffU, zero = is_less(magnitude, 1);
        const uint64_t up = (((uint64_t)1 << (shift - 1)) - 1) + ((magnitude >> shift) & 1U);
        const uint64_t moved = ((magnitude + up) >> shift) - rebias, fits = is_less(moved, infinity);
        const uint64_t value = ((moved & fits) | (infinity & ~fits)) & ~zero;
        other |= (is_less(magnitude, smallest) & ~zero) | is_less(largest, magnitude);
        to[i] = (uint16_t)(value | (bits >> 63) << 15);
    }
    return other != 0;
}

static inline void narrow(small_format f, uint16_t *restrict to, rls_dtype dtype, const void *from,
                          int64_t count)
{
    enum { CHUNK = 32 };
    double wide[CHUNK];
    const float *narrower = from;
    for (int64_t begin = 0; begin < count; begin += CHUNK) {
        const int64_t here = count - begin < CHUNK ? count - begin : CHUNK;
        const double *x = dtype == RLS_F64 ? (const double *)from + begin : wide;
        for (int64_t i = 0; i < here && dtype == RLS_F32; i++)
            wide[i] = (double)narrower[begin + i];
        if (!narrow_common(f, to + begin, x, here))
            continue;
        for (int64_t i = 0; i < here; i++)
            to[begin + i] = small_from_double(f, x[i]);
    }
}

/* By format and type, so that the loops are compiled for each. */
RLS_VECTORISED static void narrow_f64_bf16(uint16_t *restrict to, const void *from, int64_t count)
{
    narrow(BF16_FORMAT, to, RLS_F64, from, count);
}

RLS_VECTORISED static void narrow_f32_bf16(uint16_t *restrict to, const void *from, int64_t count)
{
    narrow(BF16_FORMAT, to, RLS_F32, from, count);
}

RLS_VECTORISED static void narrow_f64_f16(uint16_t *restrict to, const void *from, int64_t count)
{
    narrow(F16_FORMAT, to, RLS_F64, from, count);
}

RLS_VECTORISED static void narrow_f32_f16(uint16_t *restrict to, const void *from, int64_t count)
{
    narrow(F16_FORMAT, to, RLS_F32, from, count);
}

static void convert_to_small(rls_dtype dst_dtype, void *dst, int64_t dst_stride, rls_dtype src_dtype,
                             const void *src, int64_t src_stride, int64_t count)
{
    const small_format f = dst_dtype == RLS_F16 ? F16_FORMAT : BF16_FORMAT;
    if (src_dtype == dst_dtype) {
        CONVERT_LOOP(uint16_t, uint16_t, x);
        return;
    }
    switch (src_dtype) {
    case RLS_F64:
        CONVERT_LOOP(uint16_t, double, small_from_double(f, x));
        break;
    case RLS_F32:
        CONVERT_LOOP(uint16_t, float, small_from_double(f, (double)x));
        break;
    case RLS_F16:
        CONVERT_LOOP(uint16_t, uint16_t, small_from_double(f, (double)f16_to_float(x)));
        break;
    case RLS_BF16:
        CONVERT_LOOP(uint16_t, uint16_t, small_from_double(f, (double)bf16_to_float(x)));
        break;
    }
}

void rls_convert(rls_dtype dst_dtype, void *dst, int64_t dst_stride, rls_dtype src_dtype, const void *src,
                 int64_t src_stride, int64_t count)
{
    if (count <= 0)
        return;
    const bool contiguous = dst_stride == 1 && src_stride == 1;
    if (contiguous && dst_dtype == src_dtype) {
        memcpy(dst, src, (size_t)count * rls_dtype_size(dst_dtype));
        return;
    }
    if (contiguous && dst_dtype == RLS_F32 && src_dtype == RLS_F16) {
        widen_f16(dst, src, count);
        return;
    }
    if (contiguous && dst_dtype == RLS_F32 && src_dtype == RLS_BF16) {
        widen_bf16(dst, src, count);
        return;
    }
    if (contiguous && dst_dtype == RLS_F64 && (src_dtype == RLS_F16 || src_dtype == RLS_BF16)) {
        (src_dtype == RLS_F16 ? widen_f16_f64 : widen_bf16_f64)(dst, src, count);
        return;
    }
    const bool narrows = contiguous && (src_dtype == RLS_F64 || src_dtype == RLS_F32);
    if (narrows && dst_dtype == RLS_BF16) {
        (src_dtype == RLS_F64 ? narrow_f64_bf16 : narrow_f32_bf16)(dst, src, count);
        return;
    }
    if (narrows && dst_dtype == RLS_F16) {
        (src_dtype == RLS_F64 ? narrow_f64_f16 : narrow_f32_f16)(dst, src, count);
        return;
    }
    switch (dst_dtype) {
    case RLS_F64:
        convert_to_f64(dst, dst_stride, src_dtype, src, src_stride, count);
        break;
    case RLS_F32:
        convert_to_f32(dst, dst_stride, src_dtype, src, src_stride, count);
        break;
    case RLS_F16:
    case RLS_BF16:
        convert_to_small(dst_dtype, dst, dst_stride, src_dtype, src, src_stride, count);
        break;
    }
}

bool rls_dtype_holds_square(rls_dtype dtype, double x)
{
    const double least = dtype == RLS_F32 ? (double)FLT_MIN : DBL_MIN;
    const double square = x * x;
    return square >= least && square <= 1.0 / least;
}
