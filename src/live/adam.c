#include "live/adam.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

static const double BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8;

rls_status rls_adam_init(rls_context *ctx, int64_t length, int64_t count, rls_adam *out)
{
    void *vectors = NULL, *steps = NULL;
    rls_status status = rls_alloc_zero(ctx, 3 * length * count, sizeof(float), &vectors);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, count, sizeof(int64_t), &steps);
    *out = (rls_adam){.length = length, .count = count, .x = vectors, .steps = steps};
    if (status == RLS_OK) {
        out->first = out->x + length * count;
        out->second = out->first + length * count;
    }
    return status;
}

void rls_adam_free(rls_adam *adam)
{
    free(adam->x); /* with the moments */
    free(adam->steps);
    *adam = (rls_adam){0};
}

void rls_adam_step(rls_adam *adam, int64_t i, double rate, const float *gradient)
{
    float *x = adam->x + i * adam->length, *first = adam->first + i * adam->length,
          *second = adam->second + i * adam->length;
    const double steps = (double)++adam->steps[i];
    const double correct1 = 1.0 - pow(BETA1, steps), correct2 = sqrt(1.0 - pow(BETA2, steps));
    for (int64_t j = 0; j < adam->length; j++) {
        const double g = (double)gradient[j];
        first[j] = (float)(BETA1 * (double)first[j] + (1.0 - BETA1) * g);
        second[j] = (float)(BETA2 * (double)second[j] + (1.0 - BETA2) * g * g);
        const double scale = sqrt((double)second[j]) / correct2 + EPSILON;
        x[j] -= (float)(rate / correct1 * (double)first[j] / scale);
    }
}

double rls_adam_norm(int64_t length, const float *x)
{
    double sum = 0.0;
    for (int64_t j = 0; j < length; j++)
        sum += (double)x[j] * (double)x[j];
    return sqrt(sum);
}

void rls_adam_clamp(int64_t length, double most, float *x)
{
    const double norm = rls_adam_norm(length, x);
    for (int64_t j = 0; norm > most && j < length; j++)
        x[j] = (float)((double)x[j] * (most / norm));
}
