/* ctest: NP 1 2 3 4 6 9 18 */
/* Panels: every rank knows what it must hold from the indices alone. */
#include "grid/panel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/collective.h"
#include "support/state.h"

static rls_context *ctx;

static void *elements_of(int64_t count, rls_dtype dtype)
{
    void *data = calloc((size_t)count + 1, rls_dtype_size(dtype));
    if (data == NULL)
        abort();
    return data;
}

static double get(rls_dtype dtype, const void *data, int64_t i)
{
    double value = 0.0;
    rls_convert(RLS_F64, &value, 1, dtype, (const char *)data + (size_t)i * rls_dtype_size(dtype), 1, 1);
    return value;
}

static void put(rls_dtype dtype, void *data, int64_t i, double value)
{
    rls_convert(dtype, (char *)data + (size_t)i * rls_dtype_size(dtype), 1, RLS_F64, &value, 1, 1);
}

/* Element i of vector j, a number that every type holds exactly. */
static double element(int64_t i, int64_t j)
{
    return (double)(int64_t)(256.0 * rls_random_uniform_at(21, i, j)) - 128.0;
}

/* A panel's rows on this rank, and the global index of one. */
static int64_t rows_of(const rls_panel_map *map, rls_panel_side side)
{
    return side == RLS_ROW_PANEL ? map->row_local : map->col_local;
}

static int64_t global_of(const rls_panel_map *map, rls_panel_side side, int64_t il)
{
    return side == RLS_ROW_PANEL ? rls_dim_to_global(map->row, map->grid->row, il)
                                 : rls_dim_to_global(map->col, map->grid->col, il);
}

static void fill_panel(const rls_panel_map *map, rls_panel_side side, int64_t u, void *panel)
{
    const int64_t rows = rows_of(map, side);
    for (int64_t j = 0; j < u; j++)
        for (int64_t il = 0; il < rows; il++)
            put(map->dtype, panel, il + j * rows, element(global_of(map, side, il), j));
}

static int64_t wrong_in_panel(const rls_panel_map *map, rls_panel_side side, int64_t u, const void *panel)
{
    const int64_t rows = rows_of(map, side);
    int64_t wrong = 0;
    for (int64_t j = 0; j < u; j++)
        for (int64_t il = 0; il < rows; il++)
            wrong += get(map->dtype, panel, il + j * rows) != element(global_of(map, side, il), j);
    return wrong;
}

/* One layout and one dealing of u vectors. */
typedef struct {
    int64_t n, block, u;
    rls_dtype dtype, source;
    int dealing; /* 0: all on the last rank, 1: evenly, 2: on even ranks only */
} dealt;

static int64_t share(const dealt *x, int rank, int64_t *before)
{
    const int size = rls_context_size(ctx);
    int64_t count = 0;
    *before = 0;
    for (int r = 0; r <= rank; r++) {
        *before += count;
        const int takers = x->dealing == 0 ? 1 : x->dealing == 1 ? size : (size + 1) / 2;
        const int order = x->dealing == 0   ? (r == size - 1 ? 0 : -1)
                          : x->dealing == 1 ? r
                          : r % 2 == 0      ? r / 2
                                            : -1;
        count = order < 0 ? 0 : x->u * (order + 1) / takers - x->u * order / takers;
    }
    return count;
}

static void check_vectors(rls_panel_map *map, const dealt *x)
{
    int64_t before = 0;
    const int64_t count = share(x, rls_context_rank(ctx), &before);
    char *vectors = elements_of(count * x->n, x->source);
    for (int64_t j = 0; j < count; j++)
        for (int64_t i = 0; i < x->n; i++)
            put(x->source, vectors, i + j * x->n, element(i, before + j));
    void *row = elements_of(map->row_local * x->u, map->dtype);
    void *col = elements_of(map->col_local * x->u, map->dtype);
    assert_all_ok(ctx, rls_vectors_to_panel(map, RLS_ROW_PANEL, count, x->source, vectors, row));
    assert_all_int_equal(wrong_in_panel(map, RLS_ROW_PANEL, x->u, row), 0);
    assert_all_ok(ctx, rls_vectors_to_panel(map, RLS_COL_PANEL, count, x->source, vectors, col));
    assert_all_int_equal(wrong_in_panel(map, RLS_COL_PANEL, x->u, col), 0);
    void *back = elements_of(count * x->n, map->dtype);
    assert_all_ok(ctx, rls_panel_to_vectors(map, count, col, back));
    int64_t wrong = 0;
    for (int64_t j = 0; j < count; j++)
        for (int64_t i = 0; i < x->n; i++)
            wrong += get(map->dtype, back, i + j * x->n) != element(i, before + j);
    assert_all_int_equal(wrong, 0);
    free(vectors);
    free(row);
    free(col);
    free(back);
}

static void check_exchange(rls_panel_map *map, int64_t u)
{
    void *row = elements_of(map->row_local * u, map->dtype),
         *col = elements_of(map->col_local * u, map->dtype);
    void *buffer = elements_of(rls_panel_map_elements(map, u), map->dtype);
    rls_panel_map_buffers(map, u, buffer);
    fill_panel(map, RLS_ROW_PANEL, u, row);
    const double sent = map->sent_bytes;
    rls_panel_row_to_col(map, u, row, col);
    assert_all_int_equal(wrong_in_panel(map, RLS_COL_PANEL, u, col), 0);
    const double size = (double)rls_dtype_size(map->dtype), gathered = (double)(map->col_local * u) * size,
                 most = map->straight
                            ? 0.0
                            : (double)map->shared * (double)((u + map->common - 1) / map->common) * size;
    const double payload = map->sent_bytes - sent;
    if (map->grid->p == 1)
        assert_all(payload == 0.0);
    else
        assert_all(gathered <= payload && payload <= gathered + most);
    free(row);
    free(col);
    free(buffer);
}

/* The process column's sum of column panels lands once in the row panels: rank r puts in element + 100 r. */
static void check_fold(rls_panel_map *map, int64_t u)
{
    const rls_grid *grid = map->grid;
    void *row = elements_of(map->row_local * u, map->dtype),
         *col = elements_of(map->col_local * u, map->dtype);
    void *buffer = elements_of(rls_panel_map_elements(map, u), map->dtype);
    rls_panel_map_buffers(map, u, buffer);
    for (int64_t at = 0; at < map->row_local * u; at++)
        put(map->dtype, row, at, 7.0 * grid->col); /* what is there stays in the sum */
    fill_panel(map, RLS_COL_PANEL, u, col);
    for (int64_t at = 0; at < map->col_local * u; at++)
        put(map->dtype, col, at, get(map->dtype, col, at) + 100.0 * grid->ctx->rank);
    rls_panel_fold_col_into_row(map, u, col, row);
    const double bytes = rls_panel_sum(grid->row_comm, map->dtype, row, map->row_local * u);
    assert_all(bytes ==
               (grid->q > 1 ? (double)(map->row_local * u) * (double)rls_dtype_size(map->dtype) : 0.0));
    int64_t wrong = 0;
    for (int64_t j = 0; j < u; j++)
        for (int64_t il = 0; il < map->row_local; il++) {
            const int64_t i = global_of(map, RLS_ROW_PANEL, il);
            double expected = 7.0 * grid->q * (grid->q - 1) / 2.0 + grid->p * element(i, j);
            for (int a = 0; a < grid->p; a++)
                expected += 100.0 * (a * grid->q + rls_dim_owner(map->col, i));
            wrong += get(map->dtype, row, il + j * map->row_local) != expected;
        }
    assert_all_int_equal(wrong, 0);
    free(row);
    free(col);
    free(buffer);
}

static void check_layouts(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t sizes[][2] = {{1, 1}, {1, 8}, {13, 4}, {37, 1}, {64, 16}, {50, 64}, {101, 8}};
    const int64_t edits[] = {0, 1, 2, 17};
    const rls_dtype own[] = {RLS_F64, RLS_F32}, sources[] = {RLS_F64, RLS_F32, RLS_BF16};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
        for (int d = 0; d < 2; d++) {
            rls_panel_map map;
            assert_all_ok(ctx,
                          rls_agree(ctx, rls_panel_map_init(&map, grid, sizes[s][0], sizes[s][1], own[d])));
            for (int e = 0; e < 4; e++) {
                for (int k = 0; k < 9; k++) {
                    const dealt x = {sizes[s][0], sizes[s][1], edits[e], own[d], sources[k / 3], k % 3};
                    check_vectors(&map, &x);
                }
                check_exchange(&map, edits[e]);
                check_fold(&map, edits[e]);
            }
            rls_panel_map_free(&map);
        }
}

static void test_panels(void **state)
{
    ctx = *state;
    each_grid(ctx, check_layouts, NULL);
}

/* Every element is summed in its place; alone there is nothing to send. */
static void test_sum(void **state)
{
    ctx = *state;
    const int64_t count = 100003;
    float *data = elements_of(count, RLS_F32);
    for (int64_t i = 0; i < count; i++)
        data[i] = (float)(i % 1000 + rls_context_rank(ctx));
    const int size = rls_context_size(ctx);
    const double bytes = rls_panel_sum(rls_context_comm(ctx), RLS_F32, data, count);
    assert_all(bytes == (size > 1 ? 4.0 * (double)count : 0.0));
    const int64_t others = (int64_t)size * (size - 1) / 2;
    int64_t wrong = 0;
    for (int64_t i = 0; i < count; i++)
        wrong += data[i] != (float)(size * (i % 1000) + others);
    assert_all_int_equal(wrong, 0);
    assert_all(rls_panel_sum(MPI_COMM_SELF, RLS_F32, data, count) == 0.0);
    assert_all(rls_panel_sum(rls_context_comm(ctx), RLS_F64, NULL, 0) == 0.0);
    free(data);
}

/* S's lower triangle is summed, what was above the diagonal is not looked at. */
static void test_sum_triangle(void **state)
{
    ctx = *state;
    const int64_t sizes[] = {0, 1, 2, 3, 8, 37, 300};
    const rls_dtype types[] = {RLS_F64, RLS_F32};
    const int ranks = rls_context_size(ctx), rank = rls_context_rank(ctx);
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
        for (int d = 0; d < 2; d++) {
            const int64_t u = sizes[k];
            void *s = elements_of(u * u, types[d]);
            for (int64_t j = 0; j < u; j++)
                for (int64_t i = 0; i < u; i++)
                    put(types[d], s, i + j * u, i < j ? (double)NAN : element(i, j) + rank);
            const double bytes = rls_panel_sum_triangle(rls_context_comm(ctx), types[d], u, s);
            const double packed = (double)(u * (u + 1) / 2) * (double)rls_dtype_size(types[d]);
            assert_all(bytes == (ranks > 1 ? packed : 0.0));
            int64_t wrong = 0;
            for (int64_t j = 0; j < u; j++)
                for (int64_t i = 0; i < u; i++)
                    wrong += get(types[d], s, i + j * u) !=
                             (i < j ? 0.0 : ranks * element(i, j) + ranks * (ranks - 1) / 2);
            assert_all_int_equal(wrong, 0);
            free(s);
        }
}

/* A rank that has no memory for its share is one failure for all, and the next dealing works. */
static void test_one_refuses(void **state)
{
    ctx = *state;
    rls_grid *grid = NULL;
    rls_panel_map map;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    assert_all_ok(ctx, rls_agree(ctx, rls_panel_map_init(&map, grid, 40, 8, RLS_F64)));
    const int last = rls_context_size(ctx) - 1;
    const int64_t count = rls_context_rank(ctx) == last ? (int64_t)1 << 40 : 1;
    double vector[40], *row = elements_of(map.row_local * (last + 1), RLS_F64);
    for (int i = 0; i < 40; i++)
        vector[i] = element(i, rls_context_rank(ctx));
    assert_all_status(ctx, rls_vectors_to_panel(&map, RLS_ROW_PANEL, count, RLS_F64, vector, row),
                      RLS_ERR_MEMORY);
    assert_all_message(ctx, "on one rank");
    assert_all_ok(ctx, rls_vectors_to_panel(&map, RLS_ROW_PANEL, 1, RLS_F64, vector, row));
    assert_all_int_equal(wrong_in_panel(&map, RLS_ROW_PANEL, last + 1, row), 0);
    free(row);
    rls_panel_map_free(&map);
    rls_grid_destroy(&grid);
}

/* More than fits 32-bit counts on one rank is refused on all, before anything is sent. */
static void test_too_many(void **state)
{
    ctx = *state;
    rls_grid *grid = NULL;
    rls_panel_map map;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    assert_all_ok(ctx, rls_agree(ctx, rls_panel_map_init(&map, grid, 1 << 20, 64, RLS_F32)));
    const int64_t count = rls_context_rank(ctx) == 0 ? 4096 : 0;
    assert_all_status(ctx, rls_vectors_to_panel(&map, RLS_ROW_PANEL, count, RLS_F32, NULL, NULL),
                      RLS_ERR_MEMORY);
    assert_all_message(ctx, "4096 edits on one rank");
    assert_all_message(ctx, "smaller batch");
    assert_all_status(ctx, rls_panel_to_vectors(&map, count, NULL, NULL), RLS_ERR_MEMORY);
    rls_panel_map_free(&map);
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_panels), context_test(test_sum),
                                       context_test(test_sum_triangle), context_test(test_one_refuses),
                                       context_test(test_too_many)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "panel");
}
