#include "llm/model_config.h"

#include <stdio.h>
#include <string.h>

#include "store/model_text.h"

/* The families whose Linear layers are transformers' Conv1D. */
static const char *const CONV1D_FAMILIES[] = {"gpt2", "openai-gpt", "imagegpt", "decision_transformer"};

static rls_status parse(rls_context *ctx, const rls_model_text *text, rls_model_config *out)
{
    json_t *root = NULL;
    rls_status status = rls_json_object(ctx, text->file, text->text, text->bytes, &root);
    if (status != RLS_OK)
        return status;
    const json_t *type = json_object_get(root, "model_type");
    const char *name = type != NULL ? json_string_value(type) : "";
    if (name == NULL || strlen(name) >= sizeof out->model_type)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: model_type is not a text of fewer than %zu characters",
                          text->file, sizeof out->model_type);
    else
        (void)snprintf(out->model_type, sizeof out->model_type, "%s", name);
    json_decref(root);
    return status;
}

static rls_status read_on_root(rls_context *ctx, const char *path, rls_model_config *out)
{
    rls_model_text text = {0};
    rls_status status = rls_model_text_read(ctx, path, "config.json", &text);
    if (status == RLS_OK && text.text != NULL)
        status = parse(ctx, &text, out);
    rls_model_text_free(&text);
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
