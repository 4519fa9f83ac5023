#include "store/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "store/digest.h"
#include "store/file_util.h"
#include "store/leftover.h"
#include "store/manifest.h"
#include "store/netcdf_matrix.h"
#include "store/writeback.h"

/* A checkpoint being written. */
typedef struct {
    rls_context *ctx;
    const char *dir;
    int64_t step;
    char *partial, *final; /* the directory while it is written, and for good */
    char **files;          /* one a layer, in `partial` */
    int count;
    json_t *digests; /* rank 0: of the files */
    double bytes;
} writing;

static rls_status layer_file(rls_context *ctx, const char *directory, int number, char **out)
{
    return rls_asprintf(ctx, out, "%s/layer-%02d.nc", directory, number);
}

static rls_status step_directory(rls_context *ctx, const char *dir, int64_t step, char **out)
{
    return rls_asprintf(ctx, out, "%s/step-%09" PRId64, dir, step);
}

/* Rank 0: an earlier attempt at this step goes: deleted when it was never committed, set aside when it was.
 */
static rls_status clear_place(const writing *w)
{
    char *manifest = NULL;
    rls_status status = rls_asprintf(w->ctx, &manifest, "%s/manifest.json", w->final);
    if (status == RLS_OK)
        status = access(manifest, F_OK) != 0 && errno == ENOENT ? rls_dir_remove(w->ctx, w->final)
                                                                : rls_set_aside(w->ctx, w->final);
    free(manifest);
    return status;
}

static rls_status make_directories(const writing *w)
{
    rls_status status = rls_dir_make(w->ctx, w->dir);
    if (status == RLS_OK)
        status = rls_dir_remove(w->ctx, w->partial);
    if (status == RLS_OK && mkdir(w->partial, 0777) != 0)
        status = rls_fail(w->ctx, RLS_ERR_IO, "%s: cannot be made: %s", w->partial, strerror(errno));
    return status;
}

static int define_layer(int ncid, const rls_checkpoint_layer *layer, int vars[2])
{
    int n = -1, m = -1;
    const nc_type type = rls_nc_type(rls_matrix_dtype(layer->weight));
    int err = ncmpi_put_att_text(ncid, NC_GLOBAL, "format", (MPI_Offset)strlen(RLS_CHECKPOINT_FORMAT),
                                 RLS_CHECKPOINT_FORMAT);
    if (err == NC_NOERR)
        err = ncmpi_def_dim(ncid, "n", layer->weight->rows, &n);
    if (err == NC_NOERR)
        err = ncmpi_def_dim(ncid, "m", layer->weight->cols, &m);
    const int square[2] = {n, n}, tall[2] = {m, n};
    if (err == NC_NOERR)
        err = ncmpi_def_var(ncid, "inv_cov", type, 2, square, &vars[0]);
    if (err == NC_NOERR)
        err = ncmpi_def_var(ncid, "weight_t", type, 2, tall, &vars[1]);
    return err == NC_NOERR ? ncmpi_enddef(ncid) : err;
}

/* Writes a layer's file, of which digest takes the checksums. Collective. */
static rls_status write_layer(rls_context *ctx, const char *path, const rls_checkpoint_layer *layer,
                              rls_digest_writer *digest)
{
    int ncid = -1, vars[2] = {-1, -1};
    rls_status status = rls_nc_create(ctx, path, &ncid);
    if (status != RLS_OK)
        return status;
    status = rls_agree(ctx, rls_nc_check(ctx, define_layer(ncid, layer, vars), "define", path, NULL));
    if (status == RLS_OK)
        status = rls_nc_store_symmetric(ctx, ncid, vars[0], path, layer->inv_cov, digest);
    if (status == RLS_OK)
        status = rls_nc_store_matrix(ctx, ncid, vars[1], path, layer->weight, digest);
    return rls_nc_release(ctx, status, path, ncid);
}

/* One layer's file and its checksums; it is not all on the disk yet. Collective. */
static rls_status add_layer(writing *w, const rls_checkpoint_layer *layer, int i)
{
    rls_context *ctx = w->ctx;
    rls_digest_writer *writer = NULL;
    rls_digest *digest = NULL;
    rls_status status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_checkpoint_layer));
    if (status == RLS_OK)
        status = rls_digest_begin(ctx, w->files[i], &writer);
    if (status == RLS_OK)
        status = write_layer(ctx, w->files[i], layer, writer);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_checkpoint_digest));
    if (status == RLS_OK)
        status = rls_digest_end(&writer, &digest);
    if (status == RLS_OK) {
        w->bytes += (double)digest->bytes;
        if (w->digests != NULL)
            (void)json_array_append_new(w->digests, rls_digest_json(digest, strrchr(w->files[i], '/') + 1));
    }
    rls_digest_abandon(&writer);
    rls_digests_free(&digest);
    return status;
}

/* All files, on the disk when it returns. Collective. */
static rls_status write_files(writing *w, const rls_checkpoint_layer *layers)
{
    rls_status status = RLS_OK;
    for (int i = 0; i < w->count && status == RLS_OK; i++)
        status = add_layer(w, &layers[i], i);
    return status == RLS_OK ? rls_files_sync(w->ctx, (const char *const *)w->files, w->count) : status;
}

/* Rank 0: the directory under its final name, then the manifest, which commits. */
static rls_status publish(const writing *w, json_t *manifest)
{
    rls_context *ctx = w->ctx;
    char *path = NULL;
    json_object_set_new(manifest, "format", json_string(RLS_CHECKPOINT_FORMAT));
    json_object_set_new(manifest, "version", json_integer(1));
    json_object_set_new(manifest, "step", json_integer((json_int_t)w->step));
    json_object_set(manifest, "files", w->digests);
    rls_status status = rls_fault(ctx, RLS_FAULT_checkpoint_rename);
    if (status == RLS_OK)
        status = rls_dir_sync(ctx, w->partial, false);
    if (status == RLS_OK)
        status = clear_place(w);
    if (status == RLS_OK && rename(w->partial, w->final) != 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot get its name: %s", w->final, strerror(errno));
    if (status == RLS_OK)
        status = rls_dir_sync(ctx, w->dir, false);
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_checkpoint_manifest);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &path, "%s/manifest.json", w->final);
    if (status == RLS_OK)
        status = rls_manifest_write(ctx, path, json_incref(manifest));
    free(path);
    return status;
}

static rls_status name_files(writing *w, const char *token, const rls_checkpoint_layer *layers)
{
    void *files = NULL;
    rls_status status = step_directory(w->ctx, w->dir, w->step, &w->final);
    if (status == RLS_OK)
        status =
            rls_asprintf(w->ctx, &w->partial, "%s/.step-%09" PRId64 ".%s.partial", w->dir, w->step, token);
    if (status == RLS_OK)
        status = rls_alloc_zero(w->ctx, w->count, sizeof(char *), &files);
    w->files = files;
    for (int i = 0; i < w->count && status == RLS_OK; i++)
        status = layer_file(w->ctx, w->partial, layers[i].number, &w->files[i]);
    return status;
}

rls_status rls_checkpoint_write(rls_context *ctx, const char *dir, int64_t step, const char *token,
                                const rls_checkpoint_layer *layers, int count, json_t *manifest)
{
    const double start = rls_profile_start();
    writing w = {.ctx = ctx, .dir = dir, .step = step, .count = count};
    rls_status status = name_files(&w, token, layers);
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_checkpoint_begin);
    if (ctx->rank == 0)
        w.digests = json_array();
    if (status == RLS_OK && ctx->rank == 0)
        status = manifest != NULL && w.digests != NULL
                     ? make_directories(&w)
                     : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a manifest");
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = write_files(&w, layers);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? publish(&w, manifest) : RLS_OK);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_checkpoint_done));
    else if (ctx->rank == 0 && w.partial != NULL && access(w.partial, F_OK) == 0 &&
             rls_dir_remove(ctx, w.partial) != RLS_OK)
        rls_log(ctx, RLS_LOG_WARNING, "%s is left behind", w.partial);
    json_decref(w.digests);
    json_decref(manifest);
    for (int i = 0; w.files != NULL && i < count; i++)
        free(w.files[i]);
    free(w.files);
    free(w.partial);
    free(w.final);
    (void)rls_profile_add(ctx, "checkpoint", start, 0.0, w.bytes / ctx->size);
    return status;
}

/* Opens the file and finds variables of the layer's shape and type. Local but for ncmpi calls, equal on all
 * ranks. */
static rls_status find_variables(rls_context *ctx, int ncid, const char *path,
                                 const rls_checkpoint_layer *layer, int vars[2])
{
    const char *const name[2] = {"inv_cov", "weight_t"};
    const int64_t rows[2] = {layer->weight->rows, layer->weight->cols};
    for (int v = 0; v < 2; v++) {
        int dims[2] = {-1, -1}, count = 0;
        MPI_Offset length[2] = {0, 0};
        nc_type type = NC_NAT;
        int err = ncmpi_inq_varid(ncid, name[v], &vars[v]);
        if (err == NC_NOERR)
            err = ncmpi_inq_varndims(ncid, vars[v], &count);
        if (err == NC_NOERR && count == 2)
            err = ncmpi_inq_var(ncid, vars[v], NULL, &type, NULL, dims, NULL);
        for (int i = 0; i < 2 && err == NC_NOERR && count == 2; i++)
            err = ncmpi_inq_dimlen(ncid, dims[i], &length[i]);
        if (err != NC_NOERR)
            return rls_nc_check(ctx, err, "read", path, name[v]);
        if (count != 2 || length[0] != rows[v] || length[1] != layer->weight->rows)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is not %" PRId64 " x %" PRId64, path, name[v], rows[v],
                            layer->weight->rows);
        if (type != rls_nc_type(rls_matrix_dtype(layer->weight)))
            return rls_fail(ctx, RLS_ERR_DATA, "%s: %s is not in the state's type %s", path, name[v],
                            rls_dtype_name(rls_matrix_dtype(layer->weight)));
    }
    return RLS_OK;
}

/* A layer's matrices from its file. Collective. */
static rls_status read_layer(rls_context *ctx, const char *path, const rls_checkpoint_layer *layer,
                             rls_digest_writer *digest)
{
    int ncid = -1, vars[2] = {-1, -1};
    rls_status status = rls_nc_open(ctx, path, &ncid);
    if (status != RLS_OK)
        return status;
    status = rls_agree(ctx, find_variables(ctx, ncid, path, layer, vars));
    if (status == RLS_OK)
        status = rls_nc_load_matrix(ctx, ncid, vars[0], path, layer->inv_cov, digest);
    if (status == RLS_OK)
        status = rls_nc_load_matrix(ctx, ncid, vars[1], path, layer->weight, digest);
    (void)ncmpi_close(ncid); /* nothing was written: nothing can be lost */
    return status;
}

/* Compares the checksums with the manifest's of that file. Local; equal on all ranks. */
static rls_status compare(rls_context *ctx, const char *path, const json_t *manifest,
                          const rls_digest *digest)
{
    const json_t *file = NULL;
    char why[128];
    size_t i = 0;
    json_array_foreach(json_object_get(manifest, "files"), i, file)
    {
        const char *name = json_string_value(json_object_get(file, "file"));
        if (name == NULL || strcmp(name, strrchr(path, '/') + 1) != 0)
            continue;
        if (rls_digest_matches(digest, file, why))
            return RLS_OK;
        return rls_fail(ctx, RLS_ERR_DATA, "%s %s", path, why);
    }
    return rls_fail(ctx, RLS_ERR_DATA, "%s: is not in the checkpoint's manifest", path);
}

/* manifest: to check against, or NULL. */
static rls_status load(rls_context *ctx, const char *dir, int64_t step, const json_t *manifest,
                       const rls_checkpoint_layer *layer)
{
    const double start = rls_profile_start();
    char *directory = NULL, *path = NULL;
    rls_digest_writer *writer = NULL;
    rls_digest *digest = NULL;
    rls_status status = step_directory(ctx, dir, step, &directory);
    if (status == RLS_OK)
        status = layer_file(ctx, directory, layer->number, &path);
    status = rls_agree(ctx, status);
    if (status == RLS_OK && manifest != NULL)
        status = rls_digest_begin(ctx, path, &writer);
    if (status == RLS_OK)
        status = read_layer(ctx, path, layer, writer);
    if (status == RLS_OK && manifest != NULL)
        status = rls_digest_end(&writer, &digest);
    if (status == RLS_OK && manifest != NULL)
        status = rls_agree(ctx, compare(ctx, path, manifest, digest));
    rls_digest_abandon(&writer);
    rls_digests_free(&digest);
    free(directory);
    free(path);
    (void)rls_profile_add(ctx, "load checkpoint", start, 0.0, 0.0);
    return status;
}

rls_status rls_checkpoint_load(rls_context *ctx, const char *dir, int64_t step,
                               const rls_checkpoint_layer *layer)
{
    return load(ctx, dir, step, NULL, layer);
}

rls_status rls_checkpoint_load_checked(rls_context *ctx, const char *dir, int64_t step,
                                       const json_t *manifest, const rls_checkpoint_layer *layer)
{
    return load(ctx, dir, step, manifest, layer);
}
