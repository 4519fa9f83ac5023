#include "linalg/symmetric.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "linalg/kernels.h"

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

/* The first local row strictly below the diagonal block of local block column jb. */
static int64_t below_diagonal(const rls_matrix *c, int64_t jb)
{
    const int64_t end = (jb * c->grid->q + c->grid->col + 1) * c->part.cols.block;
    return end < c->rows ? rls_dim_below(c->part.rows, c->grid->row, end) : c->rows_local;
}

/* Works on one rectangle [il, il + rows) x [jl, jl + cols) that lies strictly below the diagonal. */
typedef void rectangle_work(void *user, int64_t il, int64_t rows, int64_t jl, int64_t cols);

/* Cuts what lies strictly below the diagonal blocks of local block columns [jb, jb_end), down to local row
 * `bottom`, into rectangles as large as possible, so that the matrix products on them run at full speed. */
static void walk_below(const rls_matrix *c, int64_t jb, int64_t jb_end, int64_t bottom, rectangle_work *work,
                       void *user)
{
    if (jb >= jb_end)
        return;
    const int64_t block = c->part.cols.block;
    const int64_t top = below_diagonal(c, jb_end - 1);
    const int64_t jl = jb * block, jl_end = jb_end * block < c->cols_local ? jb_end * block : c->cols_local;
    if (top < bottom)
        work(user, top, bottom - top, jl, jl_end - jl);
    if (jb_end - jb > 1) {
        const int64_t middle = jb + (jb_end - jb) / 2;
        const int64_t rest = top < bottom ? top : bottom;
        walk_below(c, jb, middle, rest, work, user);
        walk_below(c, middle, jb_end, rest, work, user);
    }
}

static void for_each_rectangle(const rls_matrix *c, rectangle_work *work, void *user)
{
    const int64_t block = c->part.cols.block;
    walk_below(c, 0, (c->cols_local + block - 1) / block, c->rows_local, work, user);
}

typedef struct {
    const rls_matrix *c;
    int64_t u;
    const void *k_row, *k_col;
    void *f_row, *f_col;
} multiply;

/* f_row += A k_col, f_col += A^T k_row on one tile A. */
static void multiply_tile(const multiply *x, int64_t il, int64_t rows, int64_t jl, int64_t cols)
{
    const rls_matrix *c = x->c;
    const rls_dtype d = c->part.dtype;
    const void *a = rls_at(d, c->part.data, il + jl * c->part.ld);
    const int64_t ldr = c->rows_local, ldc = c->cols_local;
    rls_gemm(d, 'N', 'N', rows, x->u, cols, 1.0, a, c->part.ld, rls_at(d, x->k_col, jl), ldc, 1.0,
             rls_at(d, x->f_row, il), ldr);
    rls_gemm(d, 'T', 'N', cols, x->u, rows, 1.0, a, c->part.ld, rls_at(d, x->k_row, il), ldr, 1.0,
             rls_at(d, x->f_col, jl), ldc);
}

static void multiply_rectangle(void *user, int64_t il, int64_t rows, int64_t jl, int64_t cols)
{
    const multiply *x = user;
    if (x->u > 4) {
        multiply_tile(x, il, rows, jl, cols);
        return;
    }
    /* Few vectors are bound by memory: both products of a tile while it is in cache read C once, not twice.
     */
    const int64_t tile_rows = 2048, tile_cols = 32;
    for (int64_t j = 0; j < cols; j += tile_cols)
        for (int64_t i = 0; i < rows; i += tile_rows)
            multiply_tile(x, il + i, rows - i < tile_rows ? rows - i : tile_rows, jl + j,
                          cols - j < tile_cols ? cols - j : tile_cols);
}

void rls_symmetric_multiply(const rls_matrix *c, rls_panel_map *map, int64_t u, const void *k_row,
                            const void *k_col, void *f_row, void *f_col)
{
    const rls_dtype d = c->part.dtype;
    const size_t size = rls_dtype_size(d);
    multiply x = {c, u, k_row, k_col, f_row, f_col};
    if (c->rows_local > 0)
        memset(f_row, 0, (size_t)(c->rows_local * u) * size);
    if (c->cols_local > 0)
        memset(f_col, 0, (size_t)(c->cols_local * u) * size);
    for_each_rectangle(c, multiply_rectangle, &x);
    diagonal_block b;
    for (int64_t jb = 0; next_diagonal_block(c, &jb, &b);)
        rls_symm(d, b.size, u, rls_at(d, c->part.data, b.il + b.jl * c->part.ld), c->part.ld,
                 rls_at(d, k_col, b.jl), c->cols_local, rls_at(d, f_row, b.il), c->rows_local);
    rls_panel_fold_col_into_row(map, u, f_col, f_row);
    map->sent_bytes += rls_panel_sum(c->grid->row_comm, d, f_row, c->rows_local * u);
}

typedef struct {
    rls_matrix *c;
    int64_t u;
    double alpha;
    const void *g_row, *g_col;
} update;

static void update_rectangle(void *user, int64_t il, int64_t rows, int64_t jl, int64_t cols)
{
    const update *x = user;
    const rls_matrix *c = x->c;
    const rls_dtype d = c->part.dtype;
    rls_gemm(d, 'N', 'T', rows, cols, x->u, x->alpha, rls_at(d, x->g_row, il), c->rows_local,
             rls_at(d, x->g_col, jl), c->cols_local, 1.0, rls_at(d, c->part.data, il + jl * c->part.ld),
             c->part.ld);
}

void rls_symmetric_update(rls_matrix *c, int64_t u, double alpha, const void *g_row, const void *g_col)
{
    update x = {c, u, alpha, g_row, g_col};
    for_each_rectangle(c, update_rectangle, &x);
    /* The diagonal blocks' upper halves are never read: updating them whole is the fastest way. */
    diagonal_block b;
    for (int64_t jb = 0; next_diagonal_block(c, &jb, &b);)
        update_rectangle(&x, b.il, b.size, b.jl, b.size);
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
