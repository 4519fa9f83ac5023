#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "linalg/matrix.h"
#include "store/moments.h"

typedef struct {
    rls_context *ctx;
    const char *path, *module;
    int layer_count;
    const int *layers;
    rls_matrix *const *matrices;
    const int64_t *counts;
    int ncid;
    int *vars, *count_vars; /* per layer */
    void *rows;
} writer;

static int64_t row_bytes(const rls_matrix *matrix)
{
    return matrix->cols * (int64_t)rls_dtype_size(matrix->part.dtype);
}

/* Local: checks the arguments, and allocates for the largest round. */
static rls_status prepare(writer *w)
{
    int64_t most = 0;
    void *vars = NULL;
    for (int i = 0; i < w->layer_count; i++) {
        const rls_matrix *matrix = w->matrices[i];
        int64_t first = 0, count = 0;
        if (matrix->rows != matrix->cols || matrix->rows > RLS_LINE_ELEMENTS_MAX)
            return rls_fail(w->ctx, RLS_ERR_USAGE,
                            "%s: the second moment of layer %d cannot be %" PRId64 " x %" PRId64, w->path,
                            w->layers[i], matrix->rows, matrix->cols);
        (void)rls_slab_round(matrix->grid, matrix->rows, row_bytes(matrix), RLS_ROUND_BYTES, 0, &first,
                             &count);
        most = count * row_bytes(matrix) > most ? count * row_bytes(matrix) : most;
    }
    rls_status status = rls_alloc(w->ctx, 2 * (int64_t)w->layer_count, sizeof(int), &vars);
    w->vars = vars;
    w->count_vars = w->vars != NULL ? w->vars + w->layer_count : NULL;
    if (status == RLS_OK)
        status = rls_alloc(w->ctx, most, 1, &w->rows);
    return status;
}

/* Collective: the header. Every rank defines the same, so every rank meets the same error. */
static int define(const writer *w)
{
    int err = rls_nc_put_format(w->ncid, "rlsedit-moments", w->module);
    for (int i = 0; i < w->layer_count && err == NC_NOERR; i++) {
        char name[32];
        int dims[2] = {-1, -1};
        (void)snprintf(name, sizeof name, "n_%d", w->layers[i]);
        err = ncmpi_def_dim(w->ncid, name, w->matrices[i]->rows, &dims[0]);
        dims[1] = dims[0];
        (void)snprintf(name, sizeof name, "second_moment_%d", w->layers[i]);
        if (err == NC_NOERR)
            err = ncmpi_def_var(w->ncid, name, rls_nc_type(w->matrices[i]->part.dtype), 2, dims, &w->vars[i]);
        (void)snprintf(name, sizeof name, "count_%d", w->layers[i]);
        if (err == NC_NOERR)
            err = ncmpi_def_var(w->ncid, name, NC_INT64, 0, NULL, &w->count_vars[i]);
    }
    return err == NC_NOERR ? ncmpi_enddef(w->ncid) : err;
}

/* Collective: one layer's count and matrix, column by column, which by symmetry are its rows. */
static rls_status write_layer(const writer *w, int i)
{
    const rls_matrix *matrix = w->matrices[i];
    const long long keys = w->counts[i];
    int err = ncmpi_put_var_longlong_all(w->ncid, w->count_vars[i], &keys);
    rls_status status = rls_agree(w->ctx, rls_nc_check(w->ctx, err, "write", w->path, NULL));
    for (int64_t round = 0, first = 0, count = 0; status == RLS_OK; round++) {
        if (!rls_slab_round(matrix->grid, matrix->cols, row_bytes(matrix), RLS_ROUND_BYTES, round, &first,
                            &count))
            break;
        const rls_slab slab = {first, count, matrix->part.dtype, w->rows};
        if ((status = rls_cyclic_to_slab(&matrix->part, RLS_LINES_ARE_COLUMNS, &slab)) != RLS_OK)
            break;
        err = rls_nc_put_rows(w->ncid, w->vars[i], slab.dtype, first, count, matrix->rows, w->rows);
        status = rls_agree(w->ctx, rls_nc_check(w->ctx, err, "write", w->path, NULL));
    }
    return status;
}

rls_status rls_moments_write(rls_context *ctx, const char *path, const char *module, int layer_count,
                             const int *layers, rls_matrix *const *matrices, const int64_t *counts)
{
    writer w = {.ctx = ctx,
                .path = path,
                .module = module,
                .layer_count = layer_count,
                .layers = layers,
                .matrices = matrices,
                .counts = counts};
    rls_status status = rls_agree(ctx, prepare(&w));
    if (status == RLS_OK && (status = rls_nc_create(ctx, path, &w.ncid)) == RLS_OK) {
        status = rls_agree(ctx, rls_nc_check(ctx, define(&w), "define", path, NULL));
        for (int i = 0; i < layer_count && status == RLS_OK; i++)
            status = write_layer(&w, i);
        status = rls_nc_finish(ctx, status, path, w.ncid);
    }
    free(w.vars);
    free(w.rows);
    return status;
}
