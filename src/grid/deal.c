/* Dealing vectors out to panels, and collecting them again. */
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "grid/panel_inside.h"

/* Gathers how many vectors every rank has, and whether it is ready: an agreement in the same message.
 * Collective; no rank needs memory for it. */
static rls_status gather_shares(rls_panel_map *map, int64_t count, rls_status local)
{
    rls_context *ctx = map->grid->ctx;
    const int mine[2] = {local == RLS_OK ? (int)count : 0, (int)local};
    MPI_Allgather(mine, 2, MPI_INT, map->shares, 2, MPI_INT, ctx->comm);
    int failed = 0;
    for (int r = 0; r < ctx->size; r++)
        failed += map->shares[2 * r + 1] != RLS_OK;
    return failed != 0 ? rls_agree(ctx, local) : local; /* a rank that failed never goes on */
}

static int64_t total_share(const rls_panel_map *map)
{
    int64_t total = 0;
    for (int r = 0; r < map->grid->ctx->size; r++)
        total += map->shares[2 * (size_t)r];
    return total;
}

static rls_status check_count(const rls_panel_map *map, int64_t count)
{
    if ((double)map->row.n * (double)count <= INT_MAX)
        return RLS_OK;
    return rls_fail(map->grid->ctx, RLS_ERR_MEMORY,
                    "batch: %lld edits on one rank are 2^31 elements or more to send: use a smaller batch",
                    (long long)count);
}

/* One dealing of vectors. The u columns are divided among the `ranks` of comm (a process row, for a row
 * panel) before they gather the panel. */
typedef struct {
    rls_panel_map *map;
    rls_dim dim;
    bool by_row;
    int64_t first, count, total; /* this rank's vectors, and all */
    int64_t own;                 /* rows of the panel here */
    MPI_Comm comm;
    int ranks, rank;
    MPI_Request *requests;
    int pending;
    char *packed, *panel;
} dealing;

/* Converts what `owner` owns of vectors [first, first + cols) to a matrix. */
static void pack(const dealing *x, int owner, rls_dtype src_dtype, const void *vectors, int64_t first,
                 int64_t cols, char *to)
{
    const size_t src_size = rls_dtype_size(src_dtype), size = rls_dtype_size(x->map->dtype);
    const rls_dim d = x->dim;
    for (int64_t j = first; j < first + cols; j++) {
        const char *from = (const char *)vectors + (size_t)(j * d.n) * src_size;
        for (int64_t ib = owner; ib * d.block < d.n; ib += d.procs) {
            const int64_t part = rls_block_size(d, ib);
            rls_convert(x->map->dtype, to, 1, src_dtype, from + (size_t)(ib * d.block) * src_size, 1, part);
            to += (size_t)part * size;
        }
    }
}

/* Awaits from every rank those of its vectors that are among this rank's columns. */
static void receive_columns(dealing *x)
{
    const rls_context *ctx = x->map->grid->ctx;
    const size_t size = rls_dtype_size(x->map->dtype);
    const int64_t begin = rls_column_start(x->total, x->ranks, x->rank),
                  end = rls_column_start(x->total, x->ranks, x->rank + 1);
    int64_t at = 0;
    for (int r = 0; r < ctx->size && x->own > 0; r++) {
        const int64_t next = at + x->map->shares[2 * (size_t)r];
        const int64_t from = at > begin ? at : begin, to = next < end ? next : end;
        if (from < to && r != ctx->rank)
            MPI_Irecv(x->panel + (size_t)(from * x->own) * size, (int)((to - from) * x->own),
                      rls_mpi_type(x->map->dtype), r, RLS_DEALING_TAG, ctx->comm, &x->requests[x->pending++]);
        at = next;
    }
}

/* Sends the vectors' columns [from, to) to rank t of every process row (column), each its rows. */
static void send_columns(dealing *x, int t, int64_t from, int64_t to, rls_dtype src_dtype,
                         const void *vectors)
{
    rls_panel_map *map = x->map;
    const rls_grid *grid = map->grid;
    const size_t size = rls_dtype_size(map->dtype);
    for (int owner = 0; owner < x->dim.procs; owner++) {
        const int64_t rows = rls_dim_count(x->dim, owner);
        const int there = x->by_row ? owner * grid->q + t : t * grid->q + owner;
        if (rows == 0)
            continue;
        if (there == grid->ctx->rank) {
            pack(x, owner, src_dtype, vectors, from - x->first, to - from,
                 x->panel + (size_t)(from * rows) * size);
            continue;
        }
        const int64_t elements = rows * (to - from);
        pack(x, owner, src_dtype, vectors, from - x->first, to - from, x->packed);
        MPI_Isend(x->packed, (int)elements, rls_mpi_type(map->dtype), there, RLS_DEALING_TAG, grid->ctx->comm,
                  &x->requests[x->pending++]);
        x->packed += (size_t)elements * size;
        map->sent_bytes += (double)elements * (double)size;
    }
}

/* Both stages. */
static void deal(dealing *x, rls_dtype src_dtype, const void *vectors)
{
    rls_panel_map *map = x->map;
    receive_columns(x);
    for (int t = 0; t < x->ranks; t++) {
        const int64_t begin = rls_column_start(x->total, x->ranks, t),
                      end = rls_column_start(x->total, x->ranks, t + 1);
        const int64_t from = x->first > begin ? x->first : begin;
        const int64_t to = x->first + x->count < end ? x->first + x->count : end;
        if (from < to)
            send_columns(x, t, from, to, src_dtype, vectors);
    }
    MPI_Waitall(x->pending, x->requests, MPI_STATUSES_IGNORE);
    if (x->ranks == 1 || x->own == 0) /* own is the same on all ranks of comm */
        return;
    for (int t = 0; t < x->ranks; t++) {
        map->starts[t] = (int)(rls_column_start(x->total, x->ranks, t) * x->own);
        map->counts[t] = (int)(rls_column_start(x->total, x->ranks, t + 1) * x->own) - map->starts[t];
    }
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x->panel, map->counts, map->starts,
                   rls_mpi_type(map->dtype), x->comm);
    map->sent_bytes += (double)(x->own * x->total) * (double)rls_dtype_size(map->dtype);
}

static dealing dealing_of(rls_panel_map *map, rls_panel_side side, int64_t count, void *panel)
{
    const rls_grid *grid = map->grid;
    dealing x = {.map = map, .by_row = side == RLS_ROW_PANEL, .count = count, .panel = panel};
    x.dim = x.by_row ? map->row : map->col;
    x.own = x.by_row ? map->row_local : map->col_local;
    x.comm = x.by_row ? grid->row_comm : grid->col_comm;
    x.ranks = x.by_row ? grid->q : grid->p;
    x.rank = x.by_row ? grid->col : grid->row;
    return x;
}

rls_status rls_vectors_to_panel(rls_panel_map *map, rls_panel_side side, int64_t count, rls_dtype src_dtype,
                                const void *vectors, void *panel)
{
    rls_context *ctx = map->grid->ctx;
    dealing x = dealing_of(map, side, count, panel);
    void *packed = NULL, *requests = NULL;
    rls_status status = check_count(map, count);
    if (status == RLS_OK && ctx->size > 1)
        status = rls_alloc(ctx, map->row.n * count, rls_dtype_size(map->dtype), &packed);
    if (status == RLS_OK) /* at most a message from and to every rank */
        status = rls_alloc(ctx, 2 * (int64_t)ctx->size, sizeof(MPI_Request), &requests);
    x.packed = packed;
    x.requests = requests;
    status = gather_shares(map, count, status);
    if (status == RLS_OK) {
        x.total = total_share(map);
        for (int r = 0; r < ctx->rank; r++)
            x.first += map->shares[2 * (size_t)r];
        if ((double)rls_dim_count(x.dim, 0) * (double)x.total > INT_MAX) /* the same on all ranks */
            status = rls_agree(ctx, rls_fail(ctx, RLS_ERR_MEMORY,
                                             "batch: %lld edits at once make panels of 2^31 elements or more "
                                             "on a rank: use a smaller batch",
                                             (long long)x.total));
    }
    if (status == RLS_OK)
        deal(&x, src_dtype, vectors);
    free(packed);
    free(requests);
    return status;
}

/* One process row holds the whole panel, so the exchange stays inside it: to each of its ranks the rows owned
 * here of that rank's columns. counts: room for 4 q. */
static void gather_vectors(rls_panel_map *map, int *counts, int64_t count, const void *col_panel,
                           void *received, void *vectors)
{
    const rls_grid *grid = map->grid;
    const size_t size = rls_dtype_size(map->dtype);
    int *send_counts = counts, *send_starts = send_counts + grid->q, *recv_counts = send_starts + grid->q,
        *recv_starts = recv_counts + grid->q;
    int64_t in = 0, column = 0;
    for (int r = 0; r < grid->ctx->size; r++) {
        const int64_t share = map->shares[2 * (size_t)r];
        if (r / grid->q == grid->row) {
            send_counts[r % grid->q] = (int)(map->col_local * share);
            send_starts[r % grid->q] = (int)(map->col_local * column);
        }
        column += share;
    }
    for (int c = 0; c < grid->q; c++) {
        recv_counts[c] = (int)(rls_dim_count(map->col, c) * count);
        recv_starts[c] = (int)in;
        in += recv_counts[c];
    }
    MPI_Alltoallv(col_panel, send_counts, send_starts, rls_mpi_type(map->dtype), received, recv_counts,
                  recv_starts, rls_mpi_type(map->dtype), grid->row_comm);
    const char *from = received;
    for (int c = 0; c < grid->q; c++)
        for (int64_t j = 0; j < count; j++)
            for (int64_t ib = c; ib * map->col.block < map->col.n; ib += grid->q) {
                const size_t bytes = (size_t)rls_block_size(map->col, ib) * size;
                memcpy((char *)vectors + (size_t)(j * map->col.n + ib * map->col.block) * size, from, bytes);
                from += bytes;
            }
}

rls_status rls_panel_to_vectors(rls_panel_map *map, int64_t count, const void *col_panel, void *vectors)
{
    rls_context *ctx = map->grid->ctx;
    void *received = NULL, *counts = NULL;
    rls_status status = check_count(map, count);
    if (status == RLS_OK)
        status = rls_alloc(ctx, map->col.n * count, rls_dtype_size(map->dtype), &received);
    if (status == RLS_OK)
        status = rls_alloc(ctx, 4 * (int64_t)map->grid->q, sizeof(int), &counts);
    status = gather_shares(map, count, status);
    if (status == RLS_OK)
        gather_vectors(map, counts, count, col_panel, received, vectors);
    free(received);
    free(counts);
    return status;
}
