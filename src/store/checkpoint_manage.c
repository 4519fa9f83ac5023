/* The checkpoints of a run as a set: listing, verifying, pruning. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/share.h"
#include "store/checkpoint.h"
#include "store/digest.h"
#include "store/file_util.h"
#include "store/manifest.h"

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
    return *end == '\0' ? (int64_t)step : -1;
}

/* Rank 0: the steps as one text, which is easily shared. */
static rls_status list_on_root(rls_context *ctx, const char *path, int64_t **steps, int64_t *count)
{
    int64_t capacity = 0;
    DIR *dir = opendir(path);
    if (dir == NULL)
        return errno == ENOENT ? RLS_OK
                               : rls_fail(ctx, RLS_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    rls_status status = RLS_OK;
    for (const struct dirent *e = readdir(dir); e != NULL && status == RLS_OK; e = readdir(dir)) {
        const int64_t step = step_of(e->d_name);
        if (step < 0)
            continue;
        if (*count == capacity) {
            capacity = 2 * capacity + 16;
            int64_t *larger = realloc(*steps, (size_t)capacity * sizeof **steps);
            if (larger == NULL) {
                status = rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a list of checkpoints");
                break;
            }
            *steps = larger;
        }
        (*steps)[(*count)++] = step;
    }
    closedir(dir);
    if (*count > 0)
        qsort(*steps, (size_t)*count, sizeof **steps, newest_first);
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

/* Rank 0: the manifest as text; "" (and why) when it is not sound. */
static rls_status read_manifest(rls_context *ctx, const char *directory, int64_t step, char **text,
                                char why[768])
{
    char path[1024];
    json_t *manifest = NULL;
    (void)snprintf(path, sizeof path, "%s/manifest.json", directory);
    if (rls_manifest_read(ctx, path, RLS_CHECKPOINT_FORMAT, &manifest) != RLS_OK) {
        (void)snprintf(why, 768, "%s", rls_context_message(ctx));
        rls_clear_failure(ctx);
    } else if (json_integer_value(json_object_get(manifest, "step")) != step) {
        (void)snprintf(why, 768, "%.700s: is of another step", path);
        json_decref(manifest);
        manifest = NULL;
    }
    *text = manifest != NULL ? json_dumps(manifest, JSON_COMPACT | JSON_REAL_PRECISION(17)) : calloc(1, 1);
    json_decref(manifest);
    return *text != NULL ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a manifest");
}

/* Compares all files of a sound manifest. Collective. */
static rls_status verify_files(rls_context *ctx, const char *directory, const json_t *manifest,
                               int64_t *bytes, char why[768])
{
    const json_t *files = json_object_get(manifest, "files");
    const int64_t count = (int64_t)json_array_size(files);
    void *memory = NULL;
    rls_digest *digests = NULL;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(char *), &memory);
    char **paths = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        status = rls_asprintf(ctx, &paths[i], "%s/%s", directory,
                              json_string_value(json_object_get(json_array_get(files, (size_t)i), "file")));
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_digest_files(ctx, (const char *const *)paths, count, &digests);
    for (int64_t i = 0; i < count && status == RLS_OK; i++) {
        char reason[128];
        *bytes += digests[i].bytes > 0 ? digests[i].bytes : 0;
        if (!rls_digest_matches(&digests[i], json_array_get(files, (size_t)i), reason) && why[0] == '\0')
            (void)snprintf(why, 768, "%s %s", paths[i], reason);
    }
    rls_digests_free(&digests);
    for (int64_t i = 0; paths != NULL && i < count; i++)
        free(paths[i]);
    free(memory);
    return status;
}

rls_status rls_checkpoint_verify(rls_context *ctx, const char *dir, int64_t step, bool digests,
                                 json_t **manifest, int64_t *bytes, char why[768])
{
    char *directory = NULL, *text = NULL;
    why[0] = '\0';
    *manifest = NULL;
    *bytes = 0;
    rls_status status = rls_asprintf(ctx, &directory, "%s/step-%09" PRId64, dir, step);
    if (status == RLS_OK && ctx->rank == 0)
        status = read_manifest(ctx, directory, step, &text, why);
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_share_text(ctx, RLS_OK, &text);
    if (status == RLS_OK) {
        MPI_Bcast(why, 768, MPI_CHAR, 0, ctx->comm);
        if (text[0] != '\0') {
            *manifest = json_loads(text, 0, NULL);
            status = *manifest != NULL ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a manifest");
        }
        status = rls_agree(ctx, status);
    }
    if (status == RLS_OK && *manifest != NULL && digests)
        status = verify_files(ctx, directory, *manifest, bytes, why);
    if (status != RLS_OK || why[0] != '\0') {
        json_decref(*manifest);
        *manifest = NULL;
    }
    free(text);
    free(directory);
    return status;
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
        if (!sound || (keep_every > 0 && steps[i] % keep_every == 0) || kept++ < keep)
            continue;
        status = rls_agree(ctx, ctx->rank == 0 ? delete_step(ctx, dir, steps[i]) : RLS_OK);
    }
    free(steps);
    return status;
}
