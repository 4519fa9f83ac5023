/* A rank's part updated by the product of two panels, tile by tile. */
#include <stdbool.h>
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/tiles_room.h"

enum {
    STEPS_AHEAD = 256,       /* of a kernel, that memory takes to answer */
    SHARED_BYTES = 768 << 10 /* of the packed columns, which stay in the cache beside A's */
};

/* One call, for at most RLS_STRIP_WIDTH columns of the panels. */
typedef struct {
    rls_matrix *a;
    const rls_micro *micro;
    rls_shape shape;
    rls_dtype dtype;
    int64_t size, u, width;
    double alpha;
    const char *g_row, *g_col;
} update;

/* A's rows [il, il + strip) in columns [begin, end). */
static void update_strip(const update *x, rls_tiles_room *room, int64_t il, int64_t begin, int64_t end)
{
    const rls_matrix *a = x->a;
    const int64_t strip = x->micro->rows, valid = rls_least(a->rows_local - il, strip), ld = a->part.ld;
    const int64_t lines = rls_most(strip * x->size / 64, 1);
    char *const row = (char *)a->part.data + il * x->size;
    rls_tiles_pack_strip(x->micro, x->dtype, valid, x->u, x->g_row + il * x->size, a->rows_local,
                         room->row_panel);
    const int64_t distance = rls_most(STEPS_AHEAD / x->u, 1) * RLS_MICRO_COLUMNS;
    const int64_t left = rls_tiles_left(a, x->shape, il + valid - 1);
    for (int64_t jl = begin; jl < rls_least(end, left); jl += RLS_MICRO_COLUMNS) {
        const int64_t count = rls_least(end - jl, RLS_MICRO_COLUMNS);
        const char *block = room->col_panel + (jl - begin) * x->u * x->size;
        const int64_t first = jl + distance, wanted = rls_least(end - first, RLS_MICRO_COLUMNS) * lines;
        const rls_fetch next = {row + first * ld * x->size, ld * x->size, rls_most(wanted, 0),
                                rls_most(x->u / (RLS_MICRO_COLUMNS * lines), 1)};
        for (int64_t i = x->u; i < wanted; i++) /* more than the kernel has steps for */
            __builtin_prefetch(next.next + i / lines * next.ld + i % lines * 64, 1, 2);
        if (valid == strip) {
            x->micro->multiply[count - 1](x->u, room->row_panel, strip, block, row + jl * ld * x->size, ld,
                                          &next);
            continue;
        }
        memset(room->row_sum, 0, (size_t)(strip * count * x->size)); /* beyond A's edge */
        x->micro->multiply[count - 1](x->u, room->row_panel, strip, block, room->row_sum, strip, &next);
        for (int64_t c = 0; c < count; c++)
            rls_axpy(x->dtype, valid, 1.0, room->row_sum + c * strip * x->size,
                     row + (jl + c) * ld * x->size);
    }
}

/* A's columns [begin, end), by all threads: each takes every so many-th strip. */
static void update_columns(const update *x, int64_t begin, int64_t end, int threads)
{
    const rls_matrix *a = x->a;
    const int64_t strip = x->micro->rows;
    rls_tiles_room *rooms = rls_tiles_rooms(a->grid);
    const int64_t start = rls_tiles_top(a, x->shape, begin, 0) / strip * strip;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = rls_thread(), members = rls_team();
        rls_tiles_room *room = &rooms[thread];
        x->micro->cut(RLS_MICRO_COLUMNS, end - begin, x->u, x->alpha, x->g_col + begin * x->size,
                      a->cols_local, room->col_panel);
        for (int64_t il = start + thread * strip; il < a->rows_local; il += members * strip)
            update_strip(x, room, il, begin, end);
    }
}

void rls_tiles_update(rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *g_row,
                      const void *g_col)
{
    const int64_t size = (int64_t)rls_dtype_size(a->part.dtype);
    const bool amx = rls_tiles_unit(a) != NULL;
    const int64_t chunks = (u + RLS_STRIP_WIDTH - 1) / RLS_STRIP_WIDTH;
    const int threads = rls_tiles_threads(a->grid);
    for (int64_t c = 0; c < chunks; c++) {
        const int64_t first = u * c / chunks;
        update x = {.a = a,
                    .micro = rls_micro_best(a->part.dtype),
                    .shape = shape,
                    .dtype = a->part.dtype,
                    .size = size,
                    .u = u * (c + 1) / chunks - first,
                    .alpha = alpha,
                    .g_row = (const char *)g_row + first * a->rows_local * size,
                    .g_col = (const char *)g_col + first * a->cols_local * size};
        if (amx) {
            rls_tiles_update_amx(a, shape, x.u, alpha, x.g_row, x.g_col);
            continue;
        }
        x.width = SHARED_BYTES / (x.u * size) / RLS_MICRO_COLUMNS * RLS_MICRO_COLUMNS;
        for (int64_t jl = 0; jl < a->cols_local; jl += x.width)
            update_columns(&x, jl, rls_least(a->cols_local, jl + x.width), threads);
    }
}
