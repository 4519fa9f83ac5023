#include "grid/panel.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static MPI_Datatype mpi_type(rls_dtype dtype)
{
    return dtype == RLS_F64 ? MPI_DOUBLE : MPI_FLOAT;
}

/* Indices of block ib. */
static int64_t block_size(rls_dim d, int64_t ib)
{
    const int64_t rest = d.n - ib * d.block;
    return rest < d.block ? rest : d.block;
}

rls_status rls_panel_map_init(rls_panel_map *map, const rls_grid *grid, int64_t n, int64_t block,
                              rls_dtype dtype)
{
    *map =
        (rls_panel_map){.grid = grid, .row = {n, block, grid->p}, .col = {n, block, grid->q}, .dtype = dtype};
    map->row_local = rls_dim_count(map->row, grid->row);
    map->col_local = rls_dim_count(map->col, grid->col);
    void *overlap = NULL, *counts = NULL;
    rls_status status = rls_alloc_zero(grid->ctx, grid->p, sizeof(int64_t), &overlap);
    if (status == RLS_OK)
        status = rls_alloc_zero(grid->ctx, 2 * (int64_t)grid->p, sizeof(int), &counts);
    map->overlap = overlap;
    map->counts = counts;
    map->starts = map->counts != NULL ? map->counts + grid->p : NULL;
    if (status != RLS_OK)
        return status;
    for (int64_t ib = grid->col; ib * block < n; ib += grid->q)
        map->overlap[ib % grid->p] += block_size(map->row, ib);
    return RLS_OK;
}

void rls_panel_map_free(rls_panel_map *map)
{
    free(map->overlap);
    free(map->counts);
    *map = (rls_panel_map){0};
}

int64_t rls_panel_map_elements(const rls_panel_map *map, int64_t u)
{
    return (map->col_local + map->overlap[map->grid->row]) * u;
}

void rls_panel_map_buffers(rls_panel_map *map, int64_t u, void *buffer)
{
    map->work = buffer;
    map->piece = (char *)buffer + (size_t)(map->col_local * u) * rls_dtype_size(map->dtype);
}

/* Counts and starts of the overlaps for u columns. */
static void set_counts(rls_panel_map *map, int64_t u)
{
    int start = 0;
    for (int a = 0; a < map->grid->p; a++) {
        map->counts[a] = (int)(map->overlap[a] * u);
        map->starts[a] = start;
        start += map->counts[a];
    }
}

/* How a block of one process row and column is handed over: local rows of the piece, of the row panel, of the
 * column panel. */
typedef enum { PIECE_FROM_ROW, COL_FROM_PIECE, PIECE_FROM_COL, ROW_ADD_PIECE } block_move;

static void add_block(rls_dtype dtype, void *to, const void *from, int64_t count)
{
    if (dtype == RLS_F64) {
        double *restrict t = to;
        const double *restrict f = from;
        for (int64_t i = 0; i < count; i++)
            t[i] += f[i];
    } else {
        float *restrict t = to;
        const float *restrict f = from;
        for (int64_t i = 0; i < count; i++)
            t[i] += f[i];
    }
}

/* Moves all blocks that process row a and this process column both own between a piece [overlap[a], u] and a
 * panel. */
static void move_blocks(const rls_panel_map *map, int a, int64_t u, block_move move, char *piece, char *panel)
{
    const size_t size = rls_dtype_size(map->dtype);
    const bool by_row = move == PIECE_FROM_ROW || move == ROW_ADD_PIECE;
    const int64_t ld = by_row ? map->row_local : map->col_local;
    for (int64_t j = 0; j < u; j++) {
        char *p = piece + (size_t)(j * map->overlap[a]) * size;
        for (int64_t ib = a; ib * map->row.block < map->row.n; ib += map->grid->p) {
            if (ib % map->grid->q != map->grid->col)
                continue;
            const int64_t count = block_size(map->row, ib);
            const int64_t at =
                by_row ? ib / map->grid->p * map->row.block : ib / map->grid->q * map->col.block;
            char *q = panel + (size_t)(at + j * ld) * size;
            if (move == ROW_ADD_PIECE)
                add_block(map->dtype, q, p, count);
            else if (move == COL_FROM_PIECE)
                memcpy(q, p, (size_t)count * size);
            else
                memcpy(p, q, (size_t)count * size);
            p += (size_t)count * size;
        }
    }
}

void rls_panel_fold_col_into_row(rls_panel_map *map, int64_t u, const void *col_panel, void *row_panel)
{
    const size_t size = rls_dtype_size(map->dtype);
    char *piece = (char *)col_panel; /* one process row owns all of it */
    if (map->grid->p > 1) {
        set_counts(map, u);
        for (int a = 0; a < map->grid->p; a++)
            move_blocks(map, a, u, PIECE_FROM_COL, (char *)map->work + (size_t)map->starts[a] * size,
                        (char *)col_panel);
        MPI_Reduce_scatter(map->work, map->piece, map->counts, mpi_type(map->dtype), MPI_SUM,
                           map->grid->col_comm);
        piece = map->piece;
        map->sent_bytes += (double)(map->col_local * u) * (double)size;
    }
    move_blocks(map, map->grid->row, u, ROW_ADD_PIECE, piece, row_panel);
}

void rls_panel_row_to_col(rls_panel_map *map, int64_t u, const void *row_panel, void *col_panel)
{
    const size_t size = rls_dtype_size(map->dtype);
    char *piece = map->grid->p > 1 ? map->piece : col_panel; /* one process row owns all of it */
    move_blocks(map, map->grid->row, u, PIECE_FROM_ROW, piece, (char *)row_panel);
    if (map->grid->p == 1)
        return;
    set_counts(map, u);
    MPI_Allgatherv(map->piece, map->counts[map->grid->row], mpi_type(map->dtype), map->work, map->counts,
                   map->starts, mpi_type(map->dtype), map->grid->col_comm);
    map->sent_bytes += (double)(map->col_local * u) * (double)size;
    for (int a = 0; a < map->grid->p; a++)
        move_blocks(map, a, u, COL_FROM_PIECE, (char *)map->work + (size_t)map->starts[a] * size, col_panel);
}

double rls_panel_sum(MPI_Comm comm, rls_dtype dtype, void *data, int64_t count)
{
    const int64_t most = (int64_t)1 << 26; /* 512 MiB of float64 */
    const size_t size = rls_dtype_size(dtype);
    int ranks = 1;
    MPI_Comm_size(comm, &ranks);
    if (ranks == 1)
        return 0.0;
    for (int64_t at = 0; at < count; at += most) {
        const int64_t part = count - at < most ? count - at : most;
        MPI_Allreduce(MPI_IN_PLACE, (char *)data + (size_t)at * size, (int)part, mpi_type(dtype), MPI_SUM,
                      comm);
    }
    return (double)count * (double)size;
}

/* The buffers of one dealing of vectors. */
typedef struct {
    int *send_counts, *send_starts, *recv_counts, *recv_starts;
    int64_t *shares; /* vectors of every rank */
    void *packed;
} dealing;

static void dealing_free(dealing *d)
{
    free(d->send_counts);
    free(d->shares);
    free(d->packed);
}

static rls_status dealing_alloc(const rls_panel_map *map, int64_t count, dealing *d)
{
    rls_context *ctx = map->grid->ctx;
    void *counts = NULL, *shares = NULL;
    /* The widest packing sends every process row (or column) its part, to each of its ranks. */
    const int64_t copies = map->grid->q > map->grid->p ? map->grid->q : map->grid->p;
    rls_status status = rls_alloc(ctx, 4 * (int64_t)ctx->size, sizeof(int), &counts);
    if (status == RLS_OK)
        status = rls_alloc(ctx, ctx->size, sizeof(int64_t), &shares);
    if (status == RLS_OK && (double)map->row.n * (double)count * (double)copies > INT_MAX)
        status =
            rls_fail(ctx, RLS_ERR_MEMORY,
                     "batch: %lld edits on one rank are 2^31 elements or more to send: use a smaller batch",
                     (long long)count);
    if (status == RLS_OK)
        status = rls_alloc(ctx, map->row.n * count, rls_dtype_size(map->dtype), &d->packed);
    d->send_counts = counts;
    d->shares = shares;
    if (status != RLS_OK)
        return status;
    d->send_starts = d->send_counts + ctx->size;
    d->recv_counts = d->send_starts + ctx->size;
    d->recv_starts = d->recv_counts + ctx->size;
    return RLS_OK;
}

/* Packs this rank's vectors by owner of dim d: for owner 0 all vectors' parts, then owner 1, ... */
static void pack_by_owner(const rls_panel_map *map, rls_dim d, int64_t count, rls_dtype src_dtype,
                          const void *vectors, void *packed)
{
    const size_t src_size = rls_dtype_size(src_dtype), size = rls_dtype_size(map->dtype);
    char *to = packed;
    for (int owner = 0; owner < d.procs; owner++) {
        for (int64_t j = 0; j < count; j++) {
            const char *from = (const char *)vectors + (size_t)(j * d.n) * src_size;
            for (int64_t ib = owner; ib * d.block < d.n; ib += d.procs) {
                const int64_t part = block_size(d, ib);
                rls_convert(map->dtype, to, 1, src_dtype, from + (size_t)(ib * d.block) * src_size, 1, part);
                to += (size_t)part * size;
            }
        }
    }
}

/* Sends every rank the part of dim d that it owns: by process row or by process column. */
static void deal(rls_panel_map *map, dealing *x, bool by_row, int64_t count, rls_dtype src_dtype,
                 const void *vectors, void *panel)
{
    const rls_grid *grid = map->grid;
    const rls_dim d = by_row ? map->row : map->col;
    const int64_t own = by_row ? map->row_local : map->col_local;
    pack_by_owner(map, d, count, src_dtype, vectors, x->packed);
    int64_t received = 0;
    for (int r = 0; r < grid->ctx->size; r++) {
        const int owner = by_row ? r / grid->q : r % grid->q;
        int64_t before = 0;
        for (int a = 0; a < owner; a++)
            before += rls_dim_count(d, a);
        x->send_counts[r] = (int)(rls_dim_count(d, owner) * count);
        x->send_starts[r] = (int)(before * count);
        x->recv_counts[r] = (int)(own * x->shares[r]);
        x->recv_starts[r] = (int)received;
        received += x->recv_counts[r];
    }
    MPI_Alltoallv(x->packed, x->send_counts, x->send_starts, mpi_type(map->dtype), panel, x->recv_counts,
                  x->recv_starts, mpi_type(map->dtype), grid->ctx->comm);
}

rls_status rls_vectors_to_panel(rls_panel_map *map, rls_panel_side side, int64_t count, rls_dtype src_dtype,
                                const void *vectors, void *panel)
{
    rls_context *ctx = map->grid->ctx;
    dealing x = {0};
    const rls_status status = rls_agree(ctx, dealing_alloc(map, count, &x));
    if (status == RLS_OK) {
        MPI_Allgather(&count, 1, MPI_INT64_T, x.shares, 1, MPI_INT64_T, ctx->comm);
        deal(map, &x, side == RLS_ROW_PANEL, count, src_dtype, vectors, panel);
    }
    dealing_free(&x);
    return status;
}

/* One process row holds the whole panel, so the exchange stays inside it: to each of its ranks the rows owned
 * here of that rank's columns. */
static void gather_vectors(rls_panel_map *map, dealing *x, int64_t count, const void *col_panel,
                           void *vectors)
{
    const rls_grid *grid = map->grid;
    const size_t size = rls_dtype_size(map->dtype);
    int64_t received = 0, column = 0;
    for (int r = 0; r < grid->ctx->size; r++) {
        if (r / grid->q == grid->row) {
            x->send_counts[r % grid->q] = (int)(map->col_local * x->shares[r]);
            x->send_starts[r % grid->q] = (int)(map->col_local * column);
        }
        column += x->shares[r];
    }
    for (int c = 0; c < grid->q; c++) {
        x->recv_counts[c] = (int)(rls_dim_count(map->col, c) * count);
        x->recv_starts[c] = (int)received;
        received += x->recv_counts[c];
    }
    MPI_Alltoallv(col_panel, x->send_counts, x->send_starts, mpi_type(map->dtype), x->packed, x->recv_counts,
                  x->recv_starts, mpi_type(map->dtype), grid->row_comm);
    const char *from = x->packed;
    for (int c = 0; c < grid->q; c++)
        for (int64_t j = 0; j < count; j++)
            for (int64_t ib = c; ib * map->col.block < map->col.n; ib += grid->q) {
                const size_t bytes = (size_t)block_size(map->col, ib) * size;
                memcpy((char *)vectors + (size_t)(j * map->col.n + ib * map->col.block) * size, from, bytes);
                from += bytes;
            }
}

rls_status rls_panel_to_vectors(rls_panel_map *map, int64_t count, const void *col_panel, void *vectors)
{
    rls_context *ctx = map->grid->ctx;
    dealing x = {0};
    const rls_status status = rls_agree(ctx, dealing_alloc(map, count, &x));
    if (status == RLS_OK) {
        MPI_Allgather(&count, 1, MPI_INT64_T, x.shares, 1, MPI_INT64_T, ctx->comm);
        gather_vectors(map, &x, count, col_panel, vectors);
    }
    dealing_free(&x);
    return status;
}
