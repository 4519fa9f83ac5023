/* Symmetric matrices of which the lower triangle counts: above it lies NaN here, and nothing may read it. */
#include "linalg/symmetric.h"

#include <math.h>
#include <stdlib.h>

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

/* Symmetric, rounded to float32 so that both types hold it. */
static double element(int64_t i, int64_t j)
{
    return (double)(float)rls_random_normal_at(31, i > j ? i : j, i > j ? j : i);
}

static double key(int64_t i, int64_t j)
{
    return (double)(float)rls_random_normal_at(32, i, j);
}

static rls_matrix *symmetric(rls_grid *grid, rls_dtype dtype, int64_t n, int64_t block)
{
    rls_matrix *c = NULL;
    assert_all_ok(ctx, rls_matrix_create(grid, dtype, n, n, block, &c));
    for (int64_t jl = 0; jl < c->cols_local; jl++)
        for (int64_t il = 0; il < c->rows_local; il++) {
            const int64_t i = rls_matrix_global_row(c, il), j = rls_matrix_global_col(c, jl);
            rls_set(dtype, c->part.data, il + jl * c->part.ld, i >= j ? element(i, j) : (double)NAN);
        }
    return c;
}

/* Both panels of K [n, u], and room for two more. */
typedef struct {
    rls_panel_map map;
    int64_t u;
    void *k_row, *k_col, *f_row, *f_col, *buffer;
} panels;

static void panels_make(panels *p, rls_grid *grid, rls_dtype d, int64_t n, int64_t block, int64_t u)
{
    assert_all_ok(ctx, rls_agree(ctx, rls_panel_map_init(&p->map, grid, n, block, d)));
    const int64_t rows = p->map.row_local, cols = p->map.col_local;
    const size_t size = rls_dtype_size(d);
    p->u = u;
    p->k_row = memory(rows * u, size);
    p->k_col = memory(cols * u, size);
    p->f_row = memory(rows * u, size);
    p->f_col = memory(cols * u, size);
    p->buffer = memory(rls_panel_map_elements(&p->map, u), size);
    rls_panel_map_buffers(&p->map, u, p->buffer);
    for (int64_t j = 0; j < u; j++) {
        for (int64_t il = 0; il < rows; il++) {
            rls_set(d, p->k_row, il + j * rows, key(rls_dim_to_global(p->map.row, grid->row, il), j));
            rls_set(d, p->f_row, il + j * rows, (double)NAN); /* what was there must not count */
        }
        for (int64_t il = 0; il < cols; il++) {
            rls_set(d, p->k_col, il + j * cols, key(rls_dim_to_global(p->map.col, grid->col, il), j));
            rls_set(d, p->f_col, il + j * cols, (double)NAN);
        }
    }
}

static void panels_free(panels *p)
{
    rls_panel_map_free(&p->map);
    free(p->k_row);
    free(p->k_col);
    free(p->f_row);
    free(p->f_col);
    free(p->buffer);
}

/* C K densely: [n, u]. dense: C, column-major. */
static double *dense_product(const double *dense, int64_t n, int64_t u)
{
    double *f = memory(n * u, sizeof *f);
    for (int64_t j = 0; j < u; j++)
        for (int64_t l = 0; l < n; l++)
            for (int64_t i = 0; i < n; i++)
                f[i + j * n] += dense[i + l * n] * key(l, j);
    return f;
}

/* The largest error of the row panel F. */
static double panel_error(const panels *p, const double *f)
{
    const int64_t n = p->map.row.n, rows = p->map.row_local;
    const rls_dtype d = p->map.dtype;
    double worst = 0.0;
    for (int64_t j = 0; j < p->u; j++) {
        for (int64_t il = 0; il < rows; il++) {
            const int64_t i = rls_dim_to_global(p->map.row, p->map.grid->row, il);
            const double error = fabs(rls_get(d, p->f_row, il + j * rows) - f[i + j * n]);
            worst = error <= worst ? worst : error; /* NaN stays */
        }
    }
    return worst;
}

static void check_case(rls_grid *grid, rls_dtype d, int64_t n, int64_t block, int64_t u)
{
    rls_matrix *c = symmetric(grid, d, n, block);
    panels p;
    panels_make(&p, grid, d, n, block, u);
    double *dense = memory(n * n, sizeof *dense), *should = memory(n * n, sizeof *should);
    symmetric_to_dense(ctx, c, dense);
    /* Elements are of size 1: a product's error is below n eps times a few standard deviations. */
    const double bound = 20.0 * (double)n * rls_dtype_eps(d);
    double *f = dense_product(dense, n, u);
    rls_symmetric_multiply(c, &p.map, u, p.k_row, p.k_col, p.f_row, p.f_col);
    assert_all_le(panel_error(&p, f), bound);
    free(f);
    /* tril(C) -= 0.5 K K^T, then the product with the new C. */
    rls_symmetric_update(c, u, -0.5, p.k_row, p.k_col);
    symmetric_to_dense(ctx, c, should);
    double worst = 0.0;
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < n; i++) {
            for (int64_t e = 0; e < u; e++)
                dense[i + j * n] -= 0.5 * key(i, e) * key(j, e);
            const double error = fabs(should[i + j * n] - dense[i + j * n]);
            worst = error <= worst ? worst : error;
        }
    assert_all_le(worst, 20.0 * (double)(u + 1) * rls_dtype_eps(d));
    f = dense_product(should, n, u);
    rls_symmetric_multiply(c, &p.map, u, p.k_row, p.k_col, p.f_row, p.f_col);
    assert_all_le(panel_error(&p, f), bound * (double)(u + 1));
    free(f);
    free(dense);
    free(should);
    panels_free(&p);
    rls_matrix_destroy(&c);
}

static void check_products(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t sizes[][2] = {{1, 1}, {1, 8}, {5, 64}, {37, 4}, {64, 8}, {70, 1}, {101, 16}, {90, 32}};
    const int64_t edits[] = {1, 2, 4, 5, 17};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int e = 0; e < 5; e++) {
            check_case(grid, RLS_F64, sizes[s][0], sizes[s][1], edits[e]);
            check_case(grid, RLS_F32, sizes[s][0], sizes[s][1], edits[e]);
        }
}

static void test_multiply_update(void **state)
{
    ctx = *state;
    each_grid(ctx, check_products, NULL);
}

/* Larger than the tiles that products with few vectors are cut into: wider, and on one rank also taller. */
static void check_tiles(rls_grid *grid, void *user)
{
    (void)user;
    check_case(grid, RLS_F32, rls_context_size(ctx) == 1 ? 4200 : 300, 48, 1);
    check_case(grid, RLS_F64, 300, 64, 3);
}

static void test_tiles(void **state)
{
    ctx = *state;
    each_grid(ctx, check_tiles, NULL);
}

static void check_diagonal(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t n = 43, block = 8;
    const rls_dtype dtypes[] = {RLS_F64, RLS_F32};
    for (int k = 0; k < 2; k++) {
        rls_matrix *c = symmetric(grid, dtypes[k], n, block);
        double *dense = memory(n * n, sizeof *dense);
        double trace = 0.0, largest = -INFINITY, pivot = INFINITY;
        rls_symmetric_scale_shift(c, -2.0, 0.5);
        symmetric_to_dense(ctx, c, dense);
        double worst = 0.0;
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < n; i++) {
                const double should = -2.0 * element(i, j) + (i == j ? 0.5 : 0.0);
                const double error = fabs(dense[i + j * n] - should) / (fabs(should) + 1.0);
                worst = error <= worst ? worst : error;
            }
        assert_all_le(worst, 4.0 * rls_dtype_eps(dtypes[k]));
        for (int64_t i = 0; i < n; i++) {
            const double x = dense[i * (n + 1)];
            trace += x;
            largest = fmax(largest, x);
            pivot = fmin(pivot, x * x);
            const double element_i = rls_diagonal_element(c, i);
            assert_true(element_i == x); /* equal on all ranks */
        }
        double sum = rls_local_trace(c);
        MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, rls_context_comm(ctx));
        assert_all_le(fabs(sum - trace), 1e-13 * (double)n);
        assert_all(rls_largest_diagonal(c) == largest);
        assert_all(rls_smallest_pivot(c) == pivot);
        rls_symmetric_scale_shift(c, 1.0, (double)NAN); /* a factor that is not a number is seen by all */
        assert_all(isnan(rls_smallest_pivot(c)));
        free(dense);
        rls_matrix_destroy(&c);
    }
}

static void test_diagonal(void **state)
{
    ctx = *state;
    each_grid(ctx, check_diagonal, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_multiply_update), context_test(test_tiles),
                                       context_test(test_diagonal)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "symmetric");
}
