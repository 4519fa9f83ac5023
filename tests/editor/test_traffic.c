/* ctest: NP 1 2 3 4 6 9 */
/* What a step sends is what the formula says, so that a change that sends more is noticed. */
#include <stdlib.h>

#include "support/collective.h"
#include "support/state.h"
#include "support/traffic.h"

static rls_context *ctx;

typedef struct {
    int64_t n, m, block, u;
    rls_dtype dtype;
} problem;

/* `count` vectors of small numbers. */
static rls_vectors vectors(int64_t length, int64_t count, uint64_t seed)
{
    double *data = calloc((size_t)(length * count) + 1, sizeof *data);
    if (data == NULL)
        abort();
    for (int64_t j = 0; j < count; j++)
        for (int64_t i = 0; i < length; i++)
            data[i + j * length] =
                0.01 * rls_random_normal_at(seed, i, j + 1000 * (int64_t)rls_context_rank(ctx));
    return (rls_vectors){count, RLS_F64, data};
}

/* What a step of a batch of which this rank has `count` edits sends, on the rank that has most of it. */
static traffic sent_by_step(rls_grid *grid, const problem *x, int64_t count)
{
    rls_editor *ed = NULL;
    const rls_editor_options o = {
        .rule = "rls", .lambda = 1.0, .dtype = x->dtype, .n = x->n, .m = x->m, .block = x->block};
    assert_all_ok(ctx, rls_editor_create(grid, &o, &ed));
    assert_all_ok(ctx, rls_editor_start(ed, NULL));
    rls_batch batch = {
        .keys = vectors(x->n, count, 1), .values = vectors(x->m, count, 2), .kind = RLS_TARGET};
    rls_step_report report;
    const traffic before = traffic_so_far;
    const rls_status status = rls_editor_step(ed, &batch, &report);
    const traffic sent = traffic_since(before);
    assert_all_ok(ctx, status);
    double most[3] = {sent.bytes, (double)sent.calls, (double)sent.sends};
    PMPI_Allreduce(MPI_IN_PLACE, most, 3, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    rls_editor_destroy(&ed);
    free((void *)batch.keys.data);
    free((void *)batch.values.data);
    return (traffic){.bytes = most[0], .calls = (int64_t)most[1], .sends = (int64_t)most[2]};
}

static traffic_formula formula_of(const rls_grid *grid, const problem *x)
{
    int p = 0, q = 0;
    rls_grid_shape(grid, &p, &q, NULL, NULL);
    return traffic_of_step((double)x->n, (double)x->m, (double)x->u, p, q, (double)rls_dtype_size(x->dtype));
}

static const problem problems[] = {{960, 480, 16, 24, RLS_F64},
                                   {768, 256, 16, 96, RLS_F32},
                                   {512, 512, 32, 1, RLS_F64},
                                   {1152, 96, 16, 200, RLS_F32}};

static void check_even(rls_grid *grid, void *user)
{
    (void)user;
    const int64_t size = rls_context_size(ctx), rank = rls_context_rank(ctx);
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++) {
        const problem *x = &problems[i];
        const traffic_formula f = formula_of(grid, x);
        const traffic sent = sent_by_step(grid, x, x->u * (rank + 1) / size - x->u * rank / size);
        assert_all_le(sent.bytes, 1.1 * f.bytes);
        if (x->u >= size) /* who sends less, writes a better formula; fewer edits may be where they belong */
            assert_all_le(0.9 * f.bytes, sent.bytes);
        assert_all_le(sent.calls, f.calls);
        assert_all_le(sent.sends, f.sends);
    }
}

static void test_even_batches(void **state)
{
    ctx = *state;
    each_grid(ctx, check_even, NULL);
}

/* A rank that has all edits sends each of them once more, not once a process column or row. */
static void check_all_on_one(rls_grid *grid, void *user)
{
    (void)user;
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++) {
        const problem *x = &problems[i];
        const traffic_formula f = formula_of(grid, x);
        const traffic sent = sent_by_step(grid, x, rls_context_rank(ctx) == 0 ? x->u : 0);
        const double batch = (double)((x->n + x->m) * x->u) * (double)rls_dtype_size(x->dtype);
        assert_all_le(sent.bytes, 1.1 * f.bytes + batch);
        assert_all_le(sent.calls, f.calls);
    }
}

static void test_all_on_one_rank(void **state)
{
    ctx = *state;
    each_grid(ctx, check_all_on_one, NULL);
}

/* A batch without edits costs agreements only. */
static void check_empty(rls_grid *grid, void *user)
{
    (void)user;
    const problem x = {64, 32, 16, 0, RLS_F64};
    const traffic sent = sent_by_step(grid, &x, 0);
    assert_all_le(sent.bytes, 1024.0);
    assert_all_le(sent.calls, 5);
    assert_all_int_equal(sent.sends, 0);
}

static void test_empty_batch(void **state)
{
    ctx = *state;
    each_grid(ctx, check_empty, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_even_batches), context_test(test_all_on_one_rank),
                                       context_test(test_empty_batch)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "traffic");
}
