#include <math.h>

#include "base/simd.h"
#include "llm/ops.h"

static float total(const float part[RLS_LANES])
{
    double sum = 0.0;
    for (int k = 0; k < RLS_LANES; k++)
        sum += (double)part[k];
    return (float)sum;
}

RLS_VECTORISED static void rms_norm_one(int64_t d, float eps, const float *gain, const float *x, float *y)
{
    float part[RLS_LANES] = {0.0F};
    int64_t i = 0;
    for (; i + RLS_LANES <= d; i += RLS_LANES)
        for (int k = 0; k < RLS_LANES; k++)
            part[k] += x[i + k] * x[i + k];
    for (; i < d; i++)
        part[0] += x[i] * x[i];
    const float r = 1.0F / sqrtf(total(part) / (float)d + eps);
    for (i = 0; i < d; i++)
        y[i] = gain[i] * (x[i] * r);
}

/* With r = 1 / sqrt(mean(x^2) + eps) and g = gain dy: dx = r g - x r^3 mean(g x). */
RLS_VECTORISED static void rms_norm_back_one(int64_t d, float eps, const float *restrict gain,
                                             const float *restrict x, const float *restrict dy,
                                             float *restrict dx)
{
    float squares[RLS_LANES] = {0.0F}, products[RLS_LANES] = {0.0F};
    int64_t i = 0;
    for (; i + RLS_LANES <= d; i += RLS_LANES) { /* two loops: each is one vector's */
        for (int k = 0; k < RLS_LANES; k++)
            squares[k] += x[i + k] * x[i + k];
        for (int k = 0; k < RLS_LANES; k++)
            products[k] += gain[i + k] * dy[i + k] * x[i + k];
    }
    for (; i < d; i++) {
        squares[0] += x[i] * x[i];
        products[0] += gain[i] * dy[i] * x[i];
    }
    const float r = 1.0F / sqrtf(total(squares) / (float)d + eps);
    const float along = r * r * (total(products) / (float)d);
    for (i = 0; i < d; i++)
        dx[i] += r * (gain[i] * dy[i] - x[i] * along);
}

void rls_rms_norm(int64_t d, int64_t tokens, double eps, const float *gain, const float *x, float *y)
{
#pragma omp parallel for
    for (int64_t t = 0; t < tokens; t++)
        rms_norm_one(d, (float)eps, gain, x + t * d, y + t * d);
}

void rls_rms_norm_back(int64_t d, int64_t tokens, double eps, const float *gain, const float *x,
                       const float *dy, float *dx)
{
#pragma omp parallel for
    for (int64_t t = 0; t < tokens; t++)
        rms_norm_back_one(d, (float)eps, gain, x + t * d, dy + t * d, dx + t * d);
}

/* The mean, and 1 / sqrt(var + eps) in two passes: no cancellation. */
static inline void moments(int64_t d, float eps, const float *x, float *mean, float *r)
{
    float part[RLS_LANES] = {0.0F};
    int64_t i = 0;
    for (; i + RLS_LANES <= d; i += RLS_LANES)
        for (int k = 0; k < RLS_LANES; k++)
            part[k] += x[i + k];
    for (; i < d; i++)
        part[0] += x[i];
    const float m = total(part) / (float)d;
    for (int k = 0; k < RLS_LANES; k++)
        part[k] = 0.0F;
    for (i = 0; i + RLS_LANES <= d; i += RLS_LANES)
        for (int k = 0; k < RLS_LANES; k++)
            part[k] += (x[i + k] - m) * (x[i + k] - m);
    for (; i < d; i++)
        part[0] += (x[i] - m) * (x[i] - m);
    *mean = m;
    *r = 1.0F / sqrtf(total(part) / (float)d + eps);
}

RLS_VECTORISED static void layer_norm_one(int64_t d, float eps, const float *gain, const float *bias,
                                          const float *x, float *y)
{
    float mean = 0.0F, r = 0.0F;
    moments(d, eps, x, &mean, &r);
    for (int64_t i = 0; i < d; i++)
        y[i] = gain[i] * ((x[i] - mean) * r) + bias[i];
}

/* With z = (x - mean) r and g = gain dy: dx = r (g - mean(g) - z mean(g z)). */
RLS_VECTORISED static void layer_norm_back_one(int64_t d, float eps, const float *restrict gain,
                                               const float *restrict x, const float *restrict dy,
                                               float *restrict dx)
{
    float mean = 0.0F, r = 0.0F;
    moments(d, eps, x, &mean, &r);
    float sums[RLS_LANES] = {0.0F}, products[RLS_LANES] = {0.0F};
    int64_t i = 0;
    for (; i + RLS_LANES <= d; i += RLS_LANES)
        for (int k = 0; k < RLS_LANES; k++) {
            sums[k] += gain[i + k] * dy[i + k];
            products[k] += gain[i + k] * dy[i + k] * ((x[i + k] - mean) * r);
        }
    for (; i < d; i++) {
        sums[0] += gain[i] * dy[i];
        products[0] += gain[i] * dy[i] * ((x[i] - mean) * r);
    }
    const float level = total(sums) / (float)d, along = total(products) / (float)d;
    for (i = 0; i < d; i++)
        dx[i] += r * (gain[i] * dy[i] - level - (x[i] - mean) * r * along);
}

void rls_layer_norm(int64_t d, int64_t tokens, double eps, const float *gain, const float *bias,
                    const float *x, float *y)
{
#pragma omp parallel for
    for (int64_t t = 0; t < tokens; t++)
        layer_norm_one(d, (float)eps, gain, bias, x + t * d, y + t * d);
}

void rls_layer_norm_back(int64_t d, int64_t tokens, double eps, const float *gain, const float *x,
                         const float *dy, float *dx)
{
#pragma omp parallel for
    for (int64_t t = 0; t < tokens; t++)
        layer_norm_back_one(d, (float)eps, gain, x + t * d, dy + t * d, dx + t * d);
}
