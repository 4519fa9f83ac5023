#include "store/export_plan.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/share.h"
#include "store/file_util.h"
#include "store/shared_file.h"

/* A tensor's place in the new file. */
typedef struct {
    const rls_tensor *info;
    int64_t edit; /* -1: not edited */
    rls_tensor_type type;
    int64_t bytes;
    int64_t begin; /* in the new data */
} placed;

static int64_t bytes_as(const rls_tensor *info, rls_dtype dtype)
{
    return info->elements * (int64_t)rls_dtype_size(dtype);
}

int64_t rls_plan_growth(const rls_plan_edit *edits, int64_t count)
{
    int64_t growth = 0;
    for (int64_t i = 0; i < count; i++) {
        const rls_tensor *info = edits[i].tensor->info;
        growth += bytes_as(info, edits[i].dtype) - (info->end - info->begin);
    }
    return growth;
}

/* Larger elements first, as the format's own writer does: then every tensor is aligned. */
static int compare_placed(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    const int x_bits = rls_tensor_type_bits(x->type), y_bits = rls_tensor_type_bits(y->type);
    if (x_bits != y_bits)
        return x_bits > y_bits ? -1 : 1;
    if (x->info->begin != y->info->begin)
        return x->info->begin < y->info->begin ? -1 : 1;
    return (x->info->end > y->info->end) - (x->info->end < y->info->end);
}

/* The shard's tensors in their new order with their new offsets; *changed: some type is another one. */
static rls_status place(const rls_model_dir *dir, int64_t shard, const rls_plan_edit *edits, int64_t count,
                        placed **out, bool *changed)
{
    const rls_tensor_table *table = rls_model_dir_shard(dir, shard)->table;
    const int64_t tensors = rls_tensor_table_count(table);
    void *data = NULL;
    const rls_status status = rls_alloc(rls_model_dir_context(dir), tensors, sizeof **out, &data);
    placed *all = data;
    *out = all;
    *changed = false;
    if (status != RLS_OK)
        return status;
    for (int64_t i = 0; i < tensors; i++) {
        const rls_tensor *info = rls_tensor_table_at(table, i);
        all[i] = (placed){info, -1, info->type, info->end - info->begin, info->begin};
        for (int64_t e = 0; e < count; e++) {
            if (edits[e].tensor->info != info)
                continue;
            all[i].edit = e;
            all[i].type = rls_tensor_type_of(edits[e].dtype);
            all[i].bytes = bytes_as(info, edits[e].dtype);
            *changed = *changed || all[i].type != info->type;
        }
    }
    if (!*changed)
        return RLS_OK;
    qsort(all, (size_t)tensors, sizeof *all, compare_placed);
    int64_t begin = 0;
    for (int64_t i = 0; i < tensors; i++) {
        all[i].begin = begin;
        begin += all[i].bytes;
    }
    return RLS_OK;
}

/* The JSON of the new header: the old one's, its metadata and order kept, with new types and offsets. */
static rls_status edit_json(const rls_model_dir *dir, const rls_shard *shard, const placed *all, char **text)
{
    rls_context *ctx = rls_model_dir_context(dir);
    const int64_t bytes = shard->data_begin - RLS_SAFETENSORS_PREFIX;
    const int64_t tensors = rls_tensor_table_count(shard->table);
    void *old = NULL;
    json_t *root = NULL;
    rls_status status = rls_alloc(ctx, bytes, 1, &old);
    if (status == RLS_OK)
        status = rls_file_read(ctx, shard->path, RLS_SAFETENSORS_PREFIX, bytes, old);
    if (status == RLS_OK) {
        root = json_loadb(old, (size_t)bytes, 0, NULL);
        if (!json_is_object(root))
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: its header has changed: it must not while it is used",
                              shard->path);
    }
    for (int64_t i = 0; status == RLS_OK && i < tensors; i++) {
        const json_int_t begin = all[i].begin, end = begin + all[i].bytes;
        json_t *entry = json_object_get(root, all[i].info->name);
        json_t *offsets = json_pack("[I,I]", begin, end);
        if (json_object_set_new(entry, "dtype", json_string(rls_tensor_type_name(all[i].type))) != 0 ||
            json_object_set_new(entry, "data_offsets", offsets) != 0)
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: its header has changed: it must not while it is used",
                              shard->path);
    }
    if (status == RLS_OK) {
        *text = json_dumps(root, JSON_COMPACT);
        if (*text == NULL)
            status = rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory for its new header", shard->path);
    }
    json_decref(root);
    free(old);
    return status;
}

/* Rank 0: the new header with its length before it, padded with spaces so that the data begin at a multiple
 * of 8. */
static rls_status make_header(const rls_model_dir *dir, const rls_shard *shard, const placed *all,
                              rls_shard_plan *out)
{
    rls_context *ctx = rls_model_dir_context(dir);
    char *text = NULL;
    void *header = NULL;
    rls_status status = edit_json(dir, shard, all, &text);
    if (status != RLS_OK)
        return status;
    const size_t size = strlen(text);
    const size_t length = (size + 7) / 8 * 8;
    if (length > RLS_SAFETENSORS_HEADER_MAX)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: its new header of %zu bytes exceeds the format's limit",
                          shard->path, length);
    if (status == RLS_OK)
        status = rls_alloc(ctx, RLS_SAFETENSORS_PREFIX + (int64_t)length, 1, &header);
    if (status == RLS_OK) {
        out->header = header;
        out->header_bytes = RLS_SAFETENSORS_PREFIX + (int64_t)length;
        for (int i = 0; i < RLS_SAFETENSORS_PREFIX; i++)
            out->header[i] = (char)(unsigned char)(length >> (8U * (unsigned)i) & 0xffU);
        memcpy(out->header + RLS_SAFETENSORS_PREFIX, text, size);
        memset(out->header + RLS_SAFETENSORS_PREFIX + size, ' ', length - size);
    }
    free(text);
    return status;
}

/* Appends a run of bytes, joined to the one before where both files go on without a gap. */
static void append(rls_shard_plan *plan, rls_piece piece)
{
    rls_piece *last = plan->pieces > 0 ? &plan->piece[plan->pieces - 1] : NULL;
    if (piece.bytes == 0)
        return;
    if (last != NULL && piece.edit < 0 && last->edit < 0 && last->from + last->bytes == piece.from &&
        last->to + last->bytes == piece.to)
        last->bytes += piece.bytes;
    else
        plan->piece[plan->pieces++] = piece;
}

rls_status rls_shard_plan_make(const rls_model_dir *dir, int64_t shard, const rls_plan_edit *edits,
                               int64_t count, rls_shard_plan *out)
{
    rls_context *ctx = rls_model_dir_context(dir);
    const rls_shard *old = rls_model_dir_shard(dir, shard);
    const int64_t tensors = rls_tensor_table_count(old->table);
    placed *all = NULL;
    void *piece = NULL;
    bool changed = false;
    *out = (rls_shard_plan){0};
    rls_status status = place(dir, shard, edits, count, &all, &changed);
    if (status == RLS_OK)
        status = rls_alloc(ctx, tensors + 1, sizeof *out->piece, &piece);
    out->piece = piece;
    status = rls_agree(ctx, status);
    if (status == RLS_OK && changed)
        status = rls_share_array(ctx, ctx->rank == 0 ? make_header(dir, old, all, out) : RLS_OK, &out->header,
                                 &out->header_bytes);
    if (status == RLS_OK && out->piece != NULL) {
        if (!changed)
            append(out, (rls_piece){-1, 0, 0, old->data_begin});
        const int64_t data_begin = changed ? out->header_bytes : old->data_begin;
        for (int64_t i = 0; i < tensors; i++)
            append(out, (rls_piece){all[i].edit, old->data_begin + all[i].info->begin,
                                    data_begin + all[i].begin, all[i].bytes});
    }
    free(all);
    return status;
}

void rls_shard_plan_free(rls_shard_plan *plan)
{
    free(plan->header);
    free(plan->piece);
    *plan = (rls_shard_plan){0};
}
