#include "linalg/symmetric.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/tiles.h"

/* A diagonal block on this rank: where it starts locally, and its size. */
typedef struct {
    int64_t il, jl, size;
} diagonal_block;

/* The next diagonal block on this rank at or after local block column *jb; advances *jb past it. */
static bool next_diagonal_block(const rls_matrix *c, int64_t *jb, diagonal_block *out)
{
    const rls_grid *grid = c->grid;
    const int64_t block = c->part.cols.block;
    for (; *jb * block < c->cols_local; ++*jb) {
        const int64_t ib = *jb * grid->q + grid->col; /* global block */
        if (ib % grid->p != grid->row)
            continue;
        const int64_t left = c->cols_local - *jb * block;
        *out = (diagonal_block){ib / grid->p * block, *jb * block, left < block ? left : block};
        ++*jb;
        return true;
    }
    return false;
}

void rls_symmetric_multiply(const rls_matrix *c, rls_panel_map *map, int64_t u, const void *k_row,
                            const void *k_col, void *f_row, void *f_col)
{
    const rls_dtype d = c->part.dtype;
    const size_t size = rls_dtype_size(d);
    if (c->rows_local > 0)
        memset(f_row, 0, (size_t)(c->rows_local * u) * size);
    if (c->cols_local > 0)
        memset(f_col, 0, (size_t)(c->cols_local * u) * size);
    rls_tiles_multiply(c, RLS_LOWER, u, 1.0, k_col, f_row, k_row, f_col);
    rls_panel_fold_col_into_row(map, u, f_col, f_row);
    map->sent_bytes += rls_panel_sum(c->grid->row_comm, d, f_row, c->rows_local * u);
}

void rls_symmetric_update(rls_matrix *c, int64_t u, double alpha, const void *g_row, const void *g_col)
{
    rls_tiles_update(c, RLS_LOWER, u, alpha, g_row, g_col);
}

void rls_symmetric_scale_shift(rls_matrix *c, double alpha, double shift)
{
    const rls_dtype d = c->part.dtype;
    if (alpha != 1.0)
        rls_scale(d, rls_matrix_storage(c), alpha, c->part.data);
    diagonal_block b;
    for (int64_t jb = 0; next_diagonal_block(c, &jb, &b);)
        for (int64_t i = 0; i < b.size; i++) {
            const int64_t at = b.il + i + (b.jl + i) * c->part.ld;
            rls_set(d, c->part.data, at, rls_get(d, c->part.data, at) + shift);
        }
}

/* What a pass over the local diagonal gathers. */
typedef struct {
    double sum, largest, smallest_square;
    bool not_a_number;
} diagonal;

static diagonal local_diagonal(const rls_matrix *c)
{
    diagonal result = {.largest = -INFINITY, .smallest_square = INFINITY};
    diagonal_block b;
    for (int64_t jb = 0; next_diagonal_block(c, &jb, &b);)
        for (int64_t i = 0; i < b.size; i++) {
            const double x = rls_get(c->part.dtype, c->part.data, b.il + i + (b.jl + i) * c->part.ld);
            result.sum += x;
            result.largest = fmax(result.largest, x);
            result.smallest_square = fmin(result.smallest_square, x * x);
            result.not_a_number = result.not_a_number || isnan(x);
        }
    return result;
}

double rls_local_trace(const rls_matrix *c)
{
    return local_diagonal(c).sum;
}

double rls_largest_diagonal(const rls_matrix *c)
{
    double largest = local_diagonal(c).largest;
    MPI_Allreduce(MPI_IN_PLACE, &largest, 1, MPI_DOUBLE, MPI_MAX, c->grid->ctx->comm);
    return largest;
}

double rls_smallest_pivot(const rls_matrix *factor)
{
    const diagonal mine = local_diagonal(factor);
    double all[2] = {mine.smallest_square, mine.not_a_number ? -1.0 : 0.0};
    MPI_Allreduce(MPI_IN_PLACE, all, 2, MPI_DOUBLE, MPI_MIN, factor->grid->ctx->comm);
    return all[1] < 0.0 ? (double)NAN : all[0];
}

double rls_diagonal_element(const rls_matrix *c, int64_t i)
{
    const rls_dim rows = c->part.rows, cols = c->part.cols;
    double value = 0.0;
    if (rls_dim_owner(rows, i) == c->grid->row && rls_dim_owner(cols, i) == c->grid->col)
        value = rls_get(c->part.dtype, c->part.data,
                        rls_dim_to_local(rows, i) + rls_dim_to_local(cols, i) * c->part.ld);
    MPI_Allreduce(MPI_IN_PLACE, &value, 1, MPI_DOUBLE, MPI_SUM, c->grid->ctx->comm);
    return value;
}
