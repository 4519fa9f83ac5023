/* What the tile loops share: a thread's room, packed panels, the triangle. */
#ifndef LINALG_TILES_ROOM_H
#define LINALG_TILES_ROOM_H

#include "base/least.h"
#include "base/threads.h"
#include "linalg/amx.h"
#include "linalg/micro.h"
#include "linalg/tiles.h"

enum {
    RLS_MOST_WIDTH = 384,      /* columns of panels worked on at a time */
    RLS_AMX_WIDTH = 256,       /* and with a matrix unit */
    RLS_FEW = 32,              /* up to so many columns, a matrix is read four columns at a time */
    RLS_PANEL_BYTES = 2 << 20, /* of a packed panel, so that it stays in a cache */
    RLS_STRIP_WIDTH = 144,     /* columns of panels at a time that update: a strip stays in the first cache */
    RLS_TILE_BYTES = RLS_TILE * RLS_TILE * 8,
    RLS_WIDE_BYTES = RLS_TILE * RLS_MOST_WIDTH * 8,
    RLS_MARGIN_BYTES = 64 /* behind what kernels write, which they may overwrite */
};

/* A thread's room, all of it on cache lines. */
typedef struct {
    _Alignas(64) char tile[RLS_TILE_BYTES], transpose[RLS_TILE_BYTES];
    float copy[RLS_TILE * RLS_TILE];
    char row_panel[RLS_WIDE_BYTES + RLS_MARGIN_BYTES], row_sum[RLS_WIDE_BYTES];
    char col_panel[RLS_PANEL_BYTES + RLS_MARGIN_BYTES], col_sum[RLS_PANEL_BYTES + RLS_MARGIN_BYTES];
} rls_tiles_room;

/* The blocks of at most RLS_MICRO_COLUMNS columns, as even as possible, that u columns are cut into. */
static inline int64_t rls_column_blocks(int64_t u)
{
    return (u + RLS_MICRO_COLUMNS - 1) / RLS_MICRO_COLUMNS;
}

/* Where block b of them begins. */
static inline int64_t rls_column_block(int64_t u, int64_t blocks, int64_t b)
{
    return u * b / blocks;
}

/* The first local row of column jl that counts: from the diagonal on, or strictly below it. */
int64_t rls_tiles_top(const rls_matrix *a, rls_shape shape, int64_t jl, int64_t below);

/* How many local columns count in local row il: those up to the diagonal. */
int64_t rls_tiles_left(const rls_matrix *a, rls_shape shape, int64_t il);

/* `count` rows of u columns of a panel with that leading dimension, times alpha, to blocks of columns stored
 * row by row. `stride` rows of room a block. */
void rls_tiles_pack_rows(const rls_micro *micro, int64_t size, int64_t count, int64_t u, double alpha,
                         const void *panel, int64_t ld, int64_t stride, void *out);

/* rls_tiles_multiply for one vector; k_col and f_row may be NULL. */
void rls_tiles_multiply_vector(const rls_matrix *a, rls_shape shape, double alpha, const void *k_col,
                               void *f_row, const void *k_row, void *f_col);

/* rls_tiles_multiply for at most RLS_FEW vectors; k_col and f_row may be NULL. */
void rls_tiles_multiply_few(const rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *k_col,
                            void *f_row, const void *k_row, void *f_col);

/* rls_tiles_multiply for float32 and at most RLS_AMX_WIDTH vectors, rls_tiles_update for at most
 * RLS_STRIP_WIDTH columns, on a grid that has a matrix unit. */
void rls_tiles_multiply_amx(const rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *k_col,
                            void *f_row, const void *k_row, void *f_col);
void rls_tiles_update_amx(rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *g_row,
                          const void *g_col);

/* A [rows, columns], at most micro->rows rows, to a packed strip, padded with zeros; and A += such a strip.
 */
void rls_tiles_pack_strip(const rls_micro *micro, rls_dtype dtype, int64_t rows, int64_t columns,
                          const void *a, int64_t lda, void *strip);
void rls_tiles_add_strip(const rls_micro *micro, rls_dtype dtype, int64_t rows, int64_t columns,
                         const void *strip, void *a, int64_t lda);

/* The matrix unit if products and updates of this matrix use it, or NULL. */
static inline const rls_amx *rls_tiles_unit(const rls_matrix *a)
{
    return a->part.dtype == RLS_F32 ? rls_amx_of(a->grid->ctx) : NULL;
}

/* Makes the room of all threads, kept with the grid. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_tiles_prepare(rls_grid *grid);

/* So many threads may work, each with its own room. */
int rls_tiles_threads(const rls_grid *grid);
rls_tiles_room *rls_tiles_rooms(const rls_grid *grid);

#endif
