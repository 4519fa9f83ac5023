#include "llm/model_config.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/file_util.h"

/* The families whose Linear layers are transformers' Conv1D. */
static const char *const CONV1D_FAMILIES[] = {"gpt2", "openai-gpt", "imagegpt", "decision_transformer"};

enum { CONFIG_BYTES_MAX = 16 << 20 };

static rls_status parse(rls_context *ctx, const char *file, const char *text, size_t bytes,
                        rls_model_config *out)
{
    json_error_t error;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(root)) {
        json_decref(root);
        return rls_fail(ctx, RLS_ERR_DATA, "%s:%d: not a JSON object: %s", file,
                        root == NULL ? error.line : 1,
                        root == NULL ? error.text : "it begins with something else");
    }
    rls_status status = RLS_OK;
    const json_t *type = json_object_get(root, "model_type");
    const char *name = type != NULL ? json_string_value(type) : "";
    if (name == NULL || strlen(name) >= sizeof out->model_type)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: model_type is not a text of fewer than %zu characters",
                          file, sizeof out->model_type);
    else
        (void)snprintf(out->model_type, sizeof out->model_type, "%s", name);
    json_decref(root);
    return status;
}

static rls_status read_on_root(rls_context *ctx, const char *path, rls_model_config *out)
{
    char *file = NULL, *text = NULL;
    int64_t bytes = 0;
    rls_status status = rls_asprintf(ctx, &file, "%s/config.json", path);
    if (status == RLS_OK && access(file, F_OK) == 0) {
        status = rls_file_read_whole(ctx, file, CONFIG_BYTES_MAX, &text, &bytes);
        if (status == RLS_OK)
            status = parse(ctx, file, text, (size_t)bytes, out);
    }
    free(text);
    free(file);
    return status;
}

rls_status rls_model_config_read(rls_context *ctx, const char *path, rls_model_config *out)
{
    memset(out, 0, sizeof *out);
    const rls_status status = rls_agree(ctx, ctx->rank == 0 ? read_on_root(ctx, path, out) : RLS_OK);
    if (status != RLS_OK)
        return status;
    MPI_Bcast(out->model_type, (int)sizeof out->model_type, MPI_CHAR, 0, ctx->comm);
    for (size_t i = 0; i < sizeof CONV1D_FAMILIES / sizeof CONV1D_FAMILIES[0]; i++)
        out->conv1d = out->conv1d || strcmp(out->model_type, CONV1D_FAMILIES[i]) == 0;
    return RLS_OK;
}
