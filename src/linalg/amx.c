#include "linalg/amx.h"

#include <stddef.h>

#include "linalg/amx_pack.h"

rls_amx_steps rls_amx_cut(int64_t depth, bool extra)
{
    const int64_t left = depth % RLS_AMX_DEPTH,
                  few = (RLS_AMX_TERMS * left + RLS_AMX_DEPTH - 1) / RLS_AMX_DEPTH;
    if (extra && few < RLS_AMX_TERMS)
        return (rls_amx_steps){depth / RLS_AMX_DEPTH, few};
    return (rls_amx_steps){(depth + RLS_AMX_DEPTH - 1) / RLS_AMX_DEPTH, 0};
}

int64_t rls_amx_bytes(rls_amx_steps steps)
{
    return steps.whole * RLS_AMX_STEP_BYTES + steps.extra * RLS_AMX_TILE_BYTES;
}

rls_amx_operand rls_amx_packed(const void *data, int64_t bytes)
{
    return (rls_amx_operand){data, RLS_AMX_TILE_BYTES / RLS_AMX_LINES, RLS_AMX_STEP_BYTES, bytes};
}

rls_amx_fetch rls_amx_share(rls_amx_fetch *all, int64_t columns)
{
    rls_amx_fetch share = *all;
    if (columns < share.columns)
        share.columns = columns;
    all->next += share.columns * all->ld;
    all->columns -= share.columns;
    return share;
}

const rls_amx *rls_amx_of(rls_context *ctx)
{
    if (!ctx->amx_known)
        ctx->amx = rls_amx_get();
    ctx->amx_known = true;
    return ctx->amx;
}

#ifndef RLS_AMX
const rls_amx *rls_amx_get(void)
{
    return NULL;
}
#else

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The compiler does not know what the tile instructions read. */
#define SETTLE __asm__ volatile("" ::: "memory")

enum { TILE = RLS_AMX_TILE_BYTES, PLAIN_ROWS = 1, PLAIN_PAIRS = 2 };

RLS_AMX_TARGET static void begin(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16]; /* of a tile's row */
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.bytes[i] = TILE / RLS_AMX_LINES;
        config.rows[i] = RLS_AMX_LINES;
    }
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
}

RLS_AMX_TARGET static void end(void)
{
    _tile_release();
}

/* An operand at its present step. Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 pairs. */
typedef struct {
    const char *at;
    int64_t row, lines, step;
    bool two;
} cursor;

RLS_AMX_INLINE cursor cursor_of(const rls_amx_operand *x, bool two)
{
    return (cursor){x->data, x->row, x->lines, x->step, two};
}

RLS_AMX_TARGET RLS_AMX_INLINE void load_rows(const cursor *x, int64_t part)
{
    _tile_loadd(4, x->at + part * TILE, x->row);
    if (x->two)
        _tile_loadd(5, x->at + part * TILE + x->lines, x->row);
}

RLS_AMX_TARGET RLS_AMX_INLINE void load_pairs(const cursor *x, int64_t part)
{
    _tile_loadd(6, x->at + part * TILE, x->row);
    if (x->two)
        _tile_loadd(7, x->at + part * TILE + x->lines, x->row);
}

RLS_AMX_TARGET RLS_AMX_INLINE void multiply_tiles(const cursor *rows, const cursor *pairs)
{
    _tile_dpbf16ps(0, 4, 6);
    if (pairs->two)
        _tile_dpbf16ps(1, 4, 7);
    if (rows->two)
        _tile_dpbf16ps(2, 5, 6);
    if (rows->two && pairs->two)
        _tile_dpbf16ps(3, 5, 7);
}

/* The terms of a whole step, the small ones first. Each tile is loaded when it is needed next: seven times
 * instead of twelve. */
RLS_AMX_TARGET RLS_AMX_INLINE void multiply_step(const cursor *rows, const cursor *pairs, int plain)
{
    if (plain == PLAIN_ROWS) {
        load_rows(rows, 0);
        load_pairs(pairs, 2);
        multiply_tiles(rows, pairs);
        load_pairs(pairs, 1);
        multiply_tiles(rows, pairs);
        load_pairs(pairs, 0);
        multiply_tiles(rows, pairs);
        return;
    }
    load_rows(rows, 2);
    load_pairs(pairs, 0);
    multiply_tiles(rows, pairs);
    load_rows(rows, 1);
    multiply_tiles(rows, pairs);
    if (plain != PLAIN_PAIRS) {
        load_pairs(pairs, 1);
        multiply_tiles(rows, pairs);
    }
    load_rows(rows, 0);
    multiply_tiles(rows, pairs);
    if (plain != PLAIN_PAIRS) {
        load_pairs(pairs, 2);
        multiply_tiles(rows, pairs);
        load_pairs(pairs, 0);
        multiply_tiles(rows, pairs);
    }
}

RLS_AMX_INLINE void fetch_columns(rls_amx_fetch *fetch, int64_t columns)
{
    for (int64_t c = 0; c < columns && fetch->columns > 0; c++) {
        for (int64_t i = 0; i < fetch->bytes; i += 64)
            __builtin_prefetch(fetch->next + i, 0, 2);
        fetch->next += fetch->ld;
        fetch->columns--;
    }
}

RLS_AMX_TARGET RLS_AMX_INLINE void multiply_steps(rls_amx_steps steps, cursor rows, cursor pairs, int plain,
                                                  const rls_amx_fetch *fetch)
{
    const int64_t count = steps.whole + steps.extra, fetched = (fetch->columns + count - 1) / count;
    rls_amx_fetch next = *fetch;
    for (int64_t k = 0; k < steps.whole; k++, rows.at += rows.step, pairs.at += pairs.step) {
        fetch_columns(&next, fetched);
        multiply_step(&rows, &pairs, plain);
    }
    for (int64_t k = 0; k < steps.extra; k++, rows.at += TILE, pairs.at += TILE) {
        fetch_columns(&next, fetched);
        load_rows(&rows, 0);
        load_pairs(&pairs, 0);
        multiply_tiles(&rows, &pairs);
    }
}

RLS_AMX_TARGET RLS_AMX_INLINE void multiply(rls_amx_steps steps, cursor rows, cursor pairs, int plain,
                                            float *c, int64_t ldc, const rls_amx_fetch *fetch)
{
    enum { LINES = RLS_AMX_LINES };
    const int64_t ld = ldc * (int64_t)sizeof(float);
    SETTLE;
    _tile_loadd(0, c, ld);
    if (pairs.two)
        _tile_loadd(1, c + LINES, ld);
    if (rows.two)
        _tile_loadd(2, c + LINES * ldc, ld);
    if (rows.two && pairs.two)
        _tile_loadd(3, c + LINES * ldc + LINES, ld);
    multiply_steps(steps, rows, pairs, plain, fetch);
    _tile_stored(0, c, ld);
    if (pairs.two)
        _tile_stored(1, c + LINES, ld);
    if (rows.two)
        _tile_stored(2, c + LINES * ldc, ld);
    if (rows.two && pairs.two)
        _tile_stored(3, c + LINES * ldc + LINES, ld);
    SETTLE;
}

#define KERNEL(name, plain, two_rows, two_pairs)                                                             \
    RLS_AMX_TARGET static void name(rls_amx_steps steps, const rls_amx_operand *rows,                        \
                                    const rls_amx_operand *pairs, float *c, int64_t ldc,                     \
                                    const rls_amx_fetch *fetch)                                              \
    {                                                                                                        \
        multiply(steps, cursor_of(rows, two_rows), cursor_of(pairs, two_pairs), plain, c, ldc, fetch);       \
    }
#define KERNELS(name, plain)                                                                                 \
    KERNEL(name##_11, plain, false, false)                                                                   \
    KERNEL(name##_12, plain, false, true)                                                                    \
    KERNEL(name##_21, plain, true, false)                                                                    \
    KERNEL(name##_22, plain, true, true)

KERNELS(split_split, 0)
KERNELS(plain_split, PLAIN_ROWS)
KERNELS(split_plain, PLAIN_PAIRS)

static const rls_amx unit = {
    .begin = begin,
    .end = end,
    .multiply = {{split_split_11, split_split_12}, {split_split_21, split_split_22}},
    .plain_rows = {{plain_split_11, plain_split_12}, {plain_split_21, plain_split_22}},
    .plain_pairs = {{split_plain_11, split_plain_12}, {split_plain_21, split_plain_22}},
    .pack = rls_amx_pack,
    .pair = rls_amx_pair,
    .split = rls_amx_split,
    .turn = rls_amx_turn,
};

const rls_amx *rls_amx_get(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, BF16 = 1 << 22, TILES = 1 << 24 };
    unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__builtin_cpu_supports("avx512bw") || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ||
        (edx & BF16) == 0 || (edx & TILES) == 0)
        return NULL;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 ? &unit : NULL;
}
#endif
