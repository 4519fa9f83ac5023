/* The process grid: shapes, places, communicators, BLACS. */
#include "grid/grid.h"

#include "grid/blacs.h"
#include "support/collective.h"
#include "support/state.h"

void Cblacs_gridinfo(int context, int *nprow, int *npcol, int *row, int *col);

static void check_place(rls_grid *grid, void *user)
{
    rls_context *ctx = user;
    const int rank = rls_context_rank(ctx), size = rls_context_size(ctx);
    int p = 0, q = 0, row = -1, col = -1;
    rls_grid_shape(grid, &p, &q, &row, &col);
    rls_grid_shape(grid, NULL, NULL, NULL, NULL);
    assert_all(rls_grid_context(grid) == ctx);
    assert_all_int_equal(p * q, size);
    assert_all(row >= 0 && row < p && col >= 0 && col < q);
    assert_all_int_equal(row * q + col, rank);
    int in_row = -1, in_col = -1, row_size = 0, col_size = 0;
    MPI_Comm_rank(grid->row_comm, &in_row);
    MPI_Comm_size(grid->row_comm, &row_size);
    MPI_Comm_rank(grid->col_comm, &in_col);
    MPI_Comm_size(grid->col_comm, &col_size);
    assert_all(in_row == col && row_size == q && in_col == row && col_size == p);
    /* A process row's ranks share the row: the sum of their rows is q times it. */
    int rows = row, cols = col;
    MPI_Allreduce(MPI_IN_PLACE, &rows, 1, MPI_INT, MPI_SUM, grid->row_comm);
    MPI_Allreduce(MPI_IN_PLACE, &cols, 1, MPI_INT, MPI_SUM, grid->col_comm);
    assert_all(rows == q * row && cols == p * col);
    int bp = 0, bq = 0, brow = -1, bcol = -1;
    Cblacs_gridinfo(grid->blacs_context, &bp, &bq, &brow, &bcol);
    assert_all(bp == p && bq == q && brow == row && bcol == col);
}

static void test_every_shape(void **state)
{
    each_grid(*state, check_place, *state);
}

/* No shape given: the most square one with p <= q. */
static void test_automatic(void **state)
{
    rls_context *ctx = *state;
    const int size = rls_context_size(ctx);
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    check_place(grid, ctx);
    int p = 0, q = 0;
    rls_grid_shape(grid, &p, &q, NULL, NULL);
    assert_all(p <= q);
    for (int i = p + 1; i * i <= size; i++)
        assert_all(size % i != 0);
    rls_grid_destroy(&grid);
    assert_all(grid == NULL);
    rls_grid_destroy(&grid);
}

static void test_wrong_shapes(void **state)
{
    rls_context *ctx = *state;
    const int size = rls_context_size(ctx);
    const int wrong[][2] = {{size, 2}, {size + 1, 1}, {0, size}, {size, 0},     {-1, -size},
                            {-1, 0},   {0, -1},       {2, size}, {65536, 65536}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        rls_grid *grid = NULL;
        assert_all_status(ctx, rls_grid_create(ctx, wrong[i][0], wrong[i][1], &grid), RLS_ERR_USAGE);
        assert_all(grid == NULL);
        assert_all_message(ctx, "grid.shape");
    }
    assert_all_message(ctx, "4294967296 ranks");
}

/* Grids of parts of the program live side by side: BLACS is not tied to MPI_COMM_WORLD. */
static void test_side_by_side(void **state)
{
    (void)state;
    int world_rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm comm;
    MPI_Comm_split(MPI_COMM_WORLD, world_rank % 2, 0, &comm);
    rls_context *half = NULL, *all = NULL;
    rls_grid *half_grid = NULL, *all_grid = NULL;
    assert_all_ok(half, rls_context_create(comm, &half));
    assert_all_ok(all, rls_context_create(MPI_COMM_WORLD, &all));
    assert_all(rls_grid_create(half, 0, 0, &half_grid) == RLS_OK);
    assert_all_ok(all, rls_grid_create(all, rls_context_size(all), 1, &all_grid));
    check_place(half_grid, half);
    check_place(all_grid, all);
    rls_grid_destroy(&half_grid);
    check_place(all_grid, all);
    rls_grid_destroy(&all_grid);
    rls_context_destroy(&half);
    rls_context_destroy(&all);
    MPI_Comm_free(&comm);
}

/* Handles and communicators are given back. */
static void test_many_grids(void **state)
{
    rls_context *ctx = *state;
    int first_handle = -1, first_context = -1;
    for (int i = 0; i < 200; i++) {
        rls_grid *grid = NULL;
        assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
        if (i == 0) {
            first_handle = grid->blacs_handle;
            first_context = grid->blacs_context;
        }
        assert_all(grid->blacs_handle == first_handle && grid->blacs_context == first_context);
        rls_grid_destroy(&grid);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        context_test(test_every_shape),      context_test(test_automatic),  context_test(test_wrong_shapes),
        cmocka_unit_test(test_side_by_side), context_test(test_many_grids),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "grid");
}
