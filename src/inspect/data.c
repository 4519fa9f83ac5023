/* Streams and second moments. */
#include <stdio.h>

#include "inspect/kinds.h"
#include "store/moments.h"
#include "store/problem.h"
#include "store/stream.h"

static json_t *stream_layer(const rls_stream_layer *layer)
{
    return json_pack("{s:i, s:I, s:I, s:s, s:s?}", "layer", layer->layer, "n", (json_int_t)layer->n, "m",
                     (json_int_t)layer->m, "key_dtype", rls_dtype_name(layer->key_dtype), "value_dtype",
                     layer->m > 0 ? rls_dtype_name(layer->value_dtype) : NULL);
}

/* note: why this is no stream of edits; "" when it is one. */
static rls_status describe_stream(rls_context *ctx, const char *path, const rls_stream *stream,
                                  const char *note, json_t *out)
{
    const rls_stream_info *info = rls_stream_inquire(stream);
    const bool edits = note[0] == '\0';
    json_t *layers = json_array();
    int failed = json_object_set_new(out, "bytes", json_integer(info->bytes));
    failed |= json_object_set_new(out, "module", rls_json_text(info->module));
    failed |= json_object_set_new(out, "use", json_string(edits ? "edits" : "anchor"));
    failed |= json_object_set_new(out, "note", edits ? json_null() : rls_json_text(note));
    failed |= json_object_set_new(out, "value_kind",
                                  edits ? json_string(info->kind == RLS_TARGET ? "target" : "residual")
                                        : json_null());
    failed |= json_object_set_new(out, "edits", json_integer(info->edits));
    failed |= json_object_set_new(out, "batch", info->batch > 0 ? json_integer(info->batch) : json_null());
    failed |= json_object_set_new(out, "segments", json_integer(rls_stream_segments(stream)));
    failed |= json_object_set_new(out, "case_ids", json_boolean(info->has_case_ids));
    for (int i = 0; i < info->layer_count; i++)
        failed |= json_array_append_new(layers, stream_layer(&info->layers[i]));
    failed |= json_object_set_new(out, "layers", layers);
    return rls_inspect_made(ctx, path, failed);
}

/* What is no stream of edits may still be one of anchor keys; when it is neither, the first fault counts. */
static rls_status open_stream(rls_context *ctx, const char *path, char note[RLS_MESSAGE_MAX],
                              rls_stream **out)
{
    const rls_status first = rls_stream_open(ctx, path, RLS_STREAM_EDITS, out);
    note[0] = '\0';
    if (first != RLS_ERR_DATA)
        return first;
    (void)snprintf(note, RLS_MESSAGE_MAX, "%s", rls_context_message(ctx));
    if (rls_stream_open(ctx, path, RLS_STREAM_ANCHOR, out) == RLS_OK)
        return RLS_OK;
    rls_clear_failure(ctx);
    return rls_agree(ctx, rls_fail(ctx, first, "%s", note));
}

rls_status rls_inspect_stream(rls_context *ctx, const char *path, bool verify, json_t *out)
{
    (void)verify;
    char note[RLS_MESSAGE_MAX];
    rls_stream *stream = NULL;
    rls_status status = open_stream(ctx, path, note, &stream);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? describe_stream(ctx, path, stream, note, out) : RLS_OK);
    rls_stream_close(&stream);
    return status;
}

static rls_status describe_moments(rls_context *ctx, const char *path, const rls_moments_info *info,
                                   json_t *out)
{
    json_t *layers = json_array();
    int failed = json_object_set_new(out, "bytes", json_integer(info->bytes));
    failed |= json_object_set_new(out, "module", rls_json_text(info->module));
    for (int i = 0; i < info->layer_count; i++) {
        const rls_moments_layer *layer = &info->layers[i];
        failed |= json_array_append_new(
            layers, json_pack("{s:i, s:I, s:I, s:s}", "layer", layer->layer, "n", (json_int_t)layer->n,
                              "count", (json_int_t)layer->count, "dtype", rls_dtype_name(layer->dtype)));
    }
    failed |= json_object_set_new(out, "layers", layers);
    return rls_inspect_made(ctx, path, failed);
}

rls_status rls_inspect_moments(rls_context *ctx, const char *path, bool verify, json_t *out)
{
    (void)verify;
    rls_moments *moments = NULL;
    rls_status status = rls_moments_open(ctx, path, &moments);
    if (status == RLS_OK)
        status = rls_agree(
            ctx, ctx->rank == 0 ? describe_moments(ctx, path, rls_moments_inquire(moments), out) : RLS_OK);
    rls_moments_close(&moments);
    return status;
}
