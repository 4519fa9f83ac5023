/* How far a state moves: norms and bounds against dense ones, the exact identity, the objective. */
#include "editor/drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "editor/editor.h"
#include "linalg/kernels.h"
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

static double norm2(const double *a, int64_t count)
{
    return rls_sum_squares(RLS_F64, count, 1, a, count);
}

/* ||D K||_F^2 and ||D K - R||_F^2 for D^T [n, m], R = V - W_0 K (values NULL: R = 0). */
static void products(const dense_problem *p, const double *delta, const double *keys, const double *values,
                     int64_t u, double *dk2, double *misfit2, double *residual2)
{
    double *dk = array(p->m * u), *r = array(p->m * u);
    rls_gemm(RLS_F64, 'T', 'N', p->m, u, p->n, 1.0, delta, p->n, keys, p->n, 0.0, dk, p->m);
    if (values != NULL) {
        memcpy(r, values, (size_t)(p->m * u) * sizeof *r);
        rls_gemm(RLS_F64, 'T', 'N', p->m, u, p->n, -1.0, p->x0, p->n, keys, p->n, 1.0, r, p->m);
    }
    *dk2 = norm2(dk, p->m * u);
    *residual2 = norm2(r, p->m * u);
    for (int64_t i = 0; i < p->m * u; i++)
        dk[i] -= r[i];
    *misfit2 = norm2(dk, p->m * u);
    free(dk);
    free(r);
}

/* What the state should know after `edits` edits, densely. */
typedef struct {
    double *delta;                           /* D^T */
    double norm, residual2, objective, left; /* ||D||, E_t, J_t(W_t), the identity's left side */
} facts;

static facts facts_after(const dense_problem *p, int64_t edits)
{
    const double lambda2 = p->lambda * p->lambda, mu2 = p->mu * p->mu;
    facts f = {.delta = array(p->n * p->m)};
    if (edits > 0 || p->v0 != NULL)
        assert_int_equal(dense_solution(p, edits, f.delta), 0);
    double dk2 = 0.0, misfit2 = 0.0, residual2 = 0.0, moment = 0.0;
    if (edits > 0)
        products(p, f.delta, p->keys, p->values, edits, &dk2, &misfit2, &residual2);
    f.norm = sqrt(norm2(f.delta, p->n * p->m));
    f.residual2 = residual2;
    f.objective = misfit2 + lambda2 * f.norm * f.norm;
    f.left = dk2 + lambda2 * f.norm * f.norm;
    if (p->moment != NULL) { /* w tr(D M D^T) */
        double *md = array(p->n * p->m);
        rls_gemm(RLS_F64, 'N', 'N', p->n, p->m, p->n, p->weight, p->moment, p->n, f.delta, p->n, 0.0, md,
                 p->n);
        for (int64_t i = 0; i < p->n * p->m; i++)
            moment += md[i] * f.delta[i];
        free(md);
    }
    dk2 = misfit2 = residual2 = 0.0;
    if (p->anchors > 0)
        products(p, f.delta, p->k0, p->v0, p->anchors, &dk2, &misfit2, &residual2);
    f.residual2 += mu2 * residual2;
    f.objective += mu2 * (moment + misfit2);
    f.left += mu2 * (moment + dk2);
    return f;
}

/* A started state and its drift: as editor_for makes it, but the drift wants to see W_0. */
static rls_editor *state_with_drift(rls_grid *grid, const dense_problem *p, rls_dtype dtype, rls_dtype stored,
                                    rls_drift **drift)
{
    const rls_editor_options options = {
        .rule = "rls", .lambda = p->lambda, .mu = p->mu, .dtype = dtype, .n = p->n, .m = p->m, .block = 8};
    rls_editor *ed = NULL;
    assert_all_ok(ctx, rls_editor_create(grid, &options, &ed));
    matrix_from_dense(rls_editor_weight(ed), p->x0);
    assert_all_ok(ctx, rls_drift_create(ed, stored, drift));
    if (p->moment != NULL) {
        matrix_from_dense(rls_editor_inv_cov(ed), p->moment);
        assert_all_ok(ctx, rls_editor_anchor_moment(ed, p->weight));
    }
    if (p->anchors > 0) {
        const rls_vectors keys = share_of(ctx, p->k0, p->n, 0, p->anchors);
        const rls_vectors values = share_of(ctx, p->v0 != NULL ? p->v0 : p->k0, p->m, 0, p->anchors);
        assert_all_ok(ctx, rls_editor_anchor_keys(ed, &keys, p->v0 != NULL ? &values : NULL));
    }
    assert_all_ok(ctx, rls_editor_start(ed, NULL));
    return ed;
}

/* The drift's numbers, the identity and the bounds, with a state's rounding as tolerance. */
static void compare(const dense_problem *p, rls_editor *ed, rls_drift *drift, const facts *f,
                    double tolerance)
{
    const double residual2 = rls_drift_residual2(drift), norm = rls_drift_norm(drift);
    const double objective = rls_editor_objective(ed);
    assert_all_le(fabs(norm - f->norm), tolerance * f->norm);
    assert_all_le(fabs(residual2 - f->residual2), tolerance * f->residual2);
    assert_all_le(fabs(objective - f->objective), tolerance * f->objective);
    /* The left side densely, the right side from what the state counted along the way. */
    assert_all_le(fabs(f->left - (residual2 - objective)), tolerance * f->residual2);
    const double bound = p->lambda > 0.0 ? sqrt(f->residual2) / (2.0 * p->lambda) : (double)INFINITY;
    assert_all(bound == rls_drift_bound(drift) || fabs(bound - rls_drift_bound(drift)) <= tolerance * bound);
    assert_all_le(norm, rls_drift_bound(drift));
    assert_all_le(objective, residual2); /* D = 0 is no better than the minimum */
    rls_matrix *d = NULL;
    double *delta = array(p->n * p->m);
    assert_all_ok(ctx, rls_matrix_create(ed->grid, ed->options.dtype, p->n, p->m, ed->options.block, &d));
    rls_drift_delta(drift, d);
    matrix_to_dense(ctx, d, delta);
    assert_all_le(relative_difference(delta, f->delta, p->n * p->m), tolerance);
    free(delta);
    rls_matrix_destroy(&d);
}

typedef struct {
    const dense_problem *problem;
    rls_dtype dtype, stored;
    double tolerance;
} walk;

static void follow(rls_grid *grid, void *user)
{
    const walk *w = user;
    const dense_problem *p = w->problem;
    rls_drift *drift = NULL;
    rls_editor *ed = state_with_drift(grid, p, w->dtype, w->stored, &drift);
    facts f = facts_after(p, 0);
    assert_all_le(fabs(rls_editor_objective(ed) - f.objective), w->tolerance * (f.residual2 + f.objective));
    assert_all_le(fabs(rls_drift_residual2(drift) - f.residual2), w->tolerance * f.residual2);
    assert_all(p->lambda > 0.0 || isinf(rls_drift_bound(drift)));
    const int64_t batches[] = {1, 7, 0, 20, 3, 17};
    int64_t at = 0;
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        const rls_batch batch = {.keys = share_of(ctx, p->keys, p->n, at, batches[b]),
                                 .values = share_of(ctx, p->values, p->m, at, batches[b]),
                                 .kind = RLS_TARGET};
        rls_step_report report;
        const double before = rls_editor_objective(ed);
        assert_all_ok(ctx, rls_editor_step(ed, &batch, &report));
        assert_all_ok(ctx, rls_drift_update(drift, report.edits, 0, NULL));
        at += batches[b];
        facts next = facts_after(p, at);
        if (batches[b] > 0)
            compare(p, ed, drift, &next, w->tolerance);
        assert_all(rls_editor_objective(ed) == before + report.objective_gain);
        /* step: ||W_t - W_{t-1}|| <= ||E|| / (2 lambda) */
        double moved = 0.0;
        for (int64_t i = 0; i < p->n * p->m; i++)
            moved += (next.delta[i] - f.delta[i]) * (next.delta[i] - f.delta[i]);
        if (p->lambda > 0.0)
            assert_all_le(sqrt(moved), report.innovation_before / (2.0 * p->lambda) + 1e-12);
        assert_all_le(report.innovation_after, report.innovation_before);
        free(f.delta);
        f = next;
    }
    assert_int_equal(at, p->u);
    free(f.delta);
    rls_drift_destroy(&drift);
    assert_all(drift == NULL);
    rls_drift_destroy(&drift);
    rls_editor_destroy(&ed);
}

/* kind: 0 moment, 1 moment and keys, 2 keys with values, 3 nothing but lambda, 4 lambda = 0 and many keys. */
static dense_problem problem_of(int kind)
{
    dense_problem p;
    dense_random(&p, 61, 29, 48, 1e3, 100 + (uint64_t)kind);
    p.lambda = 0.8;
    p.mu = 1.3;
    p.weight = 0.9;
    if (kind != 0 && kind != 3)
        dense_random_anchors(&p, kind == 4 ? 150 : 40, kind == 2, 200 + (uint64_t)kind);
    if (kind >= 2) {
        free(p.moment);
        p.moment = NULL;
    }
    if (kind == 4)
        p.lambda = 0.0;
    /* W_0 as a BF16 model holds it. */
    for (int64_t i = 0; i < p.n * p.m; i++) {
        uint16_t small = 0;
        rls_convert(RLS_BF16, &small, 1, RLS_F64, &p.x0[i], 1, 1);
        rls_convert(RLS_F64, &p.x0[i], 1, RLS_BF16, &small, 1, 1);
    }
    return p;
}

static void test_identity_and_bounds(void **state)
{
    ctx = *state;
    for (int kind = 0; kind < 5; kind++) {
        dense_problem p = problem_of(kind);
        walk w = {&p, RLS_F64, kind % 2 == 0 ? RLS_BF16 : RLS_F64, 1e-10};
        each_grid(ctx, follow, &w);
        dense_free(&p);
    }
}

static void test_float32(void **state)
{
    ctx = *state;
    for (int kind = 0; kind < 4; kind++) {
        dense_problem p = problem_of(kind);
        walk w = {&p, RLS_F32, kind % 2 == 0 ? RLS_BF16 : RLS_F32, 2e-4};
        each_grid(ctx, follow, &w);
        dense_free(&p);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_identity_and_bounds), context_test(test_float32)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "drift");
}
