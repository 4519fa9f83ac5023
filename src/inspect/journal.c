#include "inspect/journal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/file_util.h"
#include "store/journal.h"
#include "store/manifest.h"
#include "store/problem.h"
#include "store/segment_names.h"

/* Bytes of the segments that there are. */
static rls_status sum_bytes(rls_context *ctx, const char *path, const rls_segment_names *names, int64_t *sum)
{
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < names->count && status == RLS_OK; i++) {
        char *file = NULL, name[RLS_SEGMENT_NAME_MAX];
        int64_t bytes = 0;
        status = rls_asprintf(ctx, &file, "%s/%s", path, rls_segment_name(names->number[i], "nc", name));
        if (status == RLS_OK && rls_file_size(ctx, file, &bytes) != RLS_OK)
            rls_clear_failure(ctx);
        free(file);
        *sum += bytes;
    }
    return status;
}

/* Edits and batches from the manifest of the last segment; one from before segments had several batches has
 * one. */
static void take_last(const json_t *last, rls_journal_view *view)
{
    const int64_t edits = rls_manifest_count(last, "edits"), first = rls_manifest_count(last, "first");
    const int64_t batch = rls_manifest_count(last, "batch");
    if (edits < 0 || first < 0 || batch < 0)
        return;
    view->edits = first + edits;
    view->batches =
        json_object_get(last, "batches") != NULL ? rls_manifest_count(last, "batches") : view->segments;
    view->last_batches = rls_editor_parts(edits, batch);
}

/* Rank 0: the journal by the names in its directory and the manifest of its last segment. */
static rls_status glance(rls_context *ctx, const char *path, json_t *problems, rls_journal_view *view)
{
    rls_segment_names names = {0};
    char *manifest = NULL, name[RLS_SEGMENT_NAME_MAX];
    json_t *last = NULL;
    rls_status status = rls_segment_names_list(ctx, path, &names);
    if (status == RLS_OK)
        status = sum_bytes(ctx, path, &names, &view->bytes);
    if (status != RLS_OK && status != RLS_ERR_MEMORY) {
        rls_problem_take(ctx, problems, path);
        status = RLS_OK;
    }
    int64_t whole = 0;
    while (whole < names.count && names.number[whole] == whole)
        whole++;
    view->segments = names.count;
    view->sound = whole;
    view->strays = names.strays;
    (void)snprintf(view->stray, sizeof view->stray, "%s", names.stray);
    if (whole < names.count)
        rls_problem_add(problems, path,
                        "segment-%06" PRId64 ".nc is missing, but there are %" PRId64 " later ones", whole,
                        names.count - whole);
    rls_segment_names_free(&names);
    if (status != RLS_OK || whole == 0)
        return status;
    status = rls_asprintf(ctx, &manifest, "%s/%s", path, rls_segment_name(whole - 1, "json", name));
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
    view->strays = survey->strays;
    (void)snprintf(view->stray, sizeof view->stray, "%s", survey->stray);
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
