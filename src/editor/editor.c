/* What all update rules share: making a state, gathering the anchor, handing batches to the rule. */
#include "editor/editor.h"
#include "editor/delay.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "editor/parts.h"
#include "linalg/factor.h"
#include "linalg/kernels.h"
#include "linalg/symmetric.h"
#include "linalg/tiles.h"

static rls_status check_options(rls_context *ctx, const rls_editor_options *o)
{
    char names[256];
    if (rls_rule_find(o->rule) == NULL)
        return rls_fail(ctx, RLS_ERR_USAGE, "editor.name: there is no update rule \"%s\"; there is: %s",
                        o->rule != NULL ? o->rule : "", rls_rule_names(names));
    if (o->n < 1 || o->m < 1 || o->block < 1 || o->delay < 0 || o->delay > INT16_MAX ||
        (o->dtype != RLS_F64 && o->dtype != RLS_F32))
        return rls_fail(ctx, RLS_ERR_USAGE,
                        "a state with n = %" PRId64 ", m = %" PRId64 ", block = %" PRId64
                        " in %s cannot be made",
                        o->n, o->m, o->block, rls_dtype_name(o->dtype));
    return RLS_OK;
}

static rls_status alloc_parts(rls_grid *grid, const rls_editor_options *o, rls_editor *ed)
{
    rls_status status = rls_panel_map_init(&ed->keys, grid, o->n, o->block, o->dtype);
    if (status == RLS_OK)
        status = rls_panel_map_init(&ed->values, grid, o->m, o->block, o->dtype);
    if (status == RLS_OK && o->block > INT_MAX / o->block)
        status = rls_fail(grid->ctx, RLS_ERR_USAGE, "grid.block: %" PRId64 " is too large", o->block);
    ed->grid = grid;
    ed->options = *o;
    ed->rule = rls_rule_find(o->rule);
    ed->options.rule = ed->rule->name;
    if (status == RLS_OK)
        status = ed->rule->create(ed);
    return status;
}

rls_status rls_editor_create(rls_grid *grid, const rls_editor_options *options, rls_editor **out)
{
    *out = NULL;
    rls_context *ctx = grid->ctx;
    rls_status status = check_options(ctx, options);
    rls_editor *ed = NULL;
    if (status == RLS_OK) {
        ed = calloc(1, sizeof *ed);
        status = ed != NULL ? alloc_parts(grid, options, ed)
                            : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a state");
    }
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        ed->workspace = options->workspace;
        ed->owns_workspace = options->workspace == NULL;
        status = rls_matrix_create(grid, options->dtype, options->n, options->m, options->block, &ed->x);
    }
    if (status == RLS_OK)
        status = rls_matrix_create(grid, options->dtype, options->n, options->n, options->block, &ed->c);
    if (status == RLS_OK && ed->owns_workspace)
        status = rls_workspace_create(grid, &ed->workspace);
    if (status != RLS_OK)
        rls_editor_destroy(&ed);
    *out = ed;
    return status;
}

void rls_editor_destroy(rls_editor **editor)
{
    rls_editor *ed = *editor;
    if (ed == NULL)
        return;
    rls_matrix_destroy(&ed->x);
    rls_matrix_destroy(&ed->c);
    rls_matrix_destroy(&ed->pull);
    if (ed->rule != NULL)
        ed->rule->destroy(ed);
    rls_panel_map_free(&ed->keys);
    rls_panel_map_free(&ed->values);
    if (ed->owns_workspace)
        rls_workspace_destroy(&ed->workspace);
    free(ed);
    *editor = NULL;
}

rls_matrix *rls_editor_weight(rls_editor *editor)
{
    rls_delay_flush(editor);
    return editor->x;
}

rls_matrix *rls_editor_inv_cov(rls_editor *editor)
{
    rls_delay_flush(editor);
    editor->delayed.trace_known = false; /* the caller may write to it */
    return editor->c;
}

double rls_editor_objective(const rls_editor *editor)
{
    return editor->objective;
}

double rls_editor_anchor_misfit(const rls_editor *editor)
{
    return editor->misfit;
}

/* Checks the shares of keys and values, counts edits over all ranks, and makes room for them. Collective. */
static rls_status reserve_for(rls_editor *ed, const rls_vectors *keys, const rls_vectors *values)
{
    rls_context *ctx = ed->grid->ctx;
    rls_status status = RLS_OK;
    int64_t u = keys->count > 0 ? keys->count : 0;
    MPI_Allreduce(MPI_IN_PLACE, &u, 1, MPI_INT64_T, MPI_SUM, ctx->comm);
    if (keys->count < 0 || (values != NULL && keys->count != values->count))
        status =
            rls_fail(ctx, RLS_ERR_USAGE, "a batch has %" PRId64 " keys but %" PRId64 " values on this rank",
                     keys->count, values != NULL ? values->count : keys->count);
    else
        status = rls_editor_reserve(ed, u);
    return rls_agree(ctx, status);
}

rls_status rls_editor_load(rls_editor *ed, const rls_vectors *keys, const rls_vectors *values)
{
    rls_status status = reserve_for(ed, keys, values);
    if (status != RLS_OK || ed->work.u == 0)
        return status;
    status =
        rls_vectors_to_panel(&ed->keys, RLS_ROW_PANEL, keys->count, keys->dtype, keys->data, ed->work.k_r);
    if (status == RLS_OK)
        rls_panel_row_to_col(&ed->keys, ed->work.u, ed->work.k_r, ed->work.k_c);
    if (status == RLS_OK && values != NULL)
        status = rls_vectors_to_panel(&ed->values, RLS_COL_PANEL, values->count, values->dtype, values->data,
                                      ed->work.e_c);
    return status;
}

/* E_c += alpha W K. Collective over the process column. */
static void add_product(rls_editor *ed, double alpha, int64_t u)
{
    const rls_dtype d = ed->options.dtype;
    const int64_t m_local = ed->values.col_local;
    /* Only one process row starts from the values, or they would be counted once a row in the sum. */
    if (ed->grid->row != 0 && m_local > 0)
        memset(ed->work.e_c, 0, (size_t)(m_local * u) * rls_dtype_size(d));
    rls_tiles_multiply(ed->x, RLS_FULL, u, alpha, NULL, NULL, ed->work.k_r, ed->work.e_c);
    ed->keys.sent_bytes += rls_panel_sum(ed->grid->col_comm, d, ed->work.e_c, m_local * u);
    rls_delay_add_product(ed, alpha);
}

void rls_editor_innovation(rls_editor *ed, int64_t u)
{
    add_product(ed, -1.0, u);
}

void rls_editor_add_product(rls_editor *ed, int64_t u)
{
    add_product(ed, 1.0, u);
}

rls_status rls_editor_anchor_moment(rls_editor *ed, double weight)
{
    rls_context *ctx = ed->grid->ctx;
    rls_status status = RLS_OK;
    if (ed->phase != RLS_EMPTY)
        status =
            rls_fail(ctx, RLS_ERR_USAGE, "the second moment comes once, before anchor keys and the start");
    else if (!(weight >= 0.0) || !isfinite(weight))
        status = rls_fail(ctx, RLS_ERR_CONFIG, "anchor.weight: %g is not a finite number >= 0", weight);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        return status;
    rls_symmetric_scale_shift(ed->c, ed->options.mu * ed->options.mu * weight, 0.0);
    ed->phase = RLS_HAS_ANCHOR;
    return RLS_OK;
}

/* pull += mu^2 K_0 E_0^T and the objective gets mu^2 ||E_0||^2. Collective. */
static rls_status add_pull(rls_editor *ed)
{
    const rls_dtype d = ed->options.dtype;
    const double mu2 = ed->options.mu * ed->options.mu;
    const int64_t m_local = ed->values.col_local, u = ed->work.u;
    rls_status status = RLS_OK;
    if (ed->pull == NULL)
        status = rls_matrix_create(ed->grid, d, ed->options.n, ed->options.m, ed->options.block, &ed->pull);
    if (status != RLS_OK)
        return status;
    rls_editor_innovation(ed, u);
    rls_tiles_update(ed->pull, RLS_FULL, u, mu2, ed->work.k_r, ed->work.e_c);
    double misfit = ed->grid->row == 0 ? rls_sum_squares(d, m_local, u, ed->work.e_c, m_local) : 0.0;
    MPI_Allreduce(MPI_IN_PLACE, &misfit, 1, MPI_DOUBLE, MPI_SUM, ed->grid->ctx->comm);
    ed->misfit += mu2 * misfit;
    return RLS_OK;
}

rls_status rls_editor_anchor_keys(rls_editor *ed, const rls_vectors *keys, const rls_vectors *values)
{
    rls_context *ctx = ed->grid->ctx;
    rls_status status = RLS_OK;
    if (ed->phase == RLS_STARTED)
        status = rls_fail(ctx, RLS_ERR_USAGE, "anchor keys come before the start");
    else if (values != NULL ? ed->plain_keys : ed->pull != NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE, "either all anchor keys of a state have values or none");
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_editor_load(ed, keys, values);
    if (status != RLS_OK || ed->work.u == 0)
        return status;
    rls_symmetric_update(ed->c, ed->work.u, ed->options.mu * ed->options.mu, ed->work.k_r, ed->work.k_c);
    ed->phase = RLS_HAS_ANCHOR;
    if (values != NULL)
        return add_pull(ed);
    ed->plain_keys = true;
    return RLS_OK;
}

rls_status rls_editor_start(rls_editor *ed, double *smallest_pivot)
{
    rls_context *ctx = ed->grid->ctx;
    double pivot = 0.0;
    rls_status status = RLS_OK;
    if (ed->phase == RLS_STARTED)
        status = rls_fail(ctx, RLS_ERR_USAGE, "the state has started already");
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = ed->rule->start(ed, &pivot);
    if (smallest_pivot != NULL)
        *smallest_pivot = pivot;
    if (status == RLS_OK)
        ed->phase = RLS_STARTED;
    return status;
}

rls_status rls_editor_restore(rls_editor *ed, double objective, double anchor_misfit)
{
    rls_status status = RLS_OK;
    if (ed->phase == RLS_STARTED)
        status = rls_fail(ed->grid->ctx, RLS_ERR_USAGE, "the state has started already");
    status = rls_agree(ed->grid->ctx, status);
    if (status != RLS_OK)
        return status;
    status = ed->rule->restore(ed, objective, anchor_misfit);
    if (status == RLS_OK)
        ed->phase = RLS_STARTED;
    return status;
}

rls_status rls_editor_step(rls_editor *ed, const rls_batch *batch, rls_step_report *reports)
{
    rls_context *ctx = ed->grid->ctx;
    rls_status status = RLS_OK;
    *reports = (rls_step_report){0};
    if (ed->phase != RLS_STARTED)
        status = rls_fail(ctx, RLS_ERR_USAGE, "a step before the start");
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_editor_load(ed, &batch->keys, &batch->values);
    if (status == RLS_OK)
        status = ed->rule->step(ed, batch, reports);
    return status;
}

rls_status rls_editor_targets(rls_editor *ed, const rls_batch *batch, void *targets)
{
    rls_delay_flush(ed);
    const rls_status status = rls_editor_load(ed, &batch->keys, &batch->values);
    if (status != RLS_OK || ed->work.u == 0)
        return status;
    if (batch->kind == RLS_RESIDUAL)
        rls_editor_add_product(ed, ed->work.u);
    return rls_panel_to_vectors(&ed->values, batch->values.count, ed->work.e_c, targets);
}

rls_status rls_editor_misfit(rls_editor *ed, const rls_batch *batch, double *misfit2, double *values2)
{
    const rls_dtype d = ed->options.dtype;
    const int64_t m_local = ed->values.col_local;
    double sums[2] = {0.0, 0.0};
    *misfit2 = *values2 = 0.0;
    rls_delay_flush(ed);
    const rls_status status = rls_editor_load(ed, &batch->keys, &batch->values);
    const int64_t u = ed->work.u;
    if (status != RLS_OK || u == 0)
        return status;
    if (ed->grid->row == 0)
        sums[1] = rls_sum_squares(d, m_local, u, ed->work.e_c, m_local);
    rls_editor_innovation(ed, u);
    if (ed->grid->row == 0)
        sums[0] = rls_sum_squares(d, m_local, u, ed->work.e_c, m_local);
    MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, ed->grid->ctx->comm);
    *misfit2 = sums[0];
    *values2 = sums[1];
    return RLS_OK;
}
