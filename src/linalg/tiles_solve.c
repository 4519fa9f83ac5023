/* Triangular solves of tall panels: a BLAS reaches a quarter of its speed there. */
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/tiles_room.h"

enum {
    SOLVED = 256, /* columns at a time: L's packed part stays in a cache */
    AHEAD = 6     /* columns ahead that a strip is fetched */
};

/* Columns [first, first + u) of B [rows, *], whose part left of them is done with. */
typedef struct {
    const rls_micro *micro;
    rls_dtype dtype;
    int64_t size, rows, u;
    const char *l; /* the diagonal block [u, u] */
    int64_t ldl, ldb;
    char *b;
} solve;

/* Block c of columns: what is left of the diagonal of L's rows, negated and column by column, and behind it
 * the diagonal block's rows with the reciprocals of its diagonal. */
static int64_t packed_at(const solve *x, int64_t c)
{
    return c * (x->u + RLS_MICRO_COLUMNS) * x->size;
}

static void pack_factor(const solve *x, char *out)
{
    const rls_dtype d = x->dtype;
    for (int64_t c = 0; c < x->u; c += RLS_MICRO_COLUMNS) {
        const int64_t count = rls_least(x->u - c, RLS_MICRO_COLUMNS);
        char *to = out + packed_at(x, c);
        for (int64_t k = 0; k < c; k++)
            for (int64_t i = 0; i < count; i++)
                rls_set(d, to, k * count + i, -rls_get(d, x->l, c + i + k * x->ldl));
        for (int64_t i = 0; i < count; i++)
            for (int64_t k = 0; k <= i; k++) {
                const double value = rls_get(d, x->l, c + i + (c + k) * x->ldl);
                rls_set(d, to, c * count + i * RLS_MICRO_COLUMNS + k, k == i ? 1.0 / value : value);
            }
    }
}

/* The rows of a strip, packed. */
static void solve_strip(const solve *x, const char *factor, char *strip)
{
    const int64_t height = x->micro->rows;
    const rls_fetch nothing = {.pace = 1};
    for (int64_t c = 0; c < x->u; c += RLS_MICRO_COLUMNS) {
        const int64_t count = rls_least(x->u - c, RLS_MICRO_COLUMNS);
        const char *block = factor + packed_at(x, c);
        char *columns = strip + c * height * x->size;
        x->micro->multiply[count - 1](c, strip, height, block, columns, height, &nothing);
        x->micro->substitute(count, block + c * count * x->size, columns);
    }
}

/* A strip back to rows of B from il on. */
static void put_strip(const solve *x, int64_t il, const char *strip)
{
    const int64_t height = x->micro->rows, bytes = rls_least(x->rows - il, height) * x->size;
    for (int64_t j = 0; j < x->u; j++) {
        char *const there = x->b + (il + j * x->ldb) * x->size, *const later =
                                                                    there + AHEAD * x->ldb * x->size;
        for (int64_t i = 0; i < bytes; i += 64)
            __builtin_prefetch(later + i, 1);
        memcpy(there, strip + j * height * x->size, (size_t)bytes);
    }
}

static void solve_columns(const solve *x, rls_tiles_room *rooms, int threads)
{
    pack_factor(x, rooms[0].col_panel);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = rls_thread(), members = rls_team();
        for (int64_t il = thread * x->micro->rows; il < x->rows; il += members * x->micro->rows) {
            rls_tiles_pack_strip(x->micro, x->dtype, rls_least(x->rows - il, x->micro->rows), x->u,
                                 x->b + il * x->size, x->ldb, rooms[thread].row_panel);
            solve_strip(x, rooms[0].col_panel, rooms[thread].row_panel);
            put_strip(x, il, rooms[thread].row_panel);
        }
    }
}

void rls_tiles_solve(const rls_grid *grid, rls_dtype dtype, int64_t rows, int64_t u, const void *l, void *b,
                     int64_t ldb)
{
    const int64_t size = (int64_t)rls_dtype_size(dtype);
    solve x = {
        .micro = rls_micro_best(dtype), .dtype = dtype, .size = size, .rows = rows, .ldl = u, .ldb = ldb};
    for (int64_t first = 0; first < u && rows > 0; first += SOLVED) {
        x.u = rls_least(u - first, SOLVED);
        x.b = rls_at(dtype, b, first * ldb);
        x.l = rls_at(dtype, l, first * (u + 1));
        rls_gemm(dtype, 'N', 'T', rows, x.u, first, -1.0, b, ldb, rls_at(dtype, l, first), u, 1.0, x.b, ldb);
        solve_columns(&x, rls_tiles_rooms(grid), rls_tiles_threads(grid));
    }
}
