#include "linalg/mixed_amx.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/least.h"
#include "base/memory.h"
#include "base/threads.h"

enum {
    PAIR = 2 * RLS_AMX_LINES, /* lines a kernel takes at most */
    TOKENS = 256,             /* at a time, with */
    DEPTH = 512,              /* indices that are summed: their parts take 768 KB of a cache */
    MOST_STEPS = DEPTH / RLS_AMX_DEPTH,
    PANEL_BYTES = TOKENS / RLS_AMX_LINES * MOST_STEPS * RLS_AMX_STEP_BYTES
};

/* What a thread works in. */
typedef struct {
    _Alignas(64) char weights[2 * MOST_STEPS * RLS_AMX_STEP_BYTES];
    float wide[PAIR * DEPTH], block[PAIR * PAIR];
} room;

/* One call, and the part of it in work: tokens [token, token + tokens) and indices [k, k + depth). */
typedef struct {
    const rls_amx *amx;
    rls_dtype dtype;
    bool back;
    int64_t size, out, in; /* bytes of a weight's number */
    const char *w;
    const float *from; /* activations [k, tokens] */
    float *to;
    int64_t ld_from, ld_to;
    float beta;
    char *panel;
    int64_t token, tokens, k, depth;
    rls_amx_steps steps;
} product;

/* The weights in work from `line` on (rows of W, going back columns), where they lie. */
static const char *weights_at(const product *p, int64_t line)
{
    return p->w + (p->back ? p->k * p->in + line : line * p->in + p->k) * p->size;
}

/* bfloat16 as it is: rows where they lie, or copied with zeros behind them; pairs formed. */
static rls_amx_operand take_plain(const product *p, room *r, int64_t line, int64_t lines)
{
    const char *from = weights_at(p, line);
    const int64_t row = p->depth * 2, bytes = p->steps.whole * RLS_AMX_TILE_BYTES;
    if (p->back) {
        for (int64_t l = 0; l < lines; l += RLS_AMX_LINES)
            p->amx->pair(p->depth, rls_least(lines - l, RLS_AMX_LINES),
                         (const uint16_t *)(const void *)from + l, p->in,
                         r->weights + l / RLS_AMX_LINES * bytes);
        return (rls_amx_operand){r->weights, RLS_AMX_TILE_BYTES / RLS_AMX_LINES, RLS_AMX_TILE_BYTES, bytes};
    }
    if (lines == PAIR && p->depth % RLS_AMX_DEPTH == 0)
        return (rls_amx_operand){from, p->in * 2, RLS_AMX_DEPTH * 2, RLS_AMX_LINES * p->in * 2};
    const int64_t padded = p->steps.whole * RLS_AMX_DEPTH * 2;
    memset(r->weights, 0, (size_t)(PAIR * padded));
    for (int64_t l = 0; l < lines; l++)
        memcpy(r->weights + l * padded, from + l * p->in * 2, (size_t)row);
    return (rls_amx_operand){r->weights, padded, RLS_AMX_DEPTH * 2, RLS_AMX_LINES * padded};
}

/* Other weights, split. float16 is widened before. */
static rls_amx_operand take_split(const product *p, room *r, int64_t line, int64_t lines)
{
    const char *from = weights_at(p, line);
    const int64_t bytes = rls_amx_bytes(p->steps), runs = p->back ? p->depth : lines,
                  run = p->back ? lines : p->depth;
    const float *data = (const float *)(const void *)from;
    int64_t ld = p->in;
    if (p->dtype != RLS_F32) {
        ld = run;
        data = r->wide;
        for (int64_t i = 0; i < runs; i++)
            rls_convert(RLS_F32, r->wide + i * run, 1, p->dtype, from + i * p->in * p->size, 1, run);
    }
    for (int64_t l = 0; l < lines; l += RLS_AMX_LINES)
        p->amx->pack(&(rls_amx_panel){.data = data + (p->back ? l : l * ld),
                                      .line = p->back ? 1 : ld,
                                      .k = p->back ? ld : 1,
                                      .lines = rls_least(lines - l, RLS_AMX_LINES),
                                      .depth = p->depth,
                                      .alpha = 1.0F},
                     p->steps, p->back, r->weights + l / RLS_AMX_LINES * bytes);
    return rls_amx_packed(r->weights, bytes);
}

/* The weights that follow, which are fetched meanwhile. */
static rls_amx_fetch after(const product *p, int64_t line)
{
    const int64_t end = p->back ? p->in : p->out, ahead = rls_least(end - line, PAIR);
    if (ahead <= 0)
        return (rls_amx_fetch){p->w, 0, 0, 0};
    return (rls_amx_fetch){weights_at(p, line), p->in * p->size, (p->back ? ahead : p->depth) * p->size,
                           p->back ? p->depth : ahead};
}

/* A block of 32 x 32 sums to where it belongs. The first indices' bring beta. */
static void add_block(const product *p, const float *block, int64_t line, int64_t lines, int64_t token,
                      int64_t tokens)
{
    const float beta = p->k == 0 ? p->beta : 1.0F;
    float *const to = p->to + line + (p->token + token) * p->ld_to;
    if (!p->back) { /* block[line][token] */
        p->amx->turn(lines, tokens, block, PAIR, beta, to, p->ld_to);
        return;
    }
    for (int64_t t = 0; t < tokens; t++) /* block[token][line] */
        for (int64_t i = 0; i < lines; i++) {
            float *const x = to + i + t * p->ld_to;
            *x = beta == 0.0F ? block[t * PAIR + i] : beta * *x + block[t * PAIR + i];
        }
}

/* Up to 32 lines of the weight times all tokens in work. */
static void multiply_lines(const product *p, room *r, int64_t line)
{
    const int64_t lines = rls_least((p->back ? p->in : p->out) - line, PAIR), bytes = rls_amx_bytes(p->steps);
    const bool plain = p->dtype == RLS_BF16;
    const rls_amx_operand weights = plain ? take_plain(p, r, line, lines) : take_split(p, r, line, lines);
    rls_amx_fetch next = after(p, line + PAIR);
    const int64_t pairs = (p->tokens + PAIR - 1) / PAIR, share = (next.columns + pairs - 1) / pairs;
    const int w = lines > RLS_AMX_LINES;
    for (int64_t token = 0; token < p->tokens; token += PAIR) {
        const int64_t tokens = rls_least(p->tokens - token, PAIR);
        const rls_amx_operand activations = rls_amx_packed(p->panel + token / RLS_AMX_LINES * bytes, bytes);
        const int t = tokens > RLS_AMX_LINES;
        const rls_amx_fetch now = rls_amx_share(&next, share);
        memset(r->block, 0, sizeof r->block);
        if (p->back)
            (plain ? p->amx->plain_pairs : p->amx->multiply)[t][w](p->steps, &activations, &weights, r->block,
                                                                   PAIR, &now);
        else
            (plain ? p->amx->plain_rows : p->amx->multiply)[w][t](p->steps, &weights, &activations, r->block,
                                                                  PAIR, &now);
        add_block(p, r->block, line, lines, token, tokens);
    }
}

/* The tokens and indices in work, by all threads. */
static void multiply_part(product *p, room *rooms, int threads)
{
    const int64_t lines = p->back ? p->in : p->out, bytes = rls_amx_bytes(p->steps);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        room *r = &rooms[rls_thread()];
        p->amx->begin();
#pragma omp for
        for (int64_t t = 0; t < p->tokens; t += RLS_AMX_LINES)
            p->amx->pack(&(rls_amx_panel){.data = p->from + p->k + (p->token + t) * p->ld_from,
                                          .line = p->ld_from,
                                          .k = 1,
                                          .lines = rls_least(p->tokens - t, RLS_AMX_LINES),
                                          .depth = p->depth,
                                          .alpha = 1.0F},
                         p->steps, !p->back, p->panel + t / RLS_AMX_LINES * bytes);
#pragma omp for schedule(static)
        for (int64_t line = 0; line < lines; line += PAIR)
            multiply_lines(p, r, line);
        p->amx->end();
    }
}

static rls_status multiply(rls_context *ctx, product *p, int64_t all)
{
    const int threads = rls_threads();
    const int64_t end = p->back ? p->out : p->in;
    void *panel = NULL, *rooms = NULL;
    rls_status status = rls_alloc(ctx, PANEL_BYTES, 1, &panel);
    if (status == RLS_OK)
        status = rls_alloc(ctx, threads, sizeof(room), &rooms);
    p->panel = panel;
    for (p->token = 0; p->token < all && status == RLS_OK; p->token += p->tokens) {
        p->tokens = rls_least(all - p->token, TOKENS);
        for (p->k = 0; p->k < end; p->k += p->depth) {
            p->depth = rls_least(end - p->k, DEPTH);
            p->steps = rls_amx_cut(p->depth, false);
            multiply_part(p, rooms, threads);
        }
    }
    free(panel);
    free(rooms);
    return status;
}

rls_status rls_mixed_multiply_amx(rls_context *ctx, const rls_amx *amx, rls_dtype dtype, int64_t out,
                                  int64_t in, int64_t tokens, const void *w, const float *x, int64_t ldx,
                                  float beta, float *y, int64_t ldy)
{
    product p = {.amx = amx,
                 .dtype = dtype,
                 .size = (int64_t)rls_dtype_size(dtype),
                 .out = out,
                 .in = in,
                 .w = w,
                 .from = x,
                 .ld_from = ldx,
                 .to = y,
                 .ld_to = ldy,
                 .beta = beta};
    return multiply(ctx, &p, tokens);
}

rls_status rls_mixed_multiply_back_amx(rls_context *ctx, const rls_amx *amx, rls_dtype dtype, int64_t out,
                                       int64_t in, int64_t tokens, const void *w, const float *y, int64_t ldy,
                                       float beta, float *x, int64_t ldx)
{
    product p = {.amx = amx,
                 .dtype = dtype,
                 .back = true,
                 .size = (int64_t)rls_dtype_size(dtype),
                 .out = out,
                 .in = in,
                 .w = w,
                 .from = y,
                 .ld_from = ldy,
                 .to = x,
                 .ld_to = ldx,
                 .beta = beta};
    return multiply(ctx, &p, tokens);
}
