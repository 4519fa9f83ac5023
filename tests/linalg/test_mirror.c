/* The upper triangle from the lower one: on every grid, for sizes that no block divides, whatever stood
 * there. */
#include <math.h>
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/symmetric.h"
#include "support/collective.h"
#include "support/state.h"

static rls_context *ctx;

static double element(int64_t i, int64_t j)
{
    return (double)(float)rls_random_normal_at(5, i, j);
}

static double get(const rls_matrix *c, int64_t il, int64_t jl)
{
    const int64_t at = il + jl * c->part.ld;
    return c->part.dtype == RLS_F64 ? ((const double *)c->part.data)[at]
                                    : (double)((const float *)c->part.data)[at];
}

/* NaN above the diagonal. */
static rls_matrix *lower(rls_grid *grid, rls_dtype dtype, int64_t n, int64_t block)
{
    rls_matrix *c = NULL;
    assert_all_ok(ctx, rls_matrix_create(grid, dtype, n, n, block, &c));
    for (int64_t jl = 0; jl < c->cols_local; jl++)
        for (int64_t il = 0; il < c->rows_local; il++) {
            const int64_t i = rls_matrix_global_row(c, il), j = rls_matrix_global_col(c, jl);
            rls_set(dtype, c->part.data, il + jl * c->part.ld, i >= j ? element(i, j) : (double)NAN);
        }
    return c;
}

/* Elements of columns below `columns` that are not the mirrored ones, and lower ones that changed. */
static int64_t count_wrong(const rls_matrix *c, int64_t columns)
{
    int64_t wrong = 0;
    for (int64_t jl = 0; jl < c->cols_local; jl++)
        for (int64_t il = 0; il < c->rows_local; il++) {
            const int64_t i = rls_matrix_global_row(c, il), j = rls_matrix_global_col(c, jl);
            if (i >= j || j < columns)
                wrong += get(c, il, jl) != (i >= j ? element(i, j) : element(j, i));
        }
    return wrong;
}

typedef struct {
    rls_dtype dtype;
    int64_t n, block;
} shape;

static void mirror_one(rls_grid *grid, void *user)
{
    const shape *s = user;
    rls_matrix *c = lower(grid, s->dtype, s->n, s->block);
    assert_all_ok(ctx, rls_symmetric_mirror(c));
    assert_all_int_equal(count_wrong(c, s->n), 0);
    assert_all_ok(ctx, rls_symmetric_mirror(c)); /* again: the same */
    assert_all_int_equal(count_wrong(c, s->n), 0);
    rls_matrix_destroy(&c);
}

static void test_all(void **state)
{
    static const int64_t SIZES[] = {1, 2, 7, 16, 33, 64, 65, 129, 200}, BLOCKS[] = {1, 3, 8, 16, 64, 300};
    ctx = *state;
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++)
        for (size_t b = 0; b < sizeof BLOCKS / sizeof BLOCKS[0]; b++)
            for (int d = 0; d < 2; d++) {
                shape s = {d == 0 ? RLS_F64 : RLS_F32, SIZES[i], BLOCKS[b]};
                if (BLOCKS[b] > 1 || SIZES[i] < 64)
                    each_grid(ctx, mirror_one, &s);
            }
}

/* Several rounds of messages. */
static void test_rounds(void **state)
{
    ctx = *state;
    shape s = {RLS_F64, 2500, 60};
    each_grid(ctx, mirror_one, &s);
}

static void mirror_by_steps(rls_grid *grid, void *user)
{
    static const int64_t COLUMNS[] = {0, 0, 1, 2, 9, 31, 32, 33, 33, 90, 101};
    const shape *s = user;
    rls_matrix *c = lower(grid, s->dtype, s->n, s->block);
    rls_mirror *mirror = NULL;
    assert_all_ok(ctx, rls_mirror_begin(c, &mirror));
    for (size_t i = 0; i < sizeof COLUMNS / sizeof COLUMNS[0]; i++) {
        assert_all_ok(ctx, rls_mirror_advance(mirror, COLUMNS[i]));
        assert_all_int_equal(count_wrong(c, COLUMNS[i]), 0);
    }
    rls_mirror_end(&mirror);
    assert_null(mirror);
    rls_mirror_end(&mirror);
    rls_matrix_destroy(&c);
}

/* Bit by bit, each column is complete when it is said to be. */
static void test_steps(void **state)
{
    ctx = *state;
    for (int64_t block = 1; block < 128; block = 2 * block + 1) {
        shape s = {block % 4 == 3 ? RLS_F32 : RLS_F64, 101, block};
        each_grid(ctx, mirror_by_steps, &s);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_all), context_test(test_rounds),
                                       context_test(test_steps)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "mirror");
}
