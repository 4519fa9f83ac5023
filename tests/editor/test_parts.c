/* A wide step made of parts against steps part by part: every figure, C and W, over grids, types and cuts. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "editor/drift.h"
#include "support/collective.h"
#include "support/state.h"

static rls_context *ctx;

static double *array(int64_t count)
{
    double *a = calloc((size_t)count + 1, sizeof *a);
    if (a == NULL)
        abort();
    return a;
}

/* A state and its drift. */
typedef struct {
    rls_editor *ed;
    rls_drift *drift;
} tracked;

static tracked track(rls_grid *grid, const dense_problem *p, rls_dtype dtype)
{
    tracked t = {editor_for(grid, p, dtype, 8), NULL};
    assert_all_ok(ctx, rls_drift_create(t.ed, dtype, &t.drift));
    return t;
}

static void untrack(tracked *t)
{
    rls_drift_destroy(&t->drift);
    rls_editor_destroy(&t->ed);
}

/* A report of a part, of the step and of the drift. */
typedef struct {
    rls_step_report step;
    rls_drift_report drift;
} figures;

enum { PARTS_MAX = 64 };

typedef struct {
    const dense_problem *problem;
    rls_dtype dtype;
    rls_value_kind kind;
    double tolerance;
} cut_plan;

static rls_batch batch_of(const cut_plan *plan, int64_t first, int64_t count)
{
    const dense_problem *p = plan->problem;
    return (rls_batch){.keys = share_of(ctx, p->keys, p->n, first, count),
                       .values = share_of(ctx, p->values, p->m, first, count),
                       .kind = plan->kind};
}

/* Steps the batch as it is; its parts' figures. */
static void step(tracked *t, const rls_batch *batch, int64_t count, figures *out)
{
    rls_step_report steps[PARTS_MAX];
    rls_drift_report drifts[PARTS_MAX];
    assert_all_ok(ctx, rls_editor_step(t->ed, batch, steps));
    assert_all_ok(ctx, rls_drift_update(t->drift, count, batch->each, drifts));
    for (int64_t j = 0; j < rls_editor_parts(count, batch->each); j++)
        out[j] = (figures){steps[j], drifts[j]};
}

static void close_to(double value, double wanted, double tolerance)
{
    assert_all_le(fabs(value - wanted), tolerance * fabs(wanted));
}

static void compare_figures(const figures *wide, const figures *narrow, double tolerance)
{
    const rls_step_report *a = &wide->step, *b = &narrow->step;
    assert_all_int_equal(a->edits, b->edits);
    close_to(a->innovation_before, b->innovation_before, tolerance);
    close_to(a->innovation_after, b->innovation_after, tolerance);
    close_to(a->objective_gain, b->objective_gain, tolerance);
    close_to(a->objective, b->objective, tolerance);
    close_to(a->trace, b->trace, tolerance);
    close_to(a->smallest_pivot, b->smallest_pivot, tolerance);
    close_to(wide->drift.norm, narrow->drift.norm, tolerance);
    close_to(wide->drift.bound, narrow->drift.bound, tolerance);
    assert_all_le(wide->drift.norm, wide->drift.bound);
}

/* C and D of two states, each within tolerance of the other's; 0: to the bit. */
static void compare_states(const dense_problem *p, tracked *a, tracked *b, double tolerance)
{
    double *x = array(p->n * p->n + p->n * p->m), *y = array(p->n * p->n + p->n * p->m);
    for (int i = 0; i < 2; i++) {
        tracked *t = i == 0 ? a : b;
        double *to = i == 0 ? x : y;
        symmetric_to_dense(ctx, rls_editor_inv_cov(t->ed), to);
        matrix_to_dense(ctx, rls_editor_weight(t->ed), to + p->n * p->n);
        for (int64_t k = 0; k < p->n * p->m; k++)
            to[p->n * p->n + k] -= p->x0[k];
    }
    assert_all_le(relative_difference(x, y, p->n * p->n), tolerance);
    assert_all_le(relative_difference(x + p->n * p->n, y + p->n * p->n, p->n * p->m), tolerance);
    free(x);
    free(y);
}

/* The targets that the batch of residuals from `first` on stands for, stepped part by part, into `all` [m,
 * u]; and the narrow state's figures. */
static void step_narrowly(const cut_plan *plan, tracked *narrow, int64_t first, int64_t count, int64_t each,
                          double *all, figures *out)
{
    const dense_problem *p = plan->problem;
    for (int64_t j = 0; j < rls_editor_parts(count, each); j++) {
        const int64_t at = each > 0 ? j * each : 0;
        const int64_t u = each > 0 && count - at > each ? each : count - at;
        const rls_batch batch = batch_of(plan, first + at, u);
        if (plan->kind == RLS_RESIDUAL) { /* V = W k + value, densely */
            double *x = array(p->n * p->m);
            matrix_to_dense(ctx, rls_editor_weight(narrow->ed), x);
            for (int64_t e = first + at; e < first + at + u; e++)
                for (int64_t i = 0; i < p->m; i++) {
                    double v = p->values[i + e * p->m];
                    for (int64_t k = 0; k < p->n; k++)
                        v += x[k + i * p->n] * p->keys[k + e * p->n];
                    all[i + e * p->m] = v;
                }
            free(x);
        }
        step(narrow, &batch, u, &out[j]);
    }
}

/* Two wide steps after one another, as a run makes them, against narrow ones. */
static void compare_cut(rls_grid *grid, const cut_plan *plan, int64_t each)
{
    const dense_problem *p = plan->problem;
    const bool f64 = plan->dtype == RLS_F64;
    tracked wide = track(grid, p, plan->dtype), narrow = track(grid, p, plan->dtype),
            replay = track(grid, p, plan->dtype);
    figures a[PARTS_MAX] = {0}, b[PARTS_MAX] = {0}, c[PARTS_MAX] = {0};
    const int64_t firsts[] = {0, 29}, counts[] = {29, p->u - 29};
    double *all = array(p->m * p->u);
    for (int s = 0; s < 2; s++) {
        rls_batch batch = batch_of(plan, firsts[s], counts[s]);
        const int64_t parts = rls_editor_parts(counts[s], each), own = p->m * batch.values.count;
        void *targets = batch.values.count > 0 ? array(own) : NULL; /* nothing to hold, nothing given */
        batch.each = each;
        batch.targets = plan->kind == RLS_RESIDUAL ? targets : NULL;
        assert_int_equal(parts, each <= 0 || each > counts[s] ? 1 : (counts[s] + each - 1) / each);
        step_narrowly(plan, &narrow, firsts[s], counts[s], each, all, b);
        step(&wide, &batch, counts[s], a);
        for (int64_t j = 0; j < parts; j++)
            compare_figures(&a[j], &b[j], plan->tolerance);
        assert_all(a[parts - 1].step.objective == rls_editor_objective(wide.ed));
        assert_all(a[parts - 1].drift.norm == rls_drift_norm(wide.drift));
        if (plan->kind == RLS_TARGET) {
            free(targets);
            continue;
        }
        /* The targets are those of the narrow steps, and stepping them is the same to the bit. */
        const rls_vectors wanted = share_of(ctx, all, p->m, firsts[s], counts[s]);
        double *found = array(own);
        for (int64_t i = 0; i < own && targets != NULL; i++)
            found[i] = f64 ? ((double *)targets)[i] : (double)((float *)targets)[i];
        assert_all_le(own > 0 ? relative_difference(found, wanted.data, own) : 0.0, plan->tolerance);
        batch.kind = RLS_TARGET;
        batch.values = (rls_vectors){batch.values.count, plan->dtype, targets};
        step(&replay, &batch, counts[s], c);
        for (int64_t j = 0; j < parts; j++)
            compare_figures(&c[j], &a[j], 0.0);
        compare_states(p, &replay, &wide, 0.0);
        free(found);
        free(targets);
    }
    compare_states(p, &wide, &narrow, plan->tolerance);
    free(all);
    untrack(&wide);
    untrack(&narrow);
    untrack(&replay);
}

static void compare_cuts(rls_grid *grid, void *user)
{
    const int64_t eaches[] = {1, 3, 10, 29, 0, 100};
    for (size_t e = 0; e < sizeof eaches / sizeof eaches[0]; e++)
        compare_cut(grid, user, eaches[e]);
}

/* u = 29 and 34: no part and no block of 8 comes out even. */
static void test_parts(void **state)
{
    ctx = *state;
    for (int i = 0; i < 4; i++) {
        dense_problem p;
        dense_random(&p, 61, 27, 63, 1e2, 40 + (uint64_t)i);
        p.lambda = 0.9;
        const rls_dtype dtype = i % 2 == 0 ? RLS_F64 : RLS_F32;
        cut_plan plan = {&p, dtype, i / 2 == 0 ? RLS_TARGET : RLS_RESIDUAL, dtype == RLS_F64 ? 1e-12 : 1e-5};
        each_grid(ctx, compare_cuts, &plan);
        dense_free(&p);
    }
}

/* Residuals without room for targets come to the same. */
static void test_residuals_alone(void **state)
{
    ctx = *state;
    dense_problem p;
    dense_random(&p, 45, 31, 22, 1e2, 50);
    const cut_plan plan = {&p, RLS_F64, RLS_RESIDUAL, 1e-11};
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    tracked wide = track(grid, &p, RLS_F64), narrow = track(grid, &p, RLS_F64);
    figures a[PARTS_MAX] = {0}, b[PARTS_MAX] = {0};
    double *all = array(p.m * p.u);
    rls_batch batch = batch_of(&plan, 0, p.u);
    batch.each = 4;
    step(&wide, &batch, p.u, a);
    step_narrowly(&plan, &narrow, 0, p.u, 4, all, b);
    for (int64_t j = 0; j < rls_editor_parts(p.u, 4); j++)
        compare_figures(&a[j], &b[j], plan.tolerance);
    compare_states(&p, &wide, &narrow, plan.tolerance);
    free(all);
    untrack(&wide);
    untrack(&narrow);
    rls_grid_destroy(&grid);
    dense_free(&p);
}

/* More edits than a tile of the Gram matrices has columns, and more than the keys have elements. */
static void test_many_parts(void **state)
{
    ctx = *state;
    dense_problem p;
    dense_random(&p, 37, 21, 150, 1e1, 60);
    const cut_plan plan = {&p, RLS_F64, RLS_TARGET, 1e-11};
    rls_grid *grid = NULL;
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    tracked wide = track(grid, &p, RLS_F64), narrow = track(grid, &p, RLS_F64);
    figures a[PARTS_MAX] = {0}, b[PARTS_MAX] = {0};
    rls_batch batch = batch_of(&plan, 0, p.u);
    batch.each = 4;
    step(&wide, &batch, p.u, a);
    step_narrowly(&plan, &narrow, 0, p.u, 4, NULL, b);
    for (int64_t j = 0; j < rls_editor_parts(p.u, 4); j++) {
        compare_figures(&a[j], &b[j], plan.tolerance);
        assert_all(j == 0 || a[j].step.trace <= a[j - 1].step.trace);
    }
    compare_states(&p, &wide, &narrow, plan.tolerance);
    untrack(&wide);
    untrack(&narrow);
    rls_grid_destroy(&grid);
    dense_free(&p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_parts), context_test(test_residuals_alone),
                                       context_test(test_many_parts)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "parts");
}
