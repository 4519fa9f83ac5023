/* Looking at a journal that some run left. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/digest.h"
#include "store/journal.h"
#include "store/leftover.h"
#include "store/manifest.h"
#include "store/problem.h"
#include "store/segment_names.h"

/* Every rank gets rank 0's list of what is there. Collective. */
static rls_status list_present(rls_context *ctx, const char *path, rls_journal_survey *out)
{
    rls_segment_names names = {0};
    void *number = NULL;
    rls_status status = rls_agree(ctx, ctx->rank == 0 ? rls_segment_names_list(ctx, path, &names) : RLS_OK);
    if (status == RLS_OK) {
        out->present = names.count;
        out->strays = names.strays;
        (void)snprintf(out->stray, sizeof out->stray, "%s", names.stray);
        MPI_Bcast(&out->present, 1, MPI_INT64_T, 0, ctx->comm);
        status = out->present <= INT_MAX ? rls_alloc(ctx, out->present, sizeof(int64_t), &number)
                                         : rls_fail(ctx, RLS_ERR_DATA, "%s: too many segments", path);
        status = rls_agree(ctx, status);
    }
    out->number = number;
    if (status == RLS_OK) {
        if (ctx->rank == 0 && names.count > 0)
            memcpy(out->number, names.number, (size_t)names.count * sizeof(int64_t));
        MPI_Bcast(out->number, (int)out->present, MPI_INT64_T, 0, ctx->comm);
        MPI_Bcast(&out->strays, 1, MPI_INT64_T, 0, ctx->comm);
        MPI_Bcast(out->stray, (int)sizeof out->stray, MPI_CHAR, 0, ctx->comm);
    }
    rls_segment_names_free(&names);
    return status;
}

/* Rank 0: compares segment i with its manifest, and gives where the edits end that it has, and its edits a
 * batch (one batch, when it was written before there were segments of several). Whatever is wrong is added to
 * the problems. */
static void check_segment(rls_context *ctx, const char *path, int64_t i, const char *file,
                          const rls_digest *digest, int64_t *end, int64_t *each, json_t *problems)
{
    char *name = NULL, reason[128];
    json_t *manifest = NULL;
    rls_status status = rls_asprintf(ctx, &name, "%s/segment-%06" PRId64 ".json", path, i);
    if (status == RLS_OK)
        status = rls_manifest_read(ctx, name, "rlsedit-segment", &manifest);
    const int64_t first = rls_manifest_count(manifest, "first"),
                  edits = rls_manifest_count(manifest, "edits");
    const int64_t batch = rls_manifest_count(manifest, "batch");
    if (status != RLS_OK)
        rls_problem_take(ctx, problems, name != NULL ? name : path);
    else if ((*end >= 0 && first != *end) || json_integer_value(json_object_get(manifest, "segment")) != i)
        rls_problem_add(problems, name, "does not follow the segment before");
    if (digest->bytes < 0)
        rls_problem_add(problems, file, "is missing or cannot be read");
    else if (manifest != NULL && !rls_digest_matches(digest, json_object_get(manifest, "digest"), reason))
        rls_problem_add(problems, file, "%s", reason);
    if (manifest != NULL && (first < 0 || edits < 1 || batch < 0))
        rls_problem_add(problems, name, "says impossible numbers of edits");
    *end = manifest != NULL ? first + edits : -1;
    *each = batch > 0 ? batch : edits;
    json_decref(manifest);
    free(name);
}

/* Rank 0: all segments; those before the first problem are sound. */
static void check_segments(rls_context *ctx, const char *path, char *const *files, const rls_digest *digests,
                           rls_journal_survey *out)
{
    int64_t end = 0, each = 0;
    for (int64_t i = 0; i < out->present; i++) {
        if (out->number[i] != i) {
            rls_problem_add(out->problems, files[i], "does not follow: segment-%06" PRId64 ".nc is missing",
                            i);
            break;
        }
        check_segment(ctx, path, i, files[i], &digests[i], &end, &each, out->problems);
        if (json_array_size(out->problems) == 0) {
            out->ends[out->sound] = end;
            out->each[out->sound++] = each;
        }
    }
    (void)rls_problem_first(out->problems, out->why, sizeof out->why);
}

static void free_paths(char **paths, int64_t count)
{
    for (int64_t i = 0; paths != NULL && i < count; i++)
        free(paths[i]);
    free(paths);
}

static rls_status make_paths(rls_context *ctx, const char *path, const int64_t *number, int64_t count,
                             char ***out)
{
    void *memory = NULL;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(char *), &memory);
    char **paths = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        status = rls_asprintf(ctx, &paths[i], "%s/segment-%06" PRId64 ".nc", path, number[i]);
    *out = paths;
    return status;
}

rls_status rls_journal_examine(rls_context *ctx, const char *path, rls_journal_survey *out)
{
    char **paths = NULL;
    rls_digest *digests = NULL;
    void *ends = NULL, *each = NULL;
    *out = (rls_journal_survey){0};
    rls_status status = list_present(ctx, path, out);
    if (status != RLS_OK) {
        rls_journal_survey_free(out);
        return status;
    }
    status = make_paths(ctx, path, out->number, out->present, &paths);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, out->present, sizeof(int64_t), &ends);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, out->present, sizeof(int64_t), &each);
    if (status == RLS_OK && ctx->rank == 0 && (out->problems = json_array()) == NULL)
        status = rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a journal's problems");
    status = rls_agree(ctx, status);
    out->ends = ends;
    out->each = each;
    if (status == RLS_OK)
        status = rls_digest_files(ctx, (const char *const *)paths, out->present, &digests);
    if (status == RLS_OK) {
        if (ctx->rank == 0)
            check_segments(ctx, path, paths, digests, out);
        for (int64_t i = 0; i < out->present; i++)
            out->bytes += digests[i].bytes > 0 ? digests[i].bytes : 0;
        MPI_Bcast(&out->sound, 1, MPI_INT64_T, 0, ctx->comm);
        MPI_Bcast(out->ends, (int)out->sound, MPI_INT64_T, 0, ctx->comm);
        MPI_Bcast(out->each, (int)out->sound, MPI_INT64_T, 0, ctx->comm);
        MPI_Bcast(out->why, (int)sizeof out->why, MPI_CHAR, 0, ctx->comm);
    }
    rls_digests_free(&digests);
    free_paths(paths, out->present);
    if (status != RLS_OK)
        rls_journal_survey_free(out);
    return status;
}

void rls_journal_survey_free(rls_journal_survey *survey)
{
    free(survey->number);
    free(survey->ends);
    free(survey->each);
    survey->number = survey->ends = survey->each = NULL;
    json_decref(survey->problems);
    survey->problems = NULL;
}

static rls_status set_aside(rls_context *ctx, const char *path, int64_t number, const char *ending)
{
    char *file = NULL;
    rls_status status = rls_asprintf(ctx, &file, "%s/segment-%06" PRId64 ".%s", path, number, ending);
    if (status == RLS_OK)
        status = rls_set_aside(ctx, file);
    free(file);
    return status;
}

rls_status rls_journal_set_aside(rls_context *ctx, const char *path, const rls_journal_survey *survey)
{
    rls_status status = RLS_OK;
    /* Last first: never a gap before the end. */
    for (int64_t i = survey->present; i-- > survey->sound && ctx->rank == 0 && status == RLS_OK;) {
        status = set_aside(ctx, path, survey->number[i], "nc");
        if (status == RLS_OK)
            status = set_aside(ctx, path, survey->number[i], "json");
    }
    return rls_agree(ctx, status);
}
