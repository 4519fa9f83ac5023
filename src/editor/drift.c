#include "editor/drift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "editor/delay.h"
#include "editor/editor.h"
#include "editor/parts.h"
#include "linalg/kernels.h"
#include "linalg/tiles.h"

struct rls_drift {
    rls_editor *editor;
    rls_dtype stored;
    void *x0;         /* [rows, columns] of this rank, packed */
    rls_matrix delta; /* RLS_DELTA_COLUMNS columns of this rank's D */
    double norm, residual2;
};

rls_status rls_drift_create(rls_editor *editor, rls_dtype stored, rls_drift **out)
{
    rls_context *ctx = editor->grid->ctx;
    const rls_matrix *x = editor->x;
    void *memory = NULL, *x0 = NULL, *tile = NULL;
    const int64_t columns = x->cols_local < RLS_DELTA_COLUMNS ? x->cols_local : RLS_DELTA_COLUMNS;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_drift), &memory);
    if (status == RLS_OK)
        status = rls_alloc(ctx, x->rows_local * x->cols_local, rls_dtype_size(stored), &x0);
    if (status == RLS_OK)
        status = rls_alloc(ctx, x->part.ld * columns, rls_dtype_size(x->part.dtype), &tile);
    status = rls_agree(ctx, status);
    if (status != RLS_OK) {
        free(memory);
        free(x0);
        free(tile);
        *out = NULL;
        return status;
    }
    rls_drift *drift = memory;
    *drift = (rls_drift){.editor = editor, .stored = stored, .x0 = x0, .delta = *x};
    drift->delta.part.data = tile;
    for (int64_t jl = 0; jl < x->cols_local && x->rows_local > 0; jl++)
        rls_convert(stored, rls_at(stored, x0, jl * x->rows_local), 1, x->part.dtype,
                    rls_at(x->part.dtype, x->part.data, jl * x->part.ld), 1, x->rows_local);
    *out = drift;
    return RLS_OK;
}

double rls_drift_bytes(rls_dtype dtype, rls_dtype stored, int64_t rows, int64_t cols)
{
    const int64_t columns = cols < RLS_DELTA_COLUMNS ? cols : RLS_DELTA_COLUMNS;
    return (double)rows *
           ((double)cols * (double)rls_dtype_size(stored) + (double)columns * (double)rls_dtype_size(dtype));
}

void rls_drift_destroy(rls_drift **drift)
{
    if (*drift == NULL)
        return;
    free((*drift)->x0);
    free((*drift)->delta.part.data);
    free(*drift);
    *drift = NULL;
}

/* out [rows, columns of D from jl, count] = X - X_0. Returns its squared norm, taken while a column is in the
 * cache. */
static double form_delta(const rls_drift *drift, int64_t jl, int64_t count, void *out, int64_t ldout)
{
    const rls_matrix *x = drift->editor->x;
    const rls_dtype d = x->part.dtype;
    const int64_t rows = x->rows_local;
    double norm2 = 0.0;
    for (int64_t j = 0; j < count && rows > 0; j++) {
        void *column = rls_at(d, out, j * ldout);
        rls_convert(d, column, 1, drift->stored, rls_at(drift->stored, drift->x0, (jl + j) * rows), 1, rows);
        rls_subtract_from(d, rows, rls_at(d, x->part.data, (jl + j) * x->part.ld), column);
        norm2 += rls_sum_squares(d, rows, 1, column, rows);
    }
    return norm2;
}

/* The workspace's tile [count, u] = D^T times a row panel, for the columns of D at hand. */
static void delta_times(const rls_drift *drift, const void *panel)
{
    const rls_panels *w = &drift->editor->work;
    const int64_t count = drift->delta.cols_local;
    memset(w->tile, 0, (size_t)(count * w->u) * rls_dtype_size(drift->delta.part.dtype));
    rls_tiles_multiply(&drift->delta, RLS_FULL, w->u, 1.0, NULL, NULL, panel, w->tile);
}

/* One pass over D: its squared norm, D K added to h_c (V - W_t K, on the first process row only, 0 on the
 * others: the sum over the process column is then R), and with several parts across[j] += <D, H_j G_j^T>. */
static double pass_over_delta(rls_drift *drift, int64_t each, double *across)
{
    const rls_editor *ed = drift->editor;
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    rls_matrix *delta = &drift->delta;
    const int64_t cols = ed->x->cols_local;
    double norm2 = 0.0;
    if (ed->grid->row != 0 && cols > 0)
        memset(w->h_c, 0, (size_t)(cols * w->u) * rls_dtype_size(d));
    for (int64_t jl = 0; jl < cols; jl += RLS_DELTA_COLUMNS) {
        const int64_t count = cols - jl < RLS_DELTA_COLUMNS ? cols - jl : RLS_DELTA_COLUMNS;
        delta->cols_local = count;
        norm2 += form_delta(drift, jl, count, delta->part.data, delta->part.ld);
        delta_times(drift, w->k_r);
        for (int64_t k = 0; k < w->u; k++)
            rls_axpy(d, count, 1.0, rls_at(d, w->tile, k * count), rls_at(d, w->h_c, k * cols + jl));
        if (across == NULL)
            continue;
        delta_times(drift, w->f_r);
        for (int64_t k = 0; k < w->u; k++)
            across[k / each] +=
                rls_dot(d, count, rls_at(d, w->tile, k * count), rls_at(d, w->e_c, k * cols + jl));
    }
    return norm2;
}

/* The parts' bounds forwards and norms backwards, from the sums over all ranks: residual2[j] = ||R_j||^2,
 * moved[j] as rls_parts_moved has it. */
static void follow_parts(rls_drift *drift, int64_t parts, const double *residual2, const double *moved,
                         rls_drift_report *reports)
{
    for (int64_t j = 0; j < parts; j++) {
        drift->residual2 += residual2[j];
        if (reports != NULL)
            reports[j].bound = rls_drift_bound(drift);
    }
    double norm2 = drift->norm * drift->norm;
    for (int64_t j = parts - 1; j >= 0 && reports != NULL; j--) {
        reports[j].norm = j == parts - 1 ? drift->norm : sqrt(fmax(norm2, 0.0));
        norm2 -= parts > 1 ? moved[j] : 0.0;
    }
}

rls_status rls_drift_update(rls_drift *drift, int64_t edits, int64_t each, rls_drift_report *reports)
{
    rls_editor *ed = drift->editor;
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    const int64_t cols = ed->x->cols_local, parts = rls_editor_parts(edits, each);
    const double start = rls_profile_start();
    double *sums = w->sums, *residual2 = sums + 1, *moved = residual2 + parts;
    const int64_t summed = 1 + parts + (parts > 1 ? parts : 0);
    if (edits == 0) {
        if (reports != NULL)
            *reports = (rls_drift_report){drift->norm, rls_drift_bound(drift)};
        return RLS_OK;
    }
    rls_delay_flush(ed);
    memset(sums, 0, (size_t)summed * sizeof *sums);
    sums[0] = pass_over_delta(drift, each, parts > 1 ? moved : NULL);
    if (parts > 1)
        rls_parts_moved(ed, each, moved);
    ed->keys.sent_bytes += rls_panel_sum(ed->grid->col_comm, d, w->h_c, cols * edits);
    for (int64_t j = 0; j < parts && ed->grid->row == 0; j++) {
        const rls_part part = rls_part_of(edits, each, j);
        residual2[j] = rls_sum_squares(d, cols, part.count, rls_at(d, w->h_c, part.first * cols), cols);
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, (int)summed, MPI_DOUBLE, MPI_SUM, ed->grid->ctx->comm);
    drift->norm = sqrt(sums[0]);
    follow_parts(drift, parts, residual2, moved, reports);
    (void)rls_profile_add(ed->grid->ctx, "D, its bound", start,
                          (parts > 1 ? 4.0 : 2.0) * (double)ed->options.n * (double)ed->options.m *
                              (double)edits / ed->grid->ctx->size,
                          0.0);
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
    (void)form_delta(drift, 0, out->cols_local, out->part.data, out->part.ld);
}
