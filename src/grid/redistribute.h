/*
 * Redistribution between the layouts: slabs (what files and callers have) and block-cyclic matrices and
 * panels.
 *
 * A slab is a set of whole lines of a global matrix that lies contiguously in a file: each rank holds `count`
 * lines from global line `first`, in rank order without gaps between ranks. Lines are the columns of the
 * column-major global matrix, or its rows (GPT-2's Conv1D). One call moves at most what the slabs hold; large
 * matrices are moved in rounds.
 */
#ifndef GRID_REDISTRIBUTE_H
#define GRID_REDISTRIBUTE_H

#include <stdbool.h>

#include "base/dtype.h"
#include "grid/grid.h"
#include "grid/layout.h"

typedef enum { RLS_LINES_ARE_COLUMNS, RLS_LINES_ARE_ROWS } rls_lines;

/* This rank's part of a block-cyclic matrix, column-major. */
typedef struct {
    const rls_grid *grid;
    rls_dim rows, cols;
    rls_dtype dtype;
    void *data;
    int64_t ld;
} rls_cyclic;

typedef struct {
    int64_t first, count; /* global lines [first, first + count) */
    rls_dtype dtype;
    void *data; /* count lines, one after another, each of the full length of the other dimension */
} rls_slab;

/* Puts the lines of all slabs into the block-cyclic matrix, converting to its type.
 * Collective. Lines not in any slab keep their value. The bytes sent are in the slab's type.
 * Returns RLS_ERR_MEMORY, or RLS_ERR_INTERNAL for a slab outside the matrix. */
RLS_NODISCARD rls_status rls_slab_to_cyclic(const rls_slab *slab, rls_lines lines, const rls_cyclic *matrix);

/* Fills the slabs from the block-cyclic matrix, converting (one rounding) to the slab's type.
 * Collective. Errors as above. */
RLS_NODISCARD rls_status rls_cyclic_to_slab(const rls_cyclic *matrix, rls_lines lines, const rls_slab *slab);

/* Buffers for moving a matrix in rounds, kept from one to the next: memory from the system is cleared page by
 * page, which costs as much as what is done with it. Start with {0}; free with rls_exchange_room_free. */
typedef struct {
    void *slab_side, *cyclic_side;
    int64_t slab_bytes, cyclic_bytes;
} rls_exchange_room;
void rls_exchange_room_free(rls_exchange_room *room);

/* rls_slab_to_cyclic or rls_cyclic_to_slab with the buffers of room. */
RLS_NODISCARD rls_status rls_redistribute(rls_exchange_room *room, bool to_cyclic, const rls_slab *slab,
                                          rls_lines lines, const rls_cyclic *matrix);

/* One round of moving a matrix of `lines` lines of line_bytes in slabs of at most round_bytes a rank: this
 * rank's share of round `round`; returns false when there is no such round. Not collective; equal on all
 * ranks but for first and count. */
bool rls_slab_round(const rls_grid *grid, int64_t lines, int64_t line_bytes, int64_t round_bytes,
                    int64_t round, int64_t *first, int64_t *count);

/* The first line of a round over all ranks, which is the number of lines of all rounds before; `lines` when
 * there is no such round. Not collective; equal on all ranks. */
int64_t rls_slab_round_begin(const rls_grid *grid, int64_t lines, int64_t line_bytes, int64_t round_bytes,
                             int64_t round);

enum { RLS_ROUND_BYTES = 32 << 20 };

#endif
