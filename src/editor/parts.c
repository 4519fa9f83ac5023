#include "editor/parts.h"

#include <math.h>
#include <string.h>

#include "linalg/kernels.h"

enum { TILE = RLS_DELTA_COLUMNS / 2 }; /* columns of a Gram matrix formed at a time */

/* What is summed up for each part, and once for the step. */
enum { BEFORE, GAIN, AFTER, REMOVED, SUMS_A_PART };
enum { TRACE_BEFORE, TRACE_AFTER, SUMS_A_STEP };

int64_t rls_editor_parts(int64_t edits, int64_t each)
{
    return each > 0 && each < edits ? (edits + each - 1) / each : 1;
}

rls_part rls_part_of(int64_t u, int64_t each, int64_t part)
{
    if (each <= 0 || each >= u)
        return (rls_part){0, u};
    const int64_t first = part * each;
    return (rls_part){first, u - first < each ? u - first : each};
}

int64_t rls_parts_sums_elements(rls_dtype dtype, int64_t u)
{
    const int64_t sums = SUMS_A_PART * (u > 0 ? u : 1) + SUMS_A_STEP;
    return sums * (int64_t)(sizeof(double) / rls_dtype_size(dtype));
}

int64_t rls_parts_tile_elements(int64_t u)
{
    return (int64_t)2 * TILE * u;
}

/* Zeroes what the factorisation left above L's diagonal, so that L can be multiplied with. */
static void clear_above_diagonal(rls_dtype d, int64_t u, void *l)
{
    for (int64_t j = 1; j < u; j++)
        memset(rls_at(d, l, j * u), 0, (size_t)j * rls_dtype_size(d));
}

void rls_parts_join_residuals(rls_editor *ed, int64_t each)
{
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    const int64_t m_local = ed->values.col_local, u = w->u;
    if (m_local == 0)
        return;
    memcpy(w->h_c, w->e_c, (size_t)(m_local * u) * rls_dtype_size(d));
    for (int64_t j = 0; j < rls_editor_parts(u, each); j++) {
        const rls_part part = rls_part_of(u, each, j);
        rls_solve_right(d, 'T', m_local, part.count, rls_at(d, w->s, part.first * (u + 1)), u,
                        rls_at(d, w->h_c, part.first * m_local), m_local);
    }
    clear_above_diagonal(d, u, w->s);
    rls_gemm(d, 'N', 'T', m_local, u, u, 1.0, w->h_c, m_local, w->s, u, 0.0, w->e_c, m_local);
}

/* ||E_j||^2, ||H_j||^2 and ||V_j - W_j K_j||^2 of a part, from H_j. */
static void measure_values(rls_editor *ed, rls_part part, double *sums)
{
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    const int64_t m_local = ed->values.col_local, u = w->u, c = part.count;
    const void *l = rls_at(d, w->s, part.first * (u + 1)), *h = rls_at(d, w->e_c, part.first * m_local);
    void *room = rls_at(d, w->h_c, part.first * m_local);
    if (m_local == 0)
        return;
    rls_gemm(d, 'N', 'T', m_local, c, c, 1.0, h, m_local, l, u, 0.0, room, m_local);
    sums[BEFORE] = rls_sum_squares(d, m_local, c, room, m_local);
    sums[GAIN] = rls_sum_squares(d, m_local, c, h, m_local);
    memcpy(room, h, (size_t)(m_local * c) * rls_dtype_size(d));
    rls_solve_right(d, 'N', m_local, c, l, u, room, m_local);
    sums[AFTER] = rls_sum_squares(d, m_local, c, room, m_local);
}

/* The squared norm of a value panel, on the ranks that stand for the others of their process column. */
static double own_squares(const rls_editor *ed, const void *panel)
{
    const int64_t m_local = ed->values.col_local;
    return ed->grid->row == 0 ? rls_sum_squares(ed->options.dtype, m_local, ed->work.u, panel, m_local) : 0.0;
}

void rls_parts_begin(rls_editor *ed, int64_t each)
{
    const int64_t parts = rls_editor_parts(ed->work.u, each);
    double *sums = ed->work.sums;
    memset(sums, 0, (size_t)(SUMS_A_PART * parts + SUMS_A_STEP) * sizeof *sums);
    if (parts == 1)
        sums[BEFORE] = own_squares(ed, ed->work.e_c);
}

void rls_parts_measure(rls_editor *ed, int64_t each)
{
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    const int64_t rows = ed->keys.row_local, parts = rls_editor_parts(w->u, each);
    if (parts == 1) {
        w->sums[GAIN] = own_squares(ed, w->e_c);
        return;
    }
    clear_above_diagonal(d, w->u, w->s);
    for (int64_t j = 0; j < parts; j++) {
        const rls_part part = rls_part_of(w->u, each, j);
        double *sums = w->sums + SUMS_A_PART * j;
        /* Value panels are replicated over the process rows, and G over the process columns: they take turns.
         */
        if (j % ed->grid->p == ed->grid->row)
            measure_values(ed, part, sums);
        if (j % ed->grid->q == ed->grid->col)
            sums[REMOVED] = rls_sum_squares(d, rows, part.count, rls_at(d, w->f_r, part.first * rows), rows);
    }
}

/* The smallest of L_jj's squared diagonal elements. */
static double smallest_pivot(const rls_editor *ed, rls_part part)
{
    const rls_panels *w = &ed->work;
    double pivot = part.count > 0 ? (double)INFINITY : 1.0;
    for (int64_t i = part.first; i < part.first + part.count; i++) {
        const double l = rls_get(ed->options.dtype, w->s, i * (w->u + 1));
        pivot = fmin(pivot, l * l);
    }
    return pivot;
}

void rls_parts_report(rls_editor *ed, int64_t each, double trace_before, double trace_after,
                      rls_step_report *reports)
{
    double *sums = ed->work.sums;
    const int64_t u = ed->work.u, parts = rls_editor_parts(u, each);
    double *step = sums + SUMS_A_PART * parts;
    step[TRACE_BEFORE] = trace_before;
    step[TRACE_AFTER] = trace_after;
    if (parts == 1)
        sums[AFTER] = own_squares(ed, ed->work.h_c);
    MPI_Allreduce(MPI_IN_PLACE, sums, (int)(SUMS_A_PART * parts + SUMS_A_STEP), MPI_DOUBLE, MPI_SUM,
                  ed->grid->ctx->comm);
    double all = 0.0, removed = 0.0;
    for (int64_t j = 0; j < parts; j++)
        all += sums[SUMS_A_PART * j + REMOVED];
    for (int64_t j = 0; j < parts; j++) {
        const rls_part part = rls_part_of(u, each, j);
        const double *s = sums + SUMS_A_PART * j;
        removed += s[REMOVED];
        ed->objective += s[GAIN];
        /* The traces of C as it was and is, and between them in the proportion of what the parts took away.
         */
        const double share = j + 1 < parts && all > 0.0 ? removed / all : 1.0;
        reports[j] = (rls_step_report){
            .edits = part.count,
            .innovation_before = sqrt(s[BEFORE]),
            .innovation_after = sqrt(s[AFTER]),
            .objective_gain = s[GAIN],
            .objective = ed->objective,
            .trace = share < 1.0 ? step[TRACE_BEFORE] + share * (step[TRACE_AFTER] - step[TRACE_BEFORE])
                                 : step[TRACE_AFTER],
            .smallest_pivot = smallest_pivot(ed, part)};
    }
}

void rls_parts_moved(rls_editor *ed, int64_t each, double *moved)
{
    const rls_panels *w = &ed->work;
    const rls_dtype d = ed->options.dtype;
    const int64_t rows = ed->keys.row_local, m_local = ed->values.col_local, u = w->u;
    void *hh = w->tile, *gg = rls_at(d, w->tile, TILE * u);
    for (int64_t j = 0; j < rls_editor_parts(u, each); j++)
        moved[j] *= 2.0;
    if (rows == 0 || m_local == 0)
        return;
    for (int64_t b = 0; b < u; b += TILE) { /* columns b... of H^T H and G^T G, from the diagonal down */
        const int64_t below = u - b, count = below < TILE ? below : TILE;
        const void *h = rls_at(d, w->e_c, b * m_local), *g = rls_at(d, w->f_r, b * rows);
        rls_gemm(d, 'T', 'N', below, count, m_local, 1.0, h, m_local, h, m_local, 0.0, hh, below);
        rls_gemm(d, 'T', 'N', below, count, rows, 1.0, g, rows, g, rows, 0.0, gg, below);
        for (int64_t k = 0; k < count; k++) {
            const int64_t at = k * (below + 1);
            const double own = rls_get(d, hh, at) * rls_get(d, gg, at);
            const double other = rls_dot(d, below - k - 1, rls_at(d, hh, at + 1), rls_at(d, gg, at + 1));
            moved[(b + k) / each] -= own + 2.0 * other;
        }
    }
}
