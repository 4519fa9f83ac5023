/*
 * The inverse of a symmetric positive definite matrix, kept by its lower triangle, in one sweep over its
 * columns: for each set K of consecutive indices
 *
 *     P = A[:, K]    D = A[K, K] = L L^T    G = P L^{-T}, but G[K, :] = -L^{-T}
 *     rows and columns K of A = 0           A -= G G^T
 *
 * and A = -A in the end. This is Cholesky's factorisation, the inverse of its factor and the product of that
 * with its transpose, done side by side: where neither index has been swept, A is Cholesky's remainder, so
 * that D's pivots are those of A's factor; a swept row of G is one of the factor's inverse, and where both
 * indices have been swept A sums up minus their products. (With D's inverse written out it is Gauss-Jordan's
 * sweep: A_ij - A_iK D^{-1} A_Kj, A_iK D^{-1}, -D^{-1}.) Pivots need no search, as for Cholesky.
 *
 * n^3 flops are in the updates, which are products of large matrices. Each rank solves for its share of G's
 * rows, n^2 width flops in all, then the shares are gathered to panels. Over the whole sweep of a p x q grid
 * a rank receives n^2 (1 / p + 1 / q + 1 / (p q)) elements.
 */
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "grid/panel.h"
#include "linalg/factor.h"
#include "linalg/kernels.h"
#include "linalg/stripe.h"
#include "linalg/symmetric.h"
#include "linalg/tiles.h"

enum { WIDEST = 256, NARROWEST = 32, SHARE_OF_N = 40 };

typedef struct {
    rls_matrix *a;
    rls_panel_map map;
    rls_stripe stripe;
    int64_t width;           /* columns of a step at most */
    int64_t begin, rows, ld; /* this rank's share of its process row's rows; leading dimension of P's */
    void *memory;
    void *d;             /* D, then L */
    void *share;         /* P's rows */
    void *g_row, *g_col; /* G as panels */
    void *exchange;      /* what taking P and exchanging panels works in */
} sweep;

/* Wide steps make the update fast; P L^{-T} is width / n of its flops. */
static int64_t default_width(int64_t n)
{
    const int64_t width = n / SHARE_OF_N / NARROWEST * NARROWEST;
    return width < NARROWEST ? NARROWEST : width < WIDEST ? width : WIDEST;
}

/* Messages and panels have less than 2^31 elements. */
static int64_t fitting_width(int64_t n, int64_t width)
{
    const int64_t most = INT_MAX / n;
    width = width > 0 ? width : default_width(n);
    width = width < n ? width : n;
    return width < most ? width : most;
}

/* Elements, rounded up to whole cache lines. */
static int64_t padded(int64_t elements)
{
    return (elements + 15) / 16 * 16;
}

/* Elements of a step's exchanges on the fullest rank. */
static int64_t exchange_elements(int64_t n, int64_t block, int p, int q, int64_t width)
{
    const int64_t stripe = rls_stripe_elements(n, block, p, q, width);
    const int64_t panels = p > 1 ? 2 * rls_dim_count((rls_dim){n, block, q}, 0) * width : 0;
    return stripe > panels ? stripe : panels;
}

static int64_t workspace_elements(int64_t rows, int64_t cols, int64_t share_ld, int64_t exchange,
                                  int64_t width)
{
    return padded(width * width) + padded(share_ld * width) + padded(rows * width) + padded(cols * width) +
           padded(exchange);
}

double rls_spd_invert_bytes(rls_dtype dtype, int64_t n, int64_t block, int p, int q)
{
    const int64_t width = fitting_width(n, 0);
    const int64_t rows = rls_dim_count((rls_dim){n, block, p}, 0);
    const int64_t cols = rls_dim_count((rls_dim){n, block, q}, 0);
    const int64_t ld = rls_leading_dimension(rows / q + 1, dtype),
                  exchange = exchange_elements(n, block, p, q, width);
    return (double)workspace_elements(rows, cols, ld, exchange, width) * (double)rls_dtype_size(dtype);
}

static void *take(const sweep *s, char **memory, int64_t elements)
{
    void *here = *memory;
    *memory += (size_t)padded(elements) * rls_dtype_size(s->map.dtype);
    return here;
}

static rls_status sweep_init(sweep *s, rls_matrix *a, int64_t width)
{
    const rls_grid *grid = a->grid;
    const int64_t block = a->part.rows.block, rows = a->rows_local;
    *s = (sweep){.a = a, .width = fitting_width(a->rows, width)};
    s->begin = rls_share_begin(rows, grid->col, grid->q);
    s->rows = rls_share_begin(rows, grid->col + 1, grid->q) - s->begin;
    s->ld = rls_leading_dimension(s->rows, a->part.dtype);
    rls_status status = rls_panel_map_init(&s->map, grid, a->rows, block, a->part.dtype);
    if (status == RLS_OK)
        status = rls_stripe_init(&s->stripe, a);
    const int64_t exchange = exchange_elements(a->rows, block, grid->p, grid->q, s->width);
    if (status == RLS_OK)
        status = rls_alloc(grid->ctx, workspace_elements(rows, a->cols_local, s->ld, exchange, s->width),
                           rls_dtype_size(a->part.dtype), &s->memory);
    if (status != RLS_OK)
        return status;
    char *memory = s->memory;
    s->d = take(s, &memory, s->width * s->width);
    s->share = take(s, &memory, s->ld * s->width);
    s->g_row = take(s, &memory, rows * s->width);
    s->g_col = take(s, &memory, a->cols_local * s->width);
    s->exchange = take(s, &memory, exchange);
    rls_stripe_buffer(&s->stripe, s->width, s->exchange);
    return RLS_OK;
}

static void sweep_free(sweep *s)
{
    rls_panel_map_free(&s->map);
    rls_stripe_free(&s->stripe);
    free(s->memory);
}

/* D = A[K, K], the lower triangle, on all ranks. */
static void gather_diagonal(sweep *s, int64_t k0, int64_t k1)
{
    const rls_cyclic *a = &s->a->part;
    const rls_grid *grid = s->a->grid;
    const int64_t u = k1 - k0, end = rls_dim_below(a->rows, grid->row, k1);
    memset(s->d, 0, (size_t)(u * u) * rls_dtype_size(a->dtype));
    for (int64_t jl = rls_dim_below(a->cols, grid->col, k0); jl < rls_dim_below(a->cols, grid->col, k1);
         jl++) {
        const int64_t j = rls_dim_to_global(a->cols, grid->col, jl);
        for (int64_t il = rls_dim_below(a->rows, grid->row, j), run = 0; il < end; il += run) {
            const int64_t i = rls_dim_to_global(a->rows, grid->row, il);
            run = rls_dim_run(a->rows, il, end);
            memcpy(rls_at(a->dtype, s->d, i - k0 + (j - k0) * u), rls_at(a->dtype, a->data, il + jl * a->ld),
                   (size_t)run * rls_dtype_size(a->dtype));
        }
    }
    s->map.sent_bytes += rls_panel_sum(grid->ctx->comm, a->dtype, s->d, u * u);
}

/* D becomes L. Returns its smallest pivot, or the one it failed at, NaN if one is not a number. */
static double factor_diagonal(sweep *s, int64_t u)
{
    const rls_dtype dtype = s->map.dtype;
    const int failed = rls_cholesky(dtype, u, s->d, u);
    if (failed > 0)
        return rls_get(dtype, s->d, (failed - 1) * (u + 1));
    double smallest = INFINITY;
    for (int64_t i = 0; i < u; i++) {
        const double l = rls_get(dtype, s->d, i * (u + 1));
        if (isnan(l))
            return l;
        smallest = fmin(smallest, l * l);
    }
    return smallest;
}

/* The rows K of this rank's share of P become those of -I: G's are then -L^{-T}. */
static void set_identity(const sweep *s, int64_t k0, int64_t k1)
{
    const rls_dim rows = s->a->part.rows;
    const int row = s->a->grid->row;
    const int64_t first = rls_dim_below(rows, row, k0), last = rls_dim_below(rows, row, k1);
    for (int64_t il = first > s->begin ? first : s->begin; il < last && il < s->begin + s->rows; il++) {
        const int64_t k = rls_dim_to_global(rows, row, il) - k0;
        for (int64_t j = 0; j < k1 - k0; j++)
            rls_set(s->map.dtype, s->share, il - s->begin + j * s->ld, j == k ? -1.0 : 0.0);
    }
}

/* This rank's rows of G = P L^{-T}, into the row panel; P is used up. */
static void solve_share(sweep *s, int64_t u)
{
    const rls_dtype dtype = s->map.dtype;
    rls_tiles_solve(s->a->grid, dtype, s->rows, u, s->d, s->share, s->ld);
    for (int64_t j = 0; j < u && s->rows > 0; j++)
        memcpy(rls_at(dtype, s->g_row, s->begin + j * s->a->rows_local), rls_at(dtype, s->share, j * s->ld),
               (size_t)s->rows * rls_dtype_size(dtype));
}

/* Every rank's rows of the row panel go to the others of its process row, then the column panel is made. */
static void gather_panels(sweep *s, int64_t u)
{
    const rls_grid *grid = s->a->grid;
    const rls_dtype dtype = s->map.dtype;
    const MPI_Datatype type = dtype == RLS_F64 ? MPI_DOUBLE : MPI_FLOAT;
    const int64_t ld = s->a->rows_local;
    for (int i = 1; i < grid->q; i++) {
        const int to = (grid->col + i) % grid->q, from = (grid->col - i + grid->q) % grid->q;
        const int64_t begin = rls_share_begin(ld, from, grid->q),
                      end = rls_share_begin(ld, from + 1, grid->q);
        MPI_Datatype mine, theirs;
        MPI_Type_vector((int)u, (int)s->rows, (int)ld, type, &mine);
        MPI_Type_vector((int)u, (int)(end - begin), (int)ld, type, &theirs);
        MPI_Type_commit(&mine);
        MPI_Type_commit(&theirs);
        MPI_Sendrecv(rls_at(dtype, s->g_row, s->begin), 1, mine, to, 0, rls_at(dtype, s->g_row, begin), 1,
                     theirs, from, 0, grid->row_comm, MPI_STATUS_IGNORE);
        MPI_Type_free(&mine);
        MPI_Type_free(&theirs);
        s->map.sent_bytes += (double)((end - begin) * u) * (double)rls_dtype_size(dtype);
    }
    rls_panel_map_buffers(&s->map, u, s->exchange);
    rls_panel_row_to_col(&s->map, u, s->g_row, s->g_col);
}

/* Sweeps K = k0..k1; *pivot is D's smallest pivot. Returns false, and leaves A as it was, when that is not
 * above the bound. Collective, and equal on all ranks: they agree, for processors of two kinds may factor the
 * same D differently. */
static bool sweep_columns(sweep *s, int64_t k0, int64_t k1, double bound, double *pivot)
{
    const int64_t u = k1 - k0;
    gather_diagonal(s, k0, k1);
    *pivot = factor_diagonal(s, u);
    int sound = *pivot > bound;
    MPI_Allreduce(MPI_IN_PLACE, &sound, 1, MPI_INT, MPI_MIN, s->a->grid->ctx->comm);
    if (sound == 0)
        return false;
    s->map.sent_bytes += rls_stripe_take(&s->stripe, k0, k1, s->share, s->ld);
    set_identity(s, k0, k1);
    solve_share(s, u);
    gather_panels(s, u);
    rls_symmetric_update(s->a, u, -1.0, s->g_row, s->g_col);
    return true;
}

static rls_status refuse(rls_context *ctx, double pivot, double largest)
{
    return rls_fail(ctx, RLS_ERR_NUMERIC,
                    "the matrix is singular to working precision: smallest pivot %.3g, largest diagonal %.3g",
                    pivot, largest);
}

/* Refuses on all ranks or on none. */
static rls_status sweep_all(sweep *s, double *smallest_pivot)
{
    rls_matrix *a = s->a;
    rls_context *ctx = a->grid->ctx;
    const double largest = rls_largest_diagonal(a);
    const double bound = sqrt((double)a->rows) * rls_dtype_eps(a->part.dtype) * largest;
    double smallest = INFINITY;
    for (int64_t k0 = 0, k1 = 0; k0 < a->rows; k0 = k1) {
        double pivot = 0.0;
        k1 = k0 + s->width < a->rows ? k0 + s->width : a->rows;
        const bool swept = sweep_columns(s, k0, k1, bound, &pivot);
        smallest = fmin(smallest, pivot);
        *smallest_pivot = swept ? smallest : pivot;
        if (!swept)
            return refuse(ctx, pivot, largest);
    }
    rls_symmetric_scale_shift(a, -1.0, 0.0);
    /* The last pivot that row i would have, were it the last one: a deficiency hides from the given order. */
    const double last = 1.0 / rls_largest_diagonal(a);
    if (last > bound)
        return RLS_OK;
    *smallest_pivot = last;
    return refuse(ctx, last, largest);
}

rls_status rls_spd_invert_by(rls_matrix *a, int64_t width, double *smallest_pivot)
{
    rls_context *ctx = a->grid->ctx;
    const double start = rls_profile_start(), n = (double)a->rows;
    sweep s;
    rls_status status = rls_agree(ctx, sweep_init(&s, a, width));
    if (status == RLS_OK)
        status = rls_agree(ctx, sweep_all(&s, smallest_pivot));
    (void)rls_profile_add(ctx, "C_0 = A_0^{-1}", start, status == RLS_OK ? n * n * n / ctx->size : 0.0,
                          s.map.sent_bytes);
    sweep_free(&s);
    return status;
}

rls_status rls_spd_invert(rls_matrix *a, double *smallest_pivot)
{
    return rls_spd_invert_by(a, 0, smallest_pivot);
}
