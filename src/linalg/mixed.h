/*
 * Products of float32 activations with weights in the dtype of a model's file, on one rank.
 *
 * A weight W [out, in] is row-major. Activations have one column a token. On a processor with a matrix unit
 * numbers are taken apart into bfloat16 (linalg/amx.h), elsewhere 16-bit weights are widened tile by tile
 * into a small buffer that stays in cache; the accuracy is float32's. Large products run at the speed of the
 * BLAS; for few tokens, where reading the weight is what takes time, W is read once.
 */
#ifndef LINALG_MIXED_H
#define LINALG_MIXED_H

#include <stdint.h>

#include "base/context.h"
#include "rlsedit/dtype.h"

/* Y [out, tokens] = W X + beta Y, X [in, tokens]; ldx >= in, ldy >= out. 2 out in tokens flops. Y is not read
 * when beta is 0. Not collective. Returns RLS_ERR_MEMORY, RLS_ERR_USAGE for a size beyond 2^31 - 1. */
RLS_NODISCARD rls_status rls_mixed_multiply(rls_context *ctx, rls_dtype dtype, int64_t out, int64_t in,
                                            int64_t tokens, const void *w, const float *x, int64_t ldx,
                                            float beta, float *y, int64_t ldy);

/* X [in, tokens] = W^T Y + beta X: the way back. Shapes and errors as above. */
RLS_NODISCARD rls_status rls_mixed_multiply_back(rls_context *ctx, rls_dtype dtype, int64_t out, int64_t in,
                                                 int64_t tokens, const void *w, const float *y, int64_t ldy,
                                                 float beta, float *x, int64_t ldx);

#endif
