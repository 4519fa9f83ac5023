#include "grid/redistribute.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Lines of a rank in a full round. */
static int64_t round_share(const rls_grid *grid, int64_t lines, int64_t line_bytes, int64_t round_bytes)
{
    const int64_t size = grid->ctx->size;
    const int64_t fit = round_bytes / line_bytes > 0 ? round_bytes / line_bytes : 1;
    const int64_t even = (lines + size - 1) / size;
    return fit < even ? fit : even;
}

int64_t rls_slab_round_begin(const rls_grid *grid, int64_t lines, int64_t line_bytes, int64_t round_bytes,
                             int64_t round)
{
    const int64_t begin =
        round * round_share(grid, lines, line_bytes, round_bytes) * (int64_t)grid->ctx->size;
    return begin < lines ? begin : lines;
}

bool rls_slab_round(const rls_grid *grid, int64_t lines, int64_t line_bytes, int64_t round_bytes,
                    int64_t round, int64_t *first, int64_t *count)
{
    const int64_t share = round_share(grid, lines, line_bytes, round_bytes);
    const int64_t begin = rls_slab_round_begin(grid, lines, line_bytes, round_bytes, round);
    if (begin >= lines)
        return false;
    const int64_t mine = begin + share * grid->ctx->rank;
    *first = mine < lines ? mine : lines;
    *count = lines - *first < share ? lines - *first : share;
    return true;
}

/* Everything one exchange between slabs and cyclic parts needs. Both directions use the same two packings:
 * line by line, and within a line the indices of the other dimension that the cyclic side's process owns. */
typedef struct {
    const rls_cyclic *matrix;
    const rls_slab *slab;
    rls_context *ctx;
    bool columns;          /* lines are columns */
    rls_dim along, across; /* the dimension of the lines' numbers, and the one a line runs over */
    size_t element;        /* bytes on the wire */
    int64_t *ranges;       /* first, count of every rank's slab */
    rls_exchange_room *room;
    char *slab_side, *cyclic_side; /* the room's */
    int *slab_counts, *slab_starts, *cyclic_counts, *cyclic_starts;
} exchange;

static int along_of(const exchange *x, int rank)
{
    return x->columns ? rank % x->matrix->grid->q : rank / x->matrix->grid->q;
}

static int across_of(const exchange *x, int rank)
{
    return x->columns ? rank / x->matrix->grid->q : rank % x->matrix->grid->q;
}

/* Elements that go between the slab [first, first + count) and the cyclic part of `rank`. */
static int64_t piece(const exchange *x, int64_t first, int64_t count, int rank)
{
    const int on = along_of(x, rank);
    const int64_t lines = rls_dim_below(x->along, on, first + count) - rls_dim_below(x->along, on, first);
    return lines * rls_dim_count(x->across, across_of(x, rank));
}

static void exchange_free(exchange *x)
{
    free(x->ranges);
    free(x->slab_counts);
}

void rls_exchange_room_free(rls_exchange_room *room)
{
    free(room->slab_side);
    free(room->cyclic_side);
    *room = (rls_exchange_room){0};
}

/* At least `bytes` at *memory. */
static rls_status grow(rls_context *ctx, void **memory, int64_t *have, int64_t bytes)
{
    if (bytes <= *have)
        return RLS_OK;
    free(*memory);
    *have = 0;
    const rls_status status = rls_alloc(ctx, bytes, 1, memory);
    *have = status == RLS_OK ? bytes : 0;
    return status;
}

/* Sizes and buffers of this rank; local, but for the ranges that were gathered before. */
static rls_status exchange_plan(exchange *x)
{
    const int size = x->ctx->size;
    void *counts = NULL;
    rls_exchange_room *room = x->room;
    rls_status status = rls_alloc(x->ctx, 4 * (int64_t)size, sizeof(int), &counts);
    if (status != RLS_OK)
        return status;
    x->slab_counts = counts;
    x->slab_starts = x->slab_counts + size;
    x->cyclic_counts = x->slab_starts + size;
    x->cyclic_starts = x->cyclic_counts + size;
    int64_t on_slab = 0, on_cyclic = 0;
    for (int r = 0; r < size; r++) {
        const int64_t out = piece(x, x->slab->first, x->slab->count, r);
        const int64_t in = piece(x, x->ranges[2 * (int64_t)r], x->ranges[2 * (int64_t)r + 1], x->ctx->rank);
        if (on_slab + out > INT_MAX || on_cyclic + in > INT_MAX)
            return rls_fail(x->ctx, RLS_ERR_MEMORY,
                            "a redistribution round has 2^31 elements or more on a rank: use more ranks");
        x->slab_counts[r] = (int)out;
        x->slab_starts[r] = (int)on_slab;
        x->cyclic_counts[r] = (int)in;
        x->cyclic_starts[r] = (int)on_cyclic;
        on_slab += out;
        on_cyclic += in;
    }
    /* One more, so that a rank with nothing has an address to count from too. */
    const int64_t size_of = (int64_t)x->element;
    status = grow(x->ctx, &room->slab_side, &room->slab_bytes, (on_slab + 1) * size_of);
    if (status == RLS_OK)
        status = grow(x->ctx, &room->cyclic_side, &room->cyclic_bytes, (on_cyclic + 1) * size_of);
    x->slab_side = room->slab_side;
    x->cyclic_side = room->cyclic_side;
    return status;
}

/* Collective: gathers the ranges, checks them, allocates. */
static rls_status exchange_begin(exchange *x, rls_exchange_room *room, const rls_slab *slab, rls_lines lines,
                                 const rls_cyclic *matrix)
{
    void *ranges = NULL;
    *x = (exchange){.matrix = matrix,
                    .slab = slab,
                    .ctx = matrix->grid->ctx,
                    .columns = lines == RLS_LINES_ARE_COLUMNS,
                    .room = room};
    x->along = x->columns ? matrix->cols : matrix->rows;
    x->across = x->columns ? matrix->rows : matrix->cols;
    x->element = rls_dtype_size(slab->dtype);
    rls_status status = rls_alloc(x->ctx, 2 * (int64_t)x->ctx->size, sizeof(int64_t), &ranges);
    x->ranges = ranges;
    if (status == RLS_OK && (slab->first < 0 || slab->count < 0 || slab->first > x->along.n - slab->count))
        status =
            rls_fail(x->ctx, RLS_ERR_INTERNAL, "slab [%" PRId64 ", +%" PRId64 ") outside %" PRId64 " lines",
                     slab->first, slab->count, x->along.n);
    status = rls_agree(x->ctx, status);
    if (status == RLS_OK) {
        const int64_t mine[2] = {slab->first, slab->count};
        MPI_Allgather(mine, 2, MPI_INT64_T, x->ranges, 2, MPI_INT64_T, x->ctx->comm);
        status = rls_agree(x->ctx, exchange_plan(x));
    }
    if (status != RLS_OK)
        exchange_free(x);
    return status;
}

/* Copies between the caller's slab and its wire buffer (both in the slab's type). */
static void slab_copy(const exchange *x, bool to_wire)
{
    const int64_t line = x->across.n;
    char *data = x->slab->data;
    if (data == NULL || x->slab_side == NULL) /* a rank with no lines */
        return;
    for (int r = 0; r < x->ctx->size; r++) {
        const int on = along_of(x, r), over = across_of(x, r);
        const int64_t begin = rls_dim_below(x->along, on, x->slab->first);
        const int64_t end = rls_dim_below(x->along, on, x->slab->first + x->slab->count);
        const int64_t owned = rls_dim_count(x->across, over);
        char *wire = x->slab_side + (size_t)x->slab_starts[r] * x->element;
        for (int64_t il = begin; il < end; il++) {
            const int64_t at = (rls_dim_to_global(x->along, on, il) - x->slab->first) * line;
            int64_t run = 0;
            for (int64_t jl = 0; jl < owned; jl += run) {
                run = rls_dim_run(x->across, jl, owned);
                char *user = data + (size_t)(at + rls_dim_to_global(x->across, over, jl)) * x->element;
                const size_t bytes = (size_t)run * x->element;
                memcpy(to_wire ? wire : user, to_wire ? user : wire, bytes);
                wire += bytes;
            }
        }
    }
}

/* Copies between the cyclic part (its type) and its wire buffer (the slab's type), converting. */
static void cyclic_copy(const exchange *x, bool to_wire)
{
    const rls_cyclic *a = x->matrix;
    const int on = along_of(x, x->ctx->rank);
    const int64_t owned = rls_dim_count(x->across, across_of(x, x->ctx->rank));
    const int64_t along_stride = x->columns ? a->ld : 1, across_stride = x->columns ? 1 : a->ld;
    for (int r = 0; r < x->ctx->size; r++) {
        const int64_t first = x->ranges[2 * (int64_t)r], count = x->ranges[2 * (int64_t)r + 1];
        const int64_t begin = rls_dim_below(x->along, on, first),
                      end = rls_dim_below(x->along, on, first + count);
        char *wire = x->cyclic_side + (size_t)x->cyclic_starts[r] * x->element;
        for (int64_t il = begin; il < end && owned > 0; il++) {
            char *local = (char *)a->data + (size_t)(il * along_stride) * rls_dtype_size(a->dtype);
            if (to_wire)
                rls_convert(x->slab->dtype, wire, 1, a->dtype, local, across_stride, owned);
            else
                rls_convert(a->dtype, local, across_stride, x->slab->dtype, wire, 1, owned);
            wire += (size_t)owned * x->element;
        }
    }
}

/* A datatype of one element on the wire, so that counts stay counts of elements. */
static MPI_Datatype wire_type(size_t element)
{
    MPI_Datatype type;
    MPI_Type_contiguous((int)element, MPI_BYTE, &type);
    MPI_Type_commit(&type);
    return type;
}

rls_status rls_redistribute(rls_exchange_room *room, bool to_cyclic, const rls_slab *slab, rls_lines lines,
                            const rls_cyclic *matrix)
{
    exchange x;
    const rls_status status = exchange_begin(&x, room, slab, lines, matrix);
    if (status != RLS_OK)
        return status;
    MPI_Datatype type = wire_type(x.element);
    if (to_cyclic) {
        slab_copy(&x, true);
        MPI_Alltoallv(x.slab_side, x.slab_counts, x.slab_starts, type, x.cyclic_side, x.cyclic_counts,
                      x.cyclic_starts, type, x.ctx->comm);
        cyclic_copy(&x, false);
    } else {
        cyclic_copy(&x, true);
        MPI_Alltoallv(x.cyclic_side, x.cyclic_counts, x.cyclic_starts, type, x.slab_side, x.slab_counts,
                      x.slab_starts, type, x.ctx->comm);
        slab_copy(&x, false);
    }
    MPI_Type_free(&type);
    exchange_free(&x);
    return RLS_OK;
}

rls_status rls_slab_to_cyclic(const rls_slab *slab, rls_lines lines, const rls_cyclic *matrix)
{
    rls_exchange_room room = {0};
    const rls_status status = rls_redistribute(&room, true, slab, lines, matrix);
    rls_exchange_room_free(&room);
    return status;
}

rls_status rls_cyclic_to_slab(const rls_cyclic *matrix, rls_lines lines, const rls_slab *slab)
{
    rls_exchange_room room = {0};
    const rls_status status = rls_redistribute(&room, false, slab, lines, matrix);
    rls_exchange_room_free(&room);
    return status;
}
