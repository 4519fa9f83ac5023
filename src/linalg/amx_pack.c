#include "linalg/amx_pack.h"

#ifdef RLS_AMX

#include <stddef.h>

#define TARGET RLS_AMX_TARGET
#define INLINE RLS_AMX_INLINE
#define UNROLL _Pragma("GCC unroll 16")

enum {
    LANES = 16,
    PARTS = RLS_AMX_PARTS,
    DEPTH = RLS_AMX_DEPTH,
    TERMS = RLS_AMX_TERMS,
    ROW_BYTES = RLS_AMX_TILE_BYTES / LANES,
    MOST_LEFT = DEPTH - 1
};

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

/* The upper halves of two vectors, element by element side by side. */
TARGET INLINE __m512i join(__m512i low, __m512i high)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000U);
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(low, 16), high, upper, 0xf8); /* a | (b & c) */
}

/* The upper halves of one vector, and behind them those of the other. */
TARGET INLINE __m512i append(__m512i first, __m512i second)
{
    const __m512i odd = _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31,
                                         29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi16(first, odd, second);
}

/* A row of each part's tile: of pairs, indices 2 i and 2 i + 1 of all lines; of rows, a line's indices below
 * and above the middle. */
TARGET INLINE void store_parts(char *out, bool pairs, parts a, parts b)
{
    UNROLL for (int i = 0; i < PARTS; i++) _mm512_store_si512(
        out + i * RLS_AMX_TILE_BYTES, pairs ? join(a.part[i], b.part[i]) : append(a.part[i], b.part[i]));
}

typedef int32_t dwords __attribute__((vector_size(64), may_alias));

#define LOW(x, y) __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(x, y) __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)

TARGET INLINE void transpose(dwords x[LANES])
{
    dwords y[LANES];
    UNROLL for (int round = 0; round < 4; round++) /* as cards are shuffled */
    {
        UNROLL for (int k = 0; k < LANES / 2; k++)
        {
            y[2 * k] = LOW(x[k], x[k + LANES / 2]);
            y[2 * k + 1] = HIGH(x[k], x[k + LANES / 2]);
        }
        UNROLL for (int k = 0; k < LANES; k++) x[k] = y[k];
    }
}

/* Rows to pairs and pairs to rows. */
TARGET static void transpose_tiles(const char *step, int64_t tiles, char *out)
{
    for (int64_t t = 0; t < tiles; t++, step += RLS_AMX_TILE_BYTES, out += RLS_AMX_TILE_BYTES) {
        dwords x[LANES];
        UNROLL for (int k = 0; k < LANES; k++) x[k] = ((const dwords *)step)[k];
        transpose(x);
        UNROLL for (int k = 0; k < LANES; k++)((dwords *)out)[k] = x[k];
    }
}

/* The first n of 16 elements. */
INLINE __mmask16 first_of(int64_t n)
{
    const uint32_t most = (1U << LANES) - 1U;
    if (n >= LANES)
        return (__mmask16)most;
    return (__mmask16)(n <= 0 ? 0U : (1U << n) - 1U);
}

/* The first n of 16 elements and zeros. */
TARGET INLINE parts load_parts(const float *from, int64_t n, float alpha)
{
    const __m512 x = n > 0 ? _mm512_maskz_loadu_ps(first_of(n), from) : _mm512_setzero_ps();
    return split_vector(_mm512_mul_ps(x, _mm512_set1_ps(alpha)));
}

/* One whole step from index k on: pairs if lines are contiguous, else rows. */
TARGET static void pack_step(const rls_amx_panel *x, int64_t k, char *out)
{
    const float *from = x->data + k * x->k;
    for (int64_t i = 0; i < LANES; i++, out += ROW_BYTES)
        if (x->line == 1) {
            const int64_t left = x->depth - k - 2 * i;
            store_parts(out, true, load_parts(from + 2 * i * x->k, left > 0 ? x->lines : 0, x->alpha),
                        load_parts(from + (2 * i + 1) * x->k, left > 1 ? x->lines : 0, x->alpha));
        } else {
            const int64_t left = i < x->lines ? x->depth - k : 0;
            store_parts(out, false, load_parts(from + i * x->line, left, x->alpha),
                        load_parts(from + i * x->line + LANES, left - LANES, x->alpha));
        }
}

/* Parts of the terms, in their order. */
static const int row_part[TERMS] = {2, 1, 1, 0, 0, 0}, pair_part[TERMS] = {0, 0, 1, 1, 2, 0};

/* The extra steps of indices from k on: term after term, each of all indices. As pairs, one step's tile at a
 * time. Lines are contiguous. */
TARGET static void pack_extra(const rls_amx_panel *x, int64_t k, int64_t steps, const int *part, char *out)
{
    const int64_t left = x->depth - k;
    const __m512i zero = _mm512_setzero_si512();
    parts of[MOST_LEFT];
    for (int64_t e = 0; e < left; e++)
        of[e] = load_parts(x->data + (k + e) * x->k, x->lines, x->alpha);
    for (int64_t i = 0; i < steps * DEPTH; i += 2, out += ROW_BYTES)
        _mm512_store_si512(out,
                           join(i < TERMS * left ? of[i % left].part[part[i / left]] : zero,
                                i + 1 < TERMS * left ? of[(i + 1) % left].part[part[(i + 1) / left]] : zero));
}

TARGET void rls_amx_pack(const rls_amx_panel *panel, rls_amx_steps steps, bool pairs, void *out)
{
    _Alignas(64) char natural[TERMS * RLS_AMX_TILE_BYTES];
    const bool turn = pairs != (panel->line == 1);
    char *to = out;
    for (int64_t b = 0; b < steps.whole; b++, to += RLS_AMX_STEP_BYTES) {
        pack_step(panel, b * DEPTH, turn ? natural : to);
        if (turn)
            transpose_tiles(natural, PARTS, to);
    }
    if (steps.extra > 0)
        pack_extra(panel, steps.whole * DEPTH, steps.extra, pairs ? pair_part : row_part,
                   turn ? natural : to);
    if (steps.extra > 0 && turn)
        transpose_tiles(natural, steps.extra, to);
}

/* 16 numbers of 16 bits, the first n of them and zeros, widened. */
TARGET INLINE __m512i load_halves(const uint16_t *from, int64_t n)
{
    if (n <= 0)
        return _mm512_setzero_si512();
    return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(_mm512_maskz_loadu_epi16(first_of(n), from)));
}

TARGET void rls_amx_pair(int64_t depth, int64_t lines, const uint16_t *data, int64_t ld, void *out)
{
    char *to = out;
    const int64_t rows = (depth + DEPTH - 1) / DEPTH * LANES;
    for (int64_t i = 0; i < rows; i++, to += ROW_BYTES) {
        const __m512i even = load_halves(data + 2 * i * ld, 2 * i < depth ? lines : 0);
        const __m512i odd = load_halves(data + (2 * i + 1) * ld, 2 * i + 1 < depth ? lines : 0);
        _mm512_store_si512(to, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
}

/* 32 x 32 elements, two columns at a time. */
TARGET INLINE void split_block(const float *a, int64_t lda, int64_t stride, char *pairs, char *lines)
{
    for (int64_t j = 0; j < DEPTH; j += 2, a += 2 * lda) {
        const parts top = split_vector(_mm512_loadu_ps(a)), bottom = split_vector(_mm512_loadu_ps(a + LANES));
        const parts next_top = split_vector(_mm512_loadu_ps(a + lda)),
                    next_bottom = split_vector(_mm512_loadu_ps(a + lda + LANES));
        if (pairs != NULL) {
            char *const to = pairs + j / 2 * ROW_BYTES;
            store_parts(to, true, top, next_top);
            store_parts(to + stride, true, bottom, next_bottom);
        }
        if (lines != NULL) {
            char *const to = lines + j / LANES * stride + j % LANES * ROW_BYTES;
            store_parts(to, false, top, bottom);
            store_parts(to + ROW_BYTES, false, next_top, next_bottom);
        }
    }
}

TARGET void rls_amx_split(int64_t rows, int64_t columns, const float *a, int64_t lda, int64_t stride,
                          char *pairs, char *lines)
{
    for (int64_t j = 0; j < columns; j += DEPTH)
        for (int64_t i = 0; i < rows; i += DEPTH) {
            const int64_t p = i / LANES * stride + j / DEPTH * RLS_AMX_STEP_BYTES;
            const int64_t l = j / LANES * stride + i / DEPTH * RLS_AMX_STEP_BYTES;
            const float *from = a + i + j * lda;
            if (pairs != NULL && lines != NULL)
                split_block(from, lda, stride, pairs + p, lines + l);
            else if (pairs != NULL)
                split_block(from, lda, stride, pairs + p, NULL);
            else
                split_block(from, lda, stride, NULL, lines + l);
        }
}

TARGET void rls_amx_turn(int64_t rows, int64_t columns, const float *a, int64_t lda, float beta, float *y,
                         int64_t ldy)
{
    for (int64_t i = 0; i < rows; i += LANES)
        for (int64_t j = 0; j < columns; j += LANES) {
            const __mmask16 mask = first_of(rows - i);
            dwords x[LANES];
            UNROLL for (int k = 0; k < LANES; k++) x[k] = *(const dwords *)(a + (i + k) * lda + j);
            transpose(x);
            for (int64_t k = 0; k < LANES && j + k < columns; k++) {
                float *const to = y + i + (j + k) * ldy;
                __m512 value = (__m512)x[k];
                if (beta != 0.0F)
                    value = _mm512_add_ps(
                        value, _mm512_mul_ps(_mm512_set1_ps(beta), _mm512_maskz_loadu_ps(mask, to)));
                _mm512_mask_storeu_ps(to, mask, value);
            }
        }
}
#endif
