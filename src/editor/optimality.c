#include "editor/optimality.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "editor/delay.h"
#include "editor/editor.h"
#include "linalg/factor.h"
#include "linalg/kernels.h"
#include "linalg/symmetric.h"
#include "linalg/tiles.h"

struct rls_optimality {
    rls_editor *editor;
    rls_matrix *delta;    /* D^T */
    rls_matrix *gradient; /* half of it, transposed: the finished terms */
    rls_matrix *term;     /* the term being gathered */
    bool edits_begun;
    double norms;      /* of the finished terms */
    double moved;      /* left side of the identity */
    double from_start; /* sum ||R||^2 */
    double objective;
};

static void destroy(rls_optimality **o)
{
    if (*o == NULL)
        return;
    rls_matrix_destroy(&(*o)->delta);
    rls_matrix_destroy(&(*o)->gradient);
    rls_matrix_destroy(&(*o)->term);
    free(*o);
    *o = NULL;
}

/* y += alpha x, matrices of equal layout. */
static void add(double alpha, const rls_matrix *x, rls_matrix *y)
{
    rls_axpy(x->part.dtype, rls_matrix_storage(x), alpha, x->part.data, y->part.data);
}

/* The gathered term joins the gradient. Collective. */
static rls_status finish_term(rls_optimality *o)
{
    double norm = 0.0;
    const rls_status status = rls_matrix_norm(o->term, &norm);
    if (status != RLS_OK)
        return status;
    o->norms += norm;
    add(1.0, o->term, o->gradient);
    const int64_t count = rls_matrix_storage(o->term);
    if (count > 0)
        memset(o->term->part.data, 0, (size_t)count * rls_dtype_size(o->term->part.dtype));
    return RLS_OK;
}

rls_status rls_optimality_begin(rls_editor *editor, const rls_drift *drift, rls_optimality **out)
{
    rls_context *ctx = editor->grid->ctx;
    const rls_editor_options *options = &editor->options;
    void *memory = NULL;
    *out = NULL;
    rls_delay_flush(editor);
    rls_status status = rls_agree(ctx, rls_alloc_zero(ctx, 1, sizeof(rls_optimality), &memory));
    rls_optimality *o = memory;
    if (status != RLS_OK) {
        free(memory);
        return status;
    }
    o->editor = editor;
    rls_matrix **const parts[] = {&o->delta, &o->gradient, &o->term};
    for (int i = 0; i < 3 && status == RLS_OK; i++)
        status =
            rls_matrix_create(editor->grid, options->dtype, options->n, options->m, options->block, parts[i]);
    double norm = 0.0;
    if (status == RLS_OK) {
        rls_drift_delta(drift, o->delta);
        add(options->lambda * options->lambda, o->delta, o->term);
        status = rls_matrix_norm(o->delta, &norm);
    }
    if (status == RLS_OK)
        status = finish_term(o);
    o->moved = o->objective = options->lambda * options->lambda * norm * norm;
    if (status != RLS_OK)
        destroy(&o);
    *out = o;
    return status;
}

rls_status rls_optimality_moment(rls_optimality *o, double weight)
{
    rls_editor *ed = o->editor;
    rls_symmetric_scale_shift(ed->c, ed->options.mu * ed->options.mu * weight, 0.0);
    const rls_status status = rls_symmetric_times_matrix(1.0, ed->c, o->delta, 0.0, o->term);
    if (status != RLS_OK)
        return status;
    const double product = rls_matrix_dot(o->delta, o->term); /* mu^2 w tr(D M D^T) */
    o->moved += product;
    o->objective += product;
    return finish_term(o);
}

/* h_c = D K for the keys in k_r. Collective over the process column. */
static void delta_times_keys(rls_optimality *o)
{
    const rls_panels *w = &o->editor->work;
    const rls_matrix *delta = o->delta;
    const rls_dtype d = delta->part.dtype;
    if (delta->cols_local > 0)
        memset(w->h_c, 0, (size_t)(delta->cols_local * w->u) * rls_dtype_size(d));
    rls_tiles_multiply(delta, RLS_FULL, w->u, 1.0, NULL, NULL, w->k_r, w->h_c);
    (void)rls_panel_sum(o->editor->grid->col_comm, d, w->h_c, delta->cols_local * w->u);
}

/* Adds what the panels hold: keys in k_r, E in e_c, R = E + D K. Each counts with `scale` in the objective.
 * Collective. */
static void add_pairs(rls_optimality *o, double scale)
{
    rls_editor *ed = o->editor;
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    const int64_t cols = ed->values.col_local;
    double sums[3] = {0.0, 0.0, 0.0}; /* ||D K||^2, ||E||^2, ||R||^2 */
    delta_times_keys(o);
    if (ed->grid->row == 0) {
        sums[0] = rls_sum_squares(d, cols, w->u, w->h_c, cols);
        sums[1] = rls_sum_squares(d, cols, w->u, w->e_c, cols);
        for (int64_t i = 0; i < cols * w->u; i++) {
            const double r = rls_get(d, w->h_c, i) + rls_get(d, w->e_c, i);
            sums[2] += r * r;
        }
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, 3, MPI_DOUBLE, MPI_SUM, ed->grid->ctx->comm);
    o->moved += scale * sums[0];
    o->objective += scale * sums[1];
    o->from_start += scale * sums[2];
    rls_tiles_update(o->term, RLS_FULL, w->u, -scale, w->k_r, w->e_c);
}

rls_status rls_optimality_anchor(rls_optimality *o, const rls_vectors *keys, const rls_vectors *values)
{
    rls_editor *ed = o->editor;
    rls_status status = rls_editor_load(ed, keys, values);
    if (status != RLS_OK || ed->work.u == 0)
        return status;
    if (values != NULL) {
        rls_editor_innovation(ed, ed->work.u);
    } else { /* V_0 = W_0 K_0: E_0 = -D K_0, R_0 = 0 */
        delta_times_keys(o);
        for (int64_t i = 0; i < ed->values.col_local * ed->work.u; i++)
            rls_set(ed->options.dtype, ed->work.e_c, i, -rls_get(ed->options.dtype, ed->work.h_c, i));
    }
    add_pairs(o, ed->options.mu * ed->options.mu);
    return RLS_OK;
}

rls_status rls_optimality_edits(rls_optimality *o, const rls_batch *batch)
{
    rls_editor *ed = o->editor;
    rls_status status = RLS_OK;
    if (!o->edits_begun) {
        status = finish_term(o); /* the anchor's */
        o->edits_begun = true;
    }
    if (status == RLS_OK)
        status = rls_editor_load(ed, &batch->keys, &batch->values);
    if (status != RLS_OK || ed->work.u == 0)
        return status;
    rls_editor_innovation(ed, ed->work.u);
    add_pairs(o, 1.0);
    return RLS_OK;
}

void rls_optimality_end(rls_optimality **o, rls_proof *proof)
{
    rls_optimality *x = *o;
    double norm = 0.0;
    if (x != NULL && proof != NULL && finish_term(x) == RLS_OK &&
        rls_matrix_norm(x->gradient, &norm) == RLS_OK) {
        const double right = x->from_start - x->objective;
        proof->identity_error = x->moved > 0.0 ? fabs(x->moved - right) / x->moved : fabs(right);
        proof->stationarity = x->norms > 0.0 ? norm / x->norms : 0.0;
        proof->objective = x->objective;
    }
    destroy(o);
}
