#include "editor/drift.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "editor/editor.h"
#include "linalg/kernels.h"

enum { TILE_COLUMNS = 32 }; /* columns of D formed at a time: a tile that stays in cache */

struct rls_drift {
    rls_editor *editor;
    rls_dtype stored;
    void *x0;   /* [rows, columns] of this rank, packed */
    void *tile; /* rows x TILE_COLUMNS, the state's type */
    double norm, residual2;
};

rls_status rls_drift_create(rls_editor *editor, rls_dtype stored, rls_drift **out)
{
    rls_context *ctx = editor->grid->ctx;
    const rls_matrix *x = editor->x;
    void *memory = NULL, *x0 = NULL, *tile = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_drift), &memory);
    if (status == RLS_OK)
        status = rls_alloc(ctx, x->rows_local * x->cols_local, rls_dtype_size(stored), &x0);
    if (status == RLS_OK)
        status = rls_alloc(ctx, x->rows_local * TILE_COLUMNS, rls_dtype_size(x->part.dtype), &tile);
    status = rls_agree(ctx, status);
    if (status != RLS_OK) {
        free(memory);
        free(x0);
        free(tile);
        *out = NULL;
        return status;
    }
    rls_drift *drift = memory;
    *drift = (rls_drift){.editor = editor, .stored = stored, .x0 = x0, .tile = tile};
    for (int64_t jl = 0; jl < x->cols_local && x->rows_local > 0; jl++)
        rls_convert(stored, rls_at(stored, x0, jl * x->rows_local), 1, x->part.dtype,
                    rls_at(x->part.dtype, x->part.data, jl * x->part.ld), 1, x->rows_local);
    *out = drift;
    return RLS_OK;
}

void rls_drift_destroy(rls_drift **drift)
{
    if (*drift == NULL)
        return;
    free((*drift)->x0);
    free((*drift)->tile);
    free(*drift);
    *drift = NULL;
}

/* out [rows, columns of D from jl, count] = X - X_0. */
static void form_delta(const rls_drift *drift, int64_t jl, int64_t count, void *out, int64_t ldout)
{
    const rls_matrix *x = drift->editor->x;
    const rls_dtype d = x->part.dtype;
    const int64_t rows = x->rows_local;
    for (int64_t j = 0; j < count && rows > 0; j++) {
        void *column = rls_at(d, out, j * ldout);
        rls_convert(d, column, 1, drift->stored, rls_at(drift->stored, drift->x0, (jl + j) * rows), 1, rows);
        rls_scale(d, rows, -1.0, column);
        rls_axpy(d, rows, 1.0, rls_at(d, x->part.data, (jl + j) * x->part.ld), column);
    }
}

rls_status rls_drift_update(rls_drift *drift, int64_t edits)
{
    rls_editor *ed = drift->editor;
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    const int64_t rows = ed->x->rows_local, cols = ed->x->cols_local;
    const double start = rls_profile_start();
    const double own = ed->grid->row == 0 ? 1.0 : 0.0;
    double sums[2] = {0.0, 0.0};
    for (int64_t jl = 0; jl < cols && edits > 0; jl += TILE_COLUMNS) {
        const int64_t count = cols - jl < TILE_COLUMNS ? cols - jl : TILE_COLUMNS;
        form_delta(drift, jl, count, drift->tile, rows);
        sums[0] += rls_sum_squares(d, rows, count, drift->tile, rows);
        rls_gemm(d, 'T', 'N', count, edits, rows, 1.0, drift->tile, rows, w->k_r, rows, own,
                 rls_at(d, w->h_c, jl), cols);
    }
    if (edits > 0) {
        ed->keys.sent_bytes += rls_panel_sum(ed->grid->col_comm, d, w->h_c, cols * edits);
        if (ed->grid->row == 0)
            sums[1] = rls_sum_squares(d, cols, edits, w->h_c, cols);
        MPI_Allreduce(MPI_IN_PLACE, sums, 2, MPI_DOUBLE, MPI_SUM, ed->grid->ctx->comm);
        drift->norm = sqrt(sums[0]);
        drift->residual2 += sums[1];
    }
    (void)rls_profile_add(
        ed->grid->ctx, "D, its bound", start,
        2.0 * (double)ed->options.n * (double)ed->options.m * (double)edits / ed->grid->ctx->size, 0.0);
    return RLS_OK;
}

void rls_drift_restore(rls_drift *drift, double norm, double edits_residual2)
{
    drift->norm = norm;
    drift->residual2 = edits_residual2;
}

double rls_drift_norm(const rls_drift *drift)
{
    return drift->norm;
}

double rls_drift_residual2(const rls_drift *drift)
{
    return rls_editor_anchor_misfit(drift->editor) + drift->residual2;
}

double rls_drift_edits_residual2(const rls_drift *drift)
{
    return drift->residual2;
}

double rls_drift_bound(const rls_drift *drift)
{
    const double lambda = drift->editor->options.lambda;
    return lambda > 0.0 ? sqrt(rls_drift_residual2(drift)) / (2.0 * lambda) : (double)INFINITY;
}

void rls_drift_delta(const rls_drift *drift, rls_matrix *out)
{
    form_delta(drift, 0, out->cols_local, out->part.data, out->part.ld);
}
