#include "store/export_file.h"

#include <stdlib.h>

#include "base/memory.h"
#include "store/file_util.h"
#include "store/writeback.h"

rls_status rls_export_file_begin(rls_context *ctx, const char *from_dir, const char *to_dir, const char *name,
                                 int64_t *bytes, bool digest, rls_export_file *out)
{
    *out =
        (rls_export_file){.name = name, .from = {.handle = MPI_FILE_NULL}, .to = {.handle = MPI_FILE_NULL}};
    rls_status status = rls_asprintf(ctx, &out->old_path, "%s/%s", from_dir, name);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &out->path, "%s/%s", to_dir, name);
    if (status == RLS_OK && ctx->rank == 0 && *bytes < 0)
        status = rls_file_size(ctx, out->old_path, bytes);
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        MPI_Bcast(bytes, 1, MPI_INT64_T, 0, ctx->comm);
        status = rls_shared_open(ctx, out->old_path, *bytes, &out->from);
    }
    if (status == RLS_OK)
        status = rls_shared_create(ctx, out->path, &out->to);
    if (status == RLS_OK && digest)
        status = rls_digest_begin(ctx, out->path, &out->digest);
    return status;
}

rls_status rls_export_file_end(rls_export_file *file, rls_status status, json_t *written)
{
    rls_context *ctx = file->to.ctx;
    rls_digest *digest = NULL;
    json_t *value = NULL;
    if (status == RLS_OK)
        status = rls_shared_close(&file->from);
    if (status == RLS_OK)
        status = rls_shared_close(&file->to);
    if (status == RLS_OK && file->digest != NULL)
        status = rls_digest_end(&file->digest, &digest);
    if (status == RLS_OK) {
        value = digest != NULL ? rls_digest_json(digest, file->name) : json_null();
        const bool added = json_object_set_new(written, file->name, value) == 0;
        status = rls_agree(
            ctx,
            added ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for its checksums", file->path));
    }
    rls_digests_free(&digest);
    rls_digest_abandon(&file->digest);
    rls_shared_abandon(&file->from);
    rls_shared_abandon(&file->to);
    free(file->old_path);
    free(file->path);
    return status;
}

rls_status rls_export_files_sync(rls_context *ctx, const char *dir, json_t *written)
{
    const int64_t count = (int64_t)json_object_size(written);
    void *memory = NULL;
    const char *name = NULL;
    json_t *value = NULL;
    int64_t made = 0;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(char *), &memory);
    char **paths = memory;
    json_object_foreach(written, name, value)
    {
        if (status == RLS_OK)
            status = rls_asprintf(ctx, &paths[made++], "%s/%s", dir, name);
    }
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_files_sync(ctx, (const char *const *)paths, count);
    for (int64_t i = 0; i < made; i++)
        free(paths[i]);
    free(memory);
    return status;
}
