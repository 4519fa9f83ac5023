/* ctest: NP 1 */
/* Products with weights of every dtype against float64. */
#include "linalg/mixed.h"

#include <math.h>
#include <stdlib.h>

#include "base/dtype.h"
#include "support/collective.h"

static const rls_dtype DTYPES[] = {RLS_F32, RLS_F16, RLS_BF16};

typedef struct {
    int64_t out, in, tokens;
} size;

/* One token, few, many; below, at and above the tiles' sizes. */
static const size SIZES[] = {
    {1, 1, 1},       {3, 5, 1},    {7, 33, 2},    {300, 1500, 1},  {257, 1025, 3}, {31, 17, 4},
    {64, 100, 5},    {513, 40, 8}, {40, 2100, 9}, {300, 1030, 17}, {1100, 70, 40}, {256, 1024, 64},
    {700, 1300, 33}, {1, 3000, 6}, {3000, 1, 7},  {4100, 9, 192},  {30, 800, 200}};

typedef struct {
    int64_t ldx, ldy;
    void *w;     /* as in a file */
    double *w64; /* the same numbers */
    float *x, *y, *x0, *y0;
} problem;

static float *floats(uint64_t seed, int64_t n)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)rls_random_normal_at(seed, i, 0);
    return x;
}

static problem problem_make(rls_dtype dtype, size s, int64_t pad)
{
    const int64_t n = s.out * s.in;
    problem p = {.ldx = s.in + pad, .ldy = s.out + 2 * pad};
    float *w = floats(1, n);
    p.w = malloc((size_t)(n + 1) * 4);
    p.w64 = malloc((size_t)(n + 1) * sizeof(double));
    assert_non_null(p.w);
    assert_non_null(p.w64);
    rls_convert(dtype, p.w, 1, RLS_F32, w, 1, n);
    rls_convert(RLS_F64, p.w64, 1, dtype, p.w, 1, n);
    free(w);
    p.x = floats(2, p.ldx * s.tokens);
    p.x0 = floats(2, p.ldx * s.tokens);
    p.y = floats(3, p.ldy * s.tokens);
    p.y0 = floats(3, p.ldy * s.tokens);
    return p;
}

static void problem_free(problem *p)
{
    free(p->w);
    free(p->w64);
    free(p->x);
    free(p->x0);
    free(p->y);
    free(p->y0);
}

/* Largest error of c = op(W) b + beta c0 in units of its bound k eps sum |w b| + eps |beta c0|; what is
 * between the columns may not change. */
static double error_of(const problem *p, size s, bool back, double beta)
{
    const int64_t rows = back ? s.in : s.out, k = back ? s.out : s.in, ldc = back ? p->ldx : p->ldy;
    const int64_t ldb = back ? p->ldy : p->ldx;
    const float *c = back ? p->x : p->y, *c0 = back ? p->x0 : p->y0, *b = back ? p->y : p->x;
    double worst = 0.0;
    for (int64_t t = 0; t < s.tokens; t++)
        for (int64_t i = 0; i < ldc; i++) {
            if (i >= rows) {
                worst = c[t * ldc + i] == c0[t * ldc + i] ? worst : (double)INFINITY;
                continue;
            }
            double sum = beta != 0.0 ? beta * (double)c0[t * ldc + i] : 0.0, size_of = fabs(sum);
            for (int64_t j = 0; j < k; j++) {
                const double term = p->w64[back ? j * s.in + i : i * s.in + j] * (double)b[t * ldb + j];
                sum += term;
                size_of += fabs(term);
            }
            const double bound = 0x1p-24 * (double)(k + 2) * size_of;
            const double error = fabs((double)c[t * ldc + i] - sum);
            worst = isfinite(error) ? fmax(worst, error / (bound + 1e-300)) : (double)INFINITY;
        }
    return worst;
}

static void poison(float *c, int64_t rows, int64_t ld, int64_t tokens)
{
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t i = 0; i < rows; i++)
            c[t * ld + i] = NAN;
}

static void check(rls_context *ctx, rls_dtype dtype, size s, int64_t pad)
{
    for (int back = 0; back < 2; back++)
        for (int b = 0; b < 3; b++) {
            const float beta = (float)b * 0.5F; /* 0, 1/2, 1 */
            problem p = problem_make(dtype, s, pad);
            if (b == 0 && back != 0)
                poison(p.x, s.in, p.ldx, s.tokens); /* beta = 0: not read */
            if (b == 0 && back == 0)
                poison(p.y, s.out, p.ldy, s.tokens);
            assert_all_ok(ctx, back != 0 ? rls_mixed_multiply_back(ctx, dtype, s.out, s.in, s.tokens, p.w,
                                                                   p.y, p.ldy, beta, p.x, p.ldx)
                                         : rls_mixed_multiply(ctx, dtype, s.out, s.in, s.tokens, p.w, p.x,
                                                              p.ldx, beta, p.y, p.ldy));
            assert_all_le(error_of(&p, s, back != 0, (double)beta), 1.0);
            problem_free(&p);
        }
}

static void test_against_float64(void **state)
{
    (void)state;
    rls_context *ctx = NULL;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    for (size_t d = 0; d < RLS_TEST_COUNT(DTYPES); d++)
        for (size_t i = 0; i < RLS_TEST_COUNT(SIZES); i++)
            check(ctx, DTYPES[d], SIZES[i], (int64_t)(i % 3) * 3);
    rls_context_destroy(&ctx);
}

/* Nothing to sum over: beta times what was there. Nothing to write: no harm. */
static void test_empty(void **state)
{
    (void)state;
    const size empty[] = {{0, 5, 3}, {5, 0, 3}, {5, 5, 0}, {0, 0, 0}, {0, 5, 1}, {5, 0, 1}};
    rls_context *ctx = NULL;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    for (size_t d = 0; d < RLS_TEST_COUNT(DTYPES); d++)
        for (size_t i = 0; i < RLS_TEST_COUNT(empty); i++)
            check(ctx, DTYPES[d], empty[i], 1);
    rls_context_destroy(&ctx);
}

/* A NaN or Inf of the weight reaches its row, and no other. */
static void test_not_finite(void **state)
{
    (void)state;
    const size s = {20, 30, 12};
    rls_context *ctx = NULL;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    for (size_t d = 0; d < RLS_TEST_COUNT(DTYPES); d++)
        for (int64_t tokens = 1; tokens <= s.tokens; tokens += 3) {
            problem p = problem_make(DTYPES[d], s, 0);
            const double bad[2] = {(double)NAN, (double)INFINITY};
            const int64_t size_of = (int64_t)rls_dtype_size(DTYPES[d]);
            for (int64_t k = 0; k < 2; k++)
                rls_convert(DTYPES[d], (char *)p.w + ((4 + k) * s.in + 11) * size_of, 1, RLS_F64, &bad[k], 1,
                            1);
            assert_all_ok(ctx, rls_mixed_multiply(ctx, DTYPES[d], s.out, s.in, tokens, p.w, p.x, p.ldx, 0.0F,
                                                  p.y, p.ldy));
            for (int64_t t = 0; t < tokens; t++)
                for (int64_t i = 0; i < s.out; i++)
                    assert_all(isfinite(p.y[t * p.ldy + i]) == (i != 4 && i != 5));
            problem_free(&p);
        }
    rls_context_destroy(&ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_float64), cmocka_unit_test(test_empty),
                                       cmocka_unit_test(test_not_finite)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "mixed");
}
