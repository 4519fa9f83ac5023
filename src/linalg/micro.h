/*
 * The innermost kernels of products with panels: everything else about them is loops over tiles
 * (linalg/tiles.h). They are compiled for several instruction sets, of which the best at hand is chosen at
 * run time.
 *
 * A tile is RLS_TILE rows by RLS_TILE columns at most. Packed, it is cut into strips of `rows` rows (the
 * height of a kernel), each stored column by column and padded with zeros: element (i, j) lies at
 * (i / rows * RLS_TILE + j) * rows + i % rows.
 */
#ifndef LINALG_MICRO_H
#define LINALG_MICRO_H

#include <stdint.h>

#include "rlsedit/dtype.h"

enum { RLS_TILE = 128, RLS_MICRO_COLUMNS = 6 };

/* What a kernel fetches into the caches on its way: `lines` cache lines at most of a strip of another matrix,
 * whose columns are ld bytes apart, one every `pace` steps of k. */
typedef struct {
    const char *next;
    int64_t ld, lines, pace;
} rls_fetch;

/* C [rows, columns] += A B for a strip A [rows, k], columns lda elements apart, and B [k, columns] stored row
 * by row without gaps; C column-major. 2 rows columns k flops. */
typedef void rls_micro_kernel(int64_t k, const void *a, int64_t lda, const void *b, void *c, int64_t ldc,
                              const rls_fetch *fetch);

/* Four columns A [vectors * lanes, 4], lda elements apart, times a few vectors, and their transpose times
 * others: S += A^T K (element (j, c) at 4 c + j), F += A B (B like S). K, F: of each `lanes` rows all
 * columns, one after another. Every step fetches a line of each of `lines` columns from next on. 16 vectors
 * lanes columns flops, or half of it. S has room for a register more. */
typedef void rls_micro_four(int64_t vectors, const void *a, int64_t lda, const void *k, void *f,
                            const void *b, void *s, const rls_fetch *fetch);

/* A tile where it lies: elements from a column to the next one, and from a strip to the next one. */
typedef struct {
    const void *data;
    int64_t column, strip;
} rls_tile;

typedef struct {
    const char *name; /* of the instruction set */
    int64_t rows;     /* height of a strip; divides RLS_TILE */
    /* For 1 to RLS_MICRO_COLUMNS columns. */
    rls_micro_kernel *multiply[RLS_MICRO_COLUMNS];
    /* `strip` [rows, columns] of a column-major matrix to its packed form. */
    void (*pack)(int64_t columns, const void *a, int64_t lda, void *strip);
    /* The same strip to a column-major matrix, added. */
    void (*add)(int64_t columns, const void *strip, void *a, int64_t lda);
    /* The packed form of a tile's transpose, and (unless NULL) of the tile; rows and columns are multiples of
     * 16. */
    void (*transpose)(const rls_tile *tile, int64_t rows, int64_t columns, void *out, void *straight);
    /* alpha A [rows, columns] to a block row by row without gaps, as `multiply` takes B; as many bytes as a
     * register has may be overwritten behind it. 1 to RLS_MICRO_COLUMNS columns. */
    void (*weave)(int64_t rows, int64_t columns, double alpha, const void *a, int64_t lda, void *out);
    /* alpha A^T, A [columns, u], to blocks of so many of its columns (the last one of what is left), each row
     * by row without gaps, one after another. */
    void (*cut)(int64_t block, int64_t columns, int64_t u, double alpha, const void *a, int64_t lda,
                void *out);
    /* A strip B [rows, columns] without gaps becomes B L^{-T}: row i of L at l + RLS_MICRO_COLUMNS i, with
     * the reciprocals of its diagonal. */
    void (*substitute)(int64_t columns, const void *l, void *strip);
    /* y += A x (unless y is NULL) and s_j = a_j . z for 8 columns a_j of A [n, 8]: one pass over A. x, s: 8
     * elements. `next`: the 8 columns after them, fetched towards the end. */
    void (*eight_columns)(int64_t n, const void *a, int64_t lda, const void *x, void *y, const void *z,
                          void *s, const void *next);
    int64_t lanes; /* elements of a register */
    /* For 1 to RLS_MICRO_COLUMNS columns: both products, and the first alone (f and b do not count). */
    rls_micro_four *both[RLS_MICRO_COLUMNS], *dots[RLS_MICRO_COLUMNS];
} rls_micro;

/* The best set of kernels that this processor has. Not collective. */
const rls_micro *rls_micro_best(rls_dtype dtype);

/* The index-th set that this processor has, from the best on; NULL behind the last one. Not collective. */
const rls_micro *rls_micro_at(rls_dtype dtype, int index);

#endif
