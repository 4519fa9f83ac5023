/* A few vectors: four columns of the matrix at a time, both products from one pass over them. What comes out
 * of A^T is summed in registers, so that nothing is transposed, and a column is read in longer pieces. */
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/tiles_room.h"

enum {
    TOGETHER = 4,
    PIECE_BYTES = 4096, /* of a column */
    SHORT_BYTES = 2048, /* of a column, if all that goes with it fits the first cache then */
    FIRST_CACHE = 48 << 10,
    MOST_LANES = 16,
    MOST_BLOCKS = (RLS_FEW + RLS_MICRO_COLUMNS - 1) / RLS_MICRO_COLUMNS
};

/* One call; `rows` of A at a time. */
typedef struct {
    const rls_matrix *a;
    const rls_micro *micro;
    rls_shape shape;
    int64_t size, u, blocks, starts[MOST_BLOCKS + 1], rows;
    double alpha;
    const char *k_col, *k_row;
    char *f_row, *f_col;
} product;

/* Rows [begin, end) of A in work, packed in a thread's room. */
typedef struct {
    const product *p;
    rls_tiles_room *room;
    int64_t begin, end;
} piece;

static int64_t round_up(int64_t x, int64_t step)
{
    return (x + step - 1) / step * step;
}

/* Where the vector of rows that begins at `row` of a piece lies, of block b. */
static int64_t vector_at(const product *p, int64_t row, int64_t b)
{
    const int64_t first = p->starts[b], count = p->starts[b + 1] - first;
    return (first * p->rows + row * count) * p->size;
}

/* The piece's rows of k_row to vectors. */
static void pack_rows(const piece *x)
{
    const product *p = x->p;
    const int64_t lanes = p->micro->lanes, rows = x->end - x->begin;
    for (int64_t b = 0; b < p->blocks; b++)
        for (int64_t c = p->starts[b]; c < p->starts[b + 1]; c++)
            for (int64_t i = 0; i < rows; i += lanes) {
                const int64_t valid = rls_least(lanes, rows - i);
                char *to = x->room->row_panel + vector_at(p, i, b) + (c - p->starts[b]) * lanes * p->size;
                memcpy(to, p->k_row + (x->begin + i + c * p->a->rows_local) * p->size,
                       (size_t)(valid * p->size));
                memset(to + valid * p->size, 0, (size_t)((lanes - valid) * p->size));
            }
}

/* f_row += what was summed in vectors. */
static void add_rows(const piece *x)
{
    const product *p = x->p;
    const int64_t lanes = p->micro->lanes, rows = x->end - x->begin;
    for (int64_t b = 0; b < p->blocks; b++)
        for (int64_t c = p->starts[b]; c < p->starts[b + 1]; c++)
            for (int64_t i = 0; i < rows; i += lanes)
                rls_axpy(p->a->part.dtype, rls_least(lanes, rows - i), 1.0,
                         x->room->row_sum + vector_at(p, i, b) + (c - p->starts[b]) * lanes * p->size,
                         p->f_row + (x->begin + i + c * p->a->rows_local) * p->size);
}

/* alpha k_col: of each four columns of A the u factors, as the kernels take them. */
static void pack_factors(const product *p, int64_t begin, int64_t end, char *factors)
{
    const rls_dtype d = p->a->part.dtype;
    const int64_t whole = (end - begin) / TOGETHER * TOGETHER;
    char *const last = factors + whole * p->u * p->size;
    p->micro->cut(TOGETHER, whole, p->u, p->alpha, p->k_col + begin * p->size, p->a->cols_local, factors);
    memset(last, 0, (size_t)(TOGETHER * p->u * p->size));
    for (int64_t c = 0; c < p->u; c++)
        rls_axpy(d, end - begin - whole, p->alpha, rls_at(d, p->k_col, begin + whole + c * p->a->cols_local),
                 rls_at(d, last, c * TOGETHER));
}

/* f_col += alpha times the sums of columns [begin, end). */
static void add_sums(const product *p, int64_t begin, int64_t end, const char *sums)
{
    const rls_dtype d = p->a->part.dtype;
    for (int64_t c = 0; c < p->u; c++)
        for (int64_t j = begin; j < end; j += TOGETHER)
            rls_axpy(d, rls_least(TOGETHER, end - j), p->alpha,
                     sums + ((j - begin) / TOGETHER * p->u + c) * TOGETHER * p->size,
                     p->f_col + (j + c * p->a->cols_local) * p->size);
}

/* `vectors` vectors of rows, from `row` of the piece on, of four columns at a, with all blocks of the panels.
 * `next`: what to fetch meanwhile, a share with every block. */
static void multiply(const piece *x, int64_t row, int64_t vectors, const char *a, int64_t lda, int64_t group,
                     const char *next)
{
    const product *p = x->p;
    for (int64_t b = 0; b < p->blocks; b++) {
        const int64_t count = p->starts[b + 1] - p->starts[b];
        const int64_t at = (group * p->u + p->starts[b]) * TOGETHER * p->size;
        const int64_t first = TOGETHER * b / p->blocks, last = TOGETHER * (b + 1) / p->blocks;
        const rls_fetch fetch = next == NULL ? (rls_fetch){.next = a}
                                             : (rls_fetch){.next = next + first * lda * p->size,
                                                           .ld = lda * p->size,
                                                           .lines = last - first};
        rls_micro_four *kernel = (p->f_row != NULL ? p->micro->both : p->micro->dots)[count - 1];
        kernel(vectors, a, lda, x->room->row_panel + vector_at(p, row, b),
               x->room->row_sum + vector_at(p, row, b), x->room->col_panel + at, x->room->col_sum + at,
               &fetch);
    }
}

/* One vector of rows of which not all elements count: the others become zero. The diagonal counts once. */
static void multiply_edge(const piece *x, int64_t row, int64_t jl, int64_t cols, int64_t group)
{
    const product *p = x->p;
    const rls_matrix *a = p->a;
    const rls_dtype d = a->part.dtype;
    const int64_t lanes = p->micro->lanes, il = x->begin + row, end = rls_least(il + lanes, x->end);
    double copy[TOGETHER * MOST_LANES] = {0.0}; /* of either type */
    for (int64_t j = 0; j < cols; j++) {
        const int64_t top = rls_most(rls_tiles_top(a, p->shape, jl + j, 1), il);
        if (top < end)
            memcpy(rls_at(d, copy, j * lanes + top - il),
                   rls_at(d, a->part.data, top + (jl + j) * a->part.ld), (size_t)((end - top) * p->size));
    }
    multiply(x, row, 1, (const char *)copy, lanes, group, NULL);
    for (int64_t j = 0; j < cols && p->shape == RLS_LOWER && p->f_row != NULL; j++) {
        const int64_t top = rls_tiles_top(a, p->shape, jl + j, 0);
        if (top < il || top >= end || rls_tiles_top(a, p->shape, jl + j, 1) == top)
            continue;
        const double value = rls_get(d, a->part.data, top + (jl + j) * a->part.ld);
        for (int64_t b = 0; b < p->blocks; b++)
            for (int64_t c = p->starts[b]; c < p->starts[b + 1]; c++) {
                char *sum = x->room->row_sum + vector_at(p, row, b);
                const int64_t at = (c - p->starts[b]) * lanes + top - il;
                const double factor = rls_get(d, x->room->col_panel, (group * p->u + c) * TOGETHER + j);
                rls_set(d, sum, at, rls_get(d, sum, at) + value * factor);
            }
    }
}

/* The row of a piece from which on all of four columns count: a vector's first, or where whole vectors end.
 */
static int64_t whole_begin(const piece *x, int64_t jl)
{
    const product *p = x->p;
    const int64_t lanes = p->micro->lanes, last = (x->end - x->begin) / lanes * lanes;
    const int64_t top = rls_tiles_top(p->a, p->shape, jl + TOGETHER - 1, 1);
    return rls_least(round_up(rls_most(top - x->begin, 0), lanes), last);
}

/* Columns [jl, jl + cols), cols at most TOGETHER; `after` is how many columns follow. */
static void multiply_four(const piece *x, int64_t jl, int64_t cols, int64_t after, int64_t group)
{
    const product *p = x->p;
    const rls_matrix *a = p->a;
    const int64_t lanes = p->micro->lanes, rows = x->end - x->begin, whole = rows / lanes * lanes;
    const int64_t first = rls_most(rls_tiles_top(a, p->shape, jl, 0) - x->begin, 0) / lanes * lanes;
    const int64_t begin = cols == TOGETHER ? whole_begin(x, jl) : whole;
    const char *data = a->part.data;
    for (int64_t row = first; row < begin; row += lanes)
        multiply_edge(x, row, jl, cols, group);
    if (begin < whole) {
        const int64_t next = after >= TOGETHER ? jl + TOGETHER : jl;
        multiply(x, begin, (whole - begin) / lanes, data + (x->begin + begin + jl * a->part.ld) * p->size,
                 a->part.ld, group, data + (x->begin + begin + next * a->part.ld) * p->size);
    }
    for (int64_t row = rls_most(whole, first); row < rows; row += lanes)
        multiply_edge(x, row, jl, cols, group);
}

/* A's columns [begin, end), by all threads: each takes every so many-th piece of the rows. */
static void multiply_columns(const product *p, int64_t begin, int64_t end, int threads)
{
    const rls_matrix *a = p->a;
    rls_tiles_room *rooms = rls_tiles_rooms(a->grid);
    const int64_t start = rls_tiles_top(a, p->shape, begin, 0) / p->rows * p->rows;
    int team = 1;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        const int thread = rls_thread(), members = rls_team();
        if (thread == 0)
            team = members;
        piece x = {p, &rooms[thread], 0, 0};
        memset(x.room->col_sum, 0, (size_t)(round_up(end - begin, TOGETHER) * p->u * p->size));
        if (p->f_row != NULL)
            pack_factors(p, begin, end, x.room->col_panel);
        for (int64_t il = start + thread * p->rows; il < a->rows_local; il += members * p->rows) {
            x.begin = il;
            x.end = rls_least(il + p->rows, a->rows_local);
            pack_rows(&x);
            if (p->f_row != NULL)
                memset(x.room->row_sum, 0, (size_t)(p->rows * p->u * p->size));
            for (int64_t jl = begin; jl < end && rls_tiles_top(a, p->shape, jl, 0) < x.end; jl += TOGETHER)
                multiply_four(&x, jl, rls_least(end - jl, TOGETHER), end - jl - TOGETHER,
                              (jl - begin) / TOGETHER);
            if (p->f_row != NULL)
                add_rows(&x);
        }
    }
    for (int t = 0; t < team; t++)
        add_sums(p, begin, end, rooms[t].col_sum);
}

/* Rows of a piece. */
static int64_t piece_rows(const product *p, int threads)
{
    const int64_t panels = p->f_row != NULL ? 2 * p->u : p->u;
    const int64_t around = panels + TOGETHER;
    const int fits = around * PIECE_BYTES > FIRST_CACHE && around * SHORT_BYTES <= FIRST_CACHE;
    int64_t rows = (fits ? SHORT_BYTES : PIECE_BYTES) / p->size;
    while (rows > MOST_LANES && p->a->rows_local < INT64_C(2) * threads * rows && threads > 1)
        rows /= 2;
    return rows;
}

void rls_tiles_multiply_few(const rls_matrix *a, rls_shape shape, int64_t u, double alpha, const void *k_col,
                            void *f_row, const void *k_row, void *f_col)
{
    const int64_t size = (int64_t)rls_dtype_size(a->part.dtype);
    const int threads = rls_tiles_threads(a->grid);
    product p = {.a = a,
                 .micro = rls_micro_best(a->part.dtype),
                 .shape = shape,
                 .size = size,
                 .u = u,
                 .blocks = rls_column_blocks(u),
                 .alpha = alpha,
                 .k_col = k_col,
                 .k_row = k_row,
                 .f_row = f_row,
                 .f_col = f_col};
    for (int64_t b = 0; b <= p.blocks; b++)
        p.starts[b] = rls_column_block(u, p.blocks, b);
    p.rows = piece_rows(&p, threads);
    const int64_t width = RLS_PANEL_BYTES / (u * size) / TOGETHER * TOGETHER - TOGETHER;
    for (int64_t jl = 0; jl < a->cols_local; jl += width)
        multiply_columns(&p, jl, rls_least(a->cols_local, jl + width), threads);
}
