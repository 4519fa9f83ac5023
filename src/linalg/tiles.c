#include "base/memory.h"
#include "linalg/tiles_room.h"

#ifdef _OPENMP
#include <omp.h>
#endif

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

/* One block of columns; a width known to the compiler makes it several times faster. */
#define DEFINE_PACK_ROWS(real, suffix)                                                                       \
    static inline void pack_block_##suffix(int64_t count, int64_t width, real alpha, const real panel[],     \
                                           int64_t ld, real out[restrict])                                   \
    {                                                                                                        \
        for (int64_t i = 0; i < count; i++)                                                                  \
            for (int64_t c = 0; c < width; c++)                                                              \
                out[i * width + c] = alpha * panel[i + c * ld];                                              \
    }                                                                                                        \
    static void pack_rows_##suffix(int64_t count, int64_t u, real alpha, const real panel[], int64_t ld,     \
                                   int64_t stride, real out[restrict])                                       \
    {                                                                                                        \
        const int64_t blocks = rls_column_blocks(u);                                                         \
        for (int64_t b = 0; b < blocks; b++) {                                                               \
            const int64_t first = rls_column_block(u, blocks, b);                                            \
            const int64_t width = rls_column_block(u, blocks, b + 1) - first;                                \
            if (width == 6)                                                                                  \
                pack_block_##suffix(count, 6, alpha, panel + first * ld, ld, out + first * stride);          \
            else if (width == 5)                                                                             \
                pack_block_##suffix(count, 5, alpha, panel + first * ld, ld, out + first * stride);          \
            else                                                                                             \
                pack_block_##suffix(count, width, alpha, panel + first * ld, ld, out + first * stride);      \
        }                                                                                                    \
    }

DEFINE_PACK_ROWS(double, f64)
DEFINE_PACK_ROWS(float, f32)

void rls_tiles_pack_rows(rls_dtype dtype, int64_t count, int64_t u, double alpha, const void *panel,
                         int64_t ld, int64_t first, int64_t stride, void *out)
{
    if (dtype == RLS_F64)
        pack_rows_f64(count, u, alpha, (const double *)panel + first, ld, stride, out);
    else
        pack_rows_f32(count, u, (float)alpha, (const float *)panel + first, ld, stride, out);
}

rls_status rls_tiles_prepare(rls_grid *grid)
{
    if (grid->scratch != NULL)
        return RLS_OK;
    int threads = 1;
#ifdef _OPENMP
    threads = omp_get_max_threads();
#endif
    grid->scratch_threads = threads;
    return rls_alloc(grid->ctx, threads, sizeof(rls_tiles_room), &grid->scratch);
}

int rls_tiles_threads(const rls_grid *grid)
{
#ifdef _OPENMP
    const int threads = omp_get_max_threads();
    return threads < grid->scratch_threads ? threads : grid->scratch_threads;
#else
    (void)grid;
    return 1;
#endif
}

int rls_tiles_team(void)
{
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

int rls_tiles_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

rls_tiles_room *rls_tiles_rooms(const rls_grid *grid)
{
    return grid->scratch;
}
