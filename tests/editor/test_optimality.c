/* The proof of a result: near zero at the minimum, and not near zero beside it. */
#include "editor/optimality.h"

#include <math.h>
#include <stdlib.h>

#include "editor/editor.h"
#include "linalg/kernels.h"
#include "support/collective.h"
#include "support/state.h"

static rls_context *ctx;

/* A state after all edits, with its drift; `off` is added to one element of X. */
static rls_proof prove(rls_grid *grid, const dense_problem *p, rls_dtype dtype, double off)
{
    const rls_editor_options options = {
        .rule = "rls", .lambda = p->lambda, .mu = p->mu, .dtype = dtype, .n = p->n, .m = p->m, .block = 8};
    rls_editor *ed = NULL;
    rls_drift *drift = NULL;
    rls_optimality *o = NULL;
    rls_proof proof = {0};
    assert_all_ok(ctx, rls_editor_create(grid, &options, &ed));
    matrix_from_dense(rls_editor_weight(ed), p->x0);
    assert_all_ok(ctx, rls_drift_create(ed, RLS_F32, &drift));
    const rls_vectors k0 = share_of(ctx, p->k0, p->n, 0, p->anchors);
    const rls_vectors v0 = share_of(ctx, p->v0 != NULL ? p->v0 : p->k0, p->m, 0, p->anchors);
    if (p->moment != NULL) {
        matrix_from_dense(rls_editor_inv_cov(ed), p->moment);
        assert_all_ok(ctx, rls_editor_anchor_moment(ed, p->weight));
    }
    if (p->anchors > 0)
        assert_all_ok(ctx, rls_editor_anchor_keys(ed, &k0, p->v0 != NULL ? &v0 : NULL));
    assert_all_ok(ctx, rls_editor_start(ed, NULL));
    apply_edits(ed, ctx, p, 0, p->u, 13);
    if (ed->x->rows_local > 0 && ed->x->cols_local > 0)
        rls_set(dtype, ed->x->part.data, 0, rls_get(dtype, ed->x->part.data, 0) + off);
    const double counted = rls_editor_objective(ed);
    assert_all_ok(ctx, rls_optimality_begin(ed, drift, &o));
    if (p->moment != NULL) {
        matrix_from_dense(rls_editor_inv_cov(ed), p->moment);
        assert_all_ok(ctx, rls_optimality_moment(o, p->weight));
    }
    if (p->anchors > 0)
        assert_all_ok(ctx, rls_optimality_anchor(o, &k0, p->v0 != NULL ? &v0 : NULL));
    for (int64_t at = 0; at < p->u; at += 20) { /* other batches than the edits came in */
        const int64_t count = p->u - at < 20 ? p->u - at : 20;
        const rls_batch batch = {.keys = share_of(ctx, p->keys, p->n, at, count),
                                 .values = share_of(ctx, p->values, p->m, at, count),
                                 .kind = RLS_TARGET};
        assert_all_ok(ctx, rls_optimality_edits(o, &batch));
    }
    rls_optimality_end(&o, &proof);
    assert_all(o == NULL);
    if (off == 0.0) /* afresh from the data, and along the way */
        assert_all_le(fabs(proof.objective - counted), (dtype == RLS_F64 ? 1e-11 : 1e-3) * counted);
    rls_drift_destroy(&drift);
    rls_editor_destroy(&ed);
    return proof;
}

static void check_grid(rls_grid *grid, void *user)
{
    const dense_problem *p = user;
    rls_proof proof = prove(grid, p, RLS_F64, 0.0);
    assert_all_le(proof.stationarity, 1e-12);
    assert_all_le(proof.identity_error, 1e-12);
    proof = prove(grid, p, RLS_F64, 1e-3);
    assert_all_le(1e-7, proof.stationarity);
    assert_all_le(1e-9, proof.identity_error);
    proof = prove(grid, p, RLS_F32, 0.0);
    assert_all_le(proof.stationarity, 1e-4);
    assert_all_le(proof.identity_error, 1e-3);
}

/* kind: 0 a moment, 1 a moment and keys, 2 keys with values, 3 lambda alone. */
static void test_proof(void **state)
{
    ctx = *state;
    for (int kind = 0; kind < 4; kind++) {
        dense_problem p;
        dense_random(&p, 57, 31, 50, 1e2, 300 + (uint64_t)kind);
        p.lambda = 0.9;
        p.mu = 1.2;
        p.weight = 0.8;
        if (kind == 1 || kind == 2)
            dense_random_anchors(&p, 25, kind == 2, 400 + (uint64_t)kind);
        if (kind >= 2) {
            free(p.moment);
            p.moment = NULL;
        }
        each_grid(ctx, check_grid, &p);
        dense_free(&p);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {context_test(test_proof)};
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "optimality");
}
