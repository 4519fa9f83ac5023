/* Scratch memory of a step: what panels it holds, and how much that is. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "editor/delay.h"
#include "editor/editor.h"
#include "editor/parts.h"
#include "linalg/factor.h"

rls_status rls_workspace_create(rls_grid *grid, rls_workspace **out)
{
    *out = calloc(1, sizeof **out);
    rls_status status = RLS_OK;
    if (*out == NULL)
        status = rls_fail(grid->ctx, RLS_ERR_MEMORY, "no memory for a workspace");
    status = rls_agree(grid->ctx, status);
    if (status != RLS_OK)
        rls_workspace_destroy(out);
    return status;
}

void rls_workspace_destroy(rls_workspace **workspace)
{
    if (*workspace == NULL)
        return;
    free((*workspace)->memory);
    free(*workspace);
    *workspace = NULL;
}

/* Elements, rounded up to whole cache lines so that panels start on one. */
static int64_t padded(int64_t elements)
{
    return (elements + 15) / 16 * 16;
}

/* Elements of the workspace for u edits on a rank with these shares of n and m. */
static int64_t workspace_elements(rls_dtype dtype, int64_t row_local, int64_t col_local, int64_t exchange,
                                  int64_t m_local, int64_t u)
{
    return 2 * padded(row_local * u) + 2 * padded(col_local * u) + 2 * padded(m_local * u) + padded(u * u) +
           padded(rls_parts_sums_elements(dtype, u)) + padded(rls_parts_tile_elements(u)) + padded(exchange);
}

static void *take(rls_dtype dtype, char **memory, int64_t elements)
{
    void *here = *memory;
    *memory += (size_t)padded(elements) * rls_dtype_size(dtype);
    return here;
}

static rls_status check_panel_size(const rls_editor *ed, int64_t u)
{
    const double largest = fmax(fmax((double)ed->keys.row_local, (double)ed->keys.col_local),
                                fmax((double)ed->values.col_local, (double)u));
    if (largest * (double)u > INT_MAX)
        return rls_fail(ed->grid->ctx, RLS_ERR_MEMORY,
                        "batch: %" PRId64
                        " edits at once make arrays of 2^31 elements or more on a rank: use a smaller batch",
                        u);
    return RLS_OK;
}

rls_status rls_editor_reserve(rls_editor *ed, int64_t u)
{
    rls_context *ctx = ed->grid->ctx;
    rls_workspace *w = ed->workspace;
    const rls_dtype d = ed->options.dtype;
    const int64_t rows = ed->keys.row_local, cols = ed->keys.col_local, m_local = ed->values.col_local;
    const int64_t exchange = rls_panel_map_elements(&ed->keys, u);
    ed->work = (rls_panels){0};
    rls_status status = check_panel_size(ed, u);
    if (status != RLS_OK)
        return status;
    const int64_t elements = workspace_elements(d, rows, cols, exchange, m_local, u);
    if ((size_t)elements * rls_dtype_size(d) > w->bytes) {
        free(w->memory);
        w->bytes = 0;
        status = rls_alloc(ctx, elements, rls_dtype_size(d), &w->memory);
        if (status != RLS_OK)
            return status;
        w->bytes = (size_t)elements * rls_dtype_size(d);
    }
    char *memory = w->memory;
    ed->work = (rls_panels){.u = u};
    ed->work.k_r = take(d, &memory, rows * u);
    ed->work.k_c = take(d, &memory, cols * u);
    ed->work.f_r = take(d, &memory, rows * u);
    ed->work.f_c = take(d, &memory, cols * u);
    ed->work.e_c = take(d, &memory, m_local * u);
    ed->work.h_c = take(d, &memory, m_local * u);
    ed->work.s = take(d, &memory, u * u);
    ed->work.sums = take(d, &memory, rls_parts_sums_elements(d, u));
    ed->work.tile = take(d, &memory, rls_parts_tile_elements(u));
    rls_panel_map_buffers(&ed->keys, u, take(d, &memory, exchange));
    return RLS_OK;
}

double rls_editor_bytes(const rls_editor_options *o, int p, int q, int64_t u)
{
    const rls_dim row = {o->n, o->block, p}, col = {o->n, o->block, q}, value = {o->m, o->block, q};
    const int64_t rows = rls_dim_count(row, 0), cols = rls_dim_count(col, 0),
                  m_local = rls_dim_count(value, 0);
    const double state =
        (double)rows * (double)(cols + m_local) + rls_delay_elements(o->delay, rows, cols, m_local);
    /* Dealing a batch out packs a share of it once more, and no rank exchanges more than two column panels.
     */
    const double work = u > 0 ? (double)workspace_elements(o->dtype, rows, cols, 2 * cols * u, m_local, u) +
                                    (double)o->n * (double)u
                              : 0.0;
    const double size = (double)rls_dtype_size(o->dtype);
    /* Anchor keys leave their panels behind when C_0 is made. */
    return u > 0 ? work * size + rls_spd_invert_bytes(o->dtype, o->n, o->block, p, q) : state * size;
}
