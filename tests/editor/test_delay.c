/* Updates put off and applied together: the same state and reports as without, whatever the batches and
 * whenever somebody looks. */
#include <math.h>
#include <stdlib.h>

#include "editor/drift.h"
#include "editor/editor.h"
#include "linalg/kernels.h"
#include "support/collective.h"
#include "support/state.h"

enum { N = 75, M = 29, EDITS = 120 };

typedef struct {
    rls_context *ctx;
    rls_dtype dtype;
    int64_t block, delay;
} setting;

static rls_editor *started(rls_grid *grid, const dense_problem *p, const setting *s, int64_t delay)
{
    const rls_editor_options options = {.rule = "rls",
                                        .lambda = p->lambda,
                                        .mu = 0.0,
                                        .dtype = s->dtype,
                                        .n = N,
                                        .m = M,
                                        .block = s->block,
                                        .delay = delay};
    rls_editor *ed = NULL;
    assert_all_ok(s->ctx, rls_editor_create(grid, &options, &ed));
    matrix_from_dense(rls_editor_weight(ed), p->x0);
    assert_all_ok(s->ctx, rls_editor_start(ed, NULL));
    return ed;
}

static double relative(double a, double b)
{
    return fabs(a - b) / fmax(fabs(b), 1e-30);
}

/* C and X of both are equal. */
static void compare(const setting *s, rls_editor *a, rls_editor *b, double bound)
{
    double *x = calloc((size_t)N * (N + M) * 2, sizeof *x), *y = x + N * (N + M);
    if (x == NULL)
        abort();
    matrix_to_dense(s->ctx, rls_editor_weight(a), x);
    matrix_to_dense(s->ctx, rls_editor_weight(b), y);
    assert_all_le(relative_difference(x, y, (int64_t)N * M), bound);
    symmetric_to_dense(s->ctx, rls_editor_inv_cov(a), x);
    symmetric_to_dense(s->ctx, rls_editor_inv_cov(b), y);
    assert_all_le(relative_difference(x, y, (int64_t)N * N), bound);
    free(x);
}

static void step_both(const setting *s, const dense_problem *p, rls_editor *a, rls_editor *b, int64_t first,
                      int64_t count, double bound)
{
    const rls_batch batch = {.keys = share_of(s->ctx, p->keys, N, first, count),
                             .values = share_of(s->ctx, p->values, M, first, count),
                             .kind = RLS_TARGET};
    rls_step_report one = {0}, other = {0};
    assert_all_ok(s->ctx, rls_editor_step(a, &batch, &one));
    assert_all_ok(s->ctx, rls_editor_step(b, &batch, &other));
    assert_all_int_equal(one.edits, count);
    assert_all_le(relative(one.trace, other.trace), bound);
    if (count == 0)
        return;
    assert_all_le(relative(one.innovation_before, other.innovation_before), bound);
    assert_all_le(relative(one.innovation_after, other.innovation_after), bound);
    assert_all_le(relative(one.objective_gain, other.objective_gain), bound);
    assert_all_le(relative(one.smallest_pivot, other.smallest_pivot), bound);
}

static void check_delay(rls_grid *grid, void *user)
{
    const setting *s = user;
    const int64_t batches[] = {1, 1, 3, 0, 5, 2, 8, 1, 30, 1, 1, 17, 9, 1, 1, 1, 12, 4, 1, 1, 1, 19};
    const double bound = 2000.0 * rls_dtype_eps(s->dtype);
    dense_problem p;
    dense_random(&p, N, M, EDITS, 1e2, 5);
    rls_editor *late = started(grid, &p, s, s->delay), *now = started(grid, &p, s, 0);
    rls_drift *drift[2] = {NULL};
    assert_all_ok(s->ctx, rls_drift_create(late, s->dtype, &drift[0]));
    assert_all_ok(s->ctx, rls_drift_create(now, s->dtype, &drift[1]));
    int64_t at = 0;
    bool pending = false;
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        step_both(s, &p, late, now, at, batches[i], bound);
        at += batches[i];
        pending = pending || late->delayed.width > 0;
        if (i == 5) /* with updates pending */
            compare(s, late, now, bound);
        if (i == 13) {
            const rls_batch some = {.keys = share_of(s->ctx, p.keys, N, 3, 4),
                                    .values = share_of(s->ctx, p.values, M, 3, 4),
                                    .kind = RLS_TARGET};
            double misfit[2] = {0.0}, norm = 0.0;
            assert_all_ok(s->ctx, rls_editor_misfit(late, &some, &misfit[0], &norm));
            assert_all_ok(s->ctx, rls_editor_misfit(now, &some, &misfit[1], &norm));
            assert_all_le(relative(misfit[0], misfit[1]), bound);
        }
        if (i == 16) {
            assert_all_ok(s->ctx, rls_drift_update(drift[0], batches[i], 0, NULL));
            assert_all_ok(s->ctx, rls_drift_update(drift[1], batches[i], 0, NULL));
            assert_all_le(relative(rls_drift_norm(drift[0]), rls_drift_norm(drift[1])), bound);
        }
    }
    assert_all_int_equal(at, EDITS);
    assert_all(pending); /* or nothing has been tested */
    assert_all_le(relative(rls_editor_objective(late), rls_editor_objective(now)), bound);
    compare(s, late, now, bound);
    rls_drift_destroy(&drift[0]);
    rls_drift_destroy(&drift[1]);
    rls_editor_destroy(&late);
    rls_editor_destroy(&now);
    dense_free(&p);
}

static void test_delay(void **state)
{
    const rls_dtype dtypes[] = {RLS_F64, RLS_F32};
    const int64_t blocks[] = {8, 13}, delays[] = {1, 10, 64};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < 3; i++) {
            setting s = {*state, dtypes[k], blocks[i % 2], delays[i]};
            each_grid(*state, check_delay, &s);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_delay)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "delay");
}
