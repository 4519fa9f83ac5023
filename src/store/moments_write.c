#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "linalg/matrix.h"
#include "store/moments.h"
#include "store/netcdf_matrix.h"

typedef struct {
    rls_context *ctx;
    const char *path, *module;
    int layer_count;
    const int *layers;
    rls_matrix *const *matrices;
    const int64_t *counts;
    int ncid;
    int *vars, *count_vars; /* per layer */
} writer;

/* Local: checks the arguments, and allocates. */
static rls_status prepare(writer *w)
{
    void *vars = NULL;
    for (int i = 0; i < w->layer_count; i++) {
        const rls_matrix *matrix = w->matrices[i];
        if (matrix->rows != matrix->cols || matrix->rows > RLS_LINE_ELEMENTS_MAX)
            return rls_fail(w->ctx, RLS_ERR_USAGE,
                            "%s: the second moment of layer %d cannot be %" PRId64 " x %" PRId64, w->path,
                            w->layers[i], matrix->rows, matrix->cols);
    }
    const rls_status status = rls_alloc(w->ctx, 2 * (int64_t)w->layer_count, sizeof(int), &vars);
    w->vars = vars;
    w->count_vars = w->vars != NULL ? w->vars + w->layer_count : NULL;
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
    const long long keys = w->counts[i];
    const int err = ncmpi_put_var_longlong_all(w->ncid, w->count_vars[i], &keys);
    const rls_status status = rls_agree(w->ctx, rls_nc_check(w->ctx, err, "write", w->path, NULL));
    return status == RLS_OK ? rls_nc_store_matrix(w->ctx, w->ncid, w->vars[i], w->path, w->matrices[i], NULL)
                            : status;
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
    return status;
}
