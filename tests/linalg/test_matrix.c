/* Distributed matrices: sizes, places, norm, and what cannot be made. */
#include "linalg/matrix.h"

#include <math.h>
#include <stdlib.h>

#include "support/collective.h"
#include "support/state.h"

static rls_context *ctx;

static void set(rls_matrix *a, int64_t at, double value)
{
    void *data = rls_matrix_local(a, NULL, NULL, NULL);
    if (rls_matrix_dtype(a) == RLS_F64)
        ((double *)data)[at] = value;
    else
        ((float *)data)[at] = (float)value;
}

static void check_matrix(rls_grid *grid, rls_dtype dtype, int64_t rows, int64_t cols, int64_t block)
{
    rls_matrix *a = NULL;
    assert_all_ok(ctx, rls_matrix_create(grid, dtype, rows, cols, block, &a));
    assert_all(rls_matrix_rows(a) == rows && rls_matrix_cols(a) == cols && rls_matrix_dtype(a) == dtype);
    double norm = -1.0;
    assert_all_ok(ctx, rls_matrix_norm(a, &norm));
    assert_all(norm == 0.0); /* made of zeros */
    int64_t local_rows = -1, local_cols = -1, ld = -1, elements = 0;
    void *data = rls_matrix_local(a, &local_rows, &local_cols, &ld);
    assert_all(local_rows >= 0 && local_cols >= 0 && ld >= local_rows && ld >= 1);
    assert_all((data != NULL) == (local_rows * local_cols > 0));
    elements = local_rows * local_cols;
    MPI_Allreduce(MPI_IN_PLACE, &elements, 1, MPI_INT64_T, MPI_SUM, rls_context_comm(ctx));
    assert_all_int_equal(elements, rows * cols);
    /* Every global element is on one rank, where the blocks say. */
    int p = 0, q = 0, row = 0, col = 0;
    rls_grid_shape(grid, &p, &q, &row, &col);
    double *seen = calloc((size_t)(rows * cols), sizeof *seen), squares = 0.0;
    if (seen == NULL)
        abort();
    for (int64_t jl = 0; jl < local_cols; jl++)
        for (int64_t il = 0; il < local_rows; il++) {
            const int64_t i = rls_matrix_global_row(a, il), j = rls_matrix_global_col(a, jl);
            assert_true(i >= 0 && i < rows && j >= 0 && j < cols);
            assert_true(i / block % p == row && j / block % q == col);
            seen[i + j * rows] += 1.0;
            set(a, il + jl * ld, (double)(i + 100 * j));
        }
    MPI_Allreduce(MPI_IN_PLACE, seen, (int)(rows * cols), MPI_DOUBLE, MPI_SUM, rls_context_comm(ctx));
    for (int64_t at = 0; at < rows * cols; at++) {
        assert_true(seen[at] == 1.0);
        const int64_t i = at % rows, j = at / rows;
        const double value = (double)(i + 100 * j);
        squares += value * value;
    }
    assert_all_ok(ctx, rls_matrix_norm(a, &norm));
    assert_all_le(fabs(norm - sqrt(squares)),
                  1e-14 * sqrt(squares)); /* also for float32: summed in float64 */
    free(seen);
    rls_matrix_destroy(&a);
    assert_all(a == NULL);
    rls_matrix_destroy(&a);
}

static void check_sizes(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t sizes[][3] = {{1, 1, 1},    {1, 40, 8},   {40, 1, 8}, {33, 21, 8},
                                {64, 64, 16}, {17, 17, 64}, {30, 31, 1}};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        check_matrix(grid, RLS_F64, sizes[s][0], sizes[s][1], sizes[s][2]);
        check_matrix(grid, RLS_F32, sizes[s][0], sizes[s][1], sizes[s][2]);
    }
}

static void test_sizes(void **state)
{
    ctx = *state;
    each_grid(ctx, check_sizes, NULL);
}

static void test_impossible(void **state)
{
    ctx = *state;
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    const struct {
        rls_dtype dtype;
        rls_status status;
        int64_t rows, cols, block;
        const char *message;
    } cases[] = {
        {RLS_F64, RLS_ERR_USAGE, 0, 4, 2, "0 x 4"},
        {RLS_F64, RLS_ERR_USAGE, 4, -1, 2, "4 x -1"},
        {RLS_F64, RLS_ERR_USAGE, 4, 4, 0, "blocks of 0"},
        {RLS_BF16, RLS_ERR_USAGE, 4, 4, 2, "bfloat16"},
        {RLS_F16, RLS_ERR_USAGE, 4, 4, 2, "float16"},
        {RLS_F32, RLS_ERR_USAGE, (int64_t)1 << 31, 1, 64, "2147483648 x 1"},
        {RLS_F32, RLS_ERR_USAGE, 1, INT64_MAX, 64, "cannot be made"},
        /* Small enough for each size, too many elements on a rank: told before anything is taken. */
        {RLS_F32, RLS_ERR_MEMORY, 200000, 200000, 64, "use more ranks"},
        {RLS_F64, RLS_ERR_MEMORY, INT32_MAX, INT32_MAX, 64, "2^31 elements or more"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rls_matrix *a = NULL;
        assert_all_status(
            ctx, rls_matrix_create(grid, cases[i].dtype, cases[i].rows, cases[i].cols, cases[i].block, &a),
            cases[i].status);
        assert_all_message(ctx, cases[i].message);
        assert_all(a == NULL);
    }
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_sizes), context_test(test_impossible)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "matrix");
}
