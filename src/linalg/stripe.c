#include "linalg/stripe.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/kernels.h"
#include "linalg/transpose.h"

/*
 * What rank (r, c) of the grid gives to the share of rank (s, d). Share rows from k0 on come from columns K
 * of A, when r = s; share rows above k0 from rows K, those that lie in process column c.
 */
typedef struct {
    int r, c, s, d;                 /* giver and taker */
    int64_t begin, split, end;      /* the share's local rows, cut at k0 */
    int64_t first_col, cols;        /* the giver's local columns K, 0 of them when r != s */
    int64_t first_row, rows, above; /* the giver's local rows K, and how many of its columns meet the share */
} gift;

/* A run of the share's rows above k0 that are consecutive columns of the giver. */
typedef struct {
    int64_t il, jl, count; /* local row of the taker, local column of the giver */
} run;

/* The next run at or after local row *il of the taker; advances *il past it. */
static bool next_run(const rls_stripe *x, const gift *g, int64_t *il, run *out)
{
    const rls_dim rows = x->a->part.rows, cols = x->a->part.cols;
    while (*il < g->split) {
        const int64_t at = *il, count = rls_dim_run(rows, at, g->split);
        const int64_t ig = rls_dim_to_global(rows, g->s, at);
        *il += count;
        if (rls_dim_owner(cols, ig) == g->c) {
            *out = (run){at, rls_dim_to_local(cols, ig), count};
            return true;
        }
    }
    return false;
}

static gift make_gift(const rls_stripe *x, int giver, int taker, int64_t k0, int64_t k1)
{
    const rls_grid *grid = x->a->grid;
    const rls_dim rows = x->a->part.rows, cols = x->a->part.cols;
    gift g = {.r = giver / grid->q, .c = giver % grid->q, .s = taker / grid->q, .d = taker % grid->q};
    const int64_t local = rls_dim_count(rows, g.s), split = rls_dim_below(rows, g.s, k0);
    g.begin = rls_share_begin(local, g.d, grid->q);
    g.end = rls_share_begin(local, g.d + 1, grid->q);
    g.split = split < g.begin ? g.begin : split < g.end ? split : g.end;
    g.first_col = rls_dim_below(cols, g.c, k0);
    g.cols = g.r == g.s ? rls_dim_below(cols, g.c, k1) - g.first_col : 0;
    g.first_row = rls_dim_below(rows, g.r, k0);
    g.rows = rls_dim_below(rows, g.r, k1) - g.first_row;
    run part;
    for (int64_t il = g.begin; g.rows > 0 && next_run(x, &g, &il, &part);)
        g.above += part.count;
    return g;
}

static int64_t gift_elements(const gift *g)
{
    return (g->end - g->split) * g->cols + g->rows * g->above;
}

static void *element(const rls_stripe *x, int64_t il, int64_t jl)
{
    return rls_at(x->a->part.dtype, x->a->part.data, il + jl * x->a->part.ld);
}

/* Moves a column of A's: it becomes 0, while it is in cache. */
static void move_column(const rls_stripe *x, int64_t il, int64_t jl, int64_t count, void *to)
{
    const size_t bytes = (size_t)(count > 0 ? count : 0) * rls_dtype_size(x->a->part.dtype);
    if (bytes == 0)
        return;
    memcpy(to, element(x, il, jl), bytes);
    memset(element(x, il, jl), 0, bytes);
}

/* Moves a block of A, transposed. */
static void move_block(const rls_stripe *x, int64_t il, int64_t rows, int64_t jl, int64_t cols, void *to,
                       int64_t ld)
{
    const rls_dtype d = x->a->part.dtype;
    rls_transpose(d, rows, cols, element(x, il, jl), x->a->part.ld, to, ld);
    for (int64_t j = 0; j < cols; j++)
        memset(element(x, il, jl + j), 0, (size_t)rows * rls_dtype_size(d));
}

/* Out of A into a message, column by column: first from columns K, then from rows K. */
static void pack(const rls_stripe *x, const gift *g, void *to)
{
    const rls_dtype d = x->a->part.dtype;
    const int64_t count = g->end - g->split;
    for (int64_t j = 0; j < g->cols; j++)
        move_column(x, g->split, g->first_col + j, count, rls_at(d, to, j * count));
    run part;
    int64_t at = g->cols * count;
    for (int64_t il = g->begin; g->rows > 0 && next_run(x, g, &il, &part); at += part.count)
        move_block(x, g->first_row, g->rows, part.jl, part.count, rls_at(d, to, at), g->above);
}

/* Out of A into this rank's own share. */
static void keep(const rls_stripe *x, const gift *g, int64_t k0, void *share, int64_t ld)
{
    const rls_cyclic *a = &x->a->part;
    for (int64_t j = 0; j < g->cols; j++) {
        const int64_t k = rls_dim_to_global(a->cols, g->c, g->first_col + j) - k0;
        move_column(x, g->split, g->first_col + j, g->end - g->split,
                    rls_at(a->dtype, share, g->split - g->begin + k * ld));
    }
    run part;
    for (int64_t il = g->begin; g->rows > 0 && next_run(x, g, &il, &part);)
        for (int64_t i = g->first_row, count = 0; i < g->first_row + g->rows; i += count) {
            const int64_t k = rls_dim_to_global(a->rows, g->r, i) - k0;
            count = rls_dim_run(a->rows, i, g->first_row + g->rows);
            move_block(x, i, count, part.jl, part.count, rls_at(a->dtype, share, part.il - g->begin + k * ld),
                       ld);
        }
}

/* Out of a message into this rank's share. */
static void unpack(const rls_stripe *x, const gift *g, int64_t k0, const char *from, void *share, int64_t ld)
{
    const rls_cyclic *a = &x->a->part;
    const int64_t count = g->end - g->split;
    const size_t size = rls_dtype_size(a->dtype);
    for (int64_t j = 0; j < g->cols && count > 0; j++, from += (size_t)count * size) {
        const int64_t k = rls_dim_to_global(a->cols, g->c, g->first_col + j) - k0;
        memcpy(rls_at(a->dtype, share, g->split - g->begin + k * ld), from, (size_t)count * size);
    }
    run part;
    int64_t before = 0;
    for (int64_t il = g->begin; g->rows > 0 && next_run(x, g, &il, &part); before += part.count)
        for (int64_t i = 0; i < g->rows; i++) {
            const int64_t k = rls_dim_to_global(a->rows, g->r, g->first_row + i) - k0;
            memcpy(rls_at(a->dtype, share, part.il - g->begin + k * ld),
                   rls_at(a->dtype, from, before + i * g->above), (size_t)part.count * size);
        }
}

rls_status rls_stripe_init(rls_stripe *stripe, rls_matrix *a)
{
    void *counts = NULL;
    const rls_status status = rls_alloc(a->grid->ctx, 4 * (int64_t)a->grid->ctx->size, sizeof(int), &counts);
    *stripe = (rls_stripe){.a = a, .send_counts = counts};
    if (status != RLS_OK)
        return status;
    stripe->send_starts = stripe->send_counts + a->grid->ctx->size;
    stripe->recv_counts = stripe->send_starts + a->grid->ctx->size;
    stripe->recv_starts = stripe->recv_counts + a->grid->ctx->size;
    return RLS_OK;
}

void rls_stripe_free(rls_stripe *stripe)
{
    free(stripe->send_counts);
    *stripe = (rls_stripe){0};
}

/* Of any `width` consecutive indices, the most that one of `procs` processes owns. */
static int64_t most_owned(int64_t width, int64_t block, int procs)
{
    const int64_t touched = (width + block - 2) / block + 1;
    const int64_t most = (touched + procs - 1) / procs * block;
    return most < width ? most : width;
}

/* What a rank gives to others at most. */
static int64_t most_packed(int64_t n, int64_t block, int p, int q, int64_t width)
{
    if (p * q == 1)
        return 0;
    return rls_dim_count((rls_dim){n, block, p}, 0) * most_owned(width, block, q) +
           rls_dim_count((rls_dim){n, block, q}, 0) * most_owned(width, block, p);
}

int64_t rls_stripe_elements(int64_t n, int64_t block, int p, int q, int64_t width)
{
    const int64_t rows = rls_dim_count((rls_dim){n, block, p}, 0);
    return most_packed(n, block, p, q, width) + (p * q > 1 ? (rows / q + 1) * width : 0);
}

void rls_stripe_buffer(rls_stripe *stripe, int64_t width, void *buffer)
{
    const rls_matrix *a = stripe->a;
    stripe->packed = buffer;
    stripe->received = rls_at(a->part.dtype, buffer,
                              most_packed(a->rows, a->part.rows.block, a->grid->p, a->grid->q, width));
}

double rls_stripe_take(rls_stripe *stripe, int64_t k0, int64_t k1, void *share, int64_t ld)
{
    const rls_grid *grid = stripe->a->grid;
    const rls_dtype d = stripe->a->part.dtype;
    const int ranks = grid->ctx->size, own = grid->ctx->rank;
    const MPI_Datatype type = d == RLS_F64 ? MPI_DOUBLE : MPI_FLOAT;
    int sent = 0, received = 0;
    for (int rank = 0; rank < ranks; rank++) {
        const gift to = make_gift(stripe, own, rank, k0, k1), from = make_gift(stripe, rank, own, k0, k1);
        stripe->send_counts[rank] = rank != own ? (int)gift_elements(&to) : 0;
        stripe->send_starts[rank] = sent;
        stripe->recv_counts[rank] = rank != own ? (int)gift_elements(&from) : 0;
        stripe->recv_starts[rank] = received;
        sent += stripe->send_counts[rank];
        received += stripe->recv_counts[rank];
        if (rank == own)
            keep(stripe, &to, k0, share, ld);
        else
            pack(stripe, &to, rls_at(d, stripe->packed, stripe->send_starts[rank]));
    }
    if (ranks > 1)
        MPI_Alltoallv(stripe->packed, stripe->send_counts, stripe->send_starts, type, stripe->received,
                      stripe->recv_counts, stripe->recv_starts, type, grid->ctx->comm);
    for (int rank = 0; rank < ranks; rank++) {
        const gift from = make_gift(stripe, rank, own, k0, k1);
        if (rank != own)
            unpack(stripe, &from, k0, rls_at(d, stripe->received, stripe->recv_starts[rank]), share, ld);
    }
    return (double)received * (double)rls_dtype_size(d);
}
