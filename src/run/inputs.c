#include "run/inputs.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/fingerprint.h"
#include "store/tensor_io.h"

/* "model.layers.{}.mlp.down_proj" and 4 -> "model.layers.4.mlp.down_proj.weight". */
static rls_status tensor_name(rls_context *ctx, const char *module, int layer, char **out)
{
    const char *hole = strstr(module, "{}");
    if (hole == NULL)
        return rls_fail(ctx, RLS_ERR_CONFIG, "model.module: \"%s\" has no {} for the layer's number", module);
    return rls_asprintf(ctx, out, "%.*s%d%s.weight", (int)(hole - module), module, layer, hole + 2);
}

static rls_status check_module(rls_context *ctx, const rls_config *config, const char *what, const char *path,
                               const char *module)
{
    if (module[0] == '\0' || strcmp(module, config->model.module) == 0)
        return RLS_OK;
    return rls_fail(ctx, RLS_ERR_DATA,
                    "%s: this %s is of module \"%s\", but the config says model.module: \"%s\"", path, what,
                    module, config->model.module);
}

/* Key and value size: the stream's, or for facts those of the weight itself. Local; equal on all ranks. */
static rls_status layer_sizes(const rls_inputs *in, rls_layer_spec *layer)
{
    const rls_stream_layer *streamed = NULL;
    const rls_model_tensor *tensor = NULL;
    rls_status status = in->stream != NULL ? rls_stream_layer_info(in->stream, layer->number, &streamed)
                                           : rls_model_dir_require(in->model, layer->tensor, &tensor);
    if (status != RLS_OK)
        return status;
    if (streamed != NULL) {
        layer->n = streamed->n;
        layer->m = streamed->m;
    } else if (tensor != NULL && tensor->info->dims == 2) {
        const bool columns = in->lines == RLS_LINES_ARE_COLUMNS; /* stored [m, n] */
        layer->n = tensor->info->shape[columns];
        layer->m = tensor->info->shape[!columns];
    } else {
        status = rls_fail(in->ctx, RLS_ERR_DATA, "%s is not a matrix", layer->tensor);
    }
    return status;
}

/* The layer in the stream, and its weight in the model. Local; equal on all ranks. */
static rls_status resolve_layer(rls_inputs *in, int64_t number, rls_layer_spec *layer)
{
    const rls_model_tensor *tensor = NULL;
    if (number > INT_MAX)
        return rls_fail(in->ctx, RLS_ERR_CONFIG, "model.layers: there is no layer %lld", (long long)number);
    layer->number = (int)number;
    rls_status status = tensor_name(in->ctx, in->config->model.module, layer->number, &layer->tensor);
    if (status == RLS_OK)
        status = layer_sizes(in, layer);
    if (status == RLS_OK)
        status = rls_tensor_check(in->model, layer->tensor, in->lines, layer->n, layer->m, &tensor);
    if (status == RLS_OK && !rls_tensor_type_dtype(tensor->info->type, &layer->dtype))
        status = rls_fail(in->ctx, RLS_ERR_INTERNAL, "%s passed its check with type %s", layer->tensor,
                          rls_tensor_type_name(tensor->info->type));
    return status;
}

static const rls_moments_layer *find_moments(const rls_moments *moments, int layer)
{
    const rls_moments_info *info = rls_moments_inquire(moments);
    for (int i = 0; i < info->layer_count; i++)
        if (info->layers[i].layer == layer)
            return &info->layers[i];
    return NULL;
}

/* The anchor fits the layer. Local; equal on all ranks. */
static rls_status check_anchor(rls_inputs *in, const rls_layer_spec *layer)
{
    if (in->moments != NULL) {
        const rls_moments_layer *moment = find_moments(in->moments, layer->number);
        if (moment == NULL)
            return rls_fail(in->ctx, RLS_ERR_DATA, "%s: no second_moment_%d for layer %d of model.layers",
                            in->config->anchor.moments, layer->number, layer->number);
        if (moment->n != layer->n)
            return rls_fail(in->ctx, RLS_ERR_DATA,
                            "%s: second_moment_%d is %lld x %lld, but the stream's keys have %lld elements",
                            in->config->anchor.moments, layer->number, (long long)moment->n,
                            (long long)moment->n, (long long)layer->n);
    }
    if (in->anchor != NULL) {
        const rls_stream_layer *keys = NULL;
        const rls_status status = rls_stream_layer_info(in->anchor, layer->number, &keys);
        if (status != RLS_OK)
            return status;
        if (keys->n != layer->n || (keys->m != 0 && keys->m != layer->m))
            return rls_fail(in->ctx, RLS_ERR_DATA,
                            "%s: layer %d has keys of %lld and values of %lld elements, but the stream's "
                            "have %lld and %lld",
                            in->config->anchor.keys, layer->number, (long long)keys->n, (long long)keys->m,
                            (long long)layer->n, (long long)layer->m);
        if (layer == in->layers)
            in->anchor_values = keys->m != 0;
        else if (in->anchor_values != (keys->m != 0))
            return rls_fail(in->ctx, RLS_ERR_DATA,
                            "%s: value_%d is %s, unlike those of other layers: give values for all or none",
                            in->config->anchor.keys, layer->number, keys->m != 0 ? "there" : "missing");
    }
    return RLS_OK;
}

static rls_status resolve(rls_inputs *in)
{
    const rls_config *config = in->config;
    void *layers = NULL;
    rls_status status = RLS_OK;
    if (in->stream != NULL)
        status = check_module(in->ctx, config, "stream", rls_stream_segment(in->stream, 0, NULL, NULL, NULL),
                              rls_stream_inquire(in->stream)->module);
    if (status == RLS_OK && in->moments != NULL)
        status = check_module(in->ctx, config, "file of second moments", config->anchor.moments,
                              rls_moments_inquire(in->moments)->module);
    if (status == RLS_OK && in->anchor != NULL)
        status = check_module(in->ctx, config, "file of anchor keys", config->anchor.keys,
                              rls_stream_inquire(in->anchor)->module);
    if (status == RLS_OK)
        status =
            rls_alloc_zero(in->ctx, (int64_t)config->model.layers_count, sizeof(rls_layer_spec), &layers);
    if (status != RLS_OK)
        return status;
    in->layers = layers;
    in->layer_count = (int)config->model.layers_count;
    in->edits = in->stream != NULL ? rls_stream_inquire(in->stream)->edits : rls_facts_count(in->facts);
    for (int i = 0; i < in->layer_count && status == RLS_OK; i++) {
        status = resolve_layer(in, config->model.layers[i], &in->layers[i]);
        if (status == RLS_OK)
            status = check_anchor(in, &in->layers[i]);
    }
    return status;
}

/* Without an anchor, lambda alone must hold the weights. Local; equal on all ranks. */
static rls_status check_regularisers(rls_context *ctx, const rls_config *config)
{
    const bool anchored =
        config->anchor.keys != NULL || (config->anchor.moments != NULL && config->anchor.weight > 0.0);
    if (config->editor.lambda == 0.0 && !anchored)
        return rls_fail(ctx, RLS_ERR_CONFIG,
                        "editor.lambda: 0 needs an anchor of full rank: give anchor.moments or anchor.keys, "
                        "or lambda > 0");
    if (config->editor.mu == 0.0 && anchored)
        rls_log(ctx, RLS_LOG_WARNING, "editor.mu: 0 makes the anchor given have no effect");
    return RLS_OK;
}

static rls_status scan(const rls_inputs *in)
{
    void *numbers = NULL;
    rls_status status = rls_agree(in->ctx, rls_alloc(in->ctx, in->layer_count, sizeof(int), &numbers));
    int *layers = numbers;
    for (int i = 0; i < in->layer_count && status == RLS_OK; i++)
        layers[i] = in->layers[i].number;
    if (status == RLS_OK && in->stream != NULL)
        status = rls_stream_scan(in->stream, layers, in->layer_count, in->config->state.dtype);
    if (status == RLS_OK && in->anchor != NULL)
        status = rls_stream_scan(in->anchor, layers, in->layer_count, in->config->state.dtype);
    free(numbers);
    return status;
}

/* Recorded edits, or facts. Collective. */
static rls_status open_edits(rls_inputs *in, const rls_input_paths *paths)
{
    if (paths->stream != NULL)
        return rls_stream_open(in->ctx, paths->stream, RLS_STREAM_EDITS, &in->stream);
    return rls_facts_read(in->ctx, paths->facts, paths->policy, paths->limit, &in->facts);
}

rls_status rls_inputs_open(rls_context *ctx, const rls_config *config, const rls_input_paths *paths,
                           rls_inputs **out)
{
    void *memory = NULL;
    *out = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_inputs), &memory);
    if (status == RLS_OK)
        status = check_regularisers(ctx, config);
    status = rls_agree(ctx, status);
    if (status != RLS_OK) {
        free(memory);
        return status;
    }
    rls_inputs *in = memory;
    in->ctx = ctx;
    in->config = config;
    status = rls_model_dir_open(ctx, paths->model, &in->model);
    if (status == RLS_OK)
        status = rls_model_config_read(ctx, paths->model, &in->family);
    if (status == RLS_OK)
        status = open_edits(in, paths);
    if (status == RLS_OK && config->anchor.moments != NULL && config->editor.mu > 0.0 &&
        config->anchor.weight > 0.0)
        status = rls_moments_open(ctx, config->anchor.moments, &in->moments);
    if (status == RLS_OK && config->anchor.keys != NULL && config->editor.mu > 0.0)
        status = rls_stream_open(ctx, config->anchor.keys, RLS_STREAM_ANCHOR, &in->anchor);
    if (status == RLS_OK) {
        in->lines = in->family.conv1d ? RLS_LINES_ARE_ROWS : RLS_LINES_ARE_COLUMNS;
        status = rls_agree(ctx, resolve(in));
    }
    if (status == RLS_OK)
        status = scan(in);
    if (status != RLS_OK)
        rls_inputs_close(&in);
    *out = in;
    return status;
}

void rls_inputs_close(rls_inputs **inputs)
{
    rls_inputs *in = *inputs;
    if (in == NULL)
        return;
    for (int i = 0; i < in->layer_count; i++)
        free(in->layers[i].tensor);
    free(in->layers);
    rls_stream_close(&in->anchor);
    rls_moments_close(&in->moments);
    rls_stream_close(&in->stream);
    rls_facts_free(&in->facts);
    rls_model_dir_close(&in->model);
    free(in);
    *inputs = NULL;
}

rls_status rls_inputs_fingerprint(const rls_inputs *in, json_t **out)
{
    char facts[33];
    if (in->facts != NULL)
        rls_facts_digest(in->facts, facts);
    const rls_fingerprint_inputs all = {.model = in->model,
                                        .stream = in->stream,
                                        .anchor = in->anchor,
                                        .facts = in->facts != NULL ? facts : NULL,
                                        .moments = in->moments != NULL ? in->config->anchor.moments : NULL};
    return rls_fingerprint_take(in->ctx, &all, out);
}

bool rls_inputs_give_targets(const rls_inputs *in)
{
    return in->stream != NULL && rls_stream_inquire(in->stream)->kind == RLS_TARGET;
}

rls_status rls_inputs_case_ids(const rls_inputs *in, int64_t first, int64_t count, int64_t *ids)
{
    if (in->stream != NULL)
        return rls_stream_case_ids(in->stream, first, count, ids);
    for (int64_t i = 0; i < count; i++)
        ids[i] = rls_facts_get(in->facts, first + i)->case_id;
    return RLS_OK;
}
