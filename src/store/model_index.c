#include "store/model_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "store/file_util.h"
#include "store/model_dir.h"

enum { INDEX_BYTES_MAX = 16 << 20 }; /* some 100,000 tensors; read as JSON it takes twenty times as much */

static const char SINGLE[] = "model.safetensors";
static const char SUFFIX[] = ".safetensors";

rls_status rls_model_index_read(rls_context *ctx, const char *path, json_t **root, json_t **weight_map)
{
    char *text = NULL;
    int64_t bytes = 0;
    json_error_t error;
    char shown[RLS_TENSOR_TEXT_MAX];
    *root = *weight_map = NULL;
    rls_status status = rls_file_read_whole(ctx, path, INDEX_BYTES_MAX, &text, &bytes);
    if (status != RLS_OK)
        return status;
    *root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &error);
    free(text);
    if (*root == NULL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s:%d: not valid JSON: %s", path, error.line,
                        rls_printable(error.text, shown));
    *weight_map = json_object_get(*root, "weight_map");
    if (!json_is_object(*weight_map))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: 'weight_map' is missing or not an object", path);
    const char *key = NULL;
    const json_t *value = NULL;
    json_object_foreach(*weight_map, key, value)
    {
        if (!json_is_string(value))
            return rls_fail(ctx, RLS_ERR_DATA, "%s: weight_map '%s' is not the name of a file", path,
                            rls_printable(key, shown));
    }
    return RLS_OK;
}

static int compare_text(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* The distinct shards of the weight map. A shard is a file of the directory itself: a path could lead
 * anywhere. */
static rls_status shards_of_index(rls_context *ctx, const char *path, rls_model_index *out)
{
    void *shard = NULL;
    const char *key = NULL;
    const json_t *value = NULL;
    char tensor_shown[RLS_TENSOR_TEXT_MAX], shown[RLS_TENSOR_TEXT_MAX];
    const size_t count = json_object_size(out->weight_map);
    const rls_status status = rls_alloc(ctx, (int64_t)count, sizeof *out->shard, &shard);
    out->shard = (const char **)shard;
    if (status != RLS_OK)
        return status;
    if (count == 0)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: weight_map names no tensor", path);
    size_t i = 0;
    json_object_foreach(out->weight_map, key, value)
    {
        const char *name = json_string_value(value);
        if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: weight_map '%s': '%s' is not a file of this directory",
                            path, rls_printable(key, tensor_shown), rls_printable(name, shown));
        out->shard[i++] = name;
    }
    qsort((void *)out->shard, count, sizeof out->shard[0], compare_text);
    for (i = 0; i < count; i++) {
        if (out->shards == 0 || strcmp(out->shard[out->shards - 1], out->shard[i]) != 0)
            out->shard[out->shards++] = out->shard[i];
    }
    return RLS_OK;
}

static bool has_suffix(const char *name, const char *suffix)
{
    const size_t len = strlen(name), tail = strlen(suffix);
    return len > tail && strcmp(name + len - tail, suffix) == 0;
}

static rls_status note_safetensors(rls_context *ctx, const char *path, const char *name, void *user)
{
    char **only = user;
    if (!has_suffix(name, SUFFIX))
        return RLS_OK;
    if (*only == NULL)
        return rls_strdup(ctx, name, only);
    return rls_fail(ctx, RLS_ERR_DATA,
                    "%s: several safetensors files (%s, %s) but no %s that says which belong to it", path,
                    *only, name, RLS_MODEL_INDEX);
}

/* The only *.safetensors of the directory into *name. */
static rls_status only_safetensors(rls_context *ctx, const char *path, char **name)
{
    const rls_status status = rls_dir_visit(ctx, path, note_safetensors, name);
    if (status != RLS_OK || *name != NULL)
        return status;
    return rls_fail(ctx, RLS_ERR_DATA,
                    "%s: no safetensors file in this directory: not a model, or one to be converted first",
                    path);
}

/* Without an index there is one shard: model.safetensors, or whatever is the only one. */
static rls_status single_shard(rls_context *ctx, const char *path, bool has_single, rls_model_index *out)
{
    void *shard = NULL;
    rls_status status = rls_alloc(ctx, 1, sizeof *out->shard, &shard);
    out->shard = (const char **)shard;
    if (status == RLS_OK)
        status = has_single ? rls_strdup(ctx, SINGLE, &out->names) : only_safetensors(ctx, path, &out->names);
    if (status == RLS_OK)
        out->shard[out->shards++] = out->names;
    return status;
}

static rls_status exists(rls_context *ctx, const char *path, bool *found)
{
    struct stat info;
    *found = stat(path, &info) == 0;
    if (*found || errno == ENOENT)
        return RLS_OK;
    return rls_fail(ctx, rls_input_status(errno), "%s: %s", path, strerror(errno));
}

/* Told here with its cause, before anything is read: half-fetched models are the usual case. */
static rls_status check_shards_are_there(rls_context *ctx, const char *path, const rls_model_index *index)
{
    rls_status status = RLS_OK;
    for (int64_t i = 0; status == RLS_OK && i < index->shards; i++) {
        char *shard = NULL, shown[RLS_TENSOR_TEXT_MAX];
        bool found = false;
        status = rls_asprintf(ctx, &shard, "%s/%s", path, index->shard[i]);
        if (status == RLS_OK)
            status = exists(ctx, shard, &found);
        if (status == RLS_OK && !found)
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: shard '%s', which %s names, is missing: fetch it", path,
                              rls_printable(index->shard[i], shown), RLS_MODEL_INDEX);
        free(shard);
    }
    return status;
}

/* Tools differ in which of the two they load: with both, an edit of one could go unseen. */
static rls_status check_single_is_indexed(rls_context *ctx, const char *path, const rls_model_index *index)
{
    for (int64_t i = 0; i < index->shards; i++) {
        if (strcmp(index->shard[i], SINGLE) == 0)
            return RLS_OK;
    }
    return rls_fail(ctx, RLS_ERR_DATA,
                    "%s: holds %s and also %s of other files: remove the one that is not the model", path,
                    SINGLE, RLS_MODEL_INDEX);
}

rls_status rls_model_index_find(rls_context *ctx, const char *path, rls_model_index *out)
{
    struct stat info;
    char *index_path = NULL, *single_path = NULL;
    bool has_index = false, has_single = false;
    *out = (rls_model_index){0};
    if (stat(path, &info) != 0)
        return rls_fail(ctx, rls_input_status(errno), "%s: no model directory: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return rls_fail(ctx, RLS_ERR_DATA, "%s: not a directory: give the one that holds the model", path);
    rls_status status = rls_asprintf(ctx, &index_path, "%s/%s", path, RLS_MODEL_INDEX);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &single_path, "%s/%s", path, SINGLE);
    if (status == RLS_OK)
        status = exists(ctx, index_path, &has_index);
    if (status == RLS_OK)
        status = exists(ctx, single_path, &has_single);
    if (status == RLS_OK && has_index) {
        status = rls_model_index_read(ctx, index_path, &out->index, &out->weight_map);
        if (status == RLS_OK)
            status = shards_of_index(ctx, index_path, out);
        if (status == RLS_OK)
            status = check_shards_are_there(ctx, path, out);
        if (status == RLS_OK && has_single)
            status = check_single_is_indexed(ctx, path, out);
    } else if (status == RLS_OK) {
        status = single_shard(ctx, path, has_single, out);
    }
    free(index_path);
    free(single_path);
    return status;
}

void rls_model_index_free(rls_model_index *index)
{
    json_decref(index->index);
    free((void *)index->shard);
    free(index->names);
    *index = (rls_model_index){0};
}
