/* Edited weights from the block-cyclic matrices of the editor to the slices of the runtime. */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "base/memory.h"
#include "llm/weights.h"

enum { BUFFERS = 4 }; /* of a round: the slab, the packed slab, and two of the redistribution */

/* One transfer. Lines are columns of X, which are rows of W = X^T. */
typedef struct {
    const rls_partition *part;
    const rls_matrix *x;
    int64_t round_bytes;
    rls_exchange_room room;
    float *slab, *packed; /* this rank's lines of a round; the same, cut into the tensor ranks' shares */
    float *target;        /* [lines, inner.count] */
    int *counts;          /* four arrays of the ranks' number */
} transfer;

/* Cuts the lines [count, inner] into the tensor ranks' shares, one after another. */
static void pack(const transfer *t, int64_t count)
{
    const int64_t inner = t->x->rows;
    float *to = t->packed;
    for (int rank = 0; rank < t->part->tensor_ranks; rank++) {
        const rls_share share = rls_share_of(inner, rank, t->part->tensor_ranks);
        for (int64_t line = 0; line < count; line++, to += share.count)
            rls_convert(RLS_F32, to, 1, RLS_F32, t->slab + line * inner + share.first, 1, share.count);
    }
}

/* Sends the packed lines: every rank of a group its share, to all groups alike. Lines come in rank order and
 * so straight to where they belong. */
static void send(const transfer *t, int64_t begin, int64_t count)
{
    const rls_context *ctx = t->part->ctx;
    const int size = ctx->size;
    int *send_counts = t->counts, *send_starts = send_counts + size;
    int *receive_counts = send_starts + size, *receive_starts = receive_counts + size;
    const int mine = (int)count;
    float *to = t->target != NULL ? t->target + begin * t->part->inner.count : NULL;
    MPI_Allgather(&mine, 1, MPI_INT, receive_counts, 1, MPI_INT, ctx->comm);
    for (int rank = 0, start = 0; rank < size; rank++) {
        const rls_share share = rls_share_of(t->x->rows, rank % t->part->tensor_ranks, t->part->tensor_ranks);
        send_counts[rank] = (int)(count * share.count);
        send_starts[rank] = (int)(count * share.first);
        receive_counts[rank] *= (int)t->part->inner.count;
        receive_starts[rank] = start;
        start += receive_counts[rank];
    }
    MPI_Alltoallv(t->packed, send_counts, send_starts, MPI_FLOAT, to, receive_counts, receive_starts,
                  MPI_FLOAT, ctx->comm);
}

/* Bytes of a rank's lines in a round: a quarter of what there is, and few enough that a round's lines of all
 * ranks can be counted in an int. */
static rls_status plan(transfer *t)
{
    rls_context *ctx = t->part->ctx;
    const int64_t line_bytes = t->x->rows * (int64_t)sizeof(float);
    const int64_t ranks_fit = (int64_t)INT_MAX / ctx->size;
    int64_t bytes = RLS_ROUND_BYTES / BUFFERS;
    bytes = ranks_fit * (int64_t)sizeof(float) < bytes ? ranks_fit * (int64_t)sizeof(float) : bytes;
    bytes = bytes < line_bytes ? line_bytes : bytes;
    t->round_bytes = bytes;
    if (t->x->rows > ranks_fit)
        return rls_fail(ctx, RLS_ERR_USAGE, "a weight of %" PRId64 " columns cannot be dealt to %d ranks",
                        t->x->rows, ctx->size);
    return RLS_OK;
}

static rls_status prepare(transfer *t, const rls_linear *down)
{
    rls_context *ctx = t->part->ctx;
    int64_t first = 0, count = 0;
    void *slab = NULL, *packed = NULL, *counts = NULL, *target = NULL;
    rls_status status = plan(t);
    if (status != RLS_OK)
        return status;
    const int64_t inner = t->x->rows;
    (void)rls_slab_round(t->x->grid, t->x->cols, inner * (int64_t)sizeof(float), t->round_bytes, 0, &first,
                         &count); /* the first round is the largest */
    status = rls_alloc(ctx, count * inner, sizeof(float), &slab);
    if (status == RLS_OK)
        status = rls_alloc(ctx, count * inner, sizeof(float), &packed);
    if (status == RLS_OK)
        status = rls_alloc(ctx, 4 * (int64_t)ctx->size, sizeof(int), &counts);
    if (status == RLS_OK && down->dtype != RLS_F32)
        status = rls_alloc(ctx, t->x->cols * t->part->inner.count, sizeof(float), &target);
    t->slab = slab;
    t->packed = packed;
    t->counts = counts;
    t->target = down->dtype != RLS_F32 ? target : down->weight;
    return status;
}

static rls_status check(const rls_partition *part, const rls_matrix *x, int64_t hidden, int64_t inner)
{
    if (x->grid->ctx != part->ctx)
        return rls_fail(part->ctx, RLS_ERR_USAGE,
                        "an edited weight is on the grid of another context than the model");
    if (x->rows != inner || x->cols != hidden)
        return rls_fail(part->ctx, RLS_ERR_USAGE,
                        "an edited weight is [%" PRId64 ", %" PRId64 "], the model's is [%" PRId64
                        ", %" PRId64 "]",
                        x->rows, x->cols, inner, hidden);
    return RLS_OK;
}

rls_status rls_weights_set_down(rls_weights *weights, const rls_partition *partition, int64_t block,
                                const rls_matrix *x)
{
    rls_linear *down = &weights->block[block].down;
    transfer t = {.part = partition, .x = x};
    rls_status status = check(partition, x, down->out, partition->inner_all);
    if (status == RLS_OK)
        status = prepare(&t, down);
    status = rls_agree(partition->ctx, status);
    rls_slab slab = {0, 0, RLS_F32, t.slab};
    int64_t begin = 0;
    const int64_t line_bytes = x->rows * (int64_t)sizeof(float);
    for (int64_t round = 0; status == RLS_OK && rls_slab_round(x->grid, x->cols, line_bytes, t.round_bytes,
                                                               round, &slab.first, &slab.count);
         round++) {
        begin = rls_slab_round_begin(x->grid, x->cols, line_bytes, t.round_bytes, round);
        status = rls_redistribute(&t.room, false, &slab, RLS_LINES_ARE_COLUMNS, &x->part);
        if (status == RLS_OK) {
            pack(&t, slab.count);
            send(&t, begin, slab.count);
        }
    }
    rls_exchange_room_free(&t.room);
    free(t.slab);
    free(t.packed);
    free(t.counts);
    if (down->dtype == RLS_F32)
        return status;
    if (status != RLS_OK) {
        free(t.target);
        return status;
    }
    weights->bytes += down->out * down->in * (int64_t)(sizeof(float) - rls_dtype_size(down->dtype));
    free(down->weight);
    down->weight = t.target;
    down->dtype = RLS_F32;
    return RLS_OK;
}
