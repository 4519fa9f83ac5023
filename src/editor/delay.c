#include "editor/delay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/kernels.h"
#include "linalg/symmetric.h"
#include "linalg/tiles.h"

double rls_delay_elements(int64_t delay, int64_t row_local, int64_t col_local, int64_t m_local)
{
    return (double)delay * ((double)row_local + (double)col_local + (double)m_local + (double)delay);
}

rls_status rls_delay_create(rls_editor *ed)
{
    rls_context *ctx = ed->grid->ctx;
    rls_delayed *x = &ed->delayed;
    const size_t size = rls_dtype_size(ed->options.dtype);
    const int64_t delay = ed->options.delay;
    if (delay == 0)
        return RLS_OK;
    rls_status status = rls_alloc(ctx, ed->keys.row_local * delay, size, &x->g_r);
    if (status == RLS_OK)
        status = rls_alloc(ctx, ed->keys.col_local * delay, size, &x->g_c);
    if (status == RLS_OK)
        status = rls_alloc(ctx, ed->values.col_local * delay, size, &x->h_c);
    if (status == RLS_OK)
        status = rls_alloc(ctx, delay * delay, size, &x->t);
    return status;
}

void rls_delay_free(rls_editor *ed)
{
    free(ed->delayed.g_r);
    free(ed->delayed.g_c);
    free(ed->delayed.h_c);
    free(ed->delayed.t);
    ed->delayed = (rls_delayed){0};
}

void rls_delay_flush(rls_editor *ed)
{
    rls_delayed *x = &ed->delayed;
    const double n = (double)ed->options.n, m = (double)ed->options.m, w = (double)x->width;
    if (x->width == 0)
        return;
    const double start = rls_profile_start();
    rls_symmetric_update(ed->c, x->width, -1.0, x->g_r, x->g_c);
    rls_tiles_update(ed->x, RLS_FULL, x->width, 1.0, x->g_r, x->h_c);
    x->width = 0;
    x->trace_known = false;
    (void)rls_profile_add(ed->grid->ctx, "delayed updates", start,
                          (n * n + 2.0 * n * m) * w / ed->grid->ctx->size, 0.0);
}

void rls_delay_prepare(rls_editor *ed, int64_t u)
{
    if (ed->delayed.width + u > ed->options.delay)
        rls_delay_flush(ed);
}

void rls_delay_correct(rls_editor *ed)
{
    rls_delayed *x = &ed->delayed;
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    /* Each process column sums its share of the rows. */
    const int64_t rows = ed->keys.row_local, q = ed->grid->q;
    const int64_t begin = rows * ed->grid->col / q, end = rows * (ed->grid->col + 1) / q;
    if (x->width == 0 || w->u == 0)
        return;
    memset(x->t, 0, (size_t)(x->width * w->u) * rls_dtype_size(d));
    rls_gemm(d, 'T', 'N', x->width, w->u, end - begin, 1.0, rls_at(d, x->g_r, begin), rows,
             rls_at(d, w->k_r, begin), rows, 0.0, x->t, x->width);
    ed->keys.sent_bytes += rls_panel_sum(ed->grid->ctx->comm, d, x->t, x->width * w->u);
    rls_gemm(d, 'N', 'N', rows, w->u, x->width, -1.0, x->g_r, rows, x->t, x->width, 1.0, w->f_r, rows);
}

void rls_delay_add_product(const rls_editor *ed, double alpha)
{
    const rls_delayed *x = &ed->delayed;
    const int64_t m_local = ed->values.col_local;
    if (x->width > 0 && m_local > 0)
        rls_gemm(ed->options.dtype, 'N', 'N', m_local, ed->work.u, x->width, alpha, x->h_c, m_local, x->t,
                 x->width, 1.0, ed->work.e_c, m_local);
}

/* Appends u columns of a panel. */
static void append(const rls_editor *ed, void *pending, const void *panel, int64_t local)
{
    const rls_dtype d = ed->options.dtype;
    if (local > 0)
        memcpy(rls_at(d, pending, ed->delayed.width * local), panel,
               (size_t)(ed->work.u * local) * rls_dtype_size(d));
}

bool rls_delay_take(rls_editor *ed)
{
    rls_delayed *x = &ed->delayed;
    const rls_panels *w = &ed->work;
    if (x->width + w->u > ed->options.delay) {
        x->trace_known = false;
        return false;
    }
    (void)rls_delay_trace(ed);
    if (ed->grid->col == 0) /* row panels are replicated over the process columns */
        x->trace -= rls_sum_squares(ed->options.dtype, ed->keys.row_local, w->u, w->f_r, ed->keys.row_local);
    append(ed, x->g_r, w->f_r, ed->keys.row_local);
    append(ed, x->g_c, w->f_c, ed->keys.col_local);
    append(ed, x->h_c, w->e_c, ed->values.col_local);
    x->width += w->u;
    return true;
}

double rls_delay_trace(rls_editor *ed)
{
    rls_delayed *x = &ed->delayed;
    if (!x->trace_known) { /* nothing is pending then */
        x->trace = rls_local_trace(ed->c);
        x->trace_known = true;
    }
    return x->trace;
}
