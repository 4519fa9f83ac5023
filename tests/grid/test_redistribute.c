/* Between slabs and block-cyclic matrices: every element arrives, rounded once, and nothing else changes. */
#include "grid/redistribute.h"

#include <stdlib.h>
#include <string.h>

#include "support/collective.h"
#include "support/state.h"

enum { SENTINEL = 0x5a, PADDING = 3 };

static rls_context *ctx;

static void *bytes_of(int64_t count, rls_dtype dtype)
{
    const size_t size = (size_t)count * rls_dtype_size(dtype) + 1;
    void *data = malloc(size);
    if (data == NULL)
        abort();
    memset(data, SENTINEL, size);
    return data;
}

/* One case: a matrix in one layout and the slabs of the other. */
typedef struct {
    rls_grid *grid;
    int64_t rows, cols, block;
    rls_dtype cyclic, slab;
    rls_lines lines;
} layouts;

/* Element (i, j) of the truth, rounded to one type after another. */
static void truth(int64_t i, int64_t j, rls_dtype first, rls_dtype then, void *out)
{
    const double value = rls_random_normal_at(11, i, j);
    double between = 0.0;
    rls_convert(first, &between, 1, RLS_F64, &value, 1, 1);
    rls_convert(then, out, 1, first, &between, 1, 1);
}

static bool is_sentinel(const char *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (at[i] != SENTINEL)
            return false;
    return true;
}

static rls_cyclic cyclic_of(const layouts *x)
{
    rls_cyclic a = {.grid = x->grid,
                    .rows = {x->rows, x->block, x->grid->p},
                    .cols = {x->cols, x->block, x->grid->q},
                    .dtype = x->cyclic};
    a.ld = rls_dim_count(a.rows, x->grid->row) + PADDING;
    a.data = bytes_of(a.ld * rls_dim_count(a.cols, x->grid->col), x->cyclic);
    return a;
}

/* This rank's lines of a window in the middle: random sizes in rank order, some empty. */
static rls_slab slab_of(const layouts *x, int round)
{
    const int64_t lines = x->lines == RLS_LINES_ARE_COLUMNS ? x->cols : x->rows;
    const int64_t length = x->lines == RLS_LINES_ARE_COLUMNS ? x->rows : x->cols;
    rls_random random = rls_random_seed((uint64_t)(round * 1000) + (uint64_t)lines);
    int64_t at = round == 0 ? 0 : rls_random_below(&random, lines), count = 0;
    for (int r = 0; r <= rls_context_rank(ctx); r++) {
        at += count;
        count = rls_random_below(&random, 3) == 0 ? 0 : rls_random_below(&random, lines - at + 1);
        if (round == 0 && r == rls_context_size(ctx) - 1)
            count = lines - at; /* the whole matrix */
    }
    return (rls_slab){at, count, x->slab, bytes_of(count * length, x->slab)};
}

/* Does every rank's slab together hold line `line`? ranges: first, count of every rank. */
static bool in_slabs(const int64_t *ranges, int64_t line)
{
    for (int64_t r = 0; r < rls_context_size(ctx); r++)
        if (line >= ranges[2 * r] && line < ranges[2 * r] + ranges[2 * r + 1])
            return true;
    return false;
}

/* Wrong elements of the cyclic part: lines in slabs hold the truth, all else the sentinel. */
static int64_t wrong_in_cyclic(const layouts *x, const rls_cyclic *a, const int64_t *ranges)
{
    const size_t size = rls_dtype_size(x->cyclic);
    const int64_t rows = rls_dim_count(a->rows, x->grid->row);
    int64_t wrong = 0;
    for (int64_t jl = 0; jl < rls_dim_count(a->cols, x->grid->col); jl++)
        for (int64_t il = 0; il < a->ld; il++) {
            const char *at = (char *)a->data + (size_t)(il + jl * a->ld) * size;
            const int64_t i = rls_dim_to_global(a->rows, x->grid->row, il);
            const int64_t j = rls_dim_to_global(a->cols, x->grid->col, jl);
            char expected[8];
            if (il >= rows || !in_slabs(ranges, x->lines == RLS_LINES_ARE_COLUMNS ? j : i)) {
                wrong += !is_sentinel(at, size);
                continue;
            }
            truth(i, j, x->slab, x->cyclic, expected);
            wrong += memcmp(at, expected, size) != 0;
        }
    return wrong;
}

static void fill_cyclic(const layouts *x, const rls_cyclic *a)
{
    for (int64_t jl = 0; jl < rls_dim_count(a->cols, x->grid->col); jl++)
        for (int64_t il = 0; il < rls_dim_count(a->rows, x->grid->row); il++)
            truth(rls_dim_to_global(a->rows, x->grid->row, il), rls_dim_to_global(a->cols, x->grid->col, jl),
                  x->cyclic, x->cyclic,
                  (char *)a->data + (size_t)(il + jl * a->ld) * rls_dtype_size(x->cyclic));
}

/* Fills the slab with the truth of its lines (by way of type `first`), or counts where it differs. */
static int64_t walk_slab(const layouts *x, const rls_slab *slab, rls_dtype first, bool fill)
{
    const int64_t length = x->lines == RLS_LINES_ARE_COLUMNS ? x->rows : x->cols;
    const size_t size = rls_dtype_size(x->slab);
    int64_t wrong = 0;
    for (int64_t line = 0; line < slab->count; line++)
        for (int64_t k = 0; k < length; k++) {
            char *at = (char *)slab->data + (size_t)(line * length + k) * size, expected[8];
            const int64_t global = slab->first + line;
            if (x->lines == RLS_LINES_ARE_COLUMNS)
                truth(k, global, first, x->slab, expected);
            else
                truth(global, k, first, x->slab, expected);
            if (fill)
                memcpy(at, expected, size);
            else
                wrong += memcmp(at, expected, size) != 0;
        }
    return wrong;
}

static void check(const layouts *x, int round)
{
    rls_cyclic a = cyclic_of(x);
    const rls_slab slab = slab_of(x, round);
    const int64_t mine[2] = {slab.first, slab.count};
    int64_t *ranges = bytes_of(2 * (int64_t)rls_context_size(ctx), RLS_F64);
    MPI_Allgather(mine, 2, MPI_INT64_T, ranges, 2, MPI_INT64_T, rls_context_comm(ctx));
    (void)walk_slab(x, &slab, x->slab, true);
    assert_all_ok(ctx, rls_slab_to_cyclic(&slab, x->lines, &a));
    assert_all_int_equal(wrong_in_cyclic(x, &a, ranges), 0);
    fill_cyclic(x, &a);
    assert_all_ok(ctx, rls_cyclic_to_slab(&a, x->lines, &slab));
    assert_all_int_equal(walk_slab(x, &slab, x->cyclic, false), 0);
    free(ranges);
    free(a.data);
    free(slab.data);
}

static void check_shapes(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t shapes[][3] = {{1, 1, 1}, {13, 7, 4}, {5, 29, 8}, {64, 64, 16}, {31, 3, 64}, {40, 50, 1}};
    const rls_dtype cyclic[] = {RLS_F64, RLS_F32}, slab[] = {RLS_F64, RLS_F32, RLS_F16, RLS_BF16};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (int c = 0; c < 2; c++)
            for (int d = 0; d < 4; d++)
                for (int lines = 0; lines < 2; lines++)
                    for (int round = 0; round < 3; round++) {
                        const layouts x = {grid,
                                           shapes[s][0],
                                           shapes[s][1],
                                           shapes[s][2],
                                           cyclic[c],
                                           slab[d],
                                           lines == 0 ? RLS_LINES_ARE_COLUMNS : RLS_LINES_ARE_ROWS};
                        check(&x, round);
                    }
}

static void test_shapes_types_lines(void **state)
{
    ctx = *state;
    each_grid(ctx, check_shapes, NULL);
}

/* A whole matrix in rounds of a few lines a rank, there and back. */
static void check_rounds(rls_grid *grid, void *user)
{
    (void)user;
    for (int lines = 0; lines < 2; lines++) {
        const layouts x = {
            grid, 45, 77, 8, RLS_F64, RLS_BF16, lines == 0 ? RLS_LINES_ARE_COLUMNS : RLS_LINES_ARE_ROWS};
        const int64_t count = lines == 0 ? x.cols : x.rows, bytes = (lines == 0 ? x.rows : x.cols) * 2;
        rls_cyclic a = cyclic_of(&x);
        rls_slab slab = {.dtype = x.slab, .data = bytes_of(4 * bytes, RLS_BF16)};
        int64_t rounds = 0;
        for (; rls_slab_round(grid, count, bytes, 4 * bytes + 1, rounds, &slab.first, &slab.count);
             rounds++) {
            (void)walk_slab(&x, &slab, x.slab, true);
            assert_all_ok(ctx, rls_slab_to_cyclic(&slab, x.lines, &a));
        }
        assert_all(rounds > 1 || rls_context_size(ctx) > 10);
        const int64_t all[2] = {0, count}, none[2] = {0, 0};
        int64_t *ranges = bytes_of(2 * (int64_t)rls_context_size(ctx), RLS_F64);
        for (int64_t r = 0; r < rls_context_size(ctx); r++)
            memcpy(&ranges[2 * r], r == 0 ? all : none, sizeof all);
        assert_all_int_equal(wrong_in_cyclic(&x, &a, ranges), 0);
        fill_cyclic(&x, &a);
        for (int64_t i = 0; rls_slab_round(grid, count, bytes, 4 * bytes + 1, i, &slab.first, &slab.count);
             i++) {
            assert_all_ok(ctx, rls_cyclic_to_slab(&a, x.lines, &slab));
            assert_all_int_equal(walk_slab(&x, &slab, x.cyclic, false), 0);
        }
        free(ranges);
        free(a.data);
        free(slab.data);
    }
}

static void test_rounds(void **state)
{
    ctx = *state;
    each_grid(ctx, check_rounds, NULL);
}

/* Rounds deal out every line once, in order of rounds and ranks, within the bytes allowed. */
static void test_round_arithmetic(void **state)
{
    ctx = *state;
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    const int64_t lines[] = {1, 2, 5, 100, 1001}, line_bytes[] = {1, 8, 1000};
    const int64_t round_bytes[] = {1, 8, 7999, RLS_ROUND_BYTES};
    for (int l = 0; l < 5; l++)
        for (int b = 0; b < 3; b++)
            for (int r = 0; r < 4; r++) {
                int64_t next = 0, first = -1, count = -1, round = 0;
                for (; rls_slab_round(grid, lines[l], line_bytes[b], round_bytes[r], round, &first, &count);
                     round++) {
                    int64_t before = 0, total = count;
                    MPI_Exscan(&count, &before, 1, MPI_INT64_T, MPI_SUM, rls_context_comm(ctx));
                    if (rls_context_rank(ctx) == 0)
                        before = 0;
                    MPI_Allreduce(MPI_IN_PLACE, &total, 1, MPI_INT64_T, MPI_SUM, rls_context_comm(ctx));
                    assert_all(count >= 0 && first == next + before && total > 0);
                    assert_all(count <= 1 || count * line_bytes[b] <= round_bytes[r]);
                    next += total;
                }
                assert_all_int_equal(next, lines[l]);
            }
    rls_grid_destroy(&grid);
}

/* One rank's slab is outside: all ranks are told, and nothing is moved. */
static void test_outside(void **state)
{
    ctx = *state;
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    const layouts x = {grid, 9, 6, 4, RLS_F64, RLS_F32, RLS_LINES_ARE_COLUMNS};
    rls_cyclic a = cyclic_of(&x);
    const int64_t wrong[][2] = {{5, 2}, {-1, 1}, {7, 0}, {0, -1}, {INT64_MAX, 1}, {1, INT64_MAX}, {0, 7}};
    float data[7 * 9] = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        rls_slab slab = {0, 0, RLS_F32, data};
        if (rls_context_rank(ctx) == rls_context_size(ctx) - 1) {
            slab.first = wrong[i][0];
            slab.count = wrong[i][1];
        }
        assert_all_status(ctx, rls_slab_to_cyclic(&slab, x.lines, &a), RLS_ERR_INTERNAL);
        assert_all_message(ctx, "outside 6 lines");
        assert_all_status(ctx, rls_cyclic_to_slab(&a, x.lines, &slab), RLS_ERR_INTERNAL);
    }
    int64_t *ranges = calloc(2 * (size_t)rls_context_size(ctx), sizeof *ranges);
    assert_non_null(ranges);
    assert_all_int_equal(wrong_in_cyclic(&x, &a, ranges), 0);
    free(ranges);
    free(a.data);
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_shapes_types_lines), context_test(test_rounds),
                                       context_test(test_round_arithmetic), context_test(test_outside)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "redistribute");
}
