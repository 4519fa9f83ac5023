/* Adam (Kingma and Ba 2015) on many independent vectors, each with its own count of steps. */
#ifndef LIVE_ADAM_H
#define LIVE_ADAM_H

#include <stdint.h>

#include "base/context.h"

typedef struct {
    int64_t length, count;
    float *x, *first, *second; /* [length, count]: the vectors, and the moments of their gradients */
    int64_t *steps;
} rls_adam;

/* Vectors of zeros. Not collective. Returns RLS_ERR_MEMORY. Free with rls_adam_free. */
RLS_NODISCARD rls_status rls_adam_init(rls_context *ctx, int64_t length, int64_t count, rls_adam *out);
void rls_adam_free(rls_adam *adam);

/* One step of vector i: beta 0.9 and 0.999, epsilon 1e-8, moments corrected for their start. Not collective.
 */
void rls_adam_step(rls_adam *adam, int64_t i, double rate, const float *gradient);

/* ||x||, summed in float64. Not collective. */
double rls_adam_norm(int64_t length, const float *x);

/* Shortens x to norm `most` when it is longer. Not collective. */
void rls_adam_clamp(int64_t length, double most, float *x);

#endif
