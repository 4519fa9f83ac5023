/* A rank's part times panels and updated by panels, against plain sums in float64: whole matrices and lower
 * triangles (above which lies NaN), sizes that cross the tiles, one vector to more than fit at a time. */
#include "linalg/tiles.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "linalg/amx.h"
#include "linalg/kernels.h"
#include "support/collective.h"
#include "support/state.h"

static rls_context *ctx;

static void *memory(int64_t count, size_t size)
{
    void *data = calloc((size_t)count + 1, size);
    if (data == NULL)
        abort();
    return data;
}

static bool counts(const rls_matrix *a, rls_shape shape, int64_t il, int64_t jl, int64_t below)
{
    return shape == RLS_FULL || rls_matrix_global_row(a, il) >= rls_matrix_global_col(a, jl) + below;
}

static void fill(rls_matrix *a, rls_shape shape)
{
    for (int64_t j = 0; j < a->cols_local; j++)
        for (int64_t i = 0; i < a->rows_local; i++)
            rls_set(a->part.dtype, a->part.data, i + j * a->part.ld,
                    counts(a, shape, i, j, 0) ? rls_random_normal_at(1, i, j) : (double)NAN);
}

static void *panel(rls_dtype d, int64_t rows, int64_t u, uint64_t seed)
{
    void *data = memory(rows * u, rls_dtype_size(d));
    for (int64_t i = 0; i < rows * u; i++)
        rls_set(d, data, i, rls_random_normal_at(seed, i, 0));
    return data;
}

/* The largest error of f [rows, u] = start + alpha sum_k A(i, k) k(k, j), over eps times the sum of the
 * terms' sizes. across: with A^T, strictly below the diagonal. */
static double product_error(const rls_matrix *a, rls_shape shape, int64_t u, double alpha, bool across,
                            const void *k, const void *start, const void *f)
{
    const rls_dtype d = a->part.dtype;
    const int64_t rows = across ? a->cols_local : a->rows_local,
                  depth = across ? a->rows_local : a->cols_local;
    double worst = 0.0;
    for (int64_t j = 0; j < u; j++)
        for (int64_t i = 0; i < rows; i++) {
            double sum = rls_get(d, start, i + j * rows), size = fabs(sum);
            for (int64_t l = 0; l < depth; l++) {
                const int64_t il = across ? l : i, jl = across ? i : l;
                if (!counts(a, shape, il, jl, across ? 1 : 0))
                    continue;
                const double term =
                    alpha * rls_get(d, a->part.data, il + jl * a->part.ld) * rls_get(d, k, l + j * depth);
                sum += term;
                size += fabs(term);
            }
            const double error =
                fabs(rls_get(d, f, i + j * rows) - sum) / (rls_dtype_eps(d) * (size + 1e-30));
            worst = error <= worst ? worst : error; /* NaN stays */
        }
    return worst;
}

/* Sums of k terms in any order err by less than a few times sqrt(k) eps of the terms' sum here. */
static double bound(int64_t terms)
{
    return 4.0 + 2.0 * sqrt((double)terms);
}

static void check_multiply(const rls_matrix *a, rls_shape shape, int64_t u, double alpha)
{
    const rls_dtype d = a->part.dtype;
    const int64_t rows = a->rows_local, cols = a->cols_local;
    void *k_row = panel(d, rows, u, 2), *k_col = panel(d, cols, u, 3);
    void *row_start = panel(d, rows, u, 4), *col_start = panel(d, cols, u, 5);
    for (int which = 1; which <= 3; which++) { /* either product, and both */
        void *f_row = panel(d, rows, u, 4), *f_col = panel(d, cols, u, 5);
        const bool by_row = (which & 1) != 0, by_col = (which & 2) != 0;
        rls_tiles_multiply(a, shape, u, alpha, by_row ? k_col : NULL, by_row ? f_row : NULL,
                           by_col ? k_row : NULL, by_col ? f_col : NULL);
        assert_all_le(product_error(a, shape, u, by_row ? alpha : 0.0, false, k_col, row_start, f_row),
                      bound(cols));
        assert_all_le(product_error(a, shape, u, by_col ? alpha : 0.0, true, k_row, col_start, f_col),
                      bound(rows));
        free(f_row);
        free(f_col);
    }
    free(k_row);
    free(k_col);
    free(row_start);
    free(col_start);
}

static void check_update(rls_matrix *a, rls_shape shape, int64_t u, double alpha)
{
    const rls_dtype d = a->part.dtype;
    const int64_t rows = a->rows_local, cols = a->cols_local;
    void *g_row = panel(d, rows, u, 6), *g_col = panel(d, cols, u, 7);
    double worst = 0.0;
    fill(a, shape);
    rls_tiles_update(a, shape, u, alpha, g_row, g_col);
    for (int64_t j = 0; j < cols; j++)
        for (int64_t i = 0; i < rows; i++) {
            double sum =
                (double)(d == RLS_F32 ? (float)rls_random_normal_at(1, i, j) : rls_random_normal_at(1, i, j));
            double size = fabs(sum);
            if (!counts(a, shape, i, j, 0))
                continue;
            for (int64_t e = 0; e < u; e++) {
                const double term = alpha * rls_get(d, g_row, i + e * rows) * rls_get(d, g_col, j + e * cols);
                sum += term;
                size += fabs(term);
            }
            const double error = fabs(rls_get(d, a->part.data, i + j * a->part.ld) - sum) /
                                 (rls_dtype_eps(d) * (size + 1e-30));
            worst = error <= worst ? worst : error;
        }
    assert_all_le(worst, bound(u));
    free(g_row);
    free(g_col);
}

static void check_case(rls_grid *grid, rls_dtype d, rls_shape shape, int64_t rows, int64_t cols,
                       int64_t block, int64_t u)
{
    rls_matrix *a = NULL;
    assert_all_ok(ctx, rls_matrix_create(grid, d, rows, cols, block, &a));
    fill(a, shape);
    check_multiply(a, shape, u, u % 2 == 0 ? -0.5 : 1.0);
    check_update(a, shape, u, u % 2 == 0 ? 2.0 : -1.0);
    rls_matrix_destroy(&a);
}

/* Rows, columns, block size, edits. The large ones are more than a tile a rank, and more columns than share
 * packed panels. */
static void check_sizes(rls_grid *grid, rls_dtype d)
{
    const int64_t cases[][4] = {{1, 1, 1, 1},       {5, 3, 2, 3},        {128, 128, 64, 6},
                                {129, 127, 8, 7},   {300, 290, 7, 1},    {300, 290, 64, 2},
                                {270, 400, 32, 16}, {200, 900, 48, 260}, {150, 130, 16, 400},
                                {1100, 70, 24, 5},  {70, 61, 5, 8},      {700, 90, 5, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_case(grid, d, RLS_FULL, cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
        check_case(grid, d, RLS_LOWER, cases[i][0], cases[i][0], cases[i][2], cases[i][3]);
    }
}

/* float32 with the processor's matrix unit, where it has one, and without. */
static void check_types(rls_grid *grid, void *user)
{
    (void)user;
    check_sizes(grid, RLS_F64);
    check_sizes(grid, RLS_F32);
    const rls_amx *amx = rls_amx_of(ctx);
    if (amx == NULL)
        return;
    ctx->amx = NULL;
    check_sizes(grid, RLS_F32);
    ctx->amx = amx;
}

static void test_sizes(void **state)
{
    ctx = *state;
    each_grid(ctx, check_types, NULL);
}

/* B L^{-T} for a well-conditioned L: times L^T it is B again. */
static void check_solve(rls_grid *grid, rls_dtype d, int64_t rows, int64_t u)
{
    void *l = panel(d, u, u, 8), *b = panel(d, rows, u, 9), *x = panel(d, rows, u, 9);
    double worst = 0.0;
    for (int64_t i = 0; i < u; i++)
        rls_set(d, l, i * (u + 1), 3.0 * sqrt((double)u) + rls_get(d, l, i * (u + 1)));
    for (int64_t j = 1; j < u; j++) /* above L nothing may be read */
        for (int64_t i = 0; i < j; i++)
            rls_set(d, l, i + j * u, (double)NAN);
    rls_tiles_solve(grid, d, rows, u, l, x, rows);
    for (int64_t j = 0; j < u; j++)
        for (int64_t i = 0; i < rows; i++) {
            double sum = -rls_get(d, b, i + j * rows), size = fabs(sum);
            for (int64_t k = 0; k <= j; k++) {
                sum += rls_get(d, x, i + k * rows) * rls_get(d, l, j + k * u);
                size += fabs(rls_get(d, x, i + k * rows) * rls_get(d, l, j + k * u));
            }
            const double error = fabs(sum) / (rls_dtype_eps(d) * size);
            worst = error <= worst ? worst : error;
        }
    assert_all_le(worst, bound(u));
    free(l);
    free(b);
    free(x);
}

static void check_solves(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t cases[][2] = {{1, 1}, {3, 7}, {64, 6}, {65, 13}, {200, 100}, {31, 300}, {0, 5}};
    rls_matrix *any = NULL; /* brings the grid's room */
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, 1, 1, 1, &any));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_solve(grid, RLS_F64, cases[i][0], cases[i][1]);
        check_solve(grid, RLS_F32, cases[i][0], cases[i][1]);
    }
    rls_matrix_destroy(&any);
}

static void test_solve(void **state)
{
    ctx = *state;
    each_grid(ctx, check_solves, NULL);
}

#ifdef _OPENMP
/* With more threads than one, and with fewer than asked for, as inside a parallel region. */
static void test_threads(void **state)
{
    ctx = *state;
    const int before = omp_get_max_threads();
    rls_grid *grid = NULL;
    omp_set_num_threads(3);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    check_types(grid, NULL);
    check_solves(grid, NULL);
#pragma omp parallel num_threads(2)
    {
#pragma omp master
        {
            check_case(grid, RLS_F64, RLS_LOWER, 300, 300, 16, 20);
            check_case(grid, RLS_F64, RLS_LOWER, 300, 300, 16, 1);
            check_case(grid, RLS_F32, RLS_LOWER, 300, 300, 16, 40);
            check_solve(grid, RLS_F64, 200, 30);
        }
    }
    rls_grid_destroy(&grid);
    omp_set_num_threads(before);
}
#endif

/* The same call gives the same bits. */
static void test_repeatable(void **state)
{
    ctx = *state;
    rls_grid *grid = NULL;
    rls_matrix *a = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F32, 500, 500, 32, &a));
    fill(a, RLS_LOWER);
    const int64_t rows = a->rows_local, cols = a->cols_local, u = 40;
    void *k_row = panel(RLS_F32, rows, u, 2), *k_col = panel(RLS_F32, cols, u, 3);
    void *first = NULL;
    for (int i = 0; i < 5; i++) {
        float *f = memory((rows + cols) * u, sizeof *f);
        rls_tiles_multiply(a, RLS_LOWER, u, 1.0, k_col, f, k_row, f + rows * u);
        if (first == NULL) {
            first = f;
            continue;
        }
        assert_all(memcmp(first, f, (size_t)((rows + cols) * u) * sizeof *f) == 0);
        free(f);
    }
    free(first);
    free(k_row);
    free(k_col);
    rls_matrix_destroy(&a);
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_sizes), context_test(test_solve),
#ifdef _OPENMP
                                       context_test(test_threads),
#endif
                                       context_test(test_repeatable)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "tiles");
}
