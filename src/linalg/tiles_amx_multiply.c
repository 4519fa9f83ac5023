/* Products of a rank's part with panels, tile by tile, on the processor's matrix unit (float32). */
#include <stdbool.h>
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/tiles_room.h"

enum {
    STEPS = RLS_TILE / RLS_AMX_DEPTH,        /* of a tile */
    LINE_BYTES = STEPS * RLS_AMX_STEP_BYTES, /* 16 lines of a tile, or of a panel as deep */
    PAIR = 2 * RLS_AMX_LINES,                /* lines a kernel takes at most */
    SHARED_BYTES = 1 << 20                   /* of packed panels and sums that the rows of A share */
};

/* One call, for at most RLS_AMX_WIDTH columns of the panels, which are `lines` lines of tiles. */
typedef struct {
    const rls_matrix *a;
    const rls_amx *amx;
    const rls_micro *micro;
    rls_shape shape;
    int64_t u, lines, padded;
    int64_t height, width; /* rows of A that share packed panels; columns of a tile */
    int64_t kernels;       /* calls of a whole tile, which fetch the next one */
    float alpha;
    const float *k_col, *k_row;
    float *f_row, *f_col;
} product;

/* A tile in work: A's local rows [il, il + rows) and columns [jl, jl + cols), and what to fetch meanwhile. */
typedef struct {
    int64_t il, rows, jl, cols;
    int64_t row; /* of the packed panels */
    rls_amx_fetch next;
} tile;

/* The tile with zeros where A does not count (`below` the diagonal) and beyond its edge. */
static void copy_tile(const product *p, const tile *t, int64_t below, float *copy)
{
    const rls_matrix *a = p->a;
    const float *from = (const float *)a->part.data + t->il + t->jl * a->part.ld;
    memset(copy, 0, RLS_TILE * RLS_TILE * sizeof *copy);
    for (int64_t j = 0; j < t->cols; j++) {
        const int64_t top = rls_most(rls_tiles_top(a, p->shape, t->jl + j, below) - t->il, 0);
        if (top < t->rows)
            memcpy(copy + j * RLS_TILE + top, from + j * a->part.ld + top,
                   (size_t)(t->rows - top) * sizeof *copy);
    }
}

/* The tile as pairs (for the straight product) in room->tile, as rows (for its transpose's) in
 * room->transpose. */
static void take_tile(const product *p, rls_tiles_room *room, const tile *t)
{
    const rls_matrix *a = p->a;
    char *const pairs = p->f_row != NULL ? room->tile : NULL, *const lines =
                                                                  p->f_col != NULL ? room->transpose : NULL;
    if (t->rows == RLS_TILE && t->cols == p->width &&
        rls_tiles_top(a, p->shape, t->jl + t->cols - 1, 1) <= t->il) {
        p->amx->split(t->rows, t->cols, (const float *)a->part.data + t->il + t->jl * a->part.ld, a->part.ld,
                      LINE_BYTES, pairs, lines);
        return;
    }
    for (int64_t below = 0; below < 2; below++) {
        char *const straight = below == 0 ? pairs : NULL, *const across = below == 1 ? lines : NULL;
        if (straight == NULL && across == NULL)
            continue;
        copy_tile(p, t, below, room->copy);
        p->amx->split(RLS_TILE, RLS_TILE, room->copy, RLS_TILE, LINE_BYTES, straight, across);
    }
}

/* `steps` steps of 16 or 32 lines of either operand; a share of what is to be fetched. */
static void multiply(const product *p, int64_t steps, int64_t row_lines, const char *rows, int64_t pair_lines,
                     const char *pairs, float *sum, int64_t ld, rls_amx_fetch *next)
{
    const rls_amx_operand a = rls_amx_packed(rows, LINE_BYTES), b = rls_amx_packed(pairs, LINE_BYTES);
    const rls_amx_fetch share = rls_amx_share(next, (p->width + p->kernels - 1) / p->kernels);
    p->amx->multiply[row_lines - 1][pair_lines - 1]((rls_amx_steps){steps, 0}, &a, &b, sum, ld, &share);
}

/* The sums of rows: strips of micro->rows rows, each [strip, padded]. */
static void multiply_straight(const product *p, rls_tiles_room *room, tile *t)
{
    const int64_t strip = p->micro->rows;
    for (int64_t i = 0; i < t->rows; i += PAIR) {
        const int64_t last = t->il + rls_least(i + PAIR, t->rows) - 1, row = t->row + i;
        const int64_t end = rls_least(rls_tiles_left(p->a, p->shape, last) - t->jl, t->cols);
        float *const sum = (float *)room->col_sum + row / strip * strip * p->padded + row % strip;
        const char *const pairs = room->tile + i / RLS_AMX_LINES * LINE_BYTES;
        for (int64_t c = 0; c < p->lines && end > 0; c += 2)
            multiply(p, (end + RLS_AMX_DEPTH - 1) / RLS_AMX_DEPTH, rls_least(p->lines - c, 2),
                     room->row_panel + c * LINE_BYTES, 2, pairs, sum + c * RLS_AMX_LINES * strip, strip,
                     &t->next);
    }
}

/* The sums of columns: [padded, columns]. */
static void multiply_across(const product *p, rls_tiles_room *room, tile *t)
{
    const char *panel = room->col_panel + t->row / RLS_TILE * p->lines * LINE_BYTES;
    for (int64_t j = 0; j < t->cols; j += PAIR) {
        const int64_t top = rls_most(rls_tiles_top(p->a, p->shape, t->jl + j, 1) - t->il, 0);
        const int64_t first = top / RLS_AMX_DEPTH,
                      steps = (t->rows + RLS_AMX_DEPTH - 1) / RLS_AMX_DEPTH - first;
        const char *const rows =
            room->transpose + j / RLS_AMX_LINES * LINE_BYTES + first * RLS_AMX_STEP_BYTES;
        for (int64_t c = 0; c < p->lines && steps > 0; c += 2)
            multiply(p, steps, 2, rows, rls_least(p->lines - c, 2),
                     panel + c * LINE_BYTES + first * RLS_AMX_STEP_BYTES,
                     (float *)room->row_sum + j * p->padded + c * RLS_AMX_LINES, p->padded, &t->next);
    }
}

/* Rows [first, first + count) of a panel [*, u], times alpha; 16 of its columns are a line of tiles. */
static void pack_panel(const product *p, const float *panel, int64_t ld, int64_t first, int64_t count,
                       bool pairs, char *out)
{
    const rls_amx_steps steps = {(count + RLS_AMX_DEPTH - 1) / RLS_AMX_DEPTH, 0};
    for (int64_t c = 0; c < p->lines; c++) {
        const int64_t column = c * RLS_AMX_LINES;
        const rls_amx_panel x = {.data = panel + first + column * ld,
                                 .line = ld,
                                 .k = 1,
                                 .lines = rls_least(p->u - column, RLS_AMX_LINES),
                                 .depth = count,
                                 .alpha = p->alpha};
        p->amx->pack(&x, steps, pairs, out + c * LINE_BYTES);
    }
}

/* f_row += the sums of rows [begin, end). */
static void add_rows(const product *p, rls_tiles_room *room, int64_t begin, int64_t end)
{
    const int64_t strip = p->micro->rows;
    for (int64_t il = begin; il < end; il += strip)
        rls_tiles_add_strip(p->micro, RLS_F32, rls_least(end - il, strip), p->u,
                            (float *)room->col_sum + (il - begin) * p->padded, p->f_row + il,
                            p->a->rows_local);
}

/* f_col += the sums of columns [jl, jl + cols). */
static void add_columns(const product *p, rls_tiles_room *room, int64_t jl, int64_t cols)
{
    const int64_t strip = p->micro->rows;
    for (int64_t j = 0; j < cols; j += strip)
        for (int64_t c = 0; c < p->u; c += RLS_TILE) {
            const rls_tile sums = {(const float *)room->row_sum + j * p->padded + c, p->padded, strip};
            p->micro->transpose(&sums, rls_least(p->padded - c, RLS_TILE), strip, room->tile, NULL);
            rls_tiles_add_strip(p->micro, RLS_F32, rls_least(cols - j, strip), rls_least(p->u - c, RLS_TILE),
                                room->tile, p->f_col + jl + j + c * p->a->cols_local, p->a->cols_local);
        }
}

/* What follows a tile: the one below, or the first one of the next columns. */
static rls_amx_fetch after_tile(const product *p, const tile *t, int64_t begin, int64_t end)
{
    const rls_matrix *a = p->a;
    const bool below = t->il + RLS_TILE < end;
    const int64_t il = below ? t->il + RLS_TILE : begin, jl = below ? t->jl : t->jl + p->width;
    return (rls_amx_fetch){(const char *)((const float *)a->part.data + il + jl * a->part.ld),
                           a->part.ld * (int64_t)sizeof(float),
                           rls_least(end - il, RLS_TILE) * (int64_t)sizeof(float),
                           rls_most(rls_least(a->cols_local - jl, p->width), 0)};
}

/* The tiles of columns [jl, jl + width) in rows [begin, end). */
static void multiply_column_of_tiles(const product *p, rls_tiles_room *room, int64_t jl, int64_t begin,
                                     int64_t end)
{
    const int64_t cols = rls_least(p->a->cols_local - jl, p->width);
    const int64_t top = rls_most(rls_tiles_top(p->a, p->shape, jl, 0) - begin, 0) / RLS_TILE * RLS_TILE;
    if (p->f_row != NULL)
        pack_panel(p, p->k_col, p->a->cols_local, jl, cols, false, room->row_panel);
    if (p->f_col != NULL)
        memset(room->row_sum, 0, (size_t)(RLS_TILE * p->padded) * sizeof(float));
    for (int64_t il = begin + top; il < end; il += RLS_TILE) {
        tile t = {.il = il, .rows = rls_least(end - il, RLS_TILE), .jl = jl, .cols = cols, .row = il - begin};
        t.next = after_tile(p, &t, begin, end);
        take_tile(p, room, &t);
        if (p->f_row != NULL)
            multiply_straight(p, room, &t);
        if (p->f_col != NULL)
            multiply_across(p, room, &t);
    }
    if (p->f_col != NULL)
        add_columns(p, room, jl, cols);
}

/* A's rows [begin, end), by all threads: each takes every so many-th column of tiles. The sums of rows are
 * added up in the threads' order. */
static void multiply_rows(const product *p, int64_t begin, int64_t end, int threads)
{
    const rls_matrix *a = p->a;
    rls_tiles_room *rooms = rls_tiles_rooms(a->grid);
    const int64_t left = rls_tiles_left(a, p->shape, end - 1);
    int team = 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = rls_thread(), members = rls_team();
        if (thread == 0)
            team = members;
        rls_tiles_room *room = &rooms[thread];
        p->amx->begin();
        for (int64_t il = begin; il < end && p->f_col != NULL; il += RLS_TILE)
            pack_panel(p, p->k_row, a->rows_local, il, rls_least(end - il, RLS_TILE), true,
                       room->col_panel + (il - begin) / RLS_TILE * p->lines * LINE_BYTES);
        if (p->f_row != NULL)
            memset(room->col_sum, 0, (size_t)(p->height * p->padded) * sizeof(float));
        for (int64_t jl = thread * p->width; jl < left; jl += members * p->width)
            multiply_column_of_tiles(p, room, jl, begin, end);
        p->amx->end();
    }
    for (int t = 0; t < team && p->f_row != NULL; t++)
        add_rows(p, &rooms[t], begin, end);
}

void rls_tiles_multiply_amx(const rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *k_col,
                            void *f_row, const void *k_row, void *f_col)
{
    const int threads = rls_tiles_threads(a->grid);
    product p = {.a = a,
                 .amx = rls_tiles_unit(a),
                 .micro = rls_micro_best(RLS_F32),
                 .shape = shape,
                 .u = u,
                 .lines = (u + RLS_AMX_LINES - 1) / RLS_AMX_LINES,
                 .alpha = (float)alpha,
                 .k_col = k_col,
                 .k_row = k_row,
                 .f_row = f_row,
                 .f_col = f_col,
                 .width = RLS_TILE};
    p.padded = p.lines * RLS_AMX_LINES;
    const int64_t all = (a->rows_local + RLS_TILE - 1) / RLS_TILE * RLS_TILE;
    const int64_t row = p.padded * (f_row == NULL ? 6 : f_col == NULL ? 4 : 10);
    p.height = rls_least(rls_most(SHARED_BYTES / row / RLS_TILE * RLS_TILE, RLS_TILE), all);
    while (p.width > PAIR && a->cols_local < INT64_C(2) * threads * p.width && threads > 1)
        p.width /= 2;
    p.kernels = ((f_row != NULL) + (f_col != NULL)) * (p.width / PAIR) * ((p.lines + 1) / 2);
    for (int64_t il = 0; il < a->rows_local; il += p.height)
        multiply_rows(&p, il, rls_least(a->rows_local, il + p.height), threads);
}
