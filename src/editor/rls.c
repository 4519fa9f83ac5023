/*
 * Recursive least squares with two soft regularisers (RLSEdit, arXiv 2601.15686, in column convention): the
 * minimiser of J_t(W) = sum_i ||W K_i - V_i||^2 + lambda^2 ||W - W_0||^2 + mu^2 (w tr((W - W_0) M (W -
 * W_0)^T) + ||W K_0 - V_0||^2) carried from batch to batch by Woodbury's identity.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/dtype.h"
#include "editor/delay.h"
#include "editor/editor.h"
#include "editor/parts.h"
#include "editor/rules.h"
#include "linalg/factor.h"
#include "linalg/kernels.h"
#include "linalg/symmetric.h"
#include "linalg/tiles.h"

/* W*_0 = W_0 + mu^2 (V_0 - W_0 K_0) K_0^T C_0; the anchor's misfit at it is what W_0's was less <pull, C_0
 * pull>. Collective. */
static rls_status apply_pull(rls_editor *ed)
{
    const double before = rls_matrix_dot(ed->pull, ed->x);
    const rls_status status = rls_symmetric_times_matrix(1.0, ed->c, ed->pull, 1.0, ed->x);
    if (status != RLS_OK)
        return status;
    ed->objective = fmax(ed->misfit - (rls_matrix_dot(ed->pull, ed->x) - before), 0.0);
    rls_matrix_destroy(&ed->pull);
    return RLS_OK;
}

/* C_0 = A_0^{-1}. Without an anchor that is I / lambda^2 and needs no factorisation. */
static rls_status rls_start(rls_editor *ed, double *smallest_pivot)
{
    rls_context *ctx = ed->grid->ctx;
    const double lambda2 = ed->options.lambda * ed->options.lambda;
    if (ed->phase == RLS_EMPTY && lambda2 > 0.0) {
        rls_symmetric_scale_shift(ed->c, 1.0, 1.0 / lambda2);
        *smallest_pivot = lambda2;
        return RLS_OK;
    }
    rls_symmetric_scale_shift(ed->c, 1.0, lambda2);
    rls_status status = rls_spd_invert(ed->c, smallest_pivot);
    if (status == RLS_ERR_NUMERIC) { /* say it in the user's terms; equal on all ranks */
        rls_clear_failure(ctx);
        return rls_agree(ctx, rls_fail(ctx, RLS_ERR_NUMERIC,
                                       "A_0 = lambda^2 I + mu^2 (w M + K_0 K_0^T) is singular to working "
                                       "precision in %s: smallest pivot "
                                       "%.3g with lambda = %g, mu = %g. Raise editor.lambda, give more "
                                       "anchor keys or a second moment of "
                                       "more text%s",
                                       rls_dtype_name(ed->options.dtype), *smallest_pivot, ed->options.lambda,
                                       ed->options.mu,
                                       ed->options.dtype == RLS_F32 ? ", or use state.dtype float64" : ""));
    }
    if (status == RLS_OK && ed->pull != NULL)
        status = apply_pull(ed);
    return status;
}

enum { GRAM_COLUMNS = 256 };

/* S = I + K^T F, each process column summing its share of the rows, then over all ranks; L = chol(S). Returns
 * the pivot, or a value that is not positive when S is not positive definite. Collective; equal on all ranks.
 */
static double factor_gram(rls_editor *ed, int64_t u)
{
    const rls_dtype d = ed->options.dtype;
    const rls_panels *w = &ed->work;
    const int64_t rows = ed->keys.row_local, q = ed->grid->q;
    const int64_t begin = rows * ed->grid->col / q, end = rows * (ed->grid->col + 1) / q;
    memset(w->s, 0, (size_t)(u * u) * rls_dtype_size(d));
    for (int64_t j = 0; j < u; j += GRAM_COLUMNS) /* the lower triangle, in steps */
        rls_gemm(d, 'T', 'N', u - j, u - j < GRAM_COLUMNS ? u - j : GRAM_COLUMNS, end - begin, 1.0,
                 rls_at(d, w->k_r, begin + j * rows), rows, rls_at(d, w->f_r, begin + j * rows), rows, 0.0,
                 rls_at(d, w->s, j * (u + 1)), u);
    ed->keys.sent_bytes += rls_panel_sum_triangle(ed->grid->ctx->comm, d, u, w->s);
    for (int64_t i = 0; i < u; i++)
        rls_set(d, w->s, i * (u + 1), rls_get(d, w->s, i * (u + 1)) + 1.0);
    if (rls_cholesky(d, u, w->s, u) != 0)
        return 0.0;
    double pivot = INFINITY;
    for (int64_t i = 0; i < u; i++) {
        const double l = rls_get(d, w->s, i * (u + 1));
        if (!isfinite(l))
            return (double)NAN;
        pivot = fmin(pivot, l * l);
    }
    return pivot;
}

/* G = F L^{-T} and H = E L^{-T} in place of F and E; h_c = H L^{-1} = E S^{-1} = V - W_t K. Collective over
 * the process column. */
static void solve_panels(rls_editor *ed, int64_t each)
{
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    const int64_t rows = ed->keys.row_local, m_local = ed->values.col_local;
    rls_tiles_solve(ed->grid, d, rows, w->u, w->s, w->f_r, rows);
    rls_panel_row_to_col(&ed->keys, w->u, w->f_r, w->f_c);
    rls_tiles_solve(ed->grid, d, m_local, w->u, w->s, w->e_c, m_local);
    rls_parts_measure(ed, each);
    if (m_local > 0)
        memcpy(w->h_c, w->e_c, (size_t)(m_local * w->u) * rls_dtype_size(d));
    rls_solve_right(d, 'N', m_local, w->u, w->s, w->u, w->h_c, m_local);
}

/* F, S and its factor. Nothing of the state changes. */
static rls_status prepare_step(rls_editor *ed)
{
    rls_context *ctx = ed->grid->ctx;
    const rls_panels *w = &ed->work;
    const double n = (double)ed->options.n, u = (double)w->u, share = u / ctx->size;
    double start = rls_profile_start();
    rls_symmetric_multiply(ed->c, &ed->keys, w->u, w->k_r, w->k_c, w->f_r, w->f_c);
    rls_delay_correct(ed);
    (void)rls_profile_add(ctx, "F = C K", start, 2.0 * n * n * share, 0.0);
    start = rls_profile_start();
    const double pivot = factor_gram(ed, w->u);
    (void)rls_profile_add(ctx, "S = I + K^T F", start, 2.0 * n * u * share, 0.0);
    if (pivot > 0.0) /* equal on all ranks, as S is */
        return rls_agree(ctx, RLS_OK);
    return rls_agree(
        ctx,
        rls_fail(
            ctx, RLS_ERR_NUMERIC,
            "S = I + K^T C K is not positive definite: C has lost definiteness in %s. Use %s or a larger "
            "editor.lambda",
            rls_dtype_name(ed->options.dtype),
            ed->options.dtype == RLS_F32 ? "state.dtype float64" : "smaller batches"));
}

/* Whether the caller wants the targets of residuals; a rank without edits need not have room for any.
 * Collective. */
static rls_status targets_wanted(const rls_editor *ed, const rls_batch *batch, bool *wanted)
{
    rls_context *ctx = ed->grid->ctx;
    int any = batch->targets != NULL ? 1 : 0;
    *wanted = false;
    if (batch->kind == RLS_TARGET)
        return RLS_OK;
    MPI_Allreduce(MPI_IN_PLACE, &any, 1, MPI_INT, MPI_MAX, ctx->comm);
    *wanted = any != 0;
    rls_status status = RLS_OK;
    if (*wanted && batch->targets == NULL && batch->values.count > 0)
        status = rls_fail(ctx, RLS_ERR_USAGE, "a batch of residuals has no room for targets on this rank");
    return rls_agree(ctx, status);
}

/* E = V - W K in place of the batch's values. Collective. */
static rls_status form_innovation(rls_editor *ed, const rls_batch *batch)
{
    const int64_t u = ed->work.u;
    const double start = rls_profile_start();
    bool wanted = false;
    rls_status status = targets_wanted(ed, batch, &wanted);
    if (status != RLS_OK)
        return status;
    if (batch->kind == RLS_RESIDUAL && rls_editor_parts(u, batch->each) > 1)
        rls_parts_join_residuals(ed, batch->each);
    if (wanted) { /* V as it is kept, and E of that */
        rls_editor_add_product(ed, u);
        status = rls_panel_to_vectors(&ed->values, batch->values.count, ed->work.e_c, batch->targets);
    }
    if (status == RLS_OK && (wanted || batch->kind == RLS_TARGET))
        rls_editor_innovation(ed, u);
    const double n = (double)ed->options.n, m = (double)ed->options.m;
    (void)rls_profile_add(ed->grid->ctx, "E = V - W K", start, 2.0 * n * m * (double)u / ed->grid->ctx->size,
                          0.0);
    return status;
}

/* C -= G G^T, W += H G^T, now or later. Not collective. */
static void update_state(rls_editor *ed)
{
    rls_context *ctx = ed->grid->ctx;
    const rls_panels *w = &ed->work;
    if (rls_delay_take(ed))
        return;
    const double n = (double)ed->options.n, m = (double)ed->options.m, share = (double)w->u / ctx->size;
    double start = rls_profile_start();
    rls_symmetric_update(ed->c, w->u, -1.0, w->f_r, w->f_c);
    (void)rls_profile_add(ctx, "C -= G G^T", start, n * n * share, 0.0);
    start = rls_profile_start();
    rls_tiles_update(ed->x, RLS_FULL, w->u, 1.0, w->f_r, w->e_c);
    (void)rls_profile_add(ctx, "W += H G^T", start, 2.0 * n * m * share, 0.0);
}

static rls_status rls_step(rls_editor *ed, const rls_batch *batch, rls_step_report *reports)
{
    const double u = (double)ed->work.u;
    rls_status status = RLS_OK;
    rls_delay_prepare(ed, ed->work.u);
    const double trace = rls_delay_trace(ed);
    if (ed->work.u > 0)
        status = prepare_step(ed);
    if (status == RLS_OK && ed->work.u > 0)
        status = form_innovation(ed, batch);
    if (status != RLS_OK)
        return status;
    rls_parts_begin(ed, batch->each);
    if (ed->work.u > 0) {
        const double start = rls_profile_start();
        solve_panels(ed, batch->each);
        (void)rls_profile_add(ed->grid->ctx, "G, H", start,
                              (double)(ed->keys.row_local + 2 * ed->values.col_local) * u * u, 0.0);
        update_state(ed);
    }
    rls_parts_report(ed, batch->each, trace, rls_delay_trace(ed), reports);
    return RLS_OK;
}

/* What was reached when X and C were saved goes on from there. */
static rls_status rls_restore(rls_editor *ed, double objective, double anchor_misfit)
{
    ed->objective = objective;
    ed->misfit = anchor_misfit;
    return RLS_OK;
}

static rls_status rls_create(rls_editor *ed)
{
    const double lambda = ed->options.lambda, mu = ed->options.mu;
    if (!(lambda >= 0.0) || !(mu >= 0.0) || !isfinite(lambda) || !isfinite(mu) ||
        (lambda == 0.0 && mu == 0.0))
        return rls_fail(ed->grid->ctx, RLS_ERR_CONFIG,
                        "editor.lambda = %g, editor.mu = %g: both must be finite and not negative, and not "
                        "both 0 (nothing would hold the weights)",
                        lambda, mu);
    if ((lambda != 0.0 && !rls_dtype_holds_square(ed->options.dtype, lambda)) ||
        (mu != 0.0 && !rls_dtype_holds_square(ed->options.dtype, mu)))
        return rls_fail(
            ed->grid->ctx, RLS_ERR_CONFIG,
            "editor.lambda = %g, editor.mu = %g: their squares must be numbers of %s, with all their digits",
            lambda, mu, rls_dtype_name(ed->options.dtype));
    return rls_delay_create(ed);
}

const rls_rule rls_rule_rls = {.name = "rls",
                               .create = rls_create,
                               .destroy = rls_delay_free,
                               .start = rls_start,
                               .step = rls_step,
                               .restore = rls_restore};
