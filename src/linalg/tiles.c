#include <string.h>

#include "base/memory.h"
#include "base/threads.h"
#include "linalg/kernels.h"
#include "linalg/tiles_room.h"

int64_t rls_tiles_top(const rls_matrix *a, rls_shape shape, int64_t jl, int64_t below)
{
    if (shape == RLS_FULL)
        return 0;
    const int64_t diagonal = rls_dim_to_global(a->part.cols, a->grid->col, jl) + below;
    return diagonal < a->rows ? rls_dim_below(a->part.rows, a->grid->row, diagonal) : a->rows_local;
}

int64_t rls_tiles_left(const rls_matrix *a, rls_shape shape, int64_t il)
{
    if (shape == RLS_FULL)
        return a->cols_local;
    const int64_t diagonal = rls_dim_to_global(a->part.rows, a->grid->row, il);
    return diagonal + 1 < a->cols ? rls_dim_below(a->part.cols, a->grid->col, diagonal + 1) : a->cols_local;
}

/* A block of columns into the cache: the processor does not foresee so many short pieces. */
static void fetch_block(int64_t bytes, int64_t columns, const char *block, int64_t ld)
{
    for (int64_t c = 0; c < columns; c++)
        for (int64_t i = 0; i < bytes; i += 64)
            __builtin_prefetch(block + i + c * ld);
}

void rls_tiles_pack_rows(const rls_micro *micro, int64_t size, int64_t count, int64_t u, double alpha,
                         const void *panel, int64_t ld, int64_t stride, void *out)
{
    const int64_t blocks = rls_column_blocks(u);
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t first = rls_column_block(u, blocks, b), next = rls_column_block(u, blocks, b + 1);
        if (b + 1 < blocks)
            fetch_block(count * size, rls_column_block(u, blocks, b + 2) - next,
                        (const char *)panel + next * ld * size, ld * size);
        micro->weave(count, next - first, alpha, (const char *)panel + first * ld * size, ld,
                     (char *)out + first * stride * size);
    }
}

void rls_tiles_pack_strip(const rls_micro *micro, rls_dtype dtype, int64_t rows, int64_t columns,
                          const void *a, int64_t lda, void *strip)
{
    const size_t size = rls_dtype_size(dtype);
    if (rows == micro->rows) {
        micro->pack(columns, a, lda, strip);
        return;
    }
    memset(strip, 0, (size_t)(micro->rows * columns) * size);
    for (int64_t j = 0; j < columns; j++)
        memcpy(rls_at(dtype, strip, j * micro->rows), rls_at(dtype, a, j * lda), (size_t)rows * size);
}

void rls_tiles_add_strip(const rls_micro *micro, rls_dtype dtype, int64_t rows, int64_t columns,
                         const void *strip, void *a, int64_t lda)
{
    if (rows == micro->rows) {
        micro->add(columns, strip, a, lda);
        return;
    }
    for (int64_t j = 0; j < columns; j++)
        rls_axpy(dtype, rows, 1.0, rls_at(dtype, strip, j * micro->rows), rls_at(dtype, a, j * lda));
}

rls_status rls_tiles_prepare(rls_grid *grid)
{
    if (grid->scratch != NULL)
        return RLS_OK;
    const int threads = rls_threads();
    grid->scratch_threads = threads;
    return rls_alloc(grid->ctx, threads, sizeof(rls_tiles_room), &grid->scratch);
}

int rls_tiles_threads(const rls_grid *grid)
{
    const int threads = rls_threads();
    return threads < grid->scratch_threads ? threads : grid->scratch_threads;
}

rls_tiles_room *rls_tiles_rooms(const rls_grid *grid)
{
    return grid->scratch;
}
