#include "support/state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/collective.h"

int context_setup(void **state)
{
    rls_context *ctx = NULL;
    const rls_status status = rls_context_create(MPI_COMM_WORLD, &ctx);
    *state = ctx;
    return status == RLS_OK ? 0 : -1;
}

int context_teardown(void **state)
{
    rls_context *ctx = *state;
    rls_context_destroy(&ctx);
    *state = NULL;
    return 0;
}

void each_grid(rls_context *ctx, void (*work)(rls_grid *grid, void *user), void *user)
{
    const int size = rls_context_size(ctx);
    for (int p = 1; p <= size; p++) {
        if (size % p != 0)
            continue;
        rls_grid *grid = NULL;
        assert_all_ok(ctx, rls_grid_create(ctx, p, size / p, &grid));
        work(grid, user);
        rls_grid_destroy(&grid);
    }
}

static void copy_dense(rls_matrix *matrix, rls_dtype dtype, double *dense, int to_dense, int64_t global_rows)
{
    int64_t rows, cols, ld;
    void *data = rls_matrix_local(matrix, &rows, &cols, &ld);
    for (int64_t jl = 0; jl < cols; jl++)
        for (int64_t il = 0; il < rows; il++) {
            double *d =
                &dense[rls_matrix_global_row(matrix, il) + rls_matrix_global_col(matrix, jl) * global_rows];
            double *x64 = (double *)data + (il + jl * ld);
            float *x32 = (float *)data + (il + jl * ld);
            if (to_dense)
                *d = dtype == RLS_F64 ? *x64 : (double)*x32;
            else if (dtype == RLS_F64)
                *x64 = *d;
            else
                *x32 = (float)*d;
        }
}

void matrix_from_dense(rls_matrix *matrix, const double *dense)
{
    copy_dense(matrix, rls_matrix_dtype(matrix), (double *)dense, 0, rls_matrix_rows(matrix));
}

void matrix_to_dense(rls_context *ctx, rls_matrix *matrix, double *dense)
{
    const int64_t count = rls_matrix_rows(matrix) * rls_matrix_cols(matrix);
    memset(dense, 0, (size_t)count * sizeof *dense);
    copy_dense(matrix, rls_matrix_dtype(matrix), dense, 1, rls_matrix_rows(matrix));
    MPI_Allreduce(MPI_IN_PLACE, dense, (int)count, MPI_DOUBLE, MPI_SUM, rls_context_comm(ctx));
}

void symmetric_to_dense(rls_context *ctx, rls_matrix *matrix, double *dense)
{
    const int64_t n = rls_matrix_rows(matrix);
    matrix_to_dense(ctx, matrix, dense);
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < j; i++)
            dense[i + j * n] = dense[j + i * n];
}

rls_vectors share_of(rls_context *ctx, const double *dense, int64_t length, int64_t first, int64_t count)
{
    const int size = rls_context_size(ctx), rank = rls_context_rank(ctx);
    int64_t at = 0, mine = 0;
    for (int r = 0; r <= rank; r++) {
        at += mine;
        mine = count / size + (r % 3 == 0 ? 1 : r % 3 == 1 ? 2 : 0);
        if (r == size - 1 || mine > count - at)
            mine = count - at;
    }
    return (rls_vectors){
        .count = mine, .dtype = RLS_F64, .data = dense ? dense + (first + at) * length : NULL};
}

rls_editor *editor_for(rls_grid *grid, const dense_problem *p, rls_dtype dtype, int64_t block)
{
    rls_context *ctx = rls_grid_context(grid);
    const rls_editor_options options = {.rule = "rls",
                                        .lambda = p->lambda,
                                        .mu = p->mu,
                                        .dtype = dtype,
                                        .n = p->n,
                                        .m = p->m,
                                        .block = block};
    rls_editor *ed = NULL;
    assert_all_ok(ctx, rls_editor_create(grid, &options, &ed));
    matrix_from_dense(rls_editor_weight(ed), p->x0);
    if (p->moment != NULL) {
        matrix_from_dense(rls_editor_inv_cov(ed), p->moment);
        assert_all_ok(ctx, rls_editor_anchor_moment(ed, p->weight));
    }
    const int64_t half = p->anchors / 2; /* in two calls: anchors add up */
    for (int part = 0; part < 2 && p->anchors > 0; part++) {
        const int64_t first = part == 0 ? 0 : half, count = part == 0 ? half : p->anchors - half;
        const rls_vectors keys = share_of(ctx, p->k0, p->n, first, count);
        const rls_vectors values = share_of(ctx, p->v0, p->m, first, count);
        assert_all_ok(ctx, rls_editor_anchor_keys(ed, &keys, p->v0 != NULL ? &values : NULL));
    }
    assert_all_ok(ctx, rls_editor_start(ed, NULL));
    return ed;
}

void apply_edits(rls_editor *editor, rls_context *ctx, const dense_problem *p, int64_t first, int64_t last,
                 int64_t batch)
{
    for (int64_t at = first; at < last; at += batch) {
        const int64_t count = last - at < batch ? last - at : batch;
        const rls_batch edits = {.keys = share_of(ctx, p->keys, p->n, at, count),
                                 .values = share_of(ctx, p->values, p->m, at, count),
                                 .kind = RLS_TARGET};
        rls_step_report report;
        assert_all_ok(ctx, rls_editor_step(editor, &edits, &report));
    }
}

double relative_difference(const double *a, const double *b, int64_t count)
{
    double error = 0.0, norm = 0.0;
    for (int64_t i = 0; i < count; i++) {
        error += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return norm > 0.0 ? sqrt(error / norm) : sqrt(error);
}

double delta_error(rls_context *ctx, rls_editor *editor, const dense_problem *p, const double *delta)
{
    double *x = calloc((size_t)(p->n * p->m), sizeof *x);
    if (x == NULL)
        abort();
    matrix_to_dense(ctx, rls_editor_weight(editor), x);
    for (int64_t i = 0; i < p->n * p->m; i++)
        x[i] -= p->x0[i];
    const double error = relative_difference(x, delta, p->n * p->m);
    free(x);
    return error;
}
