/* Checkpoints, by themselves and in the list of a run. */
#include "store/checkpoint.h"
#include "inspect/kinds.h"
#include "store/problem.h"

#define UNCOMMITTED "no manifest.json: it was never committed, or is half deleted; nothing uses it"

static json_t *item_or_null(const json_t *object, const char *key)
{
    json_t *item = json_object_get(object, key);
    return item != NULL ? json_incref(item) : json_null();
}

/* [{file, bytes}], without the checksums. */
static json_t *file_list(const json_t *manifest)
{
    json_t *list = json_array();
    const json_t *file = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(manifest, "files"), i, file)(void)
        json_array_append_new(list, json_pack("{s:O, s:O}", "file", json_object_get(file, "file"), "bytes",
                                              json_object_get(file, "bytes")));
    return list;
}

static rls_status describe(rls_context *ctx, const char *path, const rls_checkpoint_survey *survey,
                           json_t *out)
{
    static const char *const TAKEN[] = {"step", "edits", "batches", "segments", "dtype", "layers"};
    char why[RLS_MESSAGE_MAX];
    const bool sound = survey->committed && json_array_size(survey->problems) == 0;
    int failed = json_object_set_new(out, "bytes", json_integer(survey->bytes));
    for (size_t i = 0; i < sizeof TAKEN / sizeof TAKEN[0]; i++)
        failed |= json_object_set_new(out, TAKEN[i], item_or_null(survey->manifest, TAKEN[i]));
    failed |= json_object_set_new(out, "files", file_list(survey->manifest));
    failed |= json_object_set_new(out, "committed", json_boolean(survey->committed));
    failed |= json_object_set_new(out, "sound", json_boolean(sound));
    (void)rls_problem_first(survey->problems, why, sizeof why);
    failed |= json_object_set_new(out, "why",
                                  sound ? json_null() : json_string(survey->committed ? why : UNCOMMITTED));
    return rls_inspect_made(ctx, path, failed);
}

rls_status rls_describe_checkpoint(rls_context *ctx, const char *path, bool verify, json_t *problems,
                                   json_t *out)
{
    rls_checkpoint_survey survey = {0};
    rls_status status = rls_checkpoint_examine(ctx, path, verify, &survey);
    if (status != RLS_OK)
        return status;
    if (ctx->rank == 0) {
        status = describe(ctx, path, &survey, out);
        rls_problems_join(problems, survey.problems);
    }
    rls_checkpoint_survey_free(&survey);
    return rls_agree(ctx, status);
}

rls_status rls_inspect_checkpoint(rls_context *ctx, const char *path, bool verify, json_t *out)
{
    json_t *problems = ctx->rank == 0 ? json_array() : NULL;
    rls_status status = rls_describe_checkpoint(ctx, path, verify, problems, out);
    if (status == RLS_OK && ctx->rank == 0) {
        if (json_is_false(json_object_get(out, "committed")))
            rls_problem_add(problems, path, "%s", UNCOMMITTED);
        status = rls_inspect_made(ctx, path, json_object_set(out, "problems", problems));
    }
    json_decref(problems);
    return rls_agree(ctx, status);
}
