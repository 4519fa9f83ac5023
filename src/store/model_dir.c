#include "store/model_dir.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/share.h"
#include "base/suggest.h"
#include "store/file_util.h"
#include "store/model_index.h"
#include "store/shared_file.h"

struct rls_model_dir {
    rls_context *ctx;
    char *path;
    char *names; /* of the shards, one after another */
    bool has_index;
    int64_t shards, tensors;
    rls_shard *shard;
    rls_model_tensor *tensor;
    const rls_model_tensor **by_name;
    int64_t bytes, parameters;
};

/* The path without slashes at its end. */
static rls_status set_path(rls_model_dir *dir, const char *path)
{
    const rls_status status = rls_strdup(dir->ctx, path, &dir->path);
    if (status != RLS_OK)
        return status;
    for (size_t len = strlen(dir->path); len > 1 && dir->path[len - 1] == '/'; len--)
        dir->path[len - 1] = '\0';
    return RLS_OK;
}

/* Rank 0's list of shards to all: the names, each with its '\0', and whether there is an index. */
static rls_status share_names(rls_model_dir *dir, const rls_model_index *found, rls_status local)
{
    rls_context *ctx = dir->ctx;
    int64_t bytes = 0, has_index = found->index != NULL;
    void *names = NULL;
    for (int64_t i = 0; i < found->shards; i++)
        bytes += (int64_t)strlen(found->shard[i]) + 1;
    if (local == RLS_OK)
        local = rls_alloc(ctx, bytes, 1, &names);
    dir->names = names;
    for (int64_t i = 0, at = 0; local == RLS_OK && i < found->shards; i++) {
        const size_t size = strlen(found->shard[i]) + 1;
        memcpy(dir->names + at, found->shard[i], size);
        at += (int64_t)size;
    }
    rls_status status = rls_share_array(ctx, local, &dir->names, &bytes);
    if (status != RLS_OK)
        return status;
    MPI_Bcast(&has_index, 1, MPI_INT64_T, 0, ctx->comm);
    dir->has_index = has_index != 0;
    for (int64_t i = 0; i < bytes; i++)
        dir->shards += dir->names[i] == '\0';
    void *shard = NULL;
    status = rls_alloc_zero(ctx, dir->shards, sizeof *dir->shard, &shard);
    dir->shard = shard;
    const char *name = dir->names;
    for (int64_t i = 0; status == RLS_OK && i < dir->shards; i++) {
        dir->shard[i].name = name;
        status = rls_asprintf(ctx, &dir->shard[i].path, "%s/%s", dir->path, name);
        name += strlen(name) + 1;
    }
    return rls_agree(ctx, status);
}

/* Rank 0: the shard's size and the bytes of its header. */
static rls_status read_header(rls_context *ctx, rls_shard *shard, char **header, int64_t *length)
{
    unsigned char prefix[RLS_SAFETENSORS_PREFIX] = {0};
    void *data = NULL;
    rls_status status = rls_file_size(ctx, shard->path, &shard->bytes);
    if (status == RLS_OK && shard->bytes >= RLS_SAFETENSORS_PREFIX)
        status = rls_file_read(ctx, shard->path, 0, RLS_SAFETENSORS_PREFIX, prefix);
    if (status == RLS_OK)
        status = rls_safetensors_header_length(ctx, shard->path, prefix, shard->bytes, length);
    if (status == RLS_OK)
        status = rls_alloc(ctx, *length, 1, &data);
    if (status == RLS_OK)
        status = rls_file_read(ctx, shard->path, RLS_SAFETENSORS_PREFIX, *length, data);
    *header = data;
    return status;
}

/* One shard's table on all ranks: rank 0 reads the header, every rank parses the same bytes. */
static rls_status open_shard(rls_context *ctx, rls_shard *shard)
{
    char *header = NULL;
    int64_t length = 0;
    const rls_status local = ctx->rank == 0 ? read_header(ctx, shard, &header, &length) : RLS_OK;
    rls_status status = rls_share_array(ctx, local, &header, &length);
    if (status == RLS_OK) {
        MPI_Bcast(&shard->bytes, 1, MPI_INT64_T, 0, ctx->comm);
        shard->data_begin = RLS_SAFETENSORS_PREFIX + length;
        status = rls_agree(ctx, rls_safetensors_parse(ctx, shard->path, header, (size_t)length,
                                                      shard->bytes - shard->data_begin, &shard->table));
    }
    free(header);
    return status;
}

static int compare_names(const void *a, const void *b)
{
    const rls_model_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->info->name, (*y)->info->name);
}

/* The list of all tensors, and none of them in two shards. Equal on all ranks. */
static rls_status collect(rls_model_dir *dir)
{
    void *tensor = NULL, *by_name = NULL;
    for (int64_t s = 0; s < dir->shards; s++) {
        dir->tensors += rls_tensor_table_count(dir->shard[s].table);
        dir->bytes += dir->shard[s].bytes;
    }
    rls_status status = rls_alloc(dir->ctx, dir->tensors, sizeof *dir->tensor, &tensor);
    dir->tensor = tensor;
    if (status == RLS_OK)
        status = rls_alloc(dir->ctx, dir->tensors, sizeof(rls_model_tensor *), &by_name);
    dir->by_name = by_name;
    if (status != RLS_OK || dir->tensors == 0)
        return status;
    int64_t at = 0;
    for (int64_t s = 0; s < dir->shards; s++) {
        const rls_shard *shard = &dir->shard[s];
        for (int64_t i = 0; i < rls_tensor_table_count(shard->table); i++, at++) {
            const rls_tensor *info = rls_tensor_table_at(shard->table, i);
            dir->tensor[at] = (rls_model_tensor){info, s, shard->data_begin + info->begin};
            dir->by_name[at] = &dir->tensor[at];
            dir->parameters += info->elements;
        }
    }
    qsort((void *)dir->by_name, (size_t)dir->tensors, sizeof(rls_model_tensor *), compare_names);
    for (int64_t i = 1; i < dir->tensors; i++) {
        char shown[RLS_TENSOR_TEXT_MAX];
        if (compare_names(&dir->by_name[i - 1], &dir->by_name[i]) == 0)
            return rls_fail(dir->ctx, RLS_ERR_DATA, "%s: tensor '%s' is in two shards: %s and %s", dir->path,
                            rls_printable(dir->by_name[i]->info->name, shown),
                            dir->shard[dir->by_name[i - 1]->shard].name,
                            dir->shard[dir->by_name[i]->shard].name);
    }
    return RLS_OK;
}

/* Rank 0: every tensor of the index is in the shard it says. */
static rls_status check_index(const rls_model_dir *dir, const rls_model_index *found)
{
    const char *key = NULL;
    const json_t *value = NULL;
    char shown[RLS_TENSOR_TEXT_MAX];
    if (found->weight_map == NULL)
        return RLS_OK;
    json_object_foreach(found->weight_map, key, value)
    {
        const rls_model_tensor *tensor = rls_model_dir_find(dir, key);
        if (tensor == NULL)
            return rls_fail(dir->ctx, RLS_ERR_DATA, "%s/%s: tensor '%s' is not in %s", dir->path,
                            RLS_MODEL_INDEX, rls_printable(key, shown), json_string_value(value));
        if (strcmp(dir->shard[tensor->shard].name, json_string_value(value)) != 0)
            return rls_fail(dir->ctx, RLS_ERR_DATA, "%s/%s: tensor '%s' is not in %s but in %s", dir->path,
                            RLS_MODEL_INDEX, rls_printable(key, shown), json_string_value(value),
                            dir->shard[tensor->shard].name);
    }
    if ((int64_t)json_object_size(found->weight_map) < dir->tensors)
        rls_log(dir->ctx, RLS_LOG_WARNING, "%s: its shards hold tensors that %s does not name", dir->path,
                RLS_MODEL_INDEX);
    return RLS_OK;
}

rls_status rls_model_dir_open(rls_context *ctx, const char *path, rls_model_dir **out)
{
    rls_model_index found = {0};
    rls_model_dir *dir = NULL;
    void *fresh = NULL;
    char *shared = ctx->rank == 0 ? (char *)(uintptr_t)path : NULL;
    int64_t bytes = ctx->rank == 0 ? (int64_t)strlen(path) + 1 : 0;
    *out = NULL;
    rls_status status = rls_agree(ctx, rls_alloc_zero(ctx, 1, sizeof *dir, &fresh));
    dir = fresh;
    if (status == RLS_OK) {
        dir->ctx = ctx;
        status = rls_share_array(ctx, RLS_OK, &shared, &bytes);
    }
    if (status == RLS_OK)
        status = rls_agree(ctx, set_path(dir, shared));
    if (status == RLS_OK)
        status =
            share_names(dir, &found, ctx->rank == 0 ? rls_model_index_find(ctx, dir->path, &found) : RLS_OK);
    for (int64_t i = 0; status == RLS_OK && i < dir->shards; i++)
        status = open_shard(ctx, &dir->shard[i]);
    if (status == RLS_OK)
        status = rls_agree(ctx, collect(dir));
    if (status == RLS_OK)
        status = rls_agree(ctx, check_index(dir, &found));
    rls_model_index_free(&found);
    if (ctx->rank != 0)
        free(shared);
    if (status != RLS_OK)
        rls_model_dir_close(&dir);
    *out = dir;
    return status;
}

void rls_model_dir_close(rls_model_dir **dir)
{
    if (*dir == NULL)
        return;
    for (int64_t i = 0; (*dir)->shard != NULL && i < (*dir)->shards; i++) {
        free((*dir)->shard[i].path);
        rls_tensor_table_destroy(&(*dir)->shard[i].table);
    }
    free((*dir)->shard);
    free((*dir)->tensor);
    free((void *)(*dir)->by_name);
    free((*dir)->names);
    free((*dir)->path);
    free(*dir);
    *dir = NULL;
}

rls_context *rls_model_dir_context(const rls_model_dir *dir)
{
    return dir->ctx;
}

const char *rls_model_dir_path(const rls_model_dir *dir)
{
    return dir->path;
}

bool rls_model_dir_has_index(const rls_model_dir *dir)
{
    return dir->has_index;
}

int64_t rls_model_dir_shards(const rls_model_dir *dir)
{
    return dir->shards;
}

const rls_shard *rls_model_dir_shard(const rls_model_dir *dir, int64_t i)
{
    return &dir->shard[i];
}

int64_t rls_model_dir_tensors(const rls_model_dir *dir)
{
    return dir->tensors;
}

const rls_model_tensor *rls_model_dir_tensor(const rls_model_dir *dir, int64_t i)
{
    return &dir->tensor[i];
}

const rls_model_tensor *rls_model_dir_find(const rls_model_dir *dir, const char *name)
{
    const rls_tensor info = {.name = name};
    const rls_model_tensor wanted = {.info = &info};
    const rls_model_tensor *key = &wanted;
    if (dir->tensors == 0)
        return NULL;
    const rls_model_tensor *const *found = (const rls_model_tensor *const *)bsearch(
        (const void *)&key, (const void *)dir->by_name, (size_t)dir->tensors, sizeof(rls_model_tensor *),
        compare_names);
    return found != NULL ? *found : NULL;
}

rls_status rls_model_dir_require(const rls_model_dir *dir, const char *name, const rls_model_tensor **out)
{
    const char *nearest = NULL;
    char shown[RLS_TENSOR_TEXT_MAX];
    size_t best = SIZE_MAX;
    *out = rls_model_dir_find(dir, name);
    if (*out != NULL)
        return RLS_OK;
    for (int64_t i = 0; i < dir->tensors; i++) {
        if (rls_closer(name, dir->tensor[i].info->name, &best))
            nearest = dir->tensor[i].info->name;
    }
    return rls_fail(dir->ctx, RLS_ERR_DATA, "%s: no tensor '%s' among its %lld%s%s%s", dir->path, name,
                    (long long)dir->tensors, nearest != NULL ? ": did you mean '" : "",
                    nearest != NULL ? rls_printable(nearest, shown) : "", nearest != NULL ? "'?" : "");
}

int64_t rls_model_dir_bytes(const rls_model_dir *dir)
{
    return dir->bytes;
}

int64_t rls_model_dir_parameters(const rls_model_dir *dir)
{
    return dir->parameters;
}
