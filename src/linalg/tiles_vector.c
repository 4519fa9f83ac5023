/* One vector: bound by memory, so that both products are taken from one pass over the matrix. */
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/tiles_room.h"

enum { TOGETHER = 8, SHARE = 64 }; /* columns of one pass; columns a thread takes at a time */

typedef struct {
    const rls_matrix *a;
    const rls_micro *micro;
    rls_shape shape;
    double alpha;
    const void *k_col, *k_row;
    void *f_col;
} vector_product;

/* The rows of a column from the diagonal to `end`. */
static void column_head(const vector_product *x, int64_t jl, int64_t end, void *f_row)
{
    const rls_matrix *a = x->a;
    const rls_dtype d = a->part.dtype;
    const int64_t top = rls_tiles_top(a, x->shape, jl, 0), below = rls_tiles_top(a, x->shape, jl, 1);
    const void *column = rls_at(d, a->part.data, jl * a->part.ld);
    double dot = 0.0;
    if (f_row != NULL && top < end)
        rls_axpy(d, end - top, x->alpha * rls_get(d, x->k_col, jl), rls_at(d, column, top),
                 rls_at(d, f_row, top));
    if (below < end)
        dot = rls_dot(d, end - below, rls_at(d, column, below), rls_at(d, x->k_row, below));
    rls_set(d, x->f_col, jl, rls_get(d, x->f_col, jl) + x->alpha * dot);
}

/* The first of so many columns, in the first row that counts in all of them. */
static const void *columns_begin(const vector_product *x, int64_t jl)
{
    const rls_matrix *a = x->a;
    return rls_at(a->part.dtype, a->part.data,
                  rls_tiles_top(a, x->shape, jl + TOGETHER - 1, 1) + jl * a->part.ld);
}

/* Columns [begin, end). */
static void columns(const vector_product *x, int64_t begin, int64_t end, void *f_row)
{
    const rls_matrix *a = x->a;
    const rls_dtype d = a->part.dtype;
    int64_t jl = begin;
    for (; jl + TOGETHER <= end; jl += TOGETHER) {
        const int64_t common = rls_tiles_top(a, x->shape, jl + TOGETHER - 1, 1);
        double factors[TOGETHER] = {0.0}, sums[TOGETHER]; /* of either type */
        for (int64_t c = 0; c < TOGETHER; c++)
            column_head(x, jl + c, common, f_row);
        if (f_row != NULL)
            rls_axpy(d, TOGETHER, x->alpha, rls_at(d, x->k_col, jl), factors);
        x->micro->eight_columns(a->rows_local - common, columns_begin(x, jl), a->part.ld, factors,
                                f_row != NULL ? rls_at(d, f_row, common) : NULL, rls_at(d, x->k_row, common),
                                sums,
                                columns_begin(x, jl + INT64_C(2) * TOGETHER <= end ? jl + TOGETHER : jl));
        rls_axpy(d, TOGETHER, x->alpha, sums, rls_at(d, x->f_col, jl));
    }
    for (; jl < end; jl++)
        column_head(x, jl, a->rows_local, f_row);
}

void rls_tiles_multiply_vector(const rls_matrix *a, rls_shape shape, double alpha, const void *k_col,
                               void *f_row, const void *k_row, void *f_col)
{
    const rls_dtype d = a->part.dtype;
    const int64_t bytes = a->rows_local * (int64_t)rls_dtype_size(d);
    const vector_product x = {a, rls_micro_best(d), shape, alpha, k_col, k_row, f_col};
    rls_tiles_room *rooms = rls_tiles_rooms(a->grid);
    const int threads = bytes <= RLS_PANEL_BYTES ? rls_tiles_threads(a->grid) : 1;
    int team = 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = rls_thread(), members = rls_team();
        if (thread == 0)
            team = members;
        void *sum = thread == 0 || f_row == NULL ? f_row : rooms[thread].col_sum;
        if (sum != f_row)
            memset(sum, 0, (size_t)bytes);
        for (int64_t jl = (int64_t)thread * SHARE; jl < a->cols_local; jl += (int64_t)members * SHARE)
            columns(&x, jl, rls_least(jl + SHARE, a->cols_local), sum);
    }
    for (int t = 1; t < team && f_row != NULL; t++)
        rls_axpy(d, a->rows_local, 1.0, rooms[t].col_sum, f_row);
}
