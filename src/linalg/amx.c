#include "linalg/amx.h"

#include <stddef.h>

#if defined(__x86_64__) && defined(__linux__) &&                                                             \
    ((defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11))
#define RLS_AMX
#endif

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

#ifndef RLS_AMX
const rls_amx *rls_amx_get(void)
{
    return NULL;
}
#else

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TARGET __attribute__((target("avx512f,amx-tile,amx-bf16")))
#define INLINE __attribute__((always_inline)) static inline
#define UNROLL _Pragma("GCC unroll 16")
/* The compiler does not know what the tile instructions read. */
#define SETTLE __asm__ volatile("" ::: "memory")

enum { PARTS = 3, LANES = 16, MOST_LEFT = RLS_AMX_DEPTH - 1 };

TARGET static void begin(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16]; /* of a tile's row */
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.bytes[i] = 64;
        config.rows[i] = RLS_AMX_LINES;
    }
    __asm__ volatile("" : : "r"(&config) : "memory");
    _tile_loadconfig(&config);
}

TARGET static void end(void)
{
    _tile_release();
}

/* Tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 pairs. */
TARGET INLINE void load_rows(const char *rows, int64_t stride, bool two)
{
    _tile_loadd(4, rows, 64);
    if (two)
        _tile_loadd(5, rows + stride, 64);
}

TARGET INLINE void load_pairs(const char *pairs, int64_t stride, bool two)
{
    _tile_loadd(6, pairs, 64);
    if (two)
        _tile_loadd(7, pairs + stride, 64);
}

TARGET INLINE void multiply_tiles(bool two_rows, bool two_pairs)
{
    _tile_dpbf16ps(0, 4, 6);
    if (two_pairs)
        _tile_dpbf16ps(1, 4, 7);
    if (two_rows)
        _tile_dpbf16ps(2, 5, 6);
    if (two_rows && two_pairs)
        _tile_dpbf16ps(3, 5, 7);
}

INLINE void fetch_columns(rls_amx_fetch *fetch, int64_t columns)
{
    for (int64_t c = 0; c < columns && fetch->columns > 0; c++) {
        for (int64_t i = 0; i < fetch->bytes; i += 64)
            __builtin_prefetch(fetch->next + i, 0, 2);
        fetch->next += fetch->ld;
        fetch->columns--;
    }
}

/* The small terms come first. Each tile is loaded when it is needed next, seven times a step instead of
 * twelve. */
TARGET INLINE void multiply(rls_amx_steps steps, const char *rows, int64_t rows_stride, const char *pairs,
                            int64_t pairs_stride, float *c, int64_t ldc, const rls_amx_fetch *fetch,
                            bool two_rows, bool two_pairs)
{
    enum { TILE = RLS_AMX_TILE_BYTES };
    const int64_t ld = ldc * (int64_t)sizeof(float), count = steps.whole + steps.extra;
    const int64_t fetched = (fetch->columns + count - 1) / count;
    rls_amx_fetch next = *fetch;
    SETTLE;
    _tile_loadd(0, c, ld);
    if (two_pairs)
        _tile_loadd(1, c + LANES, ld);
    if (two_rows)
        _tile_loadd(2, c + LANES * ldc, ld);
    if (two_rows && two_pairs)
        _tile_loadd(3, c + LANES * ldc + LANES, ld);
    for (int64_t k = 0; k < steps.whole; k++) {
        fetch_columns(&next, fetched);
        load_rows(rows + 2 * TILE, rows_stride, two_rows);
        load_pairs(pairs, pairs_stride, two_pairs);
        multiply_tiles(two_rows, two_pairs);
        load_rows(rows + TILE, rows_stride, two_rows);
        multiply_tiles(two_rows, two_pairs);
        load_pairs(pairs + TILE, pairs_stride, two_pairs);
        multiply_tiles(two_rows, two_pairs);
        load_rows(rows, rows_stride, two_rows);
        multiply_tiles(two_rows, two_pairs);
        load_pairs(pairs + 2 * TILE, pairs_stride, two_pairs);
        multiply_tiles(two_rows, two_pairs);
        load_pairs(pairs, pairs_stride, two_pairs);
        multiply_tiles(two_rows, two_pairs);
        rows += RLS_AMX_STEP_BYTES;
        pairs += RLS_AMX_STEP_BYTES;
    }
    for (int64_t k = 0; k < steps.extra; k++, rows += TILE, pairs += TILE) {
        fetch_columns(&next, fetched);
        load_rows(rows, rows_stride, two_rows);
        load_pairs(pairs, pairs_stride, two_pairs);
        multiply_tiles(two_rows, two_pairs);
    }
    _tile_stored(0, c, ld);
    if (two_pairs)
        _tile_stored(1, c + LANES, ld);
    if (two_rows)
        _tile_stored(2, c + LANES * ldc, ld);
    if (two_rows && two_pairs)
        _tile_stored(3, c + LANES * ldc + LANES, ld);
    SETTLE;
}

/* Parts of the terms, in their order. */
static const int row_part[RLS_AMX_TERMS] = {2, 1, 1, 0, 0, 0}, pair_part[RLS_AMX_TERMS] = {0, 0, 1, 1, 2, 0};

#define KERNEL(name, two_rows, two_pairs)                                                                    \
    TARGET static void name(rls_amx_steps steps, const void *rows, int64_t rows_stride, const void *pairs,   \
                            int64_t pairs_stride, float *c, int64_t ldc, const rls_amx_fetch *fetch)         \
    {                                                                                                        \
        multiply(steps, rows, rows_stride, pairs, pairs_stride, c, ldc, fetch, two_rows, two_pairs);         \
    }

KERNEL(multiply_11, false, false)
KERNEL(multiply_12, false, true)
KERNEL(multiply_21, true, false)
KERNEL(multiply_22, true, true)

/* The upper half of each element is its part in bfloat16, rounded; the last part's lower half does not count.
 */
typedef struct {
    __m512i part[PARTS];
} parts;

TARGET INLINE parts split_vector(__m512 x)
{
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000U);
    parts s;
    UNROLL for (int i = 0; i < PARTS - 1; i++)
    {
        s.part[i] = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), upper);
        x = _mm512_sub_ps(x, _mm512_castsi512_ps(s.part[i]));
    }
    s.part[PARTS - 1] = _mm512_add_epi32(_mm512_castps_si512(x), half);
    return s;
}

/* The upper halves of two vectors side by side. */
TARGET INLINE __m512i join(__m512i low, __m512i high)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000U);
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(low, 16), high, upper, 0xf8); /* a | (b & c) */
}

TARGET INLINE void store_parts(char *out, parts low, parts high)
{
    UNROLL for (int i = 0; i < PARTS; i++)
        _mm512_store_si512(out + i * RLS_AMX_TILE_BYTES, join(low.part[i], high.part[i]));
}

typedef int32_t dwords __attribute__((vector_size(64), may_alias));

#define LOW(x, y) __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(x, y) __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)

/* Tiles transposed, rows to pairs and pairs to rows. */
TARGET static void transpose_tiles(const char *step, int64_t tiles, char *out)
{
    for (int64_t t = 0; t < tiles; t++, step += RLS_AMX_TILE_BYTES, out += RLS_AMX_TILE_BYTES) {
        dwords x[LANES], y[LANES];
        UNROLL for (int k = 0; k < LANES; k++) x[k] = ((const dwords *)step)[k];
        UNROLL for (int round = 0; round < 4; round++) /* as cards are shuffled */
        {
            UNROLL for (int k = 0; k < LANES / 2; k++)
            {
                y[2 * k] = LOW(x[k], x[k + LANES / 2]);
                y[2 * k + 1] = HIGH(x[k], x[k + LANES / 2]);
            }
            UNROLL for (int k = 0; k < LANES; k++) x[k] = y[k];
        }
        UNROLL for (int k = 0; k < LANES; k++)((dwords *)out)[k] = x[k];
    }
}

/* The first n of 16 elements. */
INLINE __mmask16 first_of(int64_t n)
{
    return n >= LANES ? 0xffff : n <= 0 ? 0 : (__mmask16)((1U << n) - 1U);
}

TARGET INLINE parts load_parts(const float *from, __mmask16 mask, float alpha)
{
    const __m512 x = mask != 0 ? _mm512_maskz_loadu_ps(mask, from) : _mm512_setzero_ps();
    return split_vector(_mm512_mul_ps(x, _mm512_set1_ps(alpha)));
}

/* One whole step from index k on, as its elements lie: pairs if lines are contiguous, else rows. */
TARGET static void pack_step(const rls_amx_panel *x, int64_t k, char *out)
{
    const bool pairs = x->line == 1;
    const int64_t across = pairs ? x->k : x->line, half = pairs ? LANES * x->k : LANES;
    const float *from = x->data + k * x->k;
    for (int64_t p = 0; p < LANES; p++, from += across) {
        const int64_t low = pairs ? (k + p < x->depth ? x->lines : 0) : (p < x->lines ? x->depth - k : 0);
        const int64_t high =
            pairs ? (k + p + LANES < x->depth ? x->lines : 0) : (p < x->lines ? x->depth - k - LANES : 0);
        store_parts(out + p * 64, load_parts(from, first_of(low), x->alpha),
                    load_parts(from + half, first_of(high), x->alpha));
    }
}

/* The extra steps of indices from k on: term after term, each of all indices. As pairs, one step's tile at a
 * time. */
TARGET static void pack_extra(const rls_amx_panel *x, int64_t k, int64_t steps, const int *part, char *out)
{
    const int64_t left = x->depth - k;
    parts of[MOST_LEFT];
    for (int64_t e = 0; e < left; e++)
        of[e] = load_parts(x->data + (k + e) * x->k, first_of(x->lines), x->alpha);
    for (int64_t i = 0; i < steps * LANES; i++) {
        const int64_t low = i / LANES * RLS_AMX_DEPTH + i % LANES, high = low + LANES;
        const __m512i zero = _mm512_setzero_si512();
        _mm512_store_si512(
            out + i * 64, join(low < RLS_AMX_TERMS * left ? of[low % left].part[part[low / left]] : zero,
                               high < RLS_AMX_TERMS * left ? of[high % left].part[part[high / left]] : zero));
    }
}

TARGET static void pack(const rls_amx_panel *panel, rls_amx_steps steps, bool pairs, void *out)
{
    _Alignas(64) char natural[2 * RLS_AMX_STEP_BYTES];
    const bool turn = pairs != (panel->line == 1);
    char *to = out;
    for (int64_t b = 0; b < steps.whole; b++, to += RLS_AMX_STEP_BYTES) {
        pack_step(panel, b * RLS_AMX_DEPTH, turn ? natural : to);
        if (turn)
            transpose_tiles(natural, PARTS, to);
    }
    if (steps.extra > 0)
        pack_extra(panel, steps.whole * RLS_AMX_DEPTH, steps.extra, pairs ? pair_part : row_part,
                   turn ? natural : to);
    if (steps.extra > 0 && turn)
        transpose_tiles(natural, steps.extra, to);
}

/* 32 x 32 elements. */
TARGET INLINE void split_block(const float *a, int64_t lda, int64_t stride, char *pairs, char *lines)
{
    for (int64_t p = 0; p < LANES; p++, a += lda) {
        const parts top = split_vector(_mm512_loadu_ps(a)), bottom = split_vector(_mm512_loadu_ps(a + LANES));
        const float *const far = a + LANES * lda;
        const parts far_top = split_vector(_mm512_loadu_ps(far)),
                    far_bottom = split_vector(_mm512_loadu_ps(far + LANES));
        if (pairs != NULL) {
            store_parts(pairs + p * 64, top, far_top);
            store_parts(pairs + stride + p * 64, bottom, far_bottom);
        }
        if (lines != NULL) {
            store_parts(lines + p * 64, top, bottom);
            store_parts(lines + stride + p * 64, far_top, far_bottom);
        }
    }
}

TARGET static void split(int64_t rows, int64_t columns, const float *a, int64_t lda, int64_t stride,
                         char *pairs, char *lines)
{
    for (int64_t j = 0; j < columns; j += RLS_AMX_DEPTH)
        for (int64_t i = 0; i < rows; i += RLS_AMX_DEPTH) {
            const int64_t p = i / LANES * stride + j / RLS_AMX_DEPTH * RLS_AMX_STEP_BYTES;
            const int64_t l = j / LANES * stride + i / RLS_AMX_DEPTH * RLS_AMX_STEP_BYTES;
            const float *from = a + i + j * lda;
            if (pairs != NULL && lines != NULL)
                split_block(from, lda, stride, pairs + p, lines + l);
            else if (pairs != NULL)
                split_block(from, lda, stride, pairs + p, NULL);
            else
                split_block(from, lda, stride, NULL, lines + l);
        }
}

static const rls_amx unit = {.begin = begin,
                             .end = end,
                             .multiply = {{multiply_11, multiply_12}, {multiply_21, multiply_22}},
                             .pack = pack,
                             .split = split};

const rls_amx *rls_amx_get(void)
{
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, BF16 = 1 << 22, TILES = 1 << 24 };
    unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!__builtin_cpu_supports("avx512f") || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) ||
        (edx & BF16) == 0 || (edx & TILES) == 0)
        return NULL;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 ? &unit : NULL;
}
#endif
