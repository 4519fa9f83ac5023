#include "inspect/journal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/file_util.h"
#include "store/journal.h"
#include "store/manifest.h"
#include "store/problem.h"

/* Committed segments; the last one's manifest tells how many edits there are. */
typedef struct {
    int64_t segments, bytes, last;
} segment_count;

static rls_status count_segment(rls_context *ctx, const char *path, const char *name, void *user)
{
    segment_count *count = user;
    char *end = NULL, *file = NULL;
    int64_t bytes = 0;
    if (strncmp(name, "segment-", 8) != 0)
        return RLS_OK;
    const long long number = strtoll(name + 8, &end, 10);
    if (end == name + 8 || strcmp(end, ".nc") != 0)
        return RLS_OK;
    rls_status status = rls_asprintf(ctx, &file, "%s/%s", path, name);
    if (status == RLS_OK && rls_file_size(ctx, file, &bytes) != RLS_OK)
        rls_clear_failure(ctx);
    free(file);
    count->segments++;
    count->bytes += bytes;
    count->last = number > count->last ? (int64_t)number : count->last;
    return status;
}

/* Edits and batches from the manifest of the last segment; one from before segments had several batches has
 * one. */
static void take_last(const json_t *last, rls_journal_view *view)
{
    const int64_t edits = (int64_t)json_integer_value(json_object_get(last, "edits"));
    const json_t *batches = json_object_get(last, "batches");
    view->edits = (int64_t)json_integer_value(json_object_get(last, "first")) + edits;
    view->batches = batches != NULL ? (int64_t)json_integer_value(batches) : view->segments;
    view->last_batches = rls_editor_parts(edits, (int64_t)json_integer_value(json_object_get(last, "batch")));
}

/* Rank 0: the journal by its directory and the manifest of its last segment. */
static rls_status glance(rls_context *ctx, const char *path, json_t *problems, rls_journal_view *view)
{
    segment_count count = {.last = -1};
    char *manifest = NULL;
    json_t *last = NULL;
    if (access(path, F_OK) != 0)
        return RLS_OK;
    rls_status status = rls_dir_visit(ctx, path, count_segment, &count);
    if (status == RLS_ERR_MEMORY)
        return status;
    if (status != RLS_OK)
        rls_problem_take(ctx, problems, path);
    view->segments = view->sound = count.segments;
    view->bytes = count.bytes;
    if (count.segments < count.last + 1)
        rls_problem_add(problems, path, "%" PRId64 " of %" PRId64 " segments are missing",
                        count.last + 1 - count.segments, count.last + 1);
    if (count.last < 0)
        return RLS_OK;
    status = rls_asprintf(ctx, &manifest, "%s/segment-%06" PRId64 ".json", path, count.last);
    if (status == RLS_OK && rls_manifest_read(ctx, manifest, "rlsedit-segment", &last) != RLS_OK)
        rls_problem_take(ctx, problems, manifest);
    take_last(last, view);
    json_decref(last);
    free(manifest);
    return status;
}

/* What a survey of the journal found. */
static void take_survey(const rls_journal_survey *survey, rls_journal_view *view)
{
    view->segments = survey->present;
    view->sound = survey->sound;
    view->edits = survey->sound > 0 ? survey->ends[survey->sound - 1] : 0;
    view->bytes = survey->bytes;
    for (int64_t i = 0, begin = 0; i < survey->sound; begin = survey->ends[i++]) {
        view->last_batches = rls_editor_parts(survey->ends[i] - begin, survey->each[i]);
        view->batches += view->last_batches;
    }
}

rls_status rls_inspect_journal(rls_context *ctx, const char *path, bool verify, json_t *problems,
                               rls_journal_view *view)
{
    rls_journal_survey survey = {0};
    *view = (rls_journal_view){0};
    if (!verify)
        return rls_agree(ctx, ctx->rank == 0 ? glance(ctx, path, problems, view) : RLS_OK);
    rls_status status = rls_journal_examine(ctx, path, &survey);
    if (status == RLS_ERR_IO || status == RLS_ERR_DATA) {
        if (ctx->rank == 0)
            rls_problem_take(ctx, problems, path);
        rls_clear_failure(ctx);
        status = RLS_OK;
    }
    take_survey(&survey, view);
    if (ctx->rank == 0)
        rls_problems_join(problems, survey.problems);
    rls_journal_survey_free(&survey);
    return status;
}

bool rls_journal_fits_log(const rls_journal_view *view, int64_t lines, bool finished, bool aside)
{
    const bool sound = view->sound == view->segments;
    const int64_t missing = view->batches + (view->segments - view->sound) - lines;
    const int64_t most = finished ? 0 : view->last_batches > 1 ? view->last_batches : 1;
    return missing <= most && (missing >= 0 || !sound || (!finished && aside));
}
