#include "store/stream_write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "grid/redistribute.h"

enum { EDIT_BYTES_MAX = 1 << 30 };

typedef struct {
    rls_context *ctx;
    const char *path;
    const rls_stream_info *info;
    const int64_t *case_ids;
    const rls_vectors *keys, *values;
    int64_t first, count;      /* this rank's edits */
    int64_t per_round, rounds; /* edits a rank in one wait_all */
    int ncid, case_var;
    int *key_vars, *value_vars; /* per layer */
} writer;

static int64_t vector_bytes(int64_t length, rls_dtype dtype)
{
    return length * (int64_t)rls_dtype_size(dtype);
}

/* Local: are the arguments sound, and how many edits fit a round. */
static rls_status check_arguments(writer *w)
{
    const rls_stream_info *info = w->info;
    int64_t edit_bytes = 8;
    w->count = info->layer_count > 0 ? w->keys[0].count : 0;
    for (int i = 0; i < info->layer_count; i++) {
        const rls_stream_layer *layer = &info->layers[i];
        if (layer->n < 1 || layer->n > RLS_LINE_ELEMENTS_MAX || layer->m < 0 ||
            layer->m > RLS_LINE_ELEMENTS_MAX)
            return rls_fail(w->ctx, RLS_ERR_USAGE,
                            "%s: layer %d cannot have vectors of %" PRId64 " and %" PRId64, w->path,
                            layer->layer, layer->n, layer->m);
        if (w->keys[i].count != w->count || (layer->m > 0 && w->values[i].count != w->count))
            return rls_fail(w->ctx, RLS_ERR_USAGE,
                            "%s: a rank has unequal numbers of keys and values at layer %d", w->path,
                            layer->layer);
        edit_bytes += vector_bytes(layer->n, layer->key_dtype) + vector_bytes(layer->m, layer->value_dtype);
        if (edit_bytes > EDIT_BYTES_MAX)
            return rls_fail(w->ctx, RLS_ERR_USAGE,
                            "%s: one edit is larger than 1 GiB: write fewer layers a file", w->path);
    }
    w->per_round = RLS_ROUND_BYTES / edit_bytes > 0 ? RLS_ROUND_BYTES / edit_bytes : 1;
    return RLS_OK;
}

/* Collective: where this rank's edits go, and the number of rounds of the rank with most. */
static rls_status place(writer *w)
{
    int64_t total = 0, most = 0, before = 0;
    MPI_Allreduce(&w->count, &total, 1, MPI_INT64_T, MPI_SUM, w->ctx->comm);
    MPI_Allreduce(&w->count, &most, 1, MPI_INT64_T, MPI_MAX, w->ctx->comm);
    MPI_Exscan(&w->count, &before, 1, MPI_INT64_T, MPI_SUM, w->ctx->comm);
    w->first = w->ctx->rank == 0 ? 0 : before;
    w->rounds = (most + w->per_round - 1) / w->per_round;
    if (total > 0)
        return RLS_OK;
    return rls_agree(w->ctx,
                     rls_fail(w->ctx, RLS_ERR_USAGE, "%s: a stream without edits is not written", w->path));
}

static int define_vectors(int ncid, int edit, const char *dim_name, const char *var_name, int layer,
                          int64_t length, rls_dtype dtype, int *var)
{
    char name[32];
    int dims[2] = {edit, -1};
    (void)snprintf(name, sizeof name, dim_name, layer);
    int err = ncmpi_def_dim(ncid, name, length, &dims[1]);
    (void)snprintf(name, sizeof name, var_name, layer);
    if (err == NC_NOERR)
        err = ncmpi_def_var(ncid, name, rls_nc_type(dtype), 2, dims, var);
    return err;
}

/* Collective: the header. Every rank defines the same, so every rank meets the same error. */
static int define(writer *w)
{
    const rls_stream_info *info = w->info;
    const char *kind = info->kind == RLS_RESIDUAL ? "residual" : "target";
    const long long batch = info->batch;
    int edit = -1;
    int err = ncmpi_def_dim(w->ncid, "edit", NC_UNLIMITED, &edit);
    if (err == NC_NOERR && info->has_case_ids)
        err = ncmpi_def_var(w->ncid, "case_id", NC_INT64, 1, &edit, &w->case_var);
    for (int i = 0; i < info->layer_count && err == NC_NOERR; i++) {
        const rls_stream_layer *layer = &info->layers[i];
        err = define_vectors(w->ncid, edit, "n_%d", "key_%d", layer->layer, layer->n, layer->key_dtype,
                             &w->key_vars[i]);
        if (err == NC_NOERR && layer->m > 0)
            err = define_vectors(w->ncid, edit, "m_%d", "value_%d", layer->layer, layer->m,
                                 layer->value_dtype, &w->value_vars[i]);
    }
    if (err == NC_NOERR)
        err = rls_nc_put_format(w->ncid, "rlsedit-stream", info->module);
    if (err == NC_NOERR)
        err = ncmpi_put_att_text(w->ncid, NC_GLOBAL, "value_kind", (MPI_Offset)strlen(kind), kind);
    if (err == NC_NOERR && batch > 0)
        err = ncmpi_put_att_longlong(w->ncid, NC_GLOBAL, "batch", NC_INT64, 1, &batch);
    return err == NC_NOERR ? ncmpi_enddef(w->ncid) : err;
}

static int post(const writer *w, int var, const rls_vectors *vectors, int64_t length, int64_t at,
                int64_t count)
{
    const MPI_Offset start[2] = {w->first + at, 0}, counts[2] = {count, length};
    if (vectors->dtype == RLS_F64)
        return ncmpi_iput_vara_double(w->ncid, var, start, counts,
                                      (const double *)vectors->data + at * length, NULL);
    return ncmpi_iput_vara_float(w->ncid, var, start, counts, (const float *)vectors->data + at * length,
                                 NULL);
}

static int post_ids(const writer *w, int64_t at, int64_t count, long long *ids)
{
    const MPI_Offset start = w->first + at, number = count;
    for (int64_t i = 0; i < count; i++)
        ids[i] = w->case_ids[at + i];
    return ncmpi_iput_vara_longlong(w->ncid, w->case_var, &start, &number, ids, NULL);
}

/* Posts all variables of this rank's edits [at, at + count): the records interleave in the file, and together
 * the variables make one contiguous piece of it. */
static rls_status post_round(const writer *w, int64_t at, int64_t count, long long *ids)
{
    const rls_stream_info *info = w->info;
    rls_status status = RLS_OK;
    if (info->has_case_ids)
        status = rls_nc_check(w->ctx, post_ids(w, at, count, ids), "write", w->path, "case_id");
    for (int i = 0; i < info->layer_count && status == RLS_OK; i++) {
        const rls_stream_layer *layer = &info->layers[i];
        char name[32];
        (void)snprintf(name, sizeof name, "key_%d", layer->layer);
        status = rls_nc_check(w->ctx, post(w, w->key_vars[i], &w->keys[i], layer->n, at, count), "write",
                              w->path, name);
        (void)snprintf(name, sizeof name, "value_%d", layer->layer);
        if (status == RLS_OK && layer->m > 0)
            status = rls_nc_check(w->ctx, post(w, w->value_vars[i], &w->values[i], layer->m, at, count),
                                  "write", w->path, name);
    }
    return status;
}

/* Collective: all rounds; a rank that failed or has nothing left takes part. */
static rls_status write_rounds(const writer *w, long long *ids)
{
    rls_status status = RLS_OK;
    for (int64_t round = 0; round < w->rounds; round++) {
        const int64_t at = round * w->per_round, left = w->count - at;
        const int64_t count = left < w->per_round ? left : w->per_round;
        if (status == RLS_OK && count > 0)
            status = post_round(w, at, count, ids);
        const int err = ncmpi_wait_all(w->ncid, NC_REQ_ALL, NULL, NULL);
        if (status == RLS_OK)
            status = rls_nc_check(w->ctx, err, "write", w->path, NULL);
    }
    return status;
}

rls_status rls_stream_write(rls_context *ctx, const char *path, const rls_stream_info *info,
                            const int64_t *case_ids, const rls_vectors *keys, const rls_vectors *values)
{
    writer w = {.ctx = ctx, .path = path, .info = info, .case_ids = case_ids, .keys = keys, .values = values};
    const double start = rls_profile_start();
    void *vars = NULL, *ids = NULL;
    rls_status status = check_arguments(&w);
    if (status == RLS_OK)
        status = rls_alloc(ctx, 2 * (int64_t)info->layer_count, sizeof(int), &vars);
    if (status == RLS_OK)
        status = rls_alloc(ctx, w.count < w.per_round ? w.count : w.per_round, sizeof(long long), &ids);
    w.key_vars = vars;
    w.value_vars = w.key_vars != NULL ? w.key_vars + info->layer_count : NULL;
    if ((status = rls_agree(ctx, status)) == RLS_OK && (status = place(&w)) == RLS_OK &&
        (status = rls_nc_create(ctx, path, &w.ncid)) == RLS_OK) {
        status = rls_agree(ctx, rls_nc_check(ctx, define(&w), "define", path, NULL));
        if (status == RLS_OK)
            status = write_rounds(&w, ids);
        status = rls_nc_finish(ctx, status, path, w.ncid);
    }
    if (status == RLS_OK)
        (void)rls_profile_add(ctx, "stream write", start, 0.0, 0.0);
    free(vars);
    free(ids);
    return status;
}
