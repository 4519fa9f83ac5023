#include "support/edit_data.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "store/moments.h"
#include "store/stream_write.h"

enum { HEADER_MAX = 1 << 14, OTHER_BYTES = 80, TAIL_BYTES = 13, BLOCK = 16 };

/* A safetensors file as it grows. */
typedef struct {
    char header[HEADER_MAX];
    size_t header_bytes;
    char *data;
    size_t data_bytes;
} growing;

const char *edit_data_shard_name(const edit_data *data, int shard, char name[64])
{
    if (data->plan.shards == 0)
        (void)snprintf(name, 64, "model.safetensors");
    else
        (void)snprintf(name, 64, "model-%05d-of-%05d.safetensors", shard + 1, data->plan.shards);
    return name;
}

/* Rounds in place: the problem's numbers are then those in the file. */
static void round_to(rls_dtype dtype, double *values, int64_t count)
{
    char *bits = malloc((size_t)count * rls_dtype_size(dtype) + 1);
    if (bits == NULL)
        abort();
    rls_convert(dtype, bits, 1, RLS_F64, values, 1, count);
    rls_convert(RLS_F64, values, 1, dtype, bits, 1, count);
    free(bits);
}

static void make_problem(const edit_plan *plan, int i, dense_problem *p)
{
    const edit_layer *layer = &plan->layer[i];
    const uint64_t seed = 1000 + (uint64_t)layer->number;
    dense_random(p, layer->n, layer->m, plan->edits, 1e4, seed);
    if (plan->anchors > 0)
        dense_random_anchors(p, plan->anchors, plan->anchor_values, seed + 500);
    if (!plan->moments) {
        free(p->moment);
        p->moment = NULL;
    }
    p->lambda = plan->lambda;
    p->mu = plan->mu;
    p->weight = plan->weight;
    round_to(layer->dtype, p->x0, p->n * p->m);
    for (int64_t j = 0; j < p->m * p->u && plan->value_scale > 0.0; j++)
        p->values[j] *= plan->value_scale;
}

/* Adds a tensor's header; its data, of `bytes` bytes, are at the result. */
static char *add_tensor(growing *file, const char *name, const char *type, const char *shape, size_t bytes)
{
    const size_t at = file->data_bytes;
    const int length = snprintf(file->header + file->header_bytes, HEADER_MAX - file->header_bytes,
                                "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                                file->header_bytes > 1 ? "," : "", name, type, shape, at, at + bytes);
    file->header_bytes += (size_t)length;
    file->data_bytes += bytes;
    file->data = realloc(file->data, file->data_bytes);
    if (file->data == NULL || file->header_bytes + 64 > HEADER_MAX)
        abort();
    return file->data + at;
}

/* A tensor that nobody edits. */
static void add_other(growing *file, const char *name, const char *type, const char *shape, size_t bytes)
{
    rls_random random = rls_random_seed(strlen(name) + bytes);
    char *data = add_tensor(file, name, type, shape, bytes);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (char)(rls_random_bits(&random) & 0x3fU); /* no NaN in any type */
}

/* Adds layer i's weight: [m, n] row by row, or [n, m] for Conv1D. The offset is within the data so far. */
static void add_weight(growing *file, edit_data *data, int i)
{
    static const char *const type_name[] = {
        [RLS_F64] = "F64", [RLS_F32] = "F32", [RLS_F16] = "F16", [RLS_BF16] = "BF16"};
    const edit_layer *layer = &data->plan.layer[i];
    const dense_problem *p = &data->problem[i];
    const size_t size = rls_dtype_size(layer->dtype);
    const bool conv1d = data->plan.conv1d;
    char shape[64];
    (void)snprintf(shape, sizeof shape, "%" PRId64 ",%" PRId64, conv1d ? p->n : p->m, conv1d ? p->m : p->n);
    data->offset[i] = file->data_bytes;
    char *bytes =
        add_tensor(file, data->tensor[i], type_name[layer->dtype], shape, (size_t)(p->n * p->m) * size);
    if (!conv1d) {
        rls_convert(layer->dtype, bytes, 1, RLS_F64, p->x0, 1, p->n * p->m);
        return;
    }
    for (int64_t j = 0; j < p->m; j++)
        rls_convert(layer->dtype, bytes + (size_t)j * size, p->m, RLS_F64, p->x0 + j * p->n, 1, p->n);
}

/* Shard s: the layers whose turn it is, each with a neighbour, and an oddly sized tensor at the end. */
static void write_shard(edit_data *data, int s, char *index, size_t index_max)
{
    char path[RLS_TEST_PATH_MAX], file_name[64], name[128];
    const int shards = data->plan.shards > 0 ? data->plan.shards : 1;
    growing file = {.header = "{", .header_bytes = 1};
    edit_data_shard_name(data, s, file_name);
    for (int i = 0; i < data->plan.layer_count; i++) {
        if (i % shards != s)
            continue;
        (void)snprintf(name, sizeof name, "other.%d.weight", data->plan.layer[i].number);
        add_other(&file, name, "BF16", "5,8", OTHER_BYTES);
        add_weight(&file, data, i);
        data->shard[i] = s;
        const size_t at = strlen(index);
        (void)snprintf(index + at, index_max - at, "\"%s\":\"%s\",\"%s\":\"%s\",", name, file_name,
                       data->tensor[i], file_name);
    }
    (void)snprintf(name, sizeof name, "tail.%d", s);
    add_other(&file, name, "U8", "13", TAIL_BYTES);
    const size_t at = strlen(index);
    (void)snprintf(index + at, index_max - at, "\"%s\":\"%s\"%s", name, file_name, s + 1 < shards ? "," : "");
    file.header[file.header_bytes++] = '}';
    while (file.header_bytes % 8 != 0) /* as the reference library pads it */
        file.header[file.header_bytes++] = ' ';
    char *bytes = malloc(8 + file.header_bytes + file.data_bytes);
    if (bytes == NULL)
        abort();
    for (unsigned b = 0; b < 8; b++)
        bytes[b] = (char)(file.header_bytes >> 8U * b & 0xffU);
    memcpy(bytes + 8, file.header, file.header_bytes);
    memcpy(bytes + 8 + file.header_bytes, file.data, file.data_bytes);
    rls_test_write(rls_test_path(path, data->model, file_name), bytes,
                   8 + file.header_bytes + file.data_bytes);
    for (int i = 0; i < data->plan.layer_count; i++)
        if (i % shards == s)
            data->offset[i] += 8 + file.header_bytes;
    free(bytes);
    free(file.data);
}

static void write_model(edit_data *data)
{
    char path[RLS_TEST_PATH_MAX];
    char index[HEADER_MAX] = "{\"metadata\":{\"total_size\":1},\"weight_map\":{";
    const int shards = data->plan.shards > 0 ? data->plan.shards : 1;
    rls_test_mkdir(data->model);
    for (int s = 0; s < shards; s++)
        write_shard(data, s, index, sizeof index - 4);
    const size_t at = strlen(index);
    (void)snprintf(index + at, sizeof index - at, "}}");
    if (data->plan.shards > 0)
        rls_test_write_text(data->model, "model.safetensors.index.json", index);
    rls_test_write_text(data->model, "config.json",
                        data->plan.conv1d ? "{\"model_type\": \"gpt2\"}\n" : "{\"model_type\": \"llama\"}\n");
    rls_test_write_text(data->model, "tokenizer.json", "{}\n");
    rls_test_mkdir(rls_test_path(path, data->model, "docs"));
    rls_test_write_text(data->model, "docs/notes.txt", "a side file in a directory\n");
}

/* Edits [first, first + count) of all layers into a stream file; anchor: the anchor keys instead. */
static void write_stream(rls_context *ctx, const edit_data *data, const char *path, bool anchor,
                         int64_t first, int64_t count)
{
    const edit_plan *plan = &data->plan;
    rls_stream_layer layers[EDIT_LAYERS_MAX];
    rls_vectors keys[EDIT_LAYERS_MAX] = {{0}}, values[EDIT_LAYERS_MAX] = {{0}};
    rls_stream_info info = {.kind = anchor ? RLS_TARGET : plan->kind,
                            .has_case_ids = !anchor,
                            .layer_count = plan->layer_count,
                            .layers = layers};
    const bool with_values = !anchor || plan->anchor_values;
    (void)snprintf(info.module, sizeof info.module, "%s", data->module);
    for (int i = 0; i < plan->layer_count; i++) {
        const dense_problem *p = &data->problem[i];
        layers[i] = (rls_stream_layer){.layer = plan->layer[i].number,
                                       .n = p->n,
                                       .m = with_values ? p->m : 0,
                                       .key_dtype = plan->stream_dtype,
                                       .value_dtype = plan->stream_dtype};
        keys[i] = share_of(ctx, anchor ? p->k0 : p->keys, p->n, first, count);
        values[i] = share_of(ctx, anchor ? p->v0 : p->values, p->m, first, count);
    }
    int64_t *ids = calloc((size_t)count + 1, sizeof *ids);
    if (ids == NULL)
        abort();
    const int64_t mine =
        anchor ? 0 : ((const double *)keys[0].data - data->problem[0].keys) / data->problem[0].n;
    for (int64_t e = 0; e < keys[0].count; e++)
        ids[e] = 7000 + mine + e;
    assert_all_ok(ctx, rls_stream_write(ctx, path, &info, ids, keys, values));
    free(ids);
}

static void write_streams(rls_context *ctx, const edit_data *data)
{
    const edit_plan *plan = &data->plan;
    char path[RLS_TEST_PATH_MAX], name[64];
    if (plan->segments == 0) {
        write_stream(ctx, data, data->stream, false, 0, plan->edits);
    } else {
        rls_test_mkdir(data->stream);
        for (int s = 0; s < plan->segments; s++) {
            const int64_t first = plan->edits * s / plan->segments,
                          end = plan->edits * (s + 1) / plan->segments;
            (void)snprintf(name, sizeof name, "segment-%06d.nc", s);
            write_stream(ctx, data, rls_test_path(path, data->stream, name), false, first, end - first);
        }
    }
    if (plan->anchors > 0)
        write_stream(ctx, data, rls_test_path(path, data->dir, "k0.nc"), true, 0, plan->anchors);
}

static void write_moments(rls_context *ctx, const edit_data *data)
{
    const edit_plan *plan = &data->plan;
    char path[RLS_TEST_PATH_MAX];
    rls_grid *grid = NULL;
    rls_matrix *moment[EDIT_LAYERS_MAX] = {NULL};
    int numbers[EDIT_LAYERS_MAX];
    int64_t counts[EDIT_LAYERS_MAX];
    assert_all_ok(ctx, rls_grid_create(ctx, 0, 0, &grid));
    for (int i = 0; i < plan->layer_count; i++) {
        const int64_t n = plan->layer[i].n;
        numbers[i] = plan->layer[i].number;
        counts[i] = 4000;
        assert_all_ok(ctx, rls_matrix_create(grid, RLS_F64, n, n, BLOCK, &moment[i]));
        matrix_from_dense(moment[i], data->problem[i].moment);
    }
    assert_all_ok(ctx, rls_moments_write(ctx, rls_test_path(path, data->dir, "moments.nc"), data->module,
                                         plan->layer_count, numbers, moment, counts));
    for (int i = 0; i < plan->layer_count; i++)
        rls_matrix_destroy(&moment[i]);
    rls_grid_destroy(&grid);
}

void edit_data_make(rls_context *ctx, const edit_plan *plan, edit_data *out)
{
    *out = (edit_data){.plan = *plan};
    rls_test_tmpdir(out->dir);
    rls_test_path(out->model, out->dir, "model");
    rls_test_path(out->stream, out->dir, plan->segments == 0 ? "stream.nc" : "stream");
    const char *before = plan->conv1d ? "transformer.h." : "model.layers.";
    const char *after = plan->conv1d ? ".mlp.c_proj" : ".mlp.down_proj";
    (void)snprintf(out->module, sizeof out->module, "%s{}%s", before, after);
    for (int i = 0; i < plan->layer_count; i++) {
        make_problem(plan, i, &out->problem[i]);
        (void)snprintf(out->tensor[i], sizeof out->tensor[i], "%s%d%s.weight", before, plan->layer[i].number,
                       after);
    }
    write_model(out);
    write_streams(ctx, out);
    if (plan->moments)
        write_moments(ctx, out);
}

void edit_data_remove(edit_data *data)
{
    rls_test_rmtree(data->dir);
    for (int i = 0; i < data->plan.layer_count; i++)
        dense_free(&data->problem[i]);
}
