/* Looking at a journal that some run left. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/digest.h"
#include "store/journal.h"
#include "store/manifest.h"

/* The number in "segment-000012.nc" or ".json"; -1 for any other name. */
static int64_t segment_number(const char *name)
{
    if (strncmp(name, "segment-", 8) != 0)
        return -1;
    char *end = NULL;
    const long long number = strtoll(name + 8, &end, 10);
    if (end == name + 8 || number < 0 || (strcmp(end, ".nc") != 0 && strcmp(end, ".json") != 0))
        return -1;
    /* A manifest alone is of a segment that was never committed. */
    return strcmp(end, ".nc") == 0 ? (int64_t)number : -1;
}

/* Rank 0: one more than the largest segment number; 0 without a directory. */
static rls_status count_present(rls_context *ctx, const char *path, int64_t *present)
{
    *present = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT ? RLS_OK
                               : rls_fail(ctx, RLS_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        const int64_t number = segment_number(e->d_name);
        *present = number >= *present ? number + 1 : *present;
    }
    closedir(dir);
    return RLS_OK;
}

/* Rank 0: compares segment i with its manifest; false (and why) when it is not sound. */
static bool segment_sound(rls_context *ctx, const char *path, int64_t i, int64_t first,
                          const rls_digest *digest, int64_t *edits, char why[768])
{
    char file[512], reason[128];
    json_t *manifest = NULL;
    (void)snprintf(file, sizeof file, "%s/segment-%06" PRId64 ".json", path, i);
    bool sound = rls_manifest_read(ctx, file, "rlsedit-segment", &manifest) == RLS_OK;
    if (!sound) {
        (void)snprintf(why, 768, "%s", rls_context_message(ctx));
        rls_clear_failure(ctx);
    } else if (json_integer_value(json_object_get(manifest, "first")) != first ||
               json_integer_value(json_object_get(manifest, "segment")) != i) {
        sound = false;
        (void)snprintf(why, 768, "%s: does not follow the segment before", file);
    } else if (!rls_digest_matches(digest, json_object_get(manifest, "digest"), reason)) {
        sound = false;
        (void)snprintf(why, 768, "%s/segment-%06" PRId64 ".nc %s", path, i, reason);
    }
    *edits = json_integer_value(json_object_get(manifest, "edits"));
    json_decref(manifest);
    return sound;
}

static void free_paths(char **paths, int64_t count)
{
    for (int64_t i = 0; paths != NULL && i < count; i++)
        free(paths[i]);
    free(paths);
}

static rls_status make_paths(rls_context *ctx, const char *path, int64_t count, char ***out)
{
    void *memory = NULL;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(char *), &memory);
    char **paths = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        status = rls_asprintf(ctx, &paths[i], "%s/segment-%06" PRId64 ".nc", path, i);
    *out = paths;
    return status;
}

rls_status rls_journal_examine(rls_context *ctx, const char *path, rls_journal_survey *out)
{
    char **paths = NULL;
    rls_digest *digests = NULL;
    void *ends = NULL;
    *out = (rls_journal_survey){0};
    rls_status status = rls_agree(ctx, ctx->rank == 0 ? count_present(ctx, path, &out->present) : RLS_OK);
    if (status != RLS_OK)
        return status;
    MPI_Bcast(&out->present, 1, MPI_INT64_T, 0, ctx->comm);
    status = make_paths(ctx, path, out->present, &paths);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, out->present, sizeof(int64_t), &ends);
    status = rls_agree(ctx, status);
    out->ends = ends;
    if (status == RLS_OK)
        status = rls_digest_files(ctx, (const char *const *)paths, out->present, &digests);
    if (status == RLS_OK) {
        int64_t edits = 0, first = 0;
        for (int64_t i = 0; i < out->present && ctx->rank == 0; i++) {
            if (!segment_sound(ctx, path, i, first, &digests[i], &edits, out->why))
                break;
            first += edits;
            out->ends[out->sound++] = first;
        }
        for (int64_t i = 0; i < out->present; i++)
            out->bytes += digests[i].bytes > 0 ? digests[i].bytes : 0;
        MPI_Bcast(&out->sound, 1, MPI_INT64_T, 0, ctx->comm);
        MPI_Bcast(out->ends, (int)out->sound, MPI_INT64_T, 0, ctx->comm);
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
    free(survey->ends);
    survey->ends = NULL;
}

/* Rank 0: name -> name.damaged, or the first name.damaged-k that is free. */
static rls_status set_aside(rls_context *ctx, const char *file)
{
    char to[768];
    (void)snprintf(to, sizeof to, "%s.damaged", file);
    for (int k = 2; access(to, F_OK) == 0 && k < 1000; k++)
        (void)snprintf(to, sizeof to, "%s.damaged-%d", file, k);
    if (rename(file, to) != 0 && errno != ENOENT)
        return rls_fail(ctx, RLS_ERR_IO, "%s: cannot be set aside: %s", file, strerror(errno));
    return RLS_OK;
}

rls_status rls_journal_set_aside(rls_context *ctx, const char *path, int64_t first, int64_t present)
{
    rls_status status = RLS_OK;
    char file[640];
    for (int64_t i = present;
         i-- > first && ctx->rank == 0 && status == RLS_OK;) { /* last first: never a gap before the end */
        (void)snprintf(file, sizeof file, "%s/segment-%06" PRId64 ".nc", path, i);
        status = set_aside(ctx, file);
        (void)snprintf(file, sizeof file, "%s/segment-%06" PRId64 ".json", path, i);
        if (status == RLS_OK)
            status = set_aside(ctx, file);
    }
    return rls_agree(ctx, status);
}
