/* Products of a rank's part with panels, tile by tile. */
#include <stdbool.h>
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/tiles_room.h"

/* For so many columns of panels, reading a tile twice where it lies costs more than packing it. */
enum { PACKED_FROM = 128 };

enum { MOST_BLOCKS = (RLS_MOST_WIDTH + RLS_MICRO_COLUMNS - 1) / RLS_MICRO_COLUMNS };

/* One call, for at most RLS_MOST_WIDTH columns. */
typedef struct {
    const rls_matrix *a;
    const rls_micro *micro;
    rls_shape shape;
    rls_dtype dtype;
    int64_t size;      /* bytes of an element */
    int64_t u, blocks; /* columns of the panels, and blocks of columns */
    int64_t starts[MOST_BLOCKS + 1];
    int64_t lines, pace,
        fetched;           /* cache lines of a column of a strip, steps a line, columns a whole kernel */
    int64_t width, height; /* columns of A that share packed panels; rows of a tile */
    double alpha;
    const char *k_col, *k_row;
    char *f_row, *f_col;
} product;

/* What is fetched into the caches while the tile before it is worked on: its strips, one after another. */
typedef struct {
    rls_fetch fetch;
    const char *strip;       /* where the present strip began */
    int64_t columns, strips; /* of a strip, and strips to go */
    int64_t left, taken;     /* columns of the strip not fetched yet, and those of the last kernel */
} fetcher;

static fetcher fetch_tile(const product *p, int64_t il, int64_t rows, int64_t jl, int64_t cols)
{
    const char *from = (const char *)p->a->part.data + (il + jl * p->a->part.ld) * p->size;
    return (fetcher){.fetch = {from, p->a->part.ld * p->size, 0, p->pace},
                     .strip = from,
                     .columns = cols,
                     .left = cols,
                     .strips = (rows + p->micro->rows - 1) / p->micro->rows};
}

/* Lets the next kernel fetch what it can in k steps. */
static const rls_fetch *fetch_more(const product *p, fetcher *f, int64_t k)
{
    f->fetch.next += f->taken * f->fetch.ld;
    f->left -= f->taken;
    if (f->left <= 0 && f->strips > 1) {
        f->strips--;
        f->left = f->columns;
        f->strip += p->micro->rows * p->size;
        f->fetch.next = f->strip;
    }
    f->taken = rls_least(f->left, k == RLS_TILE ? p->fetched : k / (p->pace * p->lines));
    f->fetch.lines = f->taken * p->lines;
    return &f->fetch;
}

/* Element (i, j) of a packed tile. */
static int64_t packed_at(const product *p, int64_t i, int64_t j)
{
    const int64_t strip = p->micro->rows;
    return ((i / strip * RLS_TILE + j) * strip + i % strip) * p->size;
}

/* A tile at local row il, column jl to its packed form; zero where A does not count, and beyond its edge. */
static void pack_tile(const product *p, int64_t il, int64_t rows, int64_t jl, int64_t cols, char *tile)
{
    const rls_matrix *a = p->a;
    const int64_t strip = p->micro->rows;
    /* Columns that count from the tile's first row on. */
    const int64_t whole = rls_most(rls_least(rls_tiles_left(a, p->shape, il) - jl, cols), 0);
    for (int64_t i = 0; i < rows; i += strip) {
        const int64_t valid = rls_least(rows - i, strip);
        const int64_t straight = valid == strip ? whole : 0;
        const char *from = (const char *)a->part.data + (il + i + jl * a->part.ld) * p->size;
        p->micro->pack(straight, from, a->part.ld, tile + packed_at(p, i, 0));
        for (int64_t j = straight; j < RLS_TILE; j++) {
            char *to = tile + packed_at(p, i, j);
            memset(to, 0, (size_t)(strip * p->size));
            if (j >= cols)
                continue;
            const int64_t top = rls_tiles_top(a, p->shape, jl + j, 0) - il - i;
            const int64_t skip = top > 0 ? top : 0;
            if (skip < valid)
                memcpy(to + skip * p->size, from + (skip + j * a->part.ld) * p->size,
                       (size_t)((valid - skip) * p->size));
        }
    }
}

/* A tile and its transpose. */
typedef struct {
    rls_tile straight, across;
} tiles;

/* The tile at local row il, column jl, and, if it is needed, its transpose, packed. A tile of which all
 * counts is taken where it lies, or packed on the way. The diagonal counts once, in the straight product. */
static tiles take_tile(const product *p, rls_tiles_room *room, int64_t il, int64_t rows, int64_t jl,
                       int64_t cols)
{
    const rls_matrix *a = p->a;
    const int64_t strip = p->micro->rows;
    const rls_tile there = {(const char *)a->part.data + (il + jl * a->part.ld) * p->size, a->part.ld, strip};
    const rls_tile packed = {room->tile, strip, strip * RLS_TILE};
    const bool crossed = rls_tiles_top(a, p->shape, jl + cols - 1, 1) > il;
    const bool whole = rows % strip == 0 && cols == RLS_TILE && !crossed;
    const bool copied = whole && p->f_row != NULL && p->f_col != NULL && p->u >= PACKED_FROM;
    tiles t = {whole && !copied ? there : packed, {room->transpose, strip, strip * RLS_TILE}};
    if (!whole)
        pack_tile(p, il, rows, jl, cols, room->tile);
    if (p->f_col == NULL)
        return t;
    p->micro->transpose(whole ? &there : &packed, (rows + strip - 1) / strip * strip, RLS_TILE,
                        room->transpose, copied ? room->tile : NULL);
    for (int64_t j = 0; j < cols && crossed; j++) {
        const int64_t top = rls_tiles_top(a, p->shape, jl + j, 0);
        if (top >= il && top < il + rows && rls_tiles_top(a, p->shape, jl + j, 1) > top)
            memset(room->transpose + packed_at(p, j, top - il), 0, (size_t)p->size);
    }
    return t;
}

/* sum += the strip of a tile that begins at that row, its columns [begin, end), times a packed panel. */
static void multiply_strip(const product *p, const rls_tile *tile, int64_t row, int64_t begin, int64_t end,
                           const char *panel, char *sum, fetcher *next)
{
    const int64_t strip = p->micro->rows;
    const char *a = (const char *)tile->data + (row / strip * tile->strip + begin * tile->column) * p->size;
    for (int64_t b = 0; b < p->blocks; b++) {
        const int64_t first = p->starts[b], count = p->starts[b + 1] - first;
        p->micro->multiply[count - 1](
            end - begin, a, tile->column, panel + (first * RLS_TILE + begin * count) * p->size,
            sum + (row * p->u + first * strip) * p->size, strip, fetch_more(p, next, end - begin));
    }
}

/* Both products of a tile at `column` of the packed panels. */
static void multiply_tile(const product *p, rls_tiles_room *room, int64_t il, int64_t rows, int64_t jl,
                          int64_t cols, int64_t column, fetcher *next)
{
    const int64_t strip = p->micro->rows;
    const tiles t = take_tile(p, room, il, rows, jl, cols);
    for (int64_t i = 0; i < rows && p->f_row != NULL; i += strip) {
        const int64_t last = il + rls_least(i + strip, rows) - 1;
        const int64_t end = rls_least(rls_tiles_left(p->a, p->shape, last) - jl, cols);
        if (end > 0)
            multiply_strip(p, &t.straight, i, 0, end, room->col_panel + column * p->u * p->size,
                           room->row_sum, next);
    }
    for (int64_t j = 0; j < cols && p->f_col != NULL; j += strip) {
        const int64_t top = rls_tiles_top(p->a, p->shape, jl + j, 1) - il;
        if (top < rows)
            multiply_strip(p, &t.across, j, top > 0 ? top : 0, rows, room->row_panel,
                           room->col_sum + column * p->u * p->size, next);
    }
}

/* panel rows [first, first + count) += sums of strips. */
static void add_sums(const product *p, const char *sum, int64_t first, int64_t count, char *panel, int64_t ld)
{
    const int64_t strip = p->micro->rows;
    for (int64_t i = 0; i < count; i += strip) {
        rls_tiles_add_strip(p->micro, p->dtype, rls_least(count - i, strip), p->u, sum + i * p->u * p->size,
                            panel + (first + i) * p->size, ld);
    }
}

/* The tiles of rows [il, il + rows) in columns [begin, end). */
static void multiply_row_of_tiles(const product *p, rls_tiles_room *room, int64_t il, int64_t begin,
                                  int64_t end)
{
    const rls_matrix *a = p->a;
    const int64_t rows = rls_least(a->rows_local - il, p->height);
    if (p->f_col != NULL)
        rls_tiles_pack_rows(p->micro, p->size, rows, p->u, p->alpha, p->k_row + il * p->size, a->rows_local,
                            RLS_TILE, room->row_panel);
    if (p->f_row != NULL)
        memset(room->row_sum, 0, (size_t)(p->height * p->u * p->size));
    for (int64_t jl = begin; jl < end && rls_tiles_top(a, p->shape, jl, 0) < il + rows; jl += RLS_TILE) {
        const int64_t after = jl + RLS_TILE < end ? jl + RLS_TILE : begin;
        const int64_t after_row = after > jl ? il : il + p->height;
        fetcher next = {.fetch = {.pace = 1}};
        if (after_row < a->rows_local)
            next = fetch_tile(p, after_row, rls_least(a->rows_local - after_row, p->height), after,
                              rls_least(end - after, RLS_TILE));
        multiply_tile(p, room, il, rows, jl, rls_least(end - jl, RLS_TILE), jl - begin, &next);
    }
    if (p->f_row != NULL)
        add_sums(p, room->row_sum, il, rows, p->f_row, a->rows_local);
}

/* A's columns [begin, end), by all threads: each takes every so many-th row of tiles. The sums over rows are
 * added up in the threads' order. */
static void multiply_columns(const product *p, int64_t begin, int64_t end, int threads)
{
    const rls_matrix *a = p->a;
    rls_tiles_room *rooms = rls_tiles_rooms(a->grid);
    const int64_t start = rls_tiles_top(a, p->shape, begin, 0) / p->height * p->height;
    int team = 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = rls_thread(), members = rls_team();
        if (thread == 0)
            team = members;
        rls_tiles_room *room = &rooms[thread];
        for (int64_t jl = begin; jl < end && p->f_row != NULL; jl += RLS_TILE)
            rls_tiles_pack_rows(p->micro, p->size, rls_least(end - jl, RLS_TILE), p->u, p->alpha,
                                p->k_col + jl * p->size, a->cols_local, RLS_TILE,
                                room->col_panel + (jl - begin) * p->u * p->size);
        if (p->f_col != NULL)
            memset(room->col_sum, 0, (size_t)(p->width * p->u * p->size));
        for (int64_t il = start + thread * p->height; il < a->rows_local; il += members * p->height)
            multiply_row_of_tiles(p, room, il, begin, end);
    }
    for (int t = 0; t < team && p->f_col != NULL; t++)
        add_sums(p, rooms[t].col_sum, begin, end - begin, p->f_col, a->cols_local);
}

static void multiply_panels(product *p)
{
    const int64_t room = RLS_PANEL_BYTES / (p->u * p->size) / RLS_TILE * RLS_TILE;
    const int threads = rls_tiles_threads(p->a->grid);
    p->blocks = rls_column_blocks(p->u);
    for (int64_t b = 0; b <= p->blocks; b++)
        p->starts[b] = rls_column_block(p->u, p->blocks, b);
    /* A tile is fetched as slowly as all kernels of another one together allow. */
    p->lines = rls_most(p->micro->rows * p->size / 64, 1);
    p->pace = rls_most(((p->f_row != NULL) + (p->f_col != NULL)) * p->blocks / p->lines, 1);
    p->fetched = RLS_TILE / (p->pace * p->lines);
    const int64_t all = (p->a->cols_local + RLS_TILE - 1) / RLS_TILE * RLS_TILE;
    p->width = rls_least(rls_most(room, RLS_TILE), all);
    p->height = RLS_TILE;
    while (p->height > p->micro->rows && p->a->rows_local < INT64_C(2) * threads * p->height && threads > 1)
        p->height /= 2;
    for (int64_t jl = 0; jl < p->a->cols_local; jl += p->width)
        multiply_columns(p, jl, rls_least(p->a->cols_local, jl + p->width), threads);
}

void rls_tiles_multiply(const rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *k_col,
                        void *f_row, const void *k_row, void *f_col)
{
    const int64_t size = (int64_t)rls_dtype_size(a->part.dtype);
    const bool amx = rls_tiles_unit(a) != NULL;
    const int64_t most = amx ? RLS_AMX_WIDTH : RLS_MOST_WIDTH, chunks = (u + most - 1) / most;
    if (a->rows_local == 0 || a->cols_local == 0)
        return;
    if (u == 1 && f_col != NULL) {
        rls_tiles_multiply_vector(a, shape, alpha, k_col, f_row, k_row, f_col);
        return;
    }
    if (u <= RLS_FEW && f_col != NULL) {
        rls_tiles_multiply_few(a, shape, u, alpha, k_col, f_row, k_row, f_col);
        return;
    }
    for (int64_t c = 0; c < chunks; c++) {
        const int64_t first = u * c / chunks;
        product p = {.a = a,
                     .micro = rls_micro_best(a->part.dtype),
                     .shape = shape,
                     .dtype = a->part.dtype,
                     .size = size,
                     .u = u * (c + 1) / chunks - first,
                     .alpha = alpha,
                     .k_col = (const char *)k_col + first * a->cols_local * size,
                     .k_row = (const char *)k_row + first * a->rows_local * size,
                     .f_row = f_row != NULL ? (char *)f_row + first * a->rows_local * size : NULL,
                     .f_col = f_col != NULL ? (char *)f_col + first * a->cols_local * size : NULL};
        if (amx)
            rls_tiles_multiply_amx(a, shape, p.u, alpha, p.k_col, p.f_row, p.k_row, p.f_col);
        else
            multiply_panels(&p);
    }
}
