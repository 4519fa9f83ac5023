#include "grid/panel.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "grid/panel_inside.h"

/* Indices that process row a and process column b both own lie in blocks of one remainder modulo lcm(p, q):
 * the first of them, or one beyond the end when there is none. */
static int64_t first_common_block(const rls_panel_map *map, int a, int b)
{
    int64_t ib = a;
    while (ib * map->row.block < map->row.n && ib % map->grid->q != b)
        ib += map->grid->p;
    return ib;
}

static int64_t common_block_step(const rls_panel_map *map)
{
    return (int64_t)map->partners * map->grid->q;
}

static int64_t common_indices(const rls_panel_map *map, int a, int b)
{
    int64_t sum = 0;
    for (int64_t ib = first_common_block(map, a, b); ib * map->row.block < map->row.n;
         ib += common_block_step(map))
        sum += rls_block_size(map->row, ib);
    return sum;
}

static int greatest_common_divisor(int a, int b)
{
    return b == 0 ? a : greatest_common_divisor(b, a % b);
}

rls_status rls_panel_map_init(rls_panel_map *map, const rls_grid *grid, int64_t n, int64_t block,
                              rls_dtype dtype)
{
    *map =
        (rls_panel_map){.grid = grid, .row = {n, block, grid->p}, .col = {n, block, grid->q}, .dtype = dtype};
    map->row_local = rls_dim_count(map->row, grid->row);
    map->col_local = rls_dim_count(map->col, grid->col);
    map->common = greatest_common_divisor(grid->p, grid->q);
    map->partners = grid->p / map->common;
    map->straight = map->common <= 2;
    map->partner_col = grid->row % map->common + grid->col / map->common * map->common;
    map->first_partner_row = grid->col % map->common * map->partners;
    map->shared = common_indices(map, grid->row, map->partner_col);
    void *overlap = NULL, *counts = NULL, *requests = NULL;
    const int64_t side = grid->p > grid->q ? grid->p : grid->q;
    rls_status status = rls_alloc_zero(grid->ctx, grid->p, sizeof(int64_t), &overlap);
    if (status == RLS_OK)
        status = rls_alloc_zero(grid->ctx, 2 * (side + grid->ctx->size), sizeof(int), &counts);
    if (status == RLS_OK)
        status = rls_alloc(grid->ctx, 2 * (int64_t)map->partners, sizeof(MPI_Request), &requests);
    map->overlap = overlap;
    map->counts = counts;
    map->starts = map->counts != NULL ? map->counts + side : NULL;
    map->shares = map->counts != NULL ? map->starts + side : NULL;
    map->requests = requests;
    if (status != RLS_OK)
        return status;
    for (int a = grid->col % map->common; a < grid->p; a += map->common)
        map->overlap[a] = common_indices(map, a, grid->col);
    return RLS_OK;
}

void rls_panel_map_free(rls_panel_map *map)
{
    free(map->overlap);
    free(map->counts);
    free(map->requests);
    *map = (rls_panel_map){0};
}

/* The buffer's part for this rank's columns of its column panel, once or (not straight) twice. */
static int64_t work_elements(const rls_panel_map *map, int64_t u)
{
    return map->col_local * (map->straight ? u : (u + map->grid->p - 1) / map->grid->p);
}

int64_t rls_panel_map_elements(const rls_panel_map *map, int64_t u)
{
    if (map->grid->p == 1)
        return 0;
    if (map->straight)
        return work_elements(map, u) + map->overlap[map->grid->row] * u;
    return 2 * work_elements(map, u) + map->shared * ((u + map->common - 1) / map->common);
}

void rls_panel_map_buffers(rls_panel_map *map, int64_t u, void *buffer)
{
    const int64_t work = (map->straight ? 1 : 2) * work_elements(map, u);
    map->work = buffer;
    map->piece = (char *)buffer + (size_t)work * rls_dtype_size(map->dtype);
}

/* How a block of one process row and column is handed over: rows of the piece, of the row panel, of the
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

/* Moves `cols` columns of all blocks that process row a and process column b both own between a piece (their
 * rows only) and a panel. */
static void move_blocks(const rls_panel_map *map, int a, int b, int64_t cols, block_move move, char *piece,
                        char *panel)
{
    const size_t size = rls_dtype_size(map->dtype);
    const bool by_row = move == PIECE_FROM_ROW || move == ROW_ADD_PIECE;
    const int64_t ld = by_row ? map->row_local : map->col_local;
    const int64_t first = first_common_block(map, a, b), step = common_block_step(map);
    char *p = piece;
    for (int64_t j = 0; j < cols; j++)
        for (int64_t ib = first; ib * map->row.block < map->row.n; ib += step) {
            const int64_t count = rls_block_size(map->row, ib);
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

/* One message of an exchange, to or from `there`; this rank's own piece is copied when its other end comes.
 */
static void start_message(rls_panel_map *map, bool send, int there, char *data, int64_t elements,
                          int *pending)
{
    MPI_Request *request = &map->requests[*pending];
    MPI_Comm comm = map->grid->ctx->comm;
    if (send)
        MPI_Isend(data, (int)elements, rls_mpi_type(map->dtype), there, RLS_EXCHANGE_TAG, comm, request);
    else
        MPI_Irecv(data, (int)elements, rls_mpi_type(map->dtype), there, RLS_EXCHANGE_TAG, comm, request);
    ++*pending;
    if (send)
        map->sent_bytes += (double)elements * (double)rls_dtype_size(map->dtype);
}

/* Exchanges pieces between those who own rows, their [shared, columns of the partners] in map->piece, and
 * those who need them for their columns of a column panel: at `columns` [overlap[a], own columns] of each
 * process row a after the other. Collective over all ranks of the grid. */
static void swap_pieces(rls_panel_map *map, int64_t u, bool to_columns, char *columns)
{
    const rls_grid *grid = map->grid;
    const size_t size = rls_dtype_size(map->dtype);
    const int g = map->common, p = grid->p;
    const int64_t own = rls_column_start(u, p, grid->row + 1) - rls_column_start(u, p, grid->row);
    const int column_of_owner = grid->col / g * g + grid->row / map->partners;
    char *copied = NULL; /* this rank's own piece of `columns` */
    int pending = 0;
    for (int a = grid->col % g; a < p; a += g) {
        const int64_t elements = map->overlap[a] * own;
        if (elements == 0)
            continue;
        if (a == grid->row && column_of_owner == grid->col)
            copied = columns;
        else
            start_message(map, !to_columns, a * grid->q + column_of_owner, columns, elements, &pending);
        columns += (size_t)elements * size;
    }
    const int64_t first = rls_column_start(u, p, map->first_partner_row);
    for (int a = map->first_partner_row; a < map->first_partner_row + map->partners; a++) {
        const int64_t begin = rls_column_start(u, p, a),
                      elements = map->shared * (rls_column_start(u, p, a + 1) - begin);
        if (elements == 0)
            continue;
        char *piece = (char *)map->piece + (size_t)(map->shared * (begin - first)) * size;
        if (a == grid->row && copied != NULL)
            memcpy(to_columns ? copied : piece, to_columns ? piece : copied, (size_t)elements * size);
        else
            start_message(map, to_columns, a * grid->q + map->partner_col, piece, elements, &pending);
    }
    MPI_Waitall(pending, map->requests, MPI_STATUSES_IGNORE);
}

/* Counts and starts of what the process column's ranks bring or take of u columns: its columns, or (straight)
 * the rows that they own, all columns of them. */
static void set_counts(rls_panel_map *map, int64_t u)
{
    int start = 0;
    for (int a = 0; a < map->grid->p; a++) {
        const int64_t cols = rls_column_start(u, map->grid->p, a + 1) - rls_column_start(u, map->grid->p, a);
        map->counts[a] = (int)(map->straight ? map->overlap[a] * u : map->col_local * cols);
        map->starts[a] = start;
        start += map->counts[a];
    }
}

/* Moves columns of this rank's column panel from or to the pieces of the process rows. */
static void move_pieces(rls_panel_map *map, int64_t cols, block_move move, char *pieces, char *panel)
{
    for (int a = map->grid->col % map->common; a < map->grid->p; a += map->common) {
        if (map->overlap[a] == 0)
            continue;
        move_blocks(map, a, map->grid->col, cols, move, pieces, panel);
        pieces += (size_t)(map->overlap[a] * cols) * rls_dtype_size(map->dtype);
    }
}

/* Moves the partners' columns between map->piece and the row panel. */
static void move_partners(rls_panel_map *map, int64_t u, block_move move, char *row_panel)
{
    const int64_t first = rls_column_start(u, map->grid->p, map->first_partner_row),
                  end = rls_column_start(u, map->grid->p, map->first_partner_row + map->partners);
    if (map->shared > 0)
        move_blocks(map, map->grid->row, map->partner_col, end - first, move, map->piece,
                    row_panel + (size_t)(first * map->row_local) * rls_dtype_size(map->dtype));
}

static void reduce_scatter(rls_panel_map *map, int64_t u, const void *from, void *to)
{
    set_counts(map, u);
    if (map->col_local == 0) /* the same on all ranks of the process column */
        return;
    MPI_Reduce_scatter(from, to, map->counts, rls_mpi_type(map->dtype), MPI_SUM, map->grid->col_comm);
    map->sent_bytes += (double)(map->col_local * u) * (double)rls_dtype_size(map->dtype);
}

/* from NULL: this rank's part is in its place. */
static void gather(rls_panel_map *map, int64_t u, const void *from, void *to)
{
    set_counts(map, u);
    if (map->col_local == 0)
        return;
    const MPI_Datatype type = rls_mpi_type(map->dtype);
    MPI_Allgatherv(from != NULL ? from : MPI_IN_PLACE, from != NULL ? map->counts[map->grid->row] : 0, type,
                   to, map->counts, map->starts, type, map->grid->col_comm);
    map->sent_bytes += (double)(map->col_local * u) * (double)rls_dtype_size(map->dtype);
}

void rls_panel_fold_col_into_row(rls_panel_map *map, int64_t u, const void *col_panel, void *row_panel)
{
    const rls_grid *grid = map->grid;
    if (grid->p == 1) { /* one process row owns all of it */
        move_blocks(map, 0, grid->col, u, ROW_ADD_PIECE, (char *)col_panel, row_panel);
        return;
    }
    if (map->straight) {
        move_pieces(map, u, PIECE_FROM_COL, map->work, (char *)col_panel);
        reduce_scatter(map, u, map->work, map->piece);
        move_blocks(map, grid->row, grid->col, u, ROW_ADD_PIECE, map->piece, row_panel);
        return;
    }
    char *sums = map->work, *pieces = sums;
    reduce_scatter(map, u, col_panel, sums);
    if (map->partners > 1 && map->col_local > 0) { /* a single process row's rows are in order already */
        pieces += (size_t)work_elements(map, u) * rls_dtype_size(map->dtype);
        move_pieces(map,
                    rls_column_start(u, grid->p, grid->row + 1) - rls_column_start(u, grid->p, grid->row),
                    PIECE_FROM_COL, pieces, sums);
    }
    swap_pieces(map, u, false, pieces);
    move_partners(map, u, ROW_ADD_PIECE, row_panel);
}

void rls_panel_row_to_col(rls_panel_map *map, int64_t u, const void *row_panel, void *col_panel)
{
    const rls_grid *grid = map->grid;
    if (grid->p == 1) { /* one process row owns all of it */
        move_blocks(map, 0, grid->col, u, PIECE_FROM_ROW, col_panel, (char *)row_panel);
        return;
    }
    if (map->straight) {
        move_blocks(map, grid->row, grid->col, u, PIECE_FROM_ROW, map->piece, (char *)row_panel);
        gather(map, u, map->piece, map->work);
        move_pieces(map, u, COL_FROM_PIECE, map->work, col_panel);
        return;
    }
    const int64_t begin = rls_column_start(u, grid->p, grid->row);
    char *here = col_panel;
    if (map->col_local > 0) /* else there may be no panel */
        here += (size_t)(begin * map->col_local) * rls_dtype_size(map->dtype);
    char *pieces = map->partners > 1 ? map->work : here;
    move_partners(map, u, PIECE_FROM_ROW, (char *)row_panel);
    swap_pieces(map, u, true, pieces);
    if (map->partners > 1)
        move_pieces(map, rls_column_start(u, grid->p, grid->row + 1) - begin, COL_FROM_PIECE, pieces, here);
    gather(map, u, NULL, col_panel);
}

enum { LARGE_SUM = 1 << 16, MANY_RANKS = 512 };

/* What MPI_Allreduce does for a number of ranks that is not a power of two lets a rank send up to three times
 * the data (Rabenseifner's algorithm folds the ranks beyond the power into the others); two calls send 2 (r -
 * 1) / r of it. */
static void sum_in_two(MPI_Comm comm, int ranks, rls_dtype dtype, char *data, int count)
{
    int counts[MANY_RANKS], starts[MANY_RANKS], rank = 0;
    const size_t size = rls_dtype_size(dtype);
    MPI_Comm_rank(comm, &rank);
    for (int r = 0; r < ranks; r++) {
        starts[r] = (int)((int64_t)count * r / ranks);
        counts[r] = (int)((int64_t)count * (r + 1) / ranks) - starts[r];
    }
    MPI_Reduce_scatter(MPI_IN_PLACE, data, counts, rls_mpi_type(dtype), MPI_SUM, comm);
    memmove(data + (size_t)starts[rank] * size, data, (size_t)counts[rank] * size);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data, counts, starts, rls_mpi_type(dtype), comm);
}

double rls_panel_sum(MPI_Comm comm, rls_dtype dtype, void *data, int64_t count)
{
    const int64_t most = (int64_t)1 << 26; /* 512 MiB of float64 */
    const size_t size = rls_dtype_size(dtype);
    int ranks = 1;
    MPI_Comm_size(comm, &ranks);
    if (ranks == 1)
        return 0.0;
    const bool power_of_two = (ranks & (ranks - 1)) == 0;
    for (int64_t at = 0; at < count; at += most) {
        const int64_t part = count - at < most ? count - at : most;
        char *here = (char *)data + (size_t)at * size;
        if (power_of_two || ranks > MANY_RANKS || (size_t)part * size < LARGE_SUM)
            MPI_Allreduce(MPI_IN_PLACE, here, (int)part, rls_mpi_type(dtype), MPI_SUM, comm);
        else
            sum_in_two(comm, ranks, dtype, here, (int)part);
    }
    return (double)count * (double)size;
}

double rls_panel_sum_triangle(MPI_Comm comm, rls_dtype dtype, int64_t u, void *s)
{
    const size_t size = rls_dtype_size(dtype);
    char *data = s;
    /* Column j, from the diagonal down, moves to where the packed columns before it end, and back. */
    for (int64_t j = 1; j < u; j++)
        memmove(data + (size_t)(j * u - j * (j - 1) / 2) * size, data + (size_t)(j * (u + 1)) * size,
                (size_t)(u - j) * size);
    const double bytes = rls_panel_sum(comm, dtype, data, u * (u + 1) / 2);
    for (int64_t j = u - 1; j > 0; j--) {
        memmove(data + (size_t)(j * (u + 1)) * size, data + (size_t)(j * u - j * (j - 1) / 2) * size,
                (size_t)(u - j) * size);
        memset(data + (size_t)(j * u) * size, 0, (size_t)j * size);
    }
    return bytes;
}
