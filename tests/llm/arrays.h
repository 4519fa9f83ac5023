/* Random float32 arrays, and how far they are from a float64 reference. */
#ifndef LLM_ARRAYS_H
#define LLM_ARRAYS_H

#include <math.h>
#include <stdlib.h>

#include "support/collective.h"

/* n normal deviates times scale; free(). */
static inline float *random_floats(uint64_t seed, int64_t n, double scale)
{
    float *x = malloc((size_t)(n > 0 ? n : 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)(scale * rls_random_normal_at(seed, i, 0));
    return x;
}

static inline double *zero_doubles(int64_t n)
{
    double *x = calloc((size_t)(n > 0 ? n : 1), sizeof *x);
    assert_non_null(x);
    return x;
}

static inline double *widened(int64_t n, const float *x)
{
    double *y = zero_doubles(n);
    for (int64_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

/* max |x - reference| / max |reference|; infinite where x is not finite. */
static inline double relative_difference(int64_t n, const float *x, const double *reference)
{
    double worst = 0.0, scale = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        const double difference = fabs((double)x[i] - reference[i]);
        worst = isfinite(difference) ? fmax(worst, difference) : (double)INFINITY;
        scale = fmax(scale, fabs(reference[i]));
    }
    return worst / scale;
}

#endif
