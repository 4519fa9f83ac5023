/*
 * Products of float32 matrices on a processor's matrix unit (AMX), which multiplies bfloat16 and adds
 * float32.
 *
 * A float32 x is x_0 + x_1 + x_2 in bfloat16, each part what the ones before it leave, rounded: 24 bits and
 * more. Of a product's nine terms six count,
 *
 *     x y = x_2 y_0 + x_1 y_0 + x_1 y_1 + x_0 y_1 + x_0 y_2 + x_0 y_0 + O(2^-26) |x y|
 *
 * so that the result is a float32 product's, from six products of a unit 16 times as fast as float32's own.
 * If x is a bfloat16 there are three. Each instruction sums 32 terms before it adds them to what is there:
 * fewer roundings than a sum term by term. Subnormal parts count as zero.
 *
 * A unit of work is a "step": 16 lines of either matrix (those that the result has) by 32 of the index that
 * is summed, k. One part of it is a tile of 1024 bytes. As `rows` it is what it looks like, 16 rows of 32
 * numbers; as `pairs` 16 rows of 16 pairs: those of k = 2 i and 2 i + 1, of each line. A product takes one
 * matrix as rows and the other one as pairs. Split numbers have three tiles a step, one behind the other.
 *
 * If few indices are left for a last step, their six terms lie one after another instead, in `extra` steps of
 * one tile each: 6 x 4 fill one step, where they would have taken six instructions of which an eighth is
 * used.
 */
#ifndef LINALG_AMX_H
#define LINALG_AMX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum {
    RLS_AMX_LINES = 16, /* of a tile */
    RLS_AMX_DEPTH = 32, /* of the summed index a step */
    RLS_AMX_TILE_BYTES = 1024,
    RLS_AMX_PARTS = 3,
    RLS_AMX_STEP_BYTES = RLS_AMX_PARTS * RLS_AMX_TILE_BYTES, /* of split numbers */
    RLS_AMX_TERMS = 6
};

/* How an index of that length is cut. */
typedef struct {
    int64_t whole, extra;
} rls_amx_steps;

/* What is fetched into the caches meanwhile: columns of so many bytes, ld bytes apart. */
typedef struct {
    const char *next;
    int64_t ld, bytes, columns;
} rls_amx_fetch;

/* Up to 16 lines of a matrix, times alpha. Its elements are `line` and `k` floats apart, one of them 1. */
typedef struct {
    const float *data;
    int64_t line, k, lines, depth;
    float alpha;
} rls_amx_panel;

/* One operand: the first tile of 16 lines, and bytes from one row of a tile to the next, from a step to the
 * next, and to the next 16 lines. */
typedef struct {
    const void *data;
    int64_t row, step, lines;
} rls_amx_operand;

/* C += rows^T pairs: c[l * ldc + m] for lines l and m of either matrix, 16 of them or twice as many. */
typedef void rls_amx_kernel(rls_amx_steps steps, const rls_amx_operand *rows, const rls_amx_operand *pairs,
                            float *c, int64_t ldc, const rls_amx_fetch *fetch);

typedef struct rls_amx {
    /* Before and after a thread's use of the others. */
    void (*begin)(void);
    void (*end)(void);
    /* [16 or 32 lines of rows][of pairs]: both split; and rows, or pairs, of bfloat16 (no extra steps). */
    rls_amx_kernel *multiply[2][2], *plain_rows[2][2], *plain_pairs[2][2];
    /* A panel to its steps, as rows or as pairs. */
    void (*pack)(const rls_amx_panel *panel, rls_amx_steps steps, bool pairs, void *out);
    /* bfloat16 [depth, lines], 16 lines at most, its rows ld elements apart, to its steps as pairs with zeros
     * behind them. */
    void (*pair)(int64_t depth, int64_t lines, const uint16_t *data, int64_t ld, void *out);
    /* A matrix [rows, columns], column-major, both multiples of 32: as pairs whose lines are its rows, and as
     * rows whose lines are its columns; either is left out if NULL. 16 lines take `stride` bytes. */
    void (*split)(int64_t rows, int64_t columns, const float *a, int64_t lda, int64_t stride, char *pairs,
                  char *lines);
    /* Y [rows, columns] = A^T + beta Y (Y is not read when beta is 0), A [columns, rows] with leading
     * dimension lda, both 32 at most; A is 32 x 32. */
    void (*turn)(int64_t rows, int64_t columns, const float *a, int64_t lda, float beta, float *y,
                 int64_t ldy);
} rls_amx;

/* Whole steps, and if `extra` is set those extra ones that are fewer than a whole step's instructions. */
rls_amx_steps rls_amx_cut(int64_t depth, bool extra);

/* Bytes of 16 lines of split numbers. */
int64_t rls_amx_bytes(rls_amx_steps steps);

/* Split numbers as they were packed, 16 lines of so many bytes. */
rls_amx_operand rls_amx_packed(const void *data, int64_t bytes);

/* The next so many columns of what is to be fetched; the others are left. */
rls_amx_fetch rls_amx_share(rls_amx_fetch *all, int64_t columns);

/* The processor's matrix unit if it has one and the system lets this process use it, or NULL. Not collective.
 */
const rls_amx *rls_amx_get(void);

/* The same, asked for once a context: in a virtual machine the question takes 14 us. */
const rls_amx *rls_amx_of(rls_context *ctx);

#endif
