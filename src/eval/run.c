#include "eval/run.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/share.h"
#include "store/manifest.h"
#include "store/run_dir.h"

/* Reads a manifest of the run; *out stays NULL when the file is not there. */
static rls_status read_manifest(rls_context *ctx, const char *run, const char *name, const char *format,
                                json_t **out)
{
    char *path = NULL;
    *out = NULL;
    rls_status status = rls_asprintf(ctx, &path, "%s/%s", run, name);
    if (status == RLS_OK && access(path, F_OK) == 0)
        status = rls_manifest_read(ctx, path, format, out);
    free(path);
    return status;
}

/* A copy of a text of the object; NULL when it has none. */
static rls_status copy_text(rls_context *ctx, const json_t *object, const char *key, char **out)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? rls_strdup(ctx, text, out) : RLS_OK;
}

static rls_status read_on_root(rls_context *ctx, const char *path, rls_eval_run *out)
{
    json_t *about = NULL, *summary = NULL;
    rls_status status = read_manifest(ctx, path, "run.json", RLS_RUN_FORMAT, &about);
    if (status == RLS_OK && about == NULL)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: is no run: there is no run.json in it", path);
    if (status == RLS_OK)
        status = read_manifest(ctx, path, "summary.json", RLS_SUMMARY_FORMAT, &summary);
    if (status == RLS_OK && summary == NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "%s: the run is not finished and has no edited model yet: go on with it first "
                          "(rlsedit edit --run %s --resume)",
                          path, path);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &out->model, "%s/model", path);
    if (status == RLS_OK)
        status = copy_text(ctx, about, "model", &out->original);
    if (status == RLS_OK)
        status = copy_text(ctx, about, "facts", &out->facts);
    if (status == RLS_OK)
        status = copy_text(ctx, json_object_get(about, "fingerprint"), "facts", &out->digest);
    if (status == RLS_OK)
        status = copy_text(ctx, about, "accept_config", &out->accept_config);
    out->skip = json_is_true(json_object_get(about, "facts_skip"));
    out->edits = (int64_t)json_integer_value(json_object_get(summary, "edits"));
    json_decref(about);
    json_decref(summary);
    return status;
}

rls_status rls_eval_run_read(rls_context *ctx, const char *path, rls_eval_run *out)
{
    *out = (rls_eval_run){0};
    rls_status status = rls_agree(ctx, ctx->rank == 0 ? read_on_root(ctx, path, out) : RLS_OK);
    char **texts[] = {&out->model, &out->original, &out->facts, &out->digest, &out->accept_config};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && status == RLS_OK; i++)
        status = rls_share_text(ctx, RLS_OK, texts[i]);
    if (status == RLS_OK) {
        MPI_Bcast(&out->edits, 1, MPI_INT64_T, 0, ctx->comm);
        MPI_Bcast(&out->skip, 1, MPI_C_BOOL, 0, ctx->comm);
    }
    return status;
}

void rls_eval_run_free(rls_eval_run *run)
{
    free(run->model);
    free(run->original);
    free(run->facts);
    free(run->digest);
    free(run->accept_config);
    *run = (rls_eval_run){0};
}
