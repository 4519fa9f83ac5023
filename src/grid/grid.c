#include "grid/grid.h"

#include <stdlib.h>

#include "grid/blacs.h"

int rls_grid_automatic_rows(int size)
{
    int p = 1;
    for (int i = 1; i <= size / i; i++)
        if (size % i == 0)
            p = i;
    return p;
}

rls_status rls_grid_create(rls_context *ctx, int p, int q, rls_grid **out)
{
    *out = NULL;
    rls_status status = RLS_OK;
    if (p == 0 && q == 0) {
        p = rls_grid_automatic_rows(ctx->size);
        q = ctx->size / p;
    }
    rls_grid *grid = NULL;
    if (p < 1 || q < 1 || (int64_t)p * q != ctx->size)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "grid.shape: a grid of %d x %d needs %lld ranks, but there are %d: give a shape "
                          "whose product is %d, or "
                          "none for an automatic one",
                          p, q, (long long)p * q, ctx->size, ctx->size);
    else if ((grid = calloc(1, sizeof *grid)) == NULL)
        status = rls_fail(ctx, RLS_ERR_MEMORY, "no memory for the process grid");
    status = rls_agree(ctx, status);
    if (status != RLS_OK) {
        free(grid);
        return status;
    }
    grid->ctx = ctx;
    grid->p = p;
    grid->q = q;
    grid->row = ctx->rank / q;
    grid->col = ctx->rank % q;
    MPI_Comm_split(ctx->comm, grid->row, grid->col, &grid->row_comm);
    MPI_Comm_split(ctx->comm, grid->col, grid->row, &grid->col_comm);
    /* Cblacs_get(0, 0) would mean MPI_COMM_WORLD. */
    MPI_Comm_dup(ctx->comm,
                 &grid->comm); /* BLACS counts handles by communicator: two grids must not share one */
    grid->blacs_handle = Csys2blacs_handle(grid->comm);
    grid->blacs_context = grid->blacs_handle;
    Cblacs_gridinit(&grid->blacs_context, "Row", p, q);
    *out = grid;
    return RLS_OK;
}

void rls_grid_destroy(rls_grid **grid)
{
    if (*grid == NULL)
        return;
    Cblacs_gridexit((*grid)->blacs_context);
    Cfree_blacs_system_handle((*grid)->blacs_handle);
    MPI_Comm_free(&(*grid)->comm);
    MPI_Comm_free(&(*grid)->row_comm);
    MPI_Comm_free(&(*grid)->col_comm);
    free((*grid)->scratch);
    free(*grid);
    *grid = NULL;
}

void rls_grid_shape(const rls_grid *grid, int *p, int *q, int *row, int *col)
{
    if (p != NULL)
        *p = grid->p;
    if (q != NULL)
        *q = grid->q;
    if (row != NULL)
        *row = grid->row;
    if (col != NULL)
        *col = grid->col;
}

rls_context *rls_grid_context(const rls_grid *grid)
{
    return grid->ctx;
}
