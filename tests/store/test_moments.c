/* Second moments: what is written from any grid is read on any other, in either type; bad files are refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/matrix.h"
#include "store/moments.h"
#include "support/collective.h"
#include "support/state.h"

enum { LAYERS = 3 };

typedef struct {
    int layer;
    int64_t n, count;
    rls_dtype dtype;
} known;

/* Not in order, of different shapes and types. */
static const known KNOWN[LAYERS] = {
    {12, 37, 123456789012, RLS_F64}, {3, 20, 1, RLS_F32}, {5, 1, 77, RLS_F64}};

/* A symmetric matrix with a positive diagonal, of numbers that float32 holds. */
static double moment_at(int layer, int64_t i, int64_t j)
{
    const int64_t low = i < j ? i : j, high = i < j ? j : i;
    return (double)(float)(rls_random_normal_at((uint64_t)layer, low, high) + (i == j ? 10.0 : 0.0));
}

static void set_local(rls_matrix *matrix, int64_t il, int64_t jl, double x)
{
    int64_t rows = 0, cols = 0, ld = 0;
    void *data = rls_matrix_local(matrix, &rows, &cols, &ld);
    if (matrix->part.dtype == RLS_F64)
        ((double *)data)[il + jl * ld] = x;
    else
        ((float *)data)[il + jl * ld] = (float)x;
}

static rls_matrix *make_matrix(rls_grid *grid, rls_dtype dtype, int64_t n, int64_t block, int layer)
{
    rls_matrix *matrix = NULL;
    assert_all_ok(NULL, rls_matrix_create(grid, dtype, n, n, block, &matrix));
    for (int64_t jl = 0; jl < matrix->cols_local && layer >= 0; jl++)
        for (int64_t il = 0; il < matrix->rows_local; il++)
            set_local(matrix, il, jl,
                      moment_at(layer, rls_matrix_global_row(matrix, il), rls_matrix_global_col(matrix, jl)));
    return matrix;
}

/* The number of elements that are not the layer's. */
static int64_t count_wrong(rls_matrix *matrix, int layer)
{
    int64_t rows = 0, cols = 0, ld = 0, wrong = 0;
    const void *data = rls_matrix_local(matrix, &rows, &cols, &ld);
    for (int64_t jl = 0; jl < cols; jl++)
        for (int64_t il = 0; il < rows; il++) {
            const double x = matrix->part.dtype == RLS_F64 ? ((const double *)data)[il + jl * ld]
                                                           : (double)((const float *)data)[il + jl * ld];
            wrong +=
                x != moment_at(layer, rls_matrix_global_row(matrix, il), rls_matrix_global_col(matrix, jl));
        }
    return wrong;
}

/* Puts x at [i, j] of the file's row i: the matrix's element (j, i). */
static void put(rls_matrix *matrix, int64_t i, int64_t j, double x)
{
    for (int64_t jl = 0; jl < matrix->cols_local; jl++)
        for (int64_t il = 0; il < matrix->rows_local; il++)
            if (rls_matrix_global_row(matrix, il) == j && rls_matrix_global_col(matrix, jl) == i)
                set_local(matrix, il, jl, x);
}

static void write_known(rls_context *ctx, rls_grid *grid, const char *path, int64_t block)
{
    rls_matrix *matrices[LAYERS];
    int layers[LAYERS];
    int64_t counts[LAYERS];
    for (int i = 0; i < LAYERS; i++) {
        matrices[i] = make_matrix(grid, KNOWN[i].dtype, KNOWN[i].n, block, KNOWN[i].layer);
        layers[i] = KNOWN[i].layer;
        counts[i] = KNOWN[i].count;
    }
    assert_all_ok(ctx, rls_moments_write(ctx, path, "h.{}.mlp", LAYERS, layers, matrices, counts));
    for (int i = 0; i < LAYERS; i++) {
        assert_all_int_equal(count_wrong(matrices[i], KNOWN[i].layer), 0);
        rls_matrix_destroy(&matrices[i]);
    }
}

static void check_known(rls_grid *grid, void *user)
{
    const char *path = user;
    rls_context *ctx = grid->ctx;
    rls_moments *moments = NULL;
    assert_all_ok(ctx, rls_moments_open(ctx, path, &moments));
    const rls_moments_info *info = rls_moments_inquire(moments);
    assert_all_int_equal(info->layer_count, LAYERS);
    assert_all_string_equal(info->module, "h.{}.mlp");
    assert_all(info->layers[0].layer == 3 && info->layers[1].layer == 5 && info->layers[2].layer == 12);
    for (int i = 0; i < LAYERS; i++) {
        const rls_moments_layer *l = &info->layers[(i + 2) % 3];
        assert_all(l->layer == KNOWN[i].layer && l->n == KNOWN[i].n && l->dtype == KNOWN[i].dtype);
        assert_all_int_equal(l->count, KNOWN[i].count);
        for (int64_t block = 1; block <= 64; block *= 4) {
            rls_matrix *matrix = make_matrix(grid, block % 8 == 0 ? RLS_F32 : RLS_F64, l->n, block, -1);
            assert_all_ok(ctx, rls_moments_load(moments, l->layer, matrix));
            assert_all_int_equal(count_wrong(matrix, l->layer), 0);
            rls_matrix_destroy(&matrix);
        }
    }
    rls_moments_close(&moments);
    assert_all(moments == NULL);
}

typedef struct {
    char path[RLS_TEST_PATH_MAX + 16];
    int64_t block;
} place;

static void write_then_check(rls_grid *grid, void *user)
{
    place *where = user;
    write_known(grid->ctx, grid, where->path, where->block);
    each_grid(grid->ctx, check_known, where->path);
    where->block += 3;
}

static void test_round_trip(void **state)
{
    char dir[RLS_TEST_PATH_MAX];
    place where = {.block = 2};
    rls_test_tmpdir(dir);
    (void)snprintf(where.path, sizeof where.path, "%s/m.nc", dir);
    each_grid(*state, write_then_check, &where);
    rls_test_rmtree(dir);
}

/* More than one round of rows a rank (on one rank), in float64 from float64 and into float32. */
static void test_rounds(void **state)
{
    rls_context *ctx = *state;
    enum { N = 3100 };
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    const int layer = 8;
    const int64_t count = 10;
    rls_grid *grid = NULL;
    rls_moments *moments = NULL;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/m.nc", dir);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    rls_matrix *matrix = make_matrix(grid, RLS_F64, N, 64, layer),
               *narrow = make_matrix(grid, RLS_F32, N, 32, -1);
    assert_all_ok(ctx, rls_moments_write(ctx, path, "x.{}", 1, &layer, &matrix, &count));
    assert_all_ok(ctx, rls_moments_open(ctx, path, &moments));
    assert_all_ok(ctx, rls_moments_load(moments, layer, narrow));
    assert_all_int_equal(count_wrong(narrow, layer), 0);
    rls_moments_close(&moments);
    rls_matrix_destroy(&narrow);
    rls_matrix_destroy(&matrix);
    rls_grid_destroy(&grid);
    rls_test_rmtree(dir);
}

typedef struct {
    int64_t i, j;
    double x;
    rls_dtype file, state;
    const char *why; /* NULL: fine */
} wrong_number;

/* Numbers that no second moment has; the first row at fault is named on any number of ranks. */
static void test_numbers(void **state)
{
    static const wrong_number numbers[] = {
        {0, 0, 10.0, RLS_F64, RLS_F64, NULL},
        {19, 0, NAN, RLS_F64, RLS_F64, "second_moment_3[19, 0] is nan, no finite float64"},
        {2, 17, -INFINITY, RLS_F32, RLS_F64, "second_moment_3[2, 17] is -inf, no finite float64"},
        {7, 7, -1e-3, RLS_F64, RLS_F32,
         "second_moment_3[7, 7] is -0.001: no second moment has a negative diagonal"},
        {7, 7, 1e39, RLS_F64, RLS_F32, "second_moment_3[7, 7] is 1e+39, no finite float32"},
        {7, 7, 1e39, RLS_F64, RLS_F64, NULL},
        {7, 7, 0x1.fffffep127, RLS_F64, RLS_F32, NULL}, /* the largest float32 */
        {7, 7, 1e200, RLS_F64, RLS_F64, NULL},          /* its square is infinite */
        {4, 11, 3.0, RLS_F64, RLS_F64, "second_moment_3 is not symmetric: row and column "},
        {16, 2, 3.0, RLS_F32, RLS_F32, "second_moment_3 is not symmetric: row and column "},
    };
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    const int layer = 3;
    const int64_t count = 10;
    rls_grid *grid = NULL;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/m.nc", dir);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    for (size_t k = 0; k < RLS_TEST_COUNT(numbers); k++) {
        const wrong_number *w = &numbers[k];
        rls_moments *moments = NULL;
        rls_matrix *matrix = make_matrix(grid, w->file, 20, 3, layer),
                   *to = make_matrix(grid, w->state, 20, 4, -1);
        put(matrix, w->i, w->j, w->x);
        assert_all_ok(ctx, rls_moments_write(ctx, path, "x.{}", 1, &layer, &matrix, &count));
        assert_all_ok(ctx, rls_moments_open(ctx, path, &moments));
        assert_all_status(ctx, rls_moments_load(moments, layer, to), w->why == NULL ? RLS_OK : RLS_ERR_DATA);
        if (w->why != NULL)
            assert_all_message(ctx, w->why);
        rls_moments_close(&moments);
        rls_matrix_destroy(&to);
        rls_matrix_destroy(&matrix);
    }
    rls_grid_destroy(&grid);
    rls_test_rmtree(dir);
}

/* Which triangle an editor gets when rounding made the file slightly unsymmetric: the file's upper one. */
static void test_triangle(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    const int layer = 3;
    const int64_t count = 10;
    const double upper = moment_at(layer, 2, 9) + 1e-6;
    rls_grid *grid = NULL;
    rls_moments *moments = NULL;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/m.nc", dir);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    rls_matrix *matrix = make_matrix(grid, RLS_F64, 20, 3, layer);
    put(matrix, 2, 9, upper);
    assert_all_ok(ctx, rls_moments_write(ctx, path, "x.{}", 1, &layer, &matrix, &count));
    assert_all_ok(ctx, rls_moments_open(ctx, path, &moments));
    assert_all_ok(ctx, rls_moments_load(moments, layer, matrix));
    const bool mine =
        grid->row == rls_dim_owner(matrix->part.rows, 9) && grid->col == rls_dim_owner(matrix->part.cols, 2);
    assert_all_int_equal(count_wrong(matrix, layer), mine ? 1 : 0);
    put(matrix, 2, 9, moment_at(layer, 2, 9)); /* element (9, 2) of the matrix, below the diagonal */
    assert_all_int_equal(count_wrong(matrix, layer), 0);
    rls_moments_close(&moments);
    rls_matrix_destroy(&matrix);
    rls_grid_destroy(&grid);
    rls_test_rmtree(dir);
}

typedef struct {
    const char *from, *to;
    size_t bytes;
    const char *why;
} attack;

#define ATTACK(from, to, why)                                                                                \
    {                                                                                                        \
        from, to, sizeof(from) - 1, why                                                                      \
    }

static void refused(rls_context *ctx, const char *path, const char *why)
{
    rls_moments *moments = NULL;
    assert_all_status(ctx, rls_moments_open(ctx, path, &moments), RLS_ERR_DATA);
    assert_all(moments == NULL);
    assert_all_message(ctx, why);
}

static void test_bad_files(void **state)
{
    static const attack attacks[] = {
        ATTACK("CDF", "HDF", "bad.nc is not a netCDF file"),
        ATTACK("rlsedit-moments", "rlsedit-moment5",
               "format is \"rlsedit-moment5\", not \"rlsedit-moments\""),
        ATTACK("version", "versiom", "the global attribute version is missing"),
        ATTACK("module", "noodle", "the global attribute module is missing"),
        ATTACK("count_12", "count_13", "variable count_12 is missing (second_moment_12 is there)"),
        ATTACK("n_12\0\0\0\0\0\0\0\x25", "n_12\0\0\0\0\0\0\0\x26", "bad.nc"),
        ATTACK("\0\0\0\x1c\xbe\x99\x1a\x14", "\0\0\0\0\0\0\0\0", "count_12 is 0: a mean over no keys"),
    };
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], good[RLS_TEST_PATH_MAX + 16], bad[RLS_TEST_PATH_MAX + 16];
    rls_grid *grid = NULL;
    size_t size = 0;
    rls_test_tmpdir(dir);
    (void)snprintf(good, sizeof good, "%s/good.nc", dir);
    (void)snprintf(bad, sizeof bad, "%s/bad.nc", dir);
    refused(ctx, bad, "bad.nc: No such file");
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    write_known(ctx, grid, good, 8);
    char *bytes = rls_test_read(good, &size);
    for (size_t k = 0; k < RLS_TEST_COUNT(attacks); k++) {
        size_t at = 0;
        char *copy = malloc(size);
        memcpy(copy, bytes, size);
        while (at + attacks[k].bytes <= size && memcmp(copy + at, attacks[k].from, attacks[k].bytes) != 0)
            at++;
        assert_all(at + attacks[k].bytes <= size);
        memcpy(copy + at, attacks[k].to, attacks[k].bytes);
        rls_test_write(bad, copy, size);
        refused(ctx, bad, attacks[k].why);
        free(copy);
    }
    for (size_t cut = 4; cut < size; cut += cut < 1000 ? 11 : 997) {
        rls_test_write(bad, bytes, cut);
        refused(ctx, bad, "bad.nc is truncated");
    }
    free(bytes);
    rls_grid_destroy(&grid);
    rls_test_rmtree(dir);
}

static void test_wrong_calls(void **state)
{
    rls_context *ctx = *state;
    char dir[RLS_TEST_PATH_MAX], path[RLS_TEST_PATH_MAX + 16];
    const int layer = 3;
    const int64_t count = 10;
    rls_grid *grid = NULL;
    rls_moments *moments = NULL;
    rls_matrix *oblong = NULL;
    rls_test_tmpdir(dir);
    (void)snprintf(path, sizeof path, "%s/m.nc", dir);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    write_known(ctx, grid, path, 8);
    assert_all_ok(ctx, rls_moments_open(ctx, path, &moments));
    rls_matrix *matrix = make_matrix(grid, RLS_F64, 36, 8, -1);
    assert_all_status(ctx, rls_moments_load(moments, 12, matrix), RLS_ERR_DATA);
    assert_all_message(ctx, "second_moment_12 is 37 x 37, but the layer's keys have length 36");
    assert_all_status(ctx, rls_moments_load(moments, 4, matrix), RLS_ERR_DATA);
    assert_all_message(ctx, "variable second_moment_4 is missing: the file's layers are 3, 5, 12");
    rls_moments_close(&moments);
    rls_test_write(path, "", 0);
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, 4, 5, 2, &oblong));
    assert_all_status(ctx, rls_moments_write(ctx, path, "x.{}", 1, &layer, &oblong, &count), RLS_ERR_USAGE);
    assert_all_message(ctx, "the second moment of layer 3 cannot be 4 x 5");
    (void)snprintf(path, sizeof path, "%s/no/m.nc", dir);
    assert_all_status(ctx, rls_moments_write(ctx, path, "x.{}", 1, &layer, &matrix, &count), RLS_ERR_IO);
    rls_matrix_destroy(&oblong);
    rls_matrix_destroy(&matrix);
    rls_grid_destroy(&grid);
    rls_test_rmtree(dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        context_test(test_round_trip), context_test(test_numbers),     context_test(test_triangle),
        context_test(test_bad_files),  context_test(test_wrong_calls), context_test(test_rounds),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "moments");
}
