/* A rank's part updated by the product of two panels, on the processor's matrix unit (float32). */
#include <string.h>

#include "linalg/tiles_room.h"

enum { PAIR = 2 * RLS_AMX_LINES, SHARED_BYTES = 704 << 10 /* of the packed rows */ };

/* One call, for at most RLS_STRIP_WIDTH columns of the panels. */
typedef struct {
    rls_matrix *a;
    const rls_amx *amx;
    rls_shape shape;
    int64_t u, height, bytes; /* rows of A that share packed panels; bytes of 16 lines */
    rls_amx_steps steps;
    float alpha;
    const float *g_row, *g_col;
} update;

/* Rows [first, first + PAIR) of a panel [rows, u]. */
static void pack_lines(const update *x, const float *panel, int64_t rows, int64_t first, float alpha,
                       bool pairs, char *out)
{
    for (int64_t l = 0; l < PAIR; l += RLS_AMX_LINES, out += x->bytes)
        x->amx->pack(&(rls_amx_panel){.data = panel + first + l,
                                      .line = 1,
                                      .k = rows,
                                      .lines = rls_most(rls_least(rows - first - l, RLS_AMX_LINES), 0),
                                      .depth = x->u,
                                      .alpha = alpha},
                     x->steps, pairs, out);
}

/* A block that A's edge crosses, on a copy. */
static void update_edge(const update *x, int64_t rows, int64_t columns, const rls_amx_operand *g_row,
                        const rls_amx_operand *g_col, float *block)
{
    _Alignas(64) float copy[PAIR * PAIR];
    const rls_amx_fetch nothing = {NULL, 0, 0, 0};
    const int64_t ld = x->a->part.ld;
    memset(copy, 0, sizeof copy);
    for (int64_t j = 0; j < columns; j++)
        memcpy(copy + j * PAIR, block + j * ld, (size_t)rows * sizeof *copy);
    x->amx->multiply[1][1](x->steps, g_col, g_row, copy, PAIR, &nothing);
    for (int64_t j = 0; j < columns; j++)
        memcpy(block + j * ld, copy + j * PAIR, (size_t)rows * sizeof *copy);
}

/* A's columns [jl, jl + PAIR) in rows [begin, end). */
static void update_strip(const update *x, rls_tiles_room *room, int64_t jl, int64_t begin, int64_t end)
{
    const rls_matrix *a = x->a;
    const int64_t columns = rls_least(a->cols_local - jl, PAIR), ld = a->part.ld;
    float *const strip = (float *)a->part.data + jl * ld;
    const int64_t top = rls_most(rls_tiles_top(a, x->shape, jl, 0) - begin, 0) / PAIR * PAIR;
    const rls_amx_operand g_col = rls_amx_packed(room->row_panel, x->bytes);
    pack_lines(x, x->g_col, a->cols_local, jl, x->alpha, false, room->row_panel);
    for (int64_t il = begin + top; il < end; il += PAIR) {
        const int64_t rows = rls_least(end - il, PAIR);
        const rls_amx_operand g_row =
            rls_amx_packed(room->col_panel + (il - begin) / RLS_AMX_LINES * x->bytes, x->bytes);
        const rls_amx_fetch next = {(const char *)(strip + il + PAIR), ld * (int64_t)sizeof(float),
                                    PAIR * sizeof(float), il + PAIR < end ? columns : 0};
        if (rows == PAIR && columns == PAIR)
            x->amx->multiply[1][1](x->steps, &g_col, &g_row, strip + il, ld, &next);
        else
            update_edge(x, rows, columns, &g_row, &g_col, strip + il);
    }
}

/* A's rows [begin, end), by all threads: each takes every so many-th strip of columns. */
static void update_rows(const update *x, int64_t begin, int64_t end, int threads)
{
    const rls_matrix *a = x->a;
    rls_tiles_room *rooms = rls_tiles_rooms(a->grid);
    const int64_t left = rls_tiles_left(a, x->shape, end - 1);
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = rls_thread(), members = rls_team();
        rls_tiles_room *room = &rooms[thread];
        x->amx->begin();
        for (int64_t il = begin; il < end; il += PAIR)
            pack_lines(x, x->g_row, a->rows_local, il, 1.0F, true,
                       room->col_panel + (il - begin) / RLS_AMX_LINES * x->bytes);
        for (int64_t jl = thread * PAIR; jl < left; jl += members * PAIR)
            update_strip(x, room, jl, begin, end);
        x->amx->end();
    }
}

void rls_tiles_update_amx(rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *g_row,
                          const void *g_col)
{
    update x = {.a = a,
                .amx = rls_tiles_unit(a),
                .shape = shape,
                .u = u,
                .steps = rls_amx_cut(u, true),
                .alpha = (float)alpha,
                .g_row = g_row,
                .g_col = g_col};
    x.bytes = rls_amx_bytes(x.steps);
    x.height = SHARED_BYTES / (2 * x.bytes) * PAIR;
    for (int64_t il = 0; il < a->rows_local; il += x.height)
        update_rows(&x, il, rls_least(a->rows_local, il + x.height), rls_tiles_threads(a->grid));
}
