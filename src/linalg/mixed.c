#include "linalg/mixed.h"

#include <limits.h>
#include <stdlib.h>

#include "base/dtype.h"
#include "base/least.h"
#include "base/memory.h"
#include "base/simd.h"
#include "linalg/kernels.h"
#include "linalg/mixed_amx.h"

/* Tiles of a 16-bit weight that are widened at a time: 1 MiB of float32, which stays in a second-level cache.
 * Going forward the BLAS packs X again for every tile of rows: with MANY tokens that costs more than taking
 * 6 MiB from a cache further away. */
enum {
    MANY = 192,
    FORWARD_ROWS = 512,
    FORWARD_ROWS_MANY = 4096,
    FORWARD_COLS = 384,
    BACK_ROWS = 256,
    BACK_COLS = 1024
};

/* With at most FEW tokens reading the weight is what takes time. Rows are widened STRIP elements at a time,
 * for TOGETHER tokens at once. */
enum { FEW = 8, STRIP = 2048, TOGETHER = 4 };

/* From so many tokens on, splitting other weights than bfloat16 for the matrix unit is worth it. */
enum { SPLIT_FROM = 48 };

/* Rows that are fetched before they are widened: the processor does not see such strips coming. */
enum { AHEAD = 4 };

static const void *element(rls_dtype dtype, const void *w, int64_t i)
{
    return (const char *)w + i * (int64_t)rls_dtype_size(dtype);
}

/* sum[t] += w . x[t] for TOGETHER vectors. */
RLS_VECTORISED static void dots(int64_t n, const float *restrict w, const float *const x[TOGETHER],
                                float *restrict sum)
{
    typedef float lanes __attribute__((vector_size(RLS_LANES * sizeof(float))));
    lanes part[TOGETHER] = {{0.0F}}, a, b;
    int64_t i = 0;
    for (; i + RLS_LANES <= n; i += RLS_LANES) {
        __builtin_memcpy(&a, w + i, sizeof a);
        for (int t = 0; t < TOGETHER; t++) {
            __builtin_memcpy(&b, x[t] + i, sizeof b);
            part[t] += a * b;
        }
    }
    for (int t = 0; t < TOGETHER; t++) {
        for (int64_t j = i; j < n; j++)
            sum[t] += w[j] * x[t][j];
        for (int k = 0; k < RLS_LANES; k++)
            sum[t] += part[t][k];
    }
}

/* w . x, four vectors of the widest at a time. */
RLS_VECTORISED static float dot(int64_t n, const float *restrict w, const float *restrict x)
{
    typedef float lanes __attribute__((vector_size(RLS_LANES * sizeof(float))));
    lanes part[4] = {{0.0F}}, a, b;
    int64_t i = 0;
    for (int64_t k = 0; i + RLS_LANES <= n; i += RLS_LANES, k = (k + 1) % 4) {
        __builtin_memcpy(&a, w + i, sizeof a);
        __builtin_memcpy(&b, x + i, sizeof b);
        part[k] += a * b;
    }
    float sum = 0.0F;
    for (; i < n; i++)
        sum += w[i] * x[i];
    part[0] += part[1] + (part[2] + part[3]);
    for (int k = 0; k < RLS_LANES; k++)
        sum += part[0][k];
    return sum;
}

/* sum[t] += row . x[t] for up to FEW tokens, a strip of a row. */
static void strip_dots(int64_t n, const float *row, int64_t tokens, const float *x, int64_t ldx,
                       float sum[FEW + TOGETHER])
{
    if (tokens == 1) {
        sum[0] += dot(n, row, x);
        return;
    }
    for (int64_t t = 0; t < tokens; t += TOGETHER) { /* what is too much repeats the last token */
        const float *columns[TOGETHER];
        for (int64_t k = 0; k < TOGETHER; k++)
            columns[k] = x + rls_least(t + k, tokens - 1) * ldx;
        dots(n, row, columns, sum + t);
    }
}

static void multiply_few(rls_dtype dtype, int64_t out, int64_t in, int64_t tokens, const void *w,
                         const float *x, int64_t ldx, float beta, float *y, int64_t ldy)
{
#pragma omp parallel for
    for (int64_t row = 0; row < out; row++) {
        float sum[FEW + TOGETHER] = {0.0F}, strip[STRIP];
        for (int64_t col = 0; col < in; col += STRIP) {
            const int64_t n = rls_least(STRIP, in - col);
            const void *from = element(dtype, w, row * in + col);
            if (dtype != RLS_F32)
                rls_convert(RLS_F32, strip, 1, dtype, from, 1, n);
            strip_dots(n, dtype == RLS_F32 ? from : strip, tokens, x + col, ldx, sum);
        }
        for (int64_t t = 0; t < tokens; t++)
            y[t * ldy + row] = beta == 0.0F ? sum[t] : sum[t] + beta * y[t * ldy + row];
    }
}

/* tile [cols, rows] (column-major, cols apart) = rows `row` .. of W, from column `col`. */
static void widen(rls_dtype dtype, int64_t in, const void *w, int64_t row, int64_t rows, int64_t col,
                  int64_t cols, float *tile)
{
#pragma omp parallel for
    for (int64_t i = 0; i < rows; i++) {
        const char *ahead = element(dtype, w, (row + rls_least(i + AHEAD, rows - 1)) * in + col);
        for (int64_t byte = 0; byte < 2 * cols; byte += 64)
            __builtin_prefetch(ahead + byte);
        rls_convert(RLS_F32, tile + i * cols, 1, dtype, element(dtype, w, (row + i) * in + col), 1, cols);
    }
}

/* The BLAS counts with int. */
static rls_status check_sizes(rls_context *ctx, int64_t out, int64_t in, int64_t tokens, int64_t ldx,
                              int64_t ldy)
{
    if (out <= INT_MAX && in <= INT_MAX && tokens <= INT_MAX && ldx <= INT_MAX && ldy <= INT_MAX)
        return RLS_OK;
    return rls_fail(ctx, RLS_ERR_USAGE, "product of a weight with %lld tokens: a size is beyond 2^31 - 1",
                    (long long)tokens);
}

/* The matrix unit, if there is one and this product is worth it. */
static const rls_amx *unit_for(rls_context *ctx, rls_dtype dtype, int64_t out, int64_t in, int64_t tokens)
{
    return out > 0 && in > 0 && tokens >= (dtype == RLS_BF16 ? FEW : SPLIT_FROM) ? rls_amx_of(ctx) : NULL;
}

rls_status rls_mixed_multiply(rls_context *ctx, rls_dtype dtype, int64_t out, int64_t in, int64_t tokens,
                              const void *w, const float *x, int64_t ldx, float beta, float *y, int64_t ldy)
{
    void *tile = NULL;
    rls_status status = check_sizes(ctx, out, in, tokens, ldx, ldy);
    if (status != RLS_OK)
        return status;
    if (tokens <= FEW && in > 0 && (dtype != RLS_F32 || tokens > 1)) {
        multiply_few(dtype, out, in, tokens, w, x, ldx, beta, y, ldy);
        return RLS_OK;
    }
    const rls_amx *amx = unit_for(ctx, dtype, out, in, tokens);
    if (amx != NULL)
        return rls_mixed_multiply_amx(ctx, amx, dtype, out, in, tokens, w, x, ldx, beta, y, ldy);
    if (dtype == RLS_F32 || in == 0) {
        rls_gemm(RLS_F32, 'T', 'N', out, tokens, in, 1.0, w, in, x, ldx, (double)beta, y, ldy);
        return RLS_OK;
    }
    const int64_t most_rows = rls_least(tokens < MANY ? FORWARD_ROWS : FORWARD_ROWS_MANY, out);
    status = rls_alloc(ctx, most_rows * FORWARD_COLS, sizeof(float), &tile);
    for (int64_t row = 0; row < out && status == RLS_OK; row += most_rows)
        for (int64_t col = 0; col < in; col += FORWARD_COLS) {
            const int64_t rows = rls_least(most_rows, out - row), cols = rls_least(FORWARD_COLS, in - col);
            widen(dtype, in, w, row, rows, col, cols, tile);
            rls_gemm(RLS_F32, 'T', 'N', rows, tokens, cols, 1.0, tile, cols, x + col, ldx,
                     col == 0 ? (double)beta : 1.0, y + row, ldy);
        }
    free(tile);
    return status;
}

rls_status rls_mixed_multiply_back(rls_context *ctx, rls_dtype dtype, int64_t out, int64_t in, int64_t tokens,
                                   const void *w, const float *y, int64_t ldy, float beta, float *x,
                                   int64_t ldx)
{
    void *tile = NULL;
    rls_status status = check_sizes(ctx, out, in, tokens, ldx, ldy);
    if (status != RLS_OK)
        return status;
    const rls_amx *amx = unit_for(ctx, dtype, out, in, tokens);
    if (amx != NULL)
        return rls_mixed_multiply_back_amx(ctx, amx, dtype, out, in, tokens, w, y, ldy, beta, x, ldx);
    if (dtype == RLS_F32 || out == 0) {
        rls_gemm(RLS_F32, 'N', 'N', in, tokens, out, 1.0, w, in, y, ldy, (double)beta, x, ldx);
        return RLS_OK;
    }
    status = rls_alloc(ctx, (int64_t)BACK_ROWS * BACK_COLS, sizeof(float), &tile);
    for (int64_t col = 0; col < in && status == RLS_OK; col += BACK_COLS)
        for (int64_t row = 0; row < out; row += BACK_ROWS) {
            const int64_t rows = rls_least(BACK_ROWS, out - row), cols = rls_least(BACK_COLS, in - col);
            widen(dtype, in, w, row, rows, col, cols, tile);
            rls_gemm(RLS_F32, 'N', 'N', cols, tokens, rows, 1.0, tile, cols, y + row, ldy,
                     row == 0 ? (double)beta : 1.0, x + col, ldx);
        }
    free(tile);
    return status;
}
