/* A symmetric matrix's upper triangle from its lower one: each lower block goes, transposed, to the owner of
 * its mirror image. */
#include <limits.h>
#include <stdlib.h>

#include "base/memory.h"
#include "linalg/kernels.h"
#include "linalg/symmetric.h"
#include "linalg/transpose.h"

/* Of a rank and a round: small enough for the buffers to stay in memory that the process has already. */
enum { ROUND_BYTES = 8 << 20 };

/* In a round: the blocks whose lower image is in global block columns [begin, end). */
struct rls_mirror {
    rls_matrix *c;
    int64_t blocks, begin, end;
    int *send_counts, *send_starts, *recv_counts, *recv_starts;
    int *at; /* per rank: where the next block goes or comes from */
    void *send, *recv;
    int64_t send_room, recv_room; /* elements */
};
typedef rls_mirror mirror_round;

/* Works on a block pair (ib, jb), ib > jb, lower block of global column jb; `rank` is the other side. */
typedef void block_work(mirror_round *r, int64_t ib, int64_t jb, int rank);

static int64_t extent(const mirror_round *r, int64_t b)
{
    const int64_t block = r->c->part.rows.block, left = r->c->rows - b * block;
    return left < block ? left : block;
}

/* This rank's lower blocks of the round, column by column; the order in which both sides pack. */
static void each_lower(mirror_round *r, block_work *work)
{
    const rls_grid *grid = r->c->grid;
    for (int64_t jb = r->begin; jb < r->end; jb++)
        for (int64_t ib = jb + 1; jb % grid->q == grid->col && ib < r->blocks; ib++)
            if (ib % grid->p == grid->row)
                work(r, ib, jb, (int)(jb % grid->p * grid->q + ib % grid->q));
}

/* This rank's upper blocks (jb, ib), the mirror images, in the same order of (jb, ib). */
static void each_upper(mirror_round *r, block_work *work)
{
    const rls_grid *grid = r->c->grid;
    for (int64_t jb = r->begin; jb < r->end; jb++)
        for (int64_t ib = jb + 1; jb % grid->p == grid->row && ib < r->blocks; ib++)
            if (ib % grid->q == grid->col)
                work(r, ib, jb, (int)(ib % grid->p * grid->q + jb % grid->q));
}

static void count_send(mirror_round *r, int64_t ib, int64_t jb, int rank)
{
    r->send_counts[rank] += (int)(extent(r, ib) * extent(r, jb));
}

static void count_recv(mirror_round *r, int64_t ib, int64_t jb, int rank)
{
    r->recv_counts[rank] += (int)(extent(r, ib) * extent(r, jb));
}

static void *block_at(const mirror_round *r, int64_t row_block, int64_t col_block)
{
    const rls_cyclic *a = &r->c->part;
    const int64_t il = row_block / r->c->grid->p * a->rows.block,
                  jl = col_block / r->c->grid->q * a->cols.block;
    return rls_at(a->dtype, a->data, il + jl * a->ld);
}

static void pack(mirror_round *r, int64_t ib, int64_t jb, int rank)
{
    const rls_dtype d = r->c->part.dtype;
    const int64_t m = extent(r, ib), n = extent(r, jb);
    rls_transpose(d, m, n, block_at(r, ib, jb), r->c->part.ld, rls_at(d, r->send, r->at[rank]), n);
    r->at[rank] += (int)(m * n);
}

static void unpack(mirror_round *r, int64_t ib, int64_t jb, int rank)
{
    const rls_dtype d = r->c->part.dtype;
    const int64_t m = extent(r, ib), n = extent(r, jb);
    char *to = block_at(r, jb, ib);
    for (int64_t j = 0; j < m; j++)
        rls_convert(d, rls_at(d, to, j * r->c->part.ld), 1, d, rls_at(d, r->recv, r->at[rank] + j * n), 1, n);
    r->at[rank] += (int)(m * n);
}

static int64_t starts_of(const int *counts, int *starts, int size)
{
    int64_t sum = 0;
    for (int i = 0; i < size; i++) {
        starts[i] = (int)sum;
        sum += counts[i];
    }
    return sum;
}

/* At least `count` elements at *memory. */
static rls_status grow(mirror_round *r, void **memory, int64_t *room, int64_t count)
{
    if (count <= *room)
        return RLS_OK;
    free(*memory);
    *room = 0;
    const rls_status status = rls_alloc(r->c->grid->ctx, count, rls_dtype_size(r->c->part.dtype), memory);
    *room = status == RLS_OK ? count : 0;
    return status;
}

/* Moves one round's blocks. Collective. */
static rls_status mirror_columns(mirror_round *r)
{
    rls_context *ctx = r->c->grid->ctx;
    const MPI_Datatype type = r->c->part.dtype == RLS_F64 ? MPI_DOUBLE : MPI_FLOAT;
    for (int i = 0; i < ctx->size; i++)
        r->send_counts[i] = r->recv_counts[i] = 0;
    each_lower(r, count_send);
    each_upper(r, count_recv);
    const int64_t sent = starts_of(r->send_counts, r->send_starts, ctx->size);
    const int64_t received = starts_of(r->recv_counts, r->recv_starts, ctx->size);
    rls_status status = grow(r, &r->send, &r->send_room, sent);
    if (status == RLS_OK)
        status = grow(r, &r->recv, &r->recv_room, received);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        return status;
    for (int i = 0; i < ctx->size; i++)
        r->at[i] = r->send_starts[i];
    each_lower(r, pack);
    MPI_Alltoallv(r->send, r->send_counts, r->send_starts, type, r->recv, r->recv_counts, r->recv_starts,
                  type, ctx->comm);
    for (int i = 0; i < ctx->size; i++)
        r->at[i] = r->recv_starts[i];
    each_upper(r, unpack);
    return RLS_OK;
}

/* The round's diagonal blocks are their own mirror images. */
static void mirror_diagonal(mirror_round *r)
{
    const rls_grid *grid = r->c->grid;
    const rls_dtype d = r->c->part.dtype;
    for (int64_t b = r->begin; b < r->end; b++) {
        if (b % grid->p != grid->row || b % grid->q != grid->col)
            continue;
        char *block = block_at(r, b, b);
        const int64_t n = extent(r, b), ld = r->c->part.ld;
        for (int64_t j = 0; j + 1 < n; j++)
            rls_convert(d, rls_at(d, block, j + (j + 1) * ld), ld, d, rls_at(d, block, j + 1 + j * ld), 1,
                        n - j - 1);
    }
}

rls_status rls_mirror_begin(rls_matrix *c, rls_mirror **out)
{
    rls_context *ctx = c->grid->ctx;
    const int64_t block = c->part.rows.block;
    void *memory = NULL, *ints = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_mirror), &memory);
    if (status == RLS_OK)
        status = rls_alloc(ctx, 5 * (int64_t)ctx->size, sizeof(int), &ints);
    status = rls_agree(ctx, status);
    *out = NULL;
    if (status != RLS_OK) {
        free(memory);
        free(ints);
        return status;
    }
    rls_mirror *r = memory;
    *r = (rls_mirror){.c = c, .blocks = (c->rows + block - 1) / block, .send_counts = ints};
    r->send_starts = r->send_counts + ctx->size;
    r->recv_counts = r->send_starts + ctx->size;
    r->recv_starts = r->recv_counts + ctx->size;
    r->at = r->recv_starts + ctx->size;
    *out = r;
    return RLS_OK;
}

rls_status rls_mirror_advance(rls_mirror *r, int64_t columns)
{
    const rls_matrix *c = r->c;
    const int64_t block = c->part.rows.block, size = (int64_t)rls_dtype_size(c->part.dtype);
    const int64_t last = (columns + block - 1) / block;
    /* Block columns a round, so that no rank packs much more than ROUND_BYTES. */
    const int64_t column = c->rows * block * size / c->grid->ctx->size + 1;
    const int64_t width = ROUND_BYTES / column > 0 ? ROUND_BYTES / column : 1;
    rls_status status = RLS_OK;
    for (r->begin = r->end; r->begin < last && status == RLS_OK; r->begin = r->end) {
        r->end = r->begin + width < last ? r->begin + width : last;
        status = mirror_columns(r);
        if (status == RLS_OK)
            mirror_diagonal(r);
    }
    return status;
}

void rls_mirror_end(rls_mirror **mirror)
{
    if (*mirror == NULL)
        return;
    free((*mirror)->send);
    free((*mirror)->recv);
    free((*mirror)->send_counts);
    free(*mirror);
    *mirror = NULL;
}

rls_status rls_symmetric_mirror(rls_matrix *c)
{
    rls_mirror *mirror = NULL;
    rls_status status = rls_mirror_begin(c, &mirror);
    if (status == RLS_OK)
        status = rls_mirror_advance(mirror, c->cols);
    rls_mirror_end(&mirror);
    return status;
}
