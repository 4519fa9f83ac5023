/* Products of float32 activations with a model's weights (linalg/mixed.h) on the matrix unit. */
#ifndef LINALG_MIXED_AMX_H
#define LINALG_MIXED_AMX_H

#include "base/context.h"
#include "linalg/amx.h"
#include "rlsedit/dtype.h"

/* rls_mixed_multiply and rls_mixed_multiply_back for at least one token, out and in. bfloat16 weights take
 * three products a number, others six. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_mixed_multiply_amx(rls_context *ctx, const rls_amx *amx, rls_dtype dtype,
                                                int64_t out, int64_t in, int64_t tokens, const void *w,
                                                const float *x, int64_t ldx, float beta, float *y,
                                                int64_t ldy);
RLS_NODISCARD rls_status rls_mixed_multiply_back_amx(rls_context *ctx, const rls_amx *amx, rls_dtype dtype,
                                                     int64_t out, int64_t in, int64_t tokens, const void *w,
                                                     const float *y, int64_t ldy, float beta, float *x,
                                                     int64_t ldx);

#endif
