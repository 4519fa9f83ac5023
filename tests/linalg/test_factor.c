/* Distributed factorisations: residuals with stated bounds, and matrices that cannot be inverted. */
#include "linalg/factor.h"

#include <math.h>
#include <stdlib.h>

#include "linalg/kernels.h"
#include "support/collective.h"
#include "support/state.h"

void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void dpotri_(const char *uplo, const int *n, double *a, const int *lda, int *info);
void spotrf_(const char *uplo, const int *n, float *a, const int *lda, int *info);
void spotri_(const char *uplo, const int *n, float *a, const int *lda, int *info);

static rls_context *ctx;

static double *array(int64_t count)
{
    double *a = calloc((size_t)count + 1, sizeof *a);
    if (a == NULL)
        abort();
    return a;
}

static void product(char opb, int64_t m, int64_t n, int64_t k, double alpha, const double *a, const double *b,
                    double beta, double *c)
{
    rls_gemm(RLS_F64, 'N', opb, m, n, k, alpha, a, m, b, opb == 'N' ? k : n, beta, c, m);
}

static double norm(const double *a, int64_t count)
{
    return sqrt(rls_sum_squares(RLS_F64, count, 1, a, count));
}

/* A symmetric matrix with eigenvalues that fall geometrically from 1 to 1 / condition: Q diag Q^T, Q a
 * product of reflections. Rounded to float32. */
static double *spd(int64_t n, double condition, uint64_t seed)
{
    double *a = array(n * n), *v = array(n), *w = array(n);
    for (int64_t i = 0; i < n; i++)
        a[i * (n + 1)] = n > 1 ? pow(condition, -(double)i / (double)(n - 1)) : 1.0;
    for (int r = 0; r < 3; r++) { /* A <- H A H, H = I - 2 v v^T */
        for (int64_t i = 0; i < n; i++)
            v[i] = rls_random_normal_at(seed, i, r);
        const double size = norm(v, n);
        for (int64_t i = 0; i < n; i++)
            v[i] /= size;
        rls_gemm(RLS_F64, 'N', 'N', n, 1, n, 1.0, a, n, v, n, 0.0, w, n);
        double vw = 0.0;
        for (int64_t i = 0; i < n; i++)
            vw += v[i] * w[i];
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < n; i++)
                a[i + j * n] += 4.0 * vw * v[i] * v[j] - 2.0 * (v[i] * w[j] + w[i] * v[j]);
    }
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i <= j; i++)
            a[i + j * n] = a[j + i * n] = (double)(float)a[j + i * n];
    free(v);
    free(w);
    return a;
}

static rls_matrix *distribute(rls_grid *grid, rls_dtype dtype, int64_t block, int64_t rows, int64_t cols,
                              const double *dense)
{
    rls_matrix *a = NULL;
    assert_all_ok(ctx, rls_matrix_create(grid, dtype, rows, cols, block, &a));
    matrix_from_dense(a, dense);
    return a;
}

/* NaN above the diagonal: only the lower triangle is the caller's. */
static void spoil_above(rls_matrix *a)
{
    for (int64_t jl = 0; jl < a->cols_local; jl++)
        for (int64_t il = 0; il < a->rows_local; il++)
            if (rls_matrix_global_row(a, il) < rls_matrix_global_col(a, jl))
                rls_set(a->part.dtype, a->part.data, il + jl * a->part.ld, (double)NAN);
}

/* ||A C - I|| / (n eps ||A|| ||C||) of the inverse is below 10: LAPACK's own tests ask for 30. */
static void check_inverse(rls_grid *grid, rls_dtype dtype, int64_t n, int64_t block, double condition)
{
    double *dense = spd(n, condition, 41), *inverse = array(n * n), *residual = array(n * n);
    rls_matrix *a = distribute(grid, dtype, block, n, n, dense);
    spoil_above(a);
    double pivot = 0.0;
    assert_all_ok(ctx, rls_spd_invert(a, &pivot));
    symmetric_to_dense(ctx, a, inverse);
    for (int64_t i = 0; i < n; i++)
        residual[i * (n + 1)] = -1.0;
    product('N', n, n, n, 1.0, dense, inverse, 1.0, residual);
    const double scale = (double)n * rls_dtype_eps(dtype) * norm(dense, n * n) * norm(inverse, n * n);
    assert_all_le(norm(residual, n * n), 10.0 * scale);
    /* The smallest pivot lies between the smallest eigenvalue and the largest diagonal element. */
    assert_all_le(1.0 / condition, pivot * (1.0 + (double)n * rls_dtype_eps(dtype) * condition));
    assert_all_le(pivot, 1.0 + 1e-5);
    free(dense);
    free(inverse);
    free(residual);
    rls_matrix_destroy(&a);
}

static void check_inverses(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t sizes[][2] = {{1, 1}, {1, 8}, {30, 64}, {65, 8}, {100, 1}, {128, 32}, {131, 16}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        check_inverse(grid, RLS_F64, sizes[s][0], sizes[s][1], 1.0);
        check_inverse(grid, RLS_F64, sizes[s][0], sizes[s][1], 1e4);
        check_inverse(grid, RLS_F64, sizes[s][0], sizes[s][1], 1e6);
        check_inverse(grid, RLS_F32, sizes[s][0], sizes[s][1], 1e3);
    }
}

static void test_inverse(void **state)
{
    ctx = *state;
    each_grid(ctx, check_inverses, NULL);
}

/* ||A X - I||_F, X symmetric by its lower triangle. */
static double inverse_residual(int64_t n, const double *a, double *x)
{
    double *residual = array(n * n);
    for (int64_t j = 0; j < n; j++) {
        for (int64_t i = 0; i < j; i++)
            x[i + j * n] = x[j + i * n];
        residual[j * (n + 1)] = -1.0;
    }
    product('N', n, n, n, 1.0, a, x, 1.0, residual);
    const double result = norm(residual, n * n);
    free(residual);
    return result;
}

/* The residual of LAPACK's inverse in that type, on one rank's copy. */
static double reference_residual(rls_dtype dtype, int64_t n, const double *a)
{
    const int size = (int)n;
    int info = 0;
    double *x = array(n * n), *work = array(n * n);
    for (int64_t i = 0; i < n * n; i++)
        rls_set(dtype, work, i, a[i]);
    if (dtype == RLS_F64) {
        dpotrf_("L", &size, work, &size, &info);
        dpotri_("L", &size, work, &size, &info);
    } else {
        spotrf_("L", &size, (float *)(void *)work, &size, &info);
        spotri_("L", &size, (float *)(void *)work, &size, &info);
    }
    assert_int_equal(info, 0);
    for (int64_t i = 0; i < n * n; i++)
        x[i] = rls_get(dtype, work, i);
    const double result = inverse_residual(n, a, x);
    free(x);
    free(work);
    return result;
}

/* The sweep's residual against that of LAPACK's Cholesky inverse, whatever the width of its steps: the
 * largest ratio for matrices like these is 4.7, with a step's rounding errors adding up in another order. */
static void check_widths(rls_grid *grid, rls_dtype dtype, int64_t n, int64_t block, double condition)
{
    const int64_t widths[] = {7, 32, 48, 0, n + 5};
    double *dense = spd(n, condition, 43), *inverse = array(n * n);
    const double reference = reference_residual(dtype, n, dense);
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        rls_matrix *a = distribute(grid, dtype, block, n, n, dense);
        double pivot = 0.0;
        spoil_above(a);
        assert_all_ok(ctx, rls_spd_invert_by(a, widths[w], &pivot));
        symmetric_to_dense(ctx, a, inverse);
        assert_all_le(inverse_residual(n, dense, inverse), 8.0 * reference);
        rls_matrix_destroy(&a);
    }
    free(dense);
    free(inverse);
}

static void check_all_widths(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t sizes[][2] = {{37, 4}, {101, 16}, {150, 9}, {97, 64}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        check_widths(grid, RLS_F64, sizes[s][0], sizes[s][1], 10.0);
        check_widths(grid, RLS_F64, sizes[s][0], sizes[s][1], 1e6);
        check_widths(grid, RLS_F32, sizes[s][0], sizes[s][1], 10.0);
        check_widths(grid, RLS_F32, sizes[s][0], sizes[s][1], 1e3);
        check_widths(grid, RLS_F32, sizes[s][0], sizes[s][1], 1e5);
    }
}

static void test_widths(void **state)
{
    ctx = *state;
    each_grid(ctx, check_all_widths, NULL);
}

static void refuse(rls_grid *grid, rls_dtype dtype, int64_t n, const double *dense, double low, double high)
{
    const int64_t widths[] = {0, 7, n};
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        rls_matrix *a = distribute(grid, dtype, 8, n, n, dense);
        double pivot = 1e30;
        assert_all_status(ctx, rls_spd_invert_by(a, widths[w], &pivot), RLS_ERR_NUMERIC);
        assert_all_message(ctx, "singular to working precision: smallest pivot");
        if (!isnan(low))
            assert_all(pivot >= low && pivot <= high);
        rls_matrix_destroy(&a);
    }
}

/* Rank-deficient, indefinite and not-a-number matrices: a result on every rank, with the pivot. */
static void check_refusals(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t n = 50;
    const rls_dtype dtypes[] = {RLS_F64, RLS_F32};
    for (int k = 0; k < 2; k++) {
        const double eps = rls_dtype_eps(dtypes[k]);
        double *b = array(n * n), *a = array(n * n);
        for (int64_t rank = 0; rank < n; rank += 7) { /* B B^T of B [n, rank] */
            /* Its first rows are well-conditioned, or the pivot behind them would be anything. */
            for (int64_t i = 0; i < n * rank; i++)
                b[i] = rls_random_normal_at(51, i, 0) + (i % (n + 1) == 0 ? 3.0 * sqrt((double)n) : 0.0);
            product('T', n, n, rank, 1.0, b, b, 0.0, a);
            refuse(grid, dtypes[k], n, a, -1e3 * (double)n * eps, 1e3 * (double)n * eps);
        }
        for (int64_t i = 0; i < n * n; i++)
            a[i] = i % (n + 1) == 0 ? 1.0 : 0.0;
        a[33 * (n + 1)] = -0.25;
        refuse(grid, dtypes[k], n, a, -0.25, -0.25);
        a[33 * (n + 1)] = eps; /* positive, but nothing to divide by */
        refuse(grid, dtypes[k], n, a, 0.5 * eps, 2.0 * eps);
        a[33 * (n + 1)] = (double)NAN;
        refuse(grid, dtypes[k], n, a, (double)NAN, (double)NAN);
        free(a);
        free(b);
    }
}

static void test_refusals(void **state)
{
    ctx = *state;
    each_grid(ctx, check_refusals, NULL);
}

static void check_symm(rls_grid *grid, rls_dtype dtype, int64_t n, int64_t m, int64_t block, double alpha,
                       double beta)
{
    double *a = spd(n, 100.0, 61), *b = array(n * m), *c = array(n * m), *result = array(n * m);
    for (int64_t i = 0; i < n * m; i++) {
        b[i] = (double)(float)rls_random_normal_at(62, i, 0);
        c[i] = (double)(float)rls_random_normal_at(63, i, 0);
    }
    rls_matrix *da = distribute(grid, dtype, block, n, n, a), *db = distribute(grid, dtype, block, n, m, b);
    rls_matrix *dc = distribute(grid, dtype, block, n, m, c);
    spoil_above(da);
    assert_all_ok(ctx, rls_symmetric_times_matrix(alpha, da, db, beta, dc));
    matrix_to_dense(ctx, dc, result);
    const double scale = fabs(alpha) * norm(a, n * n) * norm(b, n * m) + fabs(beta) * norm(c, n * m);
    product('N', n, m, n, alpha, a, b, beta, c);
    for (int64_t i = 0; i < n * m; i++)
        result[i] -= c[i];
    assert_all_le(norm(result, n * m), (double)(n + 2) * rls_dtype_eps(dtype) * scale);
    rls_matrix_destroy(&da);
    rls_matrix_destroy(&db);
    rls_matrix_destroy(&dc);
    free(a);
    free(b);
    free(c);
    free(result);
}

static void check_symms(rls_grid *grid, void *user)
{
    (void)user;
    const rls_dtype dtypes[] = {RLS_F64, RLS_F32};
    for (int k = 0; k < 2; k++) {
        check_symm(grid, dtypes[k], 1, 1, 4, 1.0, 1.0);
        check_symm(grid, dtypes[k], 45, 70, 8, 1.0, 1.0);
        check_symm(grid, dtypes[k], 64, 9, 16, -0.5, 2.0);
        check_symm(grid, dtypes[k], 20, 33, 64, 1.0, 0.0);
    }
}

static void test_symmetric_times_matrix(void **state)
{
    ctx = *state;
    each_grid(ctx, check_symms, NULL);
}

/* PBLAS would end the program: such calls are refused before it sees them. */
static void test_misfits(void **state)
{
    ctx = *state;
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    rls_matrix *a = NULL, *b = NULL;
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, 8, 8, 4, &a));
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, 8, 3, 4, &b));
    const struct {
        rls_dtype dtype;
        int64_t rows, cols, block;
    } wrong[] = {{RLS_F64, 7, 3, 4}, {RLS_F64, 8, 4, 4}, {RLS_F32, 8, 3, 4}, {RLS_F64, 8, 3, 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        rls_matrix *c = NULL;
        assert_all_ok(
            ctx, rls_matrix_create(grid, wrong[i].dtype, wrong[i].rows, wrong[i].cols, wrong[i].block, &c));
        assert_all_status(ctx, rls_symmetric_times_matrix(1.0, a, b, 1.0, c), RLS_ERR_INTERNAL);
        assert_all_status(ctx, rls_symmetric_times_matrix(1.0, a, c, 1.0, b), RLS_ERR_INTERNAL);
        assert_all_status(ctx, rls_symmetric_times_matrix(1.0, c, b, 1.0, b), RLS_ERR_INTERNAL);
        assert_all_message(ctx, "do not fit");
        rls_matrix_destroy(&c);
    }
    rls_matrix_destroy(&a);
    rls_matrix_destroy(&b);
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_inverse), context_test(test_widths),
                                       context_test(test_refusals), context_test(test_symmetric_times_matrix),
                                       context_test(test_misfits)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "factor");
}
