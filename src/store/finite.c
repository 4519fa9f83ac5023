#include "store/finite.h"

#include <float.h>
#include <math.h>

#include "base/dtype.h"

enum { CHUNK = 4096, F16_EXPONENT = 0x7c00, BF16_EXPONENT = 0x7f80 };

/* From here on numbers round to infinity: half a unit in the last place above the type's largest (ties go to
 * even). */
static double limit_of(rls_dtype dtype)
{
    switch (dtype) {
    case RLS_F64:
        break;
    case RLS_F32:
        return 0x1.ffffffp127;
    case RLS_F16:
        return 0x1.ffep15;
    case RLS_BF16:
        return 0x1.ffp127;
    }
    return (double)INFINITY;
}

/* How many of data[0, count), count <= CHUNK, are not finite. No early exit: the loops vectorise, in as
 * narrow types as will do, and there are hardly ever any. */
static int32_t count_bad(rls_dtype dtype, const void *data, int64_t count, double limit)
{
    int32_t bad = 0;
    if (dtype == RLS_F64) {
        const double *x = data;
        for (int64_t i = 0; i < count; i++)
            bad += !(fabs(x[i]) < limit); /* NaN compares false */
    } else if (dtype == RLS_F32) {
        const float *x = data;
        const float bound = limit > (double)FLT_MAX ? INFINITY : (float)limit; /* the others are floats */
        for (int64_t i = 0; i < count; i++)
            bad += !(fabsf(x[i]) < bound);
    } else {
        const uint16_t *x = data;
        const unsigned exponent = dtype == RLS_F16 ? F16_EXPONENT : BF16_EXPONENT;
        for (int64_t i = 0; i < count; i++)
            bad += (x[i] & exponent) == exponent;
    }
    return bad;
}

int64_t rls_first_nonfinite(rls_dtype dtype, const void *data, int64_t count, rls_dtype as)
{
    const double limit = limit_of(as);
    const size_t size = rls_dtype_size(dtype);
    const char *at = data;
    for (int64_t begin = 0; begin < count; begin += CHUNK) {
        const int64_t here = count - begin < CHUNK ? count - begin : CHUNK;
        if (count_bad(dtype, at + (size_t)begin * size, here, limit) == 0)
            continue;
        int64_t i = begin;
        while (count_bad(dtype, at + (size_t)i * size, 1, limit) == 0)
            i++;
        return i;
    }
    return -1;
}

double rls_element_value(rls_dtype dtype, const void *data, int64_t i)
{
    double value = 0.0;
    rls_convert(RLS_F64, &value, 1, dtype, (const char *)data + (size_t)i * rls_dtype_size(dtype), 1, 1);
    return value;
}
