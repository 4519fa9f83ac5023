/* Sums of outer products against a dense sum: every grid, odd sizes, vectors on some ranks only. */
#include "linalg/accumulate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/kernels.h"
#include "linalg/symmetric.h"
#include "support/collective.h"
#include "support/state.h"

static double *doubles(int64_t count)
{
    double *data = calloc((size_t)count + 1, sizeof *data);
    if (data == NULL)
        abort();
    return data;
}

/* Element i of vector k; float32 holds it. */
static double element(int64_t i, int64_t k)
{
    return (double)(float)rls_random_normal_at(71, i, k);
}

static void dense_sum(int64_t n, int64_t vectors, double *sum)
{
    for (int64_t k = 0; k < vectors; k++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t i = 0; i < n; i++)
                sum[i + j * n] += element(i, k) * element(j, k);
}

/* Vectors [first, first + count) as this rank's, in a type. */
static rls_vectors make_vectors(rls_dtype dtype, int64_t n, int64_t first, int64_t count)
{
    void *data = doubles(n * count);
    for (int64_t k = 0; k < count; k++)
        for (int64_t i = 0; i < n; i++)
            rls_set(dtype, data, i + k * n, element(i, first + k));
    return (rls_vectors){count, dtype, data};
}

/* How many of `vectors` come before a rank's: dealt evenly, to the last rank only, or to every other one. */
static int64_t before(int dealing, int64_t vectors, int rank, int size)
{
    if (dealing == 0)
        return vectors * rank / size;
    if (dealing == 1)
        return rank == size ? vectors : 0;
    const int64_t takers = (size + 1) / 2;
    return vectors * ((rank + 1) / 2) / takers;
}

typedef struct {
    rls_dtype state, keys;
    int64_t n, block, width, vectors;
    int dealing;
} shape;

static void accumulate_on(rls_grid *grid, void *user)
{
    const shape *s = user;
    rls_context *ctx = rls_grid_context(grid);
    const int64_t n = s->n;
    double *expected = doubles(n * n), *found = doubles(n * n);
    rls_matrix *c = NULL;
    rls_accumulator *a = NULL;
    assert_all_ok(ctx, rls_matrix_create(grid, s->state, n, n, s->block, &c));
    assert_all_ok(ctx, rls_accumulator_create(grid, s->state, n, s->block, s->width, &a));
    dense_sum(n, s->vectors, expected);
    /* in two calls, the second of which may have nothing */
    const int64_t half = s->vectors - s->vectors / 3;
    for (int call = 0; call < 2; call++) {
        const int64_t all = call == 0 ? half : s->vectors - half;
        const int64_t first = before(s->dealing, all, ctx->rank, ctx->size),
                      end = before(s->dealing, all, ctx->rank + 1, ctx->size);
        rls_vectors v = make_vectors(s->keys, n, call * half + first, end - first);
        const rls_vectors none = {0, s->keys, NULL};
        assert_all_ok(ctx, rls_accumulate(a, c, v.count > 0 ? &v : &none));
        free((void *)v.data);
    }
    symmetric_to_dense(ctx, c, found);
    /* each sum of `vectors` products is rounded at most that often */
    const double bound = (double)(s->vectors + 2) * rls_dtype_eps(s->state);
    assert_all_le(s->vectors > 0 ? relative_difference(found, expected, n * n) : fabs(found[0]), bound);
    rls_accumulator_destroy(&a);
    rls_accumulator_destroy(&a);
    rls_matrix_destroy(&c);
    free(expected);
    free(found);
}

static void test_equals_dense_sum(void **state)
{
    static const shape SHAPES[] = {
        {RLS_F64, RLS_F32, 37, 4, 0, 50, 0},  {RLS_F32, RLS_F32, 37, 5, 7, 50, 1},
        {RLS_F64, RLS_F64, 64, 8, 16, 33, 2}, {RLS_F64, RLS_F32, 3, 64, 2, 9, 0}, /* most ranks own nothing */
        {RLS_F64, RLS_F32, 1, 1, 1, 1, 1},    {RLS_F32, RLS_F64, 20, 3, 1, 5, 2},
        {RLS_F64, RLS_F32, 10, 3, 4, 0, 0}, /* no vectors at all */
    };
    for (size_t i = 0; i < sizeof SHAPES / sizeof SHAPES[0]; i++) {
        shape s = SHAPES[i];
        each_grid(*state, accumulate_on, &s);
    }
}

static void change_on(rls_grid *grid, void *user)
{
    (void)user;
    enum { N = 23 };
    rls_context *ctx = rls_grid_context(grid);
    rls_matrix *a = NULL, *b = NULL;
    double *x = doubles(2 * N * N), *y = x + N * N, change2 = 0.0, norm2 = 0.0, change = 0.0, norm = 0.0;
    for (int64_t j = 0; j < N; j++)
        for (int64_t i = 0; i < N; i++) {
            const int64_t low = i < j ? i : j, high = i < j ? j : i;
            x[i + j * N] = rls_random_normal_at(5, high, low);
            y[i + j * N] = rls_random_normal_at(6, high, low);
            change2 += pow(0.5 * x[i + j * N] - 0.25 * y[i + j * N], 2.0);
            norm2 += pow(0.5 * x[i + j * N], 2.0);
            if (i < j) /* above the diagonal lies what nothing may read */
                x[i + j * N] = y[i + j * N] = (double)NAN;
        }
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, N, N, 4, &a));
    assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, N, N, 4, &b));
    matrix_from_dense(a, x);
    matrix_from_dense(b, y);
    rls_symmetric_change(a, 0.5, b, 0.25, &change, &norm);
    assert_all_le(fabs(change - sqrt(change2)), 1e-13 * sqrt(change2));
    assert_all_le(fabs(norm - sqrt(norm2)), 1e-13 * sqrt(norm2));
    rls_matrix_destroy(&a);
    rls_matrix_destroy(&b);
    free(x);
}

static void test_change_of_triangles(void **state)
{
    each_grid(*state, change_on, NULL);
}

static void test_bytes_cover_the_buffers(void **state)
{
    (void)state;
    const double one = rls_accumulator_bytes(RLS_F64, 8192, 64, 1024, 1, 1);
    assert_all_le(one, 6.0 * 8192 * 1025 * 8);
    assert_all_le(rls_accumulator_bytes(RLS_F32, 8192, 64, 0, 4, 4), 0.5 * one);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_equals_dense_sum),
                                       context_test(test_change_of_triangles),
                                       context_test(test_bytes_cover_the_buffers)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "accumulate");
}
