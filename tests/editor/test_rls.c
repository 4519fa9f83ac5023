/* ctest: TIMEOUT 600 */
/* The recursion against the dense closed form, over grids, blocks, batch cuts and types. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/collective.h"
#include "support/state.h"

static rls_context *ctx;

static double *array(int64_t count)
{
    double *a = calloc((size_t)count, sizeof *a);
    if (a == NULL)
        abort();
    return a;
}

typedef struct {
    const dense_problem *problem;
    const double *delta;
    int64_t edits;
} closed_form;

static void compare(rls_grid *grid, const closed_form *form, rls_dtype dtype, int64_t block, int64_t batch)
{
    rls_editor *ed = editor_for(grid, form->problem, dtype, block);
    apply_edits(ed, ctx, form->problem, 0, form->edits, batch);
    assert_all_le(delta_error(ctx, ed, form->problem, form->delta), dtype == RLS_F64 ? 1e-10 : 2e-4);
    rls_editor_destroy(&ed);
}

static void compare_all_cuts(rls_grid *grid, void *user)
{
    const closed_form *form = user;
    const int64_t blocks[] = {8, 32, 64}, batches[] = {7, 100, form->edits};
    for (int b = 0; b < 3; b++)
        for (int u = 0; u < 3; u++) {
            compare(grid, form, RLS_F64, blocks[b], batches[u]);
            compare(grid, form, RLS_F32, blocks[b], batches[u]);
        }
    compare(grid, form, RLS_F64, 32, 1);
    compare(grid, form, RLS_F32, 32, 1);
}

static void test_closed_form(void **state)
{
    ctx = *state;
    dense_problem p;
    dense_random(&p, 150, 70, 1000, 1e4, 1);
    double *delta = array(p.n * p.m);
    assert_int_equal(dense_solution(&p, p.u, delta), 0);
    closed_form form = {&p, delta, p.u};
    each_grid(ctx, compare_all_cuts, &form);
    free(delta);
    dense_free(&p);
}

static void compare_anchors(rls_grid *grid, void *user)
{
    const closed_form *form = user;
    compare(grid, form, RLS_F64, 16, 13);
    compare(grid, form, RLS_F32, 16, 13);
}

/* Explicit keys alone, with the moment, and with values; lambda = 0 where the anchor has full rank. */
static void test_anchors(void **state)
{
    ctx = *state;
    for (int kind = 0; kind < 6; kind++) {
        dense_problem p;
        dense_random(&p, 67, 33, 60, 1e3, (uint64_t)(10 + kind));
        dense_random_anchors(&p, 150, kind % 2, (uint64_t)(20 + kind));
        p.mu = 1.5;
        p.weight = 0.7;
        if (kind >= 2) {
            free(p.moment);
            p.moment = NULL;
        }
        if (kind >= 4)
            p.lambda = 0.0;
        double *delta = array(p.n * p.m);
        assert_int_equal(dense_solution(&p, p.u, delta), 0);
        closed_form form = {&p, delta, p.u};
        each_grid(ctx, compare_anchors, &form);
        free(delta);
        dense_free(&p);
    }
}

/* C is the inverse of A_t, its meaning being the lower triangle; the trace falls, the pivots are at least 1.
 */
static void test_inverse_covariance(void **state)
{
    ctx = *state;
    dense_problem p;
    dense_random(&p, 53, 5, 40, 1e3, 3);
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    rls_editor *ed = editor_for(grid, &p, RLS_F64, 8);
    double trace = INFINITY;
    for (int64_t at = 0; at < p.u; at += 10) {
        const rls_batch batch = {.keys = share_of(ctx, p.keys, p.n, at, 10),
                                 .values = share_of(ctx, p.values, p.m, at, 10)};
        rls_step_report report;
        assert_all_ok(ctx, rls_editor_step(ed, &batch, &report));
        assert_all_int_equal(report.edits, 10);
        assert_all_le(report.trace, trace);
        assert_all_le(1.0 - 1e-12, report.smallest_pivot);
        trace = report.trace;
    }
    double *a = array(p.n * p.n), *c = array(p.n * p.n);
    dense_anchor(&p, a);
    for (int64_t e = 0; e < p.u; e++)
        for (int64_t j = 0; j < p.n; j++)
            for (int64_t i = 0; i < p.n; i++)
                a[i + j * p.n] += p.keys[i + e * p.n] * p.keys[j + e * p.n];
    symmetric_to_dense(ctx, rls_editor_inv_cov(ed), c);
    double worst = 0.0, sum = 0.0;
    for (int64_t j = 0; j < p.n; j++) {
        sum += c[j * (p.n + 1)];
        for (int64_t i = 0; i < p.n; i++) {
            double product = i == j ? -1.0 : 0.0;
            for (int64_t k = 0; k < p.n; k++)
                product += a[i + k * p.n] * c[k + j * p.n];
            worst = fmax(worst, fabs(product));
        }
    }
    assert_all_le(worst, 1e-10); /* eps x cond(A) x a modest power of n */
    assert_all_le(fabs(sum - trace), 1e-12 * sum);
    free(a);
    free(c);
    rls_editor_destroy(&ed);
    rls_grid_destroy(&grid);
    dense_free(&p);
}

/* A batch of residuals is the batch of the targets they stand for; the step's report holds what it says. */
static void test_residuals_and_report(void **state)
{
    ctx = *state;
    dense_problem p;
    dense_random(&p, 40, 24, 30, 1e2, 4);
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    rls_editor *a = editor_for(grid, &p, RLS_F64, 8), *b = editor_for(grid, &p, RLS_F64, 8);
    const rls_vectors keys = share_of(ctx, p.keys, p.n, 0, p.u),
                      values = share_of(ctx, p.values, p.m, 0, p.u);
    const rls_batch residuals = {.keys = keys, .values = values, .kind = RLS_RESIDUAL};
    double *targets = array(p.m * (keys.count + 1));
    assert_all_ok(ctx, rls_editor_targets(b, &residuals, targets));
    rls_batch batch = {.keys = keys, .values = {keys.count, RLS_F64, targets}, .kind = RLS_TARGET};
    rls_step_report ra, rb;
    double misfit = 0.0, size = 0.0;
    assert_all_ok(ctx, rls_editor_misfit(b, &batch, &misfit, &size));
    assert_all_ok(ctx, rls_editor_step(a, &residuals, &ra));
    assert_all_ok(ctx, rls_editor_step(b, &batch, &rb));
    double before = 0.0;
    for (int64_t i = 0; i < p.m * p.u; i++)
        before += p.values[i] * p.values[i];
    assert_all_le(fabs(ra.innovation_before - sqrt(before)), 1e-12 * sqrt(before));
    assert_all_le(fabs(rb.innovation_before - sqrt(misfit)), 1e-12 * sqrt(misfit));
    assert_all_le(fabs(ra.innovation_before - rb.innovation_before), 1e-12 * sqrt(misfit));
    assert_all_ok(ctx, rls_editor_misfit(b, &batch, &misfit, &size));
    assert_all_le(fabs(rb.innovation_after - sqrt(misfit)), 1e-11 * rb.innovation_before);
    double *xa = array(p.n * p.m), *xb = array(p.n * p.m);
    matrix_to_dense(ctx, rls_editor_weight(a), xa);
    matrix_to_dense(ctx, rls_editor_weight(b), xb);
    assert_all_le(relative_difference(xa, xb, p.n * p.m), 1e-13);
    free(xa);
    free(xb);
    free(targets);
    rls_editor_destroy(&a);
    rls_editor_destroy(&b);
    rls_grid_destroy(&grid);
    dense_free(&p);
}

/* An empty batch changes nothing, wherever it comes. */
static void test_empty_batch(void **state)
{
    ctx = *state;
    dense_problem p;
    dense_random(&p, 20, 9, 4, 10, 5);
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    rls_editor *ed = editor_for(grid, &p, RLS_F64, 4);
    double *before = array(p.n * p.m), *after = array(p.n * p.m);
    apply_edits(ed, ctx, &p, 0, 4, 4);
    matrix_to_dense(ctx, rls_editor_weight(ed), before);
    const rls_batch empty = {.keys = {0, RLS_F32, NULL}, .values = {0, RLS_F32, NULL}};
    rls_step_report report;
    assert_all_ok(ctx, rls_editor_step(ed, &empty, &report));
    assert_all_int_equal(report.edits, 0);
    matrix_to_dense(ctx, rls_editor_weight(ed), after);
    assert_all(memcmp(before, after, (size_t)(p.n * p.m) * sizeof *before) == 0);
    free(before);
    free(after);
    rls_editor_destroy(&ed);
    rls_grid_destroy(&grid);
    dense_free(&p);
}

/* lambda = 0 with too few anchor keys: refused, with the pivot and what to do. */
static void test_singular_anchor(void **state)
{
    ctx = *state;
    const rls_dtype dtypes[] = {RLS_F64, RLS_F32};
    for (int i = 0; i < 2; i++) {
        dense_problem p;
        dense_random(&p, 60, 8, 1, 10, 6);
        dense_random_anchors(&p, 30, 0, 7);
        rls_grid *grid = NULL;
        rls_editor *ed = NULL;
        assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
        const rls_editor_options options = {
            .rule = "rls", .lambda = 0.0, .mu = 1.0, .dtype = dtypes[i], .n = p.n, .m = p.m, .block = 8};
        assert_all_ok(ctx, rls_editor_create(grid, &options, &ed));
        const rls_vectors keys = share_of(ctx, p.k0, p.n, 0, p.anchors);
        assert_all_ok(ctx, rls_editor_anchor_keys(ed, &keys, NULL));
        double pivot = 1.0;
        assert_all_status(ctx, rls_editor_start(ed, &pivot), RLS_ERR_NUMERIC);
        assert_all_message(ctx, "smallest pivot");
        assert_all_message(ctx, "Raise editor.lambda");
        assert_all_le(pivot, 1e-3);
        rls_editor_destroy(&ed);
        rls_grid_destroy(&grid);
        dense_free(&p);
    }
}

static void test_bad_use(void **state)
{
    ctx = *state;
    rls_grid *grid = NULL;
    rls_editor *ed = NULL;
    rls_step_report report;
    assert_all_status(ctx, rls_grid_create(ctx, 5, 7, &grid), RLS_ERR_USAGE);
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    rls_editor_options options = {
        .rule = "rls", .lambda = 0.0, .mu = 0.0, .dtype = RLS_F64, .n = 8, .m = 8, .block = 4};
    assert_all_status(ctx, rls_editor_create(grid, &options, &ed), RLS_ERR_CONFIG);
    assert_all_message(ctx, "lambda");
    options.lambda = 1.0;
    options.rule = "memit";
    assert_all_status(ctx, rls_editor_create(grid, &options, &ed), RLS_ERR_USAGE);
    assert_all_message(ctx, "memit");
    options.rule = "rls";
    assert_all_ok(ctx, rls_editor_create(grid, &options, &ed));
    const rls_batch empty = {.keys = {0, RLS_F64, NULL}, .values = {0, RLS_F64, NULL}};
    assert_all_status(ctx, rls_editor_step(ed, &empty, &report), RLS_ERR_USAGE);
    assert_all_ok(ctx, rls_editor_start(ed, NULL));
    /* One rank alone is wrong: all get its message. */
    rls_batch uneven = empty;
    double one[8] = {0};
    if (rls_context_rank(ctx) == rls_context_size(ctx) - 1)
        uneven.keys = (rls_vectors){1, RLS_F64, one};
    assert_all_status(ctx, rls_editor_step(ed, &uneven, &report), RLS_ERR_USAGE);
    assert_all_message(ctx, "1 keys but 0 values");
    rls_editor_destroy(&ed);
    rls_grid_destroy(&grid);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        context_test(test_closed_form),
        context_test(test_anchors),
        context_test(test_inverse_covariance),
        context_test(test_residuals_and_report),
        context_test(test_empty_batch),
        context_test(test_singular_anchor),
        context_test(test_bad_use),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "rls");
}
