#include "linalg/accumulate.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "grid/panel.h"
#include "linalg/kernels.h"
#include "linalg/symmetric.h"

struct rls_accumulator {
    rls_context *ctx;
    rls_panel_map map;
    int64_t width, most; /* vectors of an update: meant; with what rounding the ranks' shares adds */
    void *row, *col, *work;
};

/* Messages of an update have less than 2^31 elements. */
static int64_t fitting_width(int64_t n, int64_t width, int p, int q)
{
    const int64_t most = INT_MAX / n / (p > q ? p : q);
    width = width > 0 ? width : RLS_ACCUMULATE_WIDTH;
    return width < most ? width : most > 1 ? most : 1;
}

rls_status rls_accumulator_create(rls_grid *grid, rls_dtype dtype, int64_t n, int64_t block, int64_t width,
                                  rls_accumulator **out)
{
    rls_context *ctx = grid->ctx;
    void *object = NULL;
    *out = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_accumulator), &object);
    rls_accumulator *a = object;
    if (a != NULL) {
        a->ctx = ctx;
        a->width = fitting_width(n, width, grid->p, grid->q);
        a->most = a->width + ctx->size;
        status = rls_panel_map_init(&a->map, grid, n, block, dtype);
    }
    const size_t size = rls_dtype_size(dtype);
    if (a != NULL && status == RLS_OK)
        status = rls_alloc(ctx, a->map.row_local * a->most, size, &a->row);
    if (a != NULL && status == RLS_OK)
        status = rls_alloc(ctx, a->map.col_local * a->most, size, &a->col);
    if (a != NULL && status == RLS_OK)
        status = rls_alloc(ctx, rls_panel_map_elements(&a->map, a->most), size, &a->work);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        rls_accumulator_destroy(&a);
    *out = a;
    return status;
}

void rls_accumulator_destroy(rls_accumulator **accumulator)
{
    rls_accumulator *a = *accumulator;
    if (a == NULL)
        return;
    rls_panel_map_free(&a->map);
    free(a->row);
    free(a->col);
    free(a->work);
    free(a);
    *accumulator = NULL;
}

double rls_accumulator_bytes(rls_dtype dtype, int64_t n, int64_t block, int64_t width, int p, int q)
{
    const double rows = (double)rls_dim_count((rls_dim){n, block, p}, 0),
                 cols = (double)rls_dim_count((rls_dim){n, block, q}, 0),
                 vectors = (double)(fitting_width(n, width, p, q) + (int64_t)p * q);
    /* the panels, the exchange between them (at most two column panels), and the vectors packed for sending
     */
    return (rows + 3.0 * cols + (double)n) * vectors * (double)rls_dtype_size(dtype);
}

/* One update: this rank's `count` vectors of `sum` over all ranks. */
static rls_status update(rls_accumulator *a, rls_matrix *c, int64_t count, int64_t sum, rls_dtype dtype,
                         const void *vectors)
{
    const double n = (double)c->rows;
    double start = rls_profile_start();
    const rls_status status = rls_vectors_to_panel(&a->map, RLS_ROW_PANEL, count, dtype, vectors, a->row);
    if (status != RLS_OK)
        return status;
    rls_panel_map_buffers(&a->map, sum, a->work);
    rls_panel_row_to_col(&a->map, sum, a->row, a->col);
    (void)rls_profile_add(a->ctx, "keys to panels", start, 0.0, 0.0);
    start = rls_profile_start();
    rls_symmetric_update(c, sum, 1.0, a->row, a->col);
    (void)rls_profile_add(a->ctx, "C += K K^T", start, n * n * (double)sum / a->ctx->size, 0.0);
    return RLS_OK;
}

rls_status rls_accumulate(rls_accumulator *a, rls_matrix *c, const rls_vectors *keys)
{
    rls_status status = RLS_OK;
    int64_t total = 0;
    MPI_Allreduce(&keys->count, &total, 1, MPI_INT64_T, MPI_SUM, a->ctx->comm);
    const int64_t rounds = (total + a->width - 1) / a->width;
    /* Every rank gives an equal share of its vectors to every update: widths then differ little. */
    for (int64_t i = 0; i < rounds && status == RLS_OK; i++) {
        const int64_t first = keys->count * i / rounds, count = keys->count * (i + 1) / rounds - first;
        const char *from = keys->data;
        int64_t sum = 0;
        MPI_Allreduce(&count, &sum, 1, MPI_INT64_T, MPI_SUM, a->ctx->comm);
        if (from != NULL)
            from += (size_t)(first * c->rows) * rls_dtype_size(keys->dtype);
        status = update(a, c, count, sum, keys->dtype, from);
    }
    return status;
}

void rls_symmetric_change(const rls_matrix *a, double alpha, const rls_matrix *b, double beta, double *change,
                          double *norm)
{
    const rls_cyclic *x = &a->part;
    const rls_grid *grid = a->grid;
    double sums[2] = {0.0, 0.0};
    for (int64_t jl = 0; jl < a->cols_local; jl++) {
        const int64_t j = rls_matrix_global_col(a, jl);
        const bool diagonal = rls_dim_owner(x->rows, j) == grid->row;
        const int64_t first = rls_dim_below(x->rows, grid->row, j);
        for (int64_t il = first; il < a->rows_local; il++) {
            const double weight = diagonal && il == first ? 1.0 : 2.0; /* what is below counts above too */
            const double m = alpha * rls_get(x->dtype, x->data, il + jl * x->ld);
            const double d = m - beta * rls_get(b->part.dtype, b->part.data, il + jl * b->part.ld);
            sums[0] += weight * d * d;
            sums[1] += weight * m * m;
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, grid->ctx->comm);
    *change = sqrt(sums[0]);
    *norm = sqrt(sums[1]);
}
