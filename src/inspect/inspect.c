#include "inspect/inspect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "inspect/kinds.h"
#include "store/cdf.h"
#include "store/file_util.h"
#include "store/model_dir.h"
#include "store/problem.h"

#define LOOKED_FOR                                                                                           \
    "a model directory or .safetensors file, a stream (a netCDF file or a directory of segments), a "        \
    "second-moment file, a run directory (config.yaml and log.jsonl), or one of its checkpoints"

typedef enum { KIND_MODEL, KIND_SAFETENSORS, KIND_STREAM, KIND_MOMENTS, KIND_RUN, KIND_CHECKPOINT } kind;

static const struct {
    const char *name;
    rls_inspector *describe;
    bool sealed; /* it has checksums */
} kinds[] = {
    [KIND_MODEL] = {"model", rls_inspect_model, false},
    [KIND_SAFETENSORS] = {"safetensors", rls_inspect_safetensors, false},
    [KIND_STREAM] = {"stream", rls_inspect_stream, false},
    [KIND_MOMENTS] = {"moments", rls_inspect_moments, false},
    [KIND_RUN] = {"run", rls_inspect_run, true},
    [KIND_CHECKPOINT] = {"checkpoint", rls_inspect_checkpoint, true},
};

/* What a directory's entries say about it. */
typedef struct {
    bool config_yaml, log, run_json, model, netcdf, layer, manifest;
} signs;

static bool ends_with(const char *name, const char *end)
{
    const size_t a = strlen(name), b = strlen(end);
    return a >= b && strcmp(name + a - b, end) == 0;
}

static rls_status note_entry(rls_context *ctx, const char *path, const char *name, void *user)
{
    signs *found = user;
    (void)ctx;
    (void)path;
    found->config_yaml = found->config_yaml || strcmp(name, "config.yaml") == 0;
    found->log = found->log || strcmp(name, "log.jsonl") == 0;
    found->run_json = found->run_json || strcmp(name, "run.json") == 0;
    found->layer = found->layer || strncmp(name, "layer-", 6) == 0;
    found->manifest = found->manifest || strcmp(name, "manifest.json") == 0;
    found->model = found->model || ends_with(name, ".safetensors") || strcmp(name, RLS_MODEL_INDEX) == 0 ||
                   strcmp(name, "config.json") == 0;
    found->netcdf = found->netcdf || (name[0] != '.' && ends_with(name, ".nc"));
    return RLS_OK;
}

static rls_status recognise_directory(rls_context *ctx, const char *path, kind *out)
{
    signs found = {false};
    const rls_status status = rls_dir_visit(ctx, path, note_entry, &found);
    if (status != RLS_OK)
        return status;
    if (found.run_json || (found.config_yaml && found.log))
        *out = KIND_RUN;
    else if (found.layer || found.manifest)
        *out = KIND_CHECKPOINT;
    else if (found.model)
        *out = KIND_MODEL;
    else if (found.netcdf)
        *out = KIND_STREAM;
    else
        return rls_fail(ctx, RLS_ERR_DATA, "%s: nothing known in this directory; looked for " LOOKED_FOR,
                        path);
    return RLS_OK;
}

/* Streams and second moments say what they are in the attribute `format`. */
static rls_status recognise_netcdf(rls_context *ctx, const char *path, kind *out)
{
    rls_cdf cdf;
    char format[64] = "", shown[RLS_TENSOR_TEXT_MAX];
    rls_status status = rls_cdf_read(ctx, path, &cdf);
    if (status == RLS_OK)
        status = rls_cdf_text(ctx, &cdf, "format", true, format, sizeof format);
    rls_cdf_free(&cdf);
    if (status != RLS_OK)
        return status;
    if (strcmp(format, "rlsedit-stream") == 0)
        *out = KIND_STREAM;
    else if (strcmp(format, "rlsedit-moments") == 0)
        *out = KIND_MOMENTS;
    else
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: a netCDF file whose global attribute format is \"%s\", neither "
                        "\"rlsedit-stream\" nor \"rlsedit-moments\"",
                        path, rls_printable(format, shown));
    return RLS_OK;
}

/* By name, so that damaged files get their reader's message; else by the first bytes. */
static rls_status recognise_file(rls_context *ctx, const char *path, kind *out)
{
    char head[RLS_SAFETENSORS_PREFIX + 1] = {0};
    int64_t bytes = 0;
    rls_status status = rls_file_size(ctx, path, &bytes);
    if (status == RLS_OK)
        status =
            rls_file_read(ctx, path, 0, bytes < (int64_t)sizeof head ? bytes : (int64_t)sizeof head, head);
    if (status != RLS_OK)
        return status;
    if (ends_with(path, ".nc") || memcmp(head, "CDF", 3) == 0 || memcmp(head, "\x89HDF", 4) == 0)
        return recognise_netcdf(ctx, path, out);
    *out = KIND_SAFETENSORS;
    /* a header's length is below 2^27: the upper half of its eight bytes is 0 */
    if (ends_with(path, ".safetensors") ||
        (memcmp(head + 4, "\0\0\0", 4) == 0 && head[RLS_SAFETENSORS_PREFIX] == '{'))
        return RLS_OK;
    return rls_fail(ctx, RLS_ERR_DATA, "%s: not a file of a known kind; looked for " LOOKED_FOR, path);
}

static rls_status recognise(rls_context *ctx, const char *path, kind *out)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return rls_fail(ctx, rls_input_status(errno), "%s: %s; looked for " LOOKED_FOR, path,
                        strerror(errno));
    return S_ISDIR(info.st_mode) ? recognise_directory(ctx, path, out) : recognise_file(ctx, path, out);
}

rls_status rls_inspect_made(rls_context *ctx, const char *path, int failed)
{
    return failed == 0 ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for its description", path);
}

rls_status rls_inspect(rls_context *ctx, const char *path, bool verify, json_t **out)
{
    kind found = KIND_MODEL;
    json_t *description = NULL;
    *out = NULL;
    rls_status status = rls_agree(ctx, ctx->rank == 0 ? recognise(ctx, path, &found) : RLS_OK);
    if (status != RLS_OK)
        return status;
    int index = (int)found;
    MPI_Bcast(&index, 1, MPI_INT, 0, ctx->comm);
    if (verify && !kinds[index].sealed) {
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "%s: has no checksums to verify: only a run and its checkpoints have", path);
    } else if (ctx->rank == 0) {
        int failed = (description = json_object()) == NULL;
        failed |= json_object_set_new(description, "kind", json_string(kinds[index].name));
        failed |= json_object_set_new(description, "path", rls_json_text(path));
        status = rls_inspect_made(ctx, path, failed);
    }
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = kinds[index].describe(ctx, path, verify, description);
    if (status == RLS_OK && ctx->rank == 0 && kinds[index].sealed) /* all was looked at, and all is sound */
        (void)json_object_set_new(
            description, "verified",
            json_boolean(verify && json_array_size(json_object_get(description, "problems")) == 0));
    if (status == RLS_OK)
        *out = description;
    else
        json_decref(description);
    return status;
}
