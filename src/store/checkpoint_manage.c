/* The checkpoints of a run as a set: listing, verifying, pruning. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/share.h"
#include "store/checkpoint.h"
#include "store/digest.h"
#include "store/file_util.h"
#include "store/leftover.h"
#include "store/manifest.h"
#include "store/problem.h"

static int newest_first(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* "step-000001200" -> 1200; -1 for any other name. */
static int64_t step_of(const char *name)
{
    char *end = NULL;
    if (strncmp(name, "step-", 5) != 0 || name[5] < '0' || name[5] > '9')
        return -1;
    const long long step = strtoll(name + 5, &end, 10);
    char again[40];
    (void)snprintf(again, sizeof again, "step-%09lld",
                   step); /* as rls_checkpoint_write names it, and no other way */
    return *end == '\0' && strcmp(again, name) == 0 ? (int64_t)step : -1;
}

typedef struct {
    int64_t *step, count, capacity;
} step_list;

static rls_status note_step(rls_context *ctx, const char *path, const char *name, void *user)
{
    (void)path;
    step_list *list = user;
    const int64_t step = step_of(name);
    if (step < 0)
        return RLS_OK;
    if (list->count == list->capacity) {
        list->capacity = 2 * list->capacity + 16;
        int64_t *larger = realloc(list->step, (size_t)list->capacity * sizeof *larger);
        if (larger == NULL)
            return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a list of checkpoints");
        list->step = larger;
    }
    list->step[list->count++] = step;
    return RLS_OK;
}

/* Rank 0. */
static rls_status list_on_root(rls_context *ctx, const char *path, int64_t **steps, int64_t *count)
{
    step_list list = {0};
    rls_status status = RLS_OK;
    if (access(path, F_OK) == 0 || errno != ENOENT)
        status = rls_dir_visit(ctx, path, note_step, &list);
    if (list.count > 0)
        qsort(list.step, (size_t)list.count, sizeof *list.step, newest_first);
    *steps = list.step;
    *count = list.count;
    return status;
}

rls_status rls_checkpoint_list(rls_context *ctx, const char *dir, int64_t **steps, int64_t *count)
{
    void *memory = NULL;
    *steps = NULL;
    *count = 0;
    rls_status status = rls_agree(ctx, ctx->rank == 0 ? list_on_root(ctx, dir, steps, count) : RLS_OK);
    if (status == RLS_OK) {
        MPI_Bcast(count, 1, MPI_INT64_T, 0, ctx->comm);
        if (ctx->rank != 0) {
            status = rls_alloc(ctx, *count, sizeof(int64_t), &memory);
            *steps = memory;
        }
        status = rls_agree(ctx, status);
    }
    if (status == RLS_OK)
        MPI_Bcast(*steps, (int)*count, MPI_INT64_T, 0, ctx->comm);
    if (status != RLS_OK) {
        free(*steps);
        *steps = NULL;
        *count = 0;
    }
    return status;
}

/* Rank 0: the size of a regular file; -1 when there is none. */
static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

static const char *file_name(const json_t *file)
{
    const char *name = json_string_value(json_object_get(file, "file"));
    return name != NULL ? name : "";
}

/* Rank 0: the manifest, and the sizes of the files it names. */
static rls_status survey_on_root(rls_context *ctx, const char *directory, rls_checkpoint_survey *out)
{
    char *path = NULL;
    const char *base = strrchr(directory, '/');
    const int64_t step = step_of(base != NULL ? base + 1 : directory);
    const json_t *file = NULL;
    size_t i = 0;
    rls_status status = rls_asprintf(ctx, &path, "%s/manifest.json", directory);
    if (status != RLS_OK)
        return status;
    out->committed = access(path, F_OK) == 0;
    if (out->committed && rls_manifest_read(ctx, path, RLS_CHECKPOINT_FORMAT, &out->manifest) != RLS_OK)
        rls_problem_take(ctx, out->problems, path);
    else if (out->committed && step >= 0 &&
             json_integer_value(json_object_get(out->manifest, "step")) != step)
        rls_problem_add(out->problems, path, "is of another step");
    json_array_foreach(json_object_get(out->manifest, "files"), i, file)
    {
        free(path);
        if ((status = rls_asprintf(ctx, &path, "%s/%s", directory, file_name(file))) != RLS_OK)
            break;
        const int64_t bytes = size_of(path);
        const json_int_t expected = json_integer_value(json_object_get(file, "bytes"));
        out->bytes += bytes > 0 ? bytes : 0;
        if (bytes < 0)
            rls_problem_add(out->problems, path, "is missing");
        else if (bytes != expected)
            rls_problem_add(out->problems, path, "has %" PRId64 " bytes, not %" PRId64, bytes,
                            (int64_t)expected);
    }
    free(path);
    return status;
}

/* Gives every rank what rank 0 found. Collective. */
static rls_status share_survey(rls_context *ctx, rls_status local, rls_checkpoint_survey *survey)
{
    char *text = NULL;
    if (ctx->rank == 0 && local == RLS_OK) {
        json_t *all =
            json_pack("{s:b, s:O?, s:O, s:I}", "committed", survey->committed, "manifest", survey->manifest,
                      "problems", survey->problems, "bytes", (json_int_t)survey->bytes);
        text = all != NULL ? json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
        json_decref(all);
        if (text == NULL)
            local = rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a manifest");
    }
    rls_status status = rls_share_text(ctx, local, &text);
    if (status == RLS_OK) {
        json_t *all = json_loads(text, 0, NULL);
        const json_t *manifest = json_object_get(all, "manifest");
        json_decref(survey->manifest);
        json_decref(survey->problems);
        *survey = (rls_checkpoint_survey){
            .committed = json_is_true(json_object_get(all, "committed")),
            .manifest = json_is_object(manifest) ? json_incref((json_t *)(uintptr_t)manifest) : NULL,
            .problems = json_incref(json_object_get(all, "problems")),
            .bytes = (int64_t)json_integer_value(json_object_get(all, "bytes"))};
        json_decref(all);
        status = rls_agree(ctx, survey->problems != NULL
                                    ? RLS_OK
                                    : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a manifest"));
    }
    free(text);
    return status;
}

/* Compares the checksums of all files of a manifest. Collective. */
static rls_status examine_files(rls_context *ctx, const char *directory, rls_checkpoint_survey *survey)
{
    const json_t *files = json_object_get(survey->manifest, "files");
    const int64_t count = (int64_t)json_array_size(files);
    void *memory = NULL;
    rls_digest *digests = NULL;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(char *), &memory);
    char **paths = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        status =
            rls_asprintf(ctx, &paths[i], "%s/%s", directory, file_name(json_array_get(files, (size_t)i)));
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_digest_files(ctx, (const char *const *)paths, count, &digests);
    json_t *problems = json_array(); /* a file's checksums include its size */
    for (int64_t i = 0; i < count && status == RLS_OK; i++) {
        char reason[128];
        if (!rls_digest_matches(&digests[i], json_array_get(files, (size_t)i), reason))
            rls_problem_add(problems, paths[i], "%s", reason);
    }
    if (status == RLS_OK && json_array_size(problems) > 0) {
        json_decref(survey->problems);
        survey->problems = json_incref(problems);
    }
    json_decref(problems);
    rls_digests_free(&digests);
    for (int64_t i = 0; paths != NULL && i < count; i++)
        free(paths[i]);
    free(memory);
    return status;
}

rls_status rls_checkpoint_examine(rls_context *ctx, const char *directory, bool digests,
                                  rls_checkpoint_survey *out)
{
    rls_status status = RLS_OK;
    *out = (rls_checkpoint_survey){.problems = ctx->rank == 0 ? json_array() : NULL};
    if (ctx->rank == 0)
        status = out->problems != NULL ? survey_on_root(ctx, directory, out)
                                       : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a manifest");
    status = share_survey(ctx, status, out);
    if (status == RLS_OK && out->manifest != NULL && digests)
        status = examine_files(ctx, directory, out);
    if (status != RLS_OK)
        rls_checkpoint_survey_free(out);
    return status;
}

void rls_checkpoint_survey_free(rls_checkpoint_survey *survey)
{
    json_decref(survey->manifest);
    json_decref(survey->problems);
    *survey = (rls_checkpoint_survey){0};
}

rls_status rls_checkpoint_verify(rls_context *ctx, const char *dir, int64_t step, bool digests,
                                 json_t **manifest, int64_t *bytes, char why[768])
{
    char *directory = NULL;
    rls_checkpoint_survey survey = {0};
    why[0] = '\0';
    *manifest = NULL;
    *bytes = 0;
    rls_status status = rls_agree(ctx, rls_asprintf(ctx, &directory, "%s/step-%09" PRId64, dir, step));
    if (status == RLS_OK)
        status = rls_checkpoint_examine(ctx, directory, digests, &survey);
    if (status == RLS_OK && !survey.committed)
        (void)snprintf(why, 768, "%s/manifest.json: No such file or directory", directory);
    else if (status == RLS_OK)
        (void)rls_problem_first(survey.problems, why, 768);
    if (status == RLS_OK && why[0] == '\0')
        *manifest = json_incref(survey.manifest);
    *bytes = survey.bytes;
    rls_checkpoint_survey_free(&survey);
    free(directory);
    return status;
}

static rls_status clear_on_root(rls_context *ctx, const char *dir)
{
    int64_t *steps = NULL, count = 0;
    rls_status status = list_on_root(ctx, dir, &steps, &count);
    for (int64_t i = 0; i < count && status == RLS_OK; i++) {
        char directory[PATH_MAX], manifest[PATH_MAX + 16];
        (void)snprintf(directory, sizeof directory, "%s/step-%09" PRId64, dir, steps[i]);
        (void)snprintf(manifest, sizeof manifest, "%s/manifest.json", directory);
        if (access(manifest, F_OK) != 0 && errno == ENOENT)
            status = rls_dir_remove(ctx, directory);
    }
    free(steps);
    if (status == RLS_OK && access(dir, F_OK) == 0)
        status = rls_partial_remove(ctx, dir);
    return status;
}

rls_status rls_checkpoint_clear(rls_context *ctx, const char *dir)
{
    return rls_agree(ctx, ctx->rank == 0 ? clear_on_root(ctx, dir) : RLS_OK);
}

rls_status rls_checkpoint_set_aside(rls_context *ctx, const char *dir, int64_t step)
{
    char *directory = NULL;
    rls_status status = rls_asprintf(ctx, &directory, "%s/step-%09" PRId64, dir, step);
    if (status == RLS_OK && ctx->rank == 0)
        status = rls_set_aside(ctx, directory);
    free(directory);
    return rls_agree(ctx, status);
}

/* Rank 0: deletes one checkpoint, its manifest first. */
static rls_status delete_step(rls_context *ctx, const char *dir, int64_t step)
{
    char directory[1024], manifest[1100];
    (void)snprintf(directory, sizeof directory, "%s/step-%09" PRId64, dir, step);
    (void)snprintf(manifest, sizeof manifest, "%s/manifest.json", directory);
    rls_status status = rls_fault(ctx, RLS_FAULT_prune_manifest);
    if (status == RLS_OK && unlink(manifest) != 0 && errno != ENOENT)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be deleted: %s", manifest, strerror(errno));
    if (status == RLS_OK)
        status = rls_dir_sync(ctx, directory, false);
    if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_prune_files);
    if (status == RLS_OK)
        status = rls_dir_remove(ctx, directory);
    return status;
}

rls_status rls_checkpoint_prune(rls_context *ctx, const char *dir, int64_t keep, int64_t keep_every)
{
    int64_t *steps = NULL, count = 0, kept = 0;
    rls_status status = rls_checkpoint_list(ctx, dir, &steps, &count);
    for (int64_t i = 0; i < count && steps != NULL && status == RLS_OK; i++) {
        json_t *manifest = NULL;
        int64_t bytes = 0;
        char why[768];
        status = rls_checkpoint_verify(ctx, dir, steps[i], false, &manifest, &bytes, why);
        const bool sound = manifest != NULL;
        json_decref(manifest);
        if (!sound || kept++ < keep || (keep_every > 0 && steps[i] % keep_every == 0))
            continue;
        status = rls_agree(ctx, ctx->rank == 0 ? delete_step(ctx, dir, steps[i]) : RLS_OK);
    }
    free(steps);
    return status;
}
