#include "linalg/matrix.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "linalg/kernels.h"
#include "linalg/tiles_room.h"

int64_t rls_leading_dimension(int64_t rows, rls_dtype dtype)
{
    const int64_t line = 64 / (int64_t)rls_dtype_size(dtype);
    const int64_t lines = (rows + line - 1) / line;
    return rows > line ? (lines | 1) * line : rows > 0 ? rows : 1;
}

static rls_status matrix_alloc(rls_grid *grid, rls_dtype dtype, int64_t rows, int64_t cols, int64_t block,
                               rls_matrix **out)
{
    rls_context *ctx = grid->ctx;
    if (rows < 1 || cols < 1 || block < 1 || rows > INT_MAX || cols > INT_MAX || block > INT_MAX ||
        (dtype != RLS_F64 && dtype != RLS_F32))
        return rls_fail(ctx, RLS_ERR_USAGE,
                        "a matrix of %" PRId64 " x %" PRId64 " %s in blocks of %" PRId64 " cannot be made",
                        rows, cols, rls_dtype_name(dtype), block);
    void *memory = NULL;
    rls_status status = rls_tiles_prepare(grid);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, 1, sizeof(rls_matrix), &memory);
    if (status != RLS_OK)
        return status;
    rls_matrix *a = memory;
    *out = a;
    a->grid = grid;
    a->rows = rows;
    a->cols = cols;
    a->part = (rls_cyclic){
        .grid = grid, .rows = {rows, block, grid->p}, .cols = {cols, block, grid->q}, .dtype = dtype};
    a->rows_local = rls_dim_count(a->part.rows, grid->row);
    a->cols_local = rls_dim_count(a->part.cols, grid->col);
    a->part.ld = rls_leading_dimension(a->rows_local, dtype);
    /* ScaLAPACK and BLAS index with 32-bit integers. */
    if (a->cols_local > INT_MAX / a->part.ld)
        return rls_fail(ctx, RLS_ERR_MEMORY,
                        "a rank's part of a %" PRId64 " x %" PRId64
                        " matrix has 2^31 elements or more: use more ranks",
                        rows, cols);
    return rls_alloc_zero(ctx, rls_matrix_storage(a), rls_dtype_size(dtype), &a->part.data);
}

rls_status rls_matrix_create(rls_grid *grid, rls_dtype dtype, int64_t rows, int64_t cols, int64_t block,
                             rls_matrix **out)
{
    *out = NULL;
    const rls_status status = rls_agree(grid->ctx, matrix_alloc(grid, dtype, rows, cols, block, out));
    if (status != RLS_OK)
        rls_matrix_destroy(out);
    return status;
}

void rls_matrix_destroy(rls_matrix **matrix)
{
    if (*matrix == NULL)
        return;
    free((*matrix)->part.data);
    free(*matrix);
    *matrix = NULL;
}

void *rls_matrix_local(rls_matrix *matrix, int64_t *rows, int64_t *cols, int64_t *ld)
{
    if (rows != NULL)
        *rows = matrix->rows_local;
    if (cols != NULL)
        *cols = matrix->cols_local;
    if (ld != NULL)
        *ld = matrix->part.ld;
    return matrix->part.data;
}

int64_t rls_matrix_storage(const rls_matrix *matrix)
{
    return matrix->rows_local > 0 ? matrix->part.ld * matrix->cols_local : 0;
}

int64_t rls_matrix_global_row(const rls_matrix *matrix, int64_t il)
{
    return rls_dim_to_global(matrix->part.rows, matrix->grid->row, il);
}

int64_t rls_matrix_global_col(const rls_matrix *matrix, int64_t jl)
{
    return rls_dim_to_global(matrix->part.cols, matrix->grid->col, jl);
}

int64_t rls_matrix_rows(const rls_matrix *matrix)
{
    return matrix->rows;
}

int64_t rls_matrix_cols(const rls_matrix *matrix)
{
    return matrix->cols;
}

rls_dtype rls_matrix_dtype(const rls_matrix *matrix)
{
    return matrix->part.dtype;
}

rls_status rls_matrix_norm(const rls_matrix *matrix, double *norm)
{
    double sum = rls_sum_squares(matrix->part.dtype, matrix->rows_local, matrix->cols_local,
                                 matrix->part.data, matrix->part.ld);
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, matrix->grid->ctx->comm);
    *norm = sqrt(sum);
    return RLS_OK;
}

double rls_matrix_dot(const rls_matrix *a, const rls_matrix *b)
{
    double sum = 0.0;
    for (int64_t j = 0; j < a->cols_local; j++)
        sum += rls_dot(a->part.dtype, a->rows_local, rls_at(a->part.dtype, a->part.data, j * a->part.ld),
                       rls_at(b->part.dtype, b->part.data, j * b->part.ld));
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, a->grid->ctx->comm);
    return sum;
}
