/* Models: a directory, or one safetensors file. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "inspect/kinds.h"
#include "llm/model_config.h"
#include "store/file_util.h"
#include "store/model_dir.h"
#include "store/problem.h"

/* The lists under construction. */
typedef struct {
    json_t *shards, *tensors, *dtypes;
    int64_t parameters;
    int failed;
} listing;

static json_t *shape_of(const rls_tensor *tensor)
{
    json_t *shape = json_array();
    int failed = 0;
    for (int i = 0; i < tensor->dims; i++)
        failed |= json_array_append_new(shape, json_integer(tensor->shape[i]));
    if (failed == 0)
        return shape;
    json_decref(shape);
    return NULL;
}

static void add_tensor(listing *list, const rls_tensor *tensor, json_t *shard_name)
{
    const char *dtype = rls_tensor_type_name(tensor->type);
    const json_int_t before = json_integer_value(json_object_get(list->dtypes, dtype));
    json_t *entry = json_object();
    list->failed |= json_object_set_new(entry, "name", rls_json_text(tensor->name));
    list->failed |= json_object_set_new(entry, "dtype", json_string(dtype));
    list->failed |= json_object_set_new(entry, "shape", shape_of(tensor));
    list->failed |= json_object_set(entry, "shard", shard_name);
    list->failed |= json_array_append_new(list->tensors, entry);
    list->failed |= json_object_set_new(list->dtypes, dtype, json_integer(before + 1));
    list->parameters += tensor->elements;
}

static void add_shard(listing *list, const char *name, int64_t bytes, const rls_tensor_table *table)
{
    json_t *text = rls_json_text(name), *entry = json_object();
    const int64_t count = rls_tensor_table_count(table);
    list->failed |= json_object_set(entry, "name", text);
    list->failed |= json_object_set_new(entry, "bytes", json_integer(bytes));
    list->failed |= json_object_set_new(entry, "tensors", json_integer(count));
    list->failed |= json_array_append_new(list->shards, entry);
    for (int64_t i = 0; i < count && list->failed == 0; i++)
        add_tensor(list, rls_tensor_table_at(table, i), text);
    json_decref(text);
}

static listing listing_begin(void)
{
    return (listing){.shards = json_array(), .tensors = json_array(), .dtypes = json_object()};
}

/* Puts the lists into the description, which then owns them. */
static rls_status listing_end(rls_context *ctx, const char *path, listing *list, json_t *out)
{
    int failed = list->failed;
    failed |= json_object_set_new(out, "parameters", json_integer(list->parameters));
    failed |= json_object_set_new(out, "dtypes", list->dtypes);
    failed |= json_object_set_new(out, "shards", list->shards);
    failed |= json_object_set_new(out, "tensors", list->tensors);
    return rls_inspect_made(ctx, path, failed);
}

static rls_status describe_model(rls_context *ctx, const char *path, const rls_model_dir *model,
                                 const rls_model_config *config, json_t *out)
{
    listing list = listing_begin();
    list.failed |= json_object_set_new(out, "bytes", json_integer(rls_model_dir_bytes(model)));
    list.failed |= json_object_set_new(out, "model_type", rls_json_text(config->model_type));
    list.failed |= json_object_set_new(out, "layout", json_string(config->conv1d ? "conv1d" : "linear"));
    for (int64_t i = 0; i < rls_model_dir_shards(model); i++) {
        const rls_shard *shard = rls_model_dir_shard(model, i);
        add_shard(&list, shard->name, shard->bytes, shard->table);
    }
    return listing_end(ctx, path, &list, out);
}

rls_status rls_inspect_model(rls_context *ctx, const char *path, bool verify, json_t *out)
{
    (void)verify;
    rls_model_config config;
    rls_model_dir *model = NULL;
    rls_status status = rls_model_config_read(ctx, path, &config);
    if (status == RLS_OK)
        status = rls_model_dir_open(ctx, path, &model);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? describe_model(ctx, path, model, &config, out) : RLS_OK);
    rls_model_dir_close(&model);
    return status;
}

static rls_status describe_file(rls_context *ctx, const char *path, json_t *out)
{
    unsigned char prefix[RLS_SAFETENSORS_PREFIX] = {0};
    void *header = NULL;
    int64_t bytes = 0, length = 0;
    rls_tensor_table *table = NULL;
    rls_status status = rls_file_size(ctx, path, &bytes);
    if (status == RLS_OK && bytes >= RLS_SAFETENSORS_PREFIX)
        status = rls_file_read(ctx, path, 0, RLS_SAFETENSORS_PREFIX, prefix);
    if (status == RLS_OK)
        status = rls_safetensors_header_length(ctx, path, prefix, bytes, &length);
    if (status == RLS_OK)
        status = rls_alloc(ctx, length, 1, &header);
    if (status == RLS_OK)
        status = rls_file_read(ctx, path, RLS_SAFETENSORS_PREFIX, length, header);
    if (status == RLS_OK)
        status = rls_safetensors_parse(ctx, path, header, (size_t)length,
                                       bytes - RLS_SAFETENSORS_PREFIX - length, &table);
    if (status == RLS_OK) {
        const char *slash = strrchr(path, '/');
        listing list = listing_begin();
        list.failed |= json_object_set_new(out, "bytes", json_integer(bytes));
        add_shard(&list, slash != NULL ? slash + 1 : path, bytes, table);
        status = listing_end(ctx, path, &list, out);
    }
    rls_tensor_table_destroy(&table);
    free(header);
    return status;
}

rls_status rls_inspect_safetensors(rls_context *ctx, const char *path, bool verify, json_t *out)
{
    (void)verify;
    return rls_agree(ctx, ctx->rank == 0 ? describe_file(ctx, path, out) : RLS_OK);
}
