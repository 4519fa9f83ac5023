/* A recorded stream as a source of batches. */
#include <stdlib.h>

#include "base/memory.h"
#include "run/source.h"

/* One layer's share of the batch. */
typedef struct {
    rls_stream_share keys, values;
    void *targets; /* of residuals, as stepped */
    int64_t capacity;
} layer_share;

typedef struct {
    rls_source base;
    rls_stream *stream;
    layer_share *layers;
    int64_t *ids; /* of the whole batch */
    int64_t ids_capacity;
} recorded;

/* Room for `bytes`, contents lost. Local. */
static rls_status reserve(rls_context *ctx, void **data, int64_t *capacity, int64_t bytes)
{
    if (bytes <= *capacity)
        return RLS_OK;
    free(*data);
    *capacity = 0;
    const rls_status status = rls_alloc(ctx, bytes, 1, data);
    *capacity = status == RLS_OK ? bytes : 0;
    return status;
}

/* Room for the targets that the step makes of the batch's residuals. Collective. */
static rls_status reserve_targets(recorded *r, int layer, rls_batch *batch)
{
    const rls_inputs *in = r->base.states->inputs;
    layer_share *share = &r->layers[layer];
    const int64_t bytes =
        in->layers[layer].m * batch->values.count * (int64_t)rls_dtype_size(in->config->state.dtype);
    const rls_status status = rls_agree(in->ctx, reserve(in->ctx, &share->targets, &share->capacity, bytes));
    batch->targets = share->targets;
    return status;
}

static rls_status read_ids(recorded *r, int64_t first, int64_t count)
{
    rls_context *ctx = r->base.states->inputs->ctx;
    r->base.case_ids = NULL;
    if (!rls_stream_inquire(r->stream)->has_case_ids)
        return RLS_OK;
    void *ids = r->ids;
    rls_status status = reserve(ctx, &ids, &r->ids_capacity, count * (int64_t)sizeof *r->ids);
    r->ids = ids;
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_stream_case_ids(r->stream, first, count, r->ids);
    if (status == RLS_OK)
        r->base.case_ids = r->ids + (r->layers[0].keys.first - first);
    return status;
}

static rls_status recorded_get(rls_source *source, int layer, int64_t first, int64_t count, rls_batch *out)
{
    recorded *r = (recorded *)source;
    const rls_inputs *in = source->states->inputs;
    const int number = in->layers[layer].number;
    const rls_dtype dtype = in->config->state.dtype;
    layer_share *share = &r->layers[layer];
    rls_status status =
        rls_stream_read(r->stream, number, RLS_STREAM_KEYS, first, count, dtype, &share->keys);
    if (status == RLS_OK)
        status = rls_stream_read(r->stream, number, RLS_STREAM_VALUES, first, count, dtype, &share->values);
    if (status == RLS_OK && layer == 0)
        status = read_ids(r, first, count);
    if (status != RLS_OK)
        return status;
    *out = (rls_batch){.keys = share->keys.vectors,
                       .values = share->values.vectors,
                       .kind = rls_stream_inquire(r->stream)->kind};
    return out->kind == RLS_RESIDUAL ? reserve_targets(r, layer, out) : RLS_OK;
}

static void recorded_destroy(rls_source *source)
{
    recorded *r = (recorded *)source;
    for (int i = 0; r->layers != NULL && i < source->states->count; i++) {
        rls_stream_share_free(&r->layers[i].keys);
        rls_stream_share_free(&r->layers[i].values);
        free(r->layers[i].targets);
    }
    free(r->layers);
    free(r->ids);
    free(r);
}

static const rls_source_kind RECORDED = {
    .name = "recorded", .get = recorded_get, .destroy = recorded_destroy};

rls_status rls_recorded_source(rls_states *states, rls_stream *stream, rls_source **out)
{
    void *layers = NULL;
    const rls_status status = rls_source_create(&RECORDED, states, rls_stream_inquire(stream)->edits,
                                                sizeof(recorded), sizeof(layer_share), out, &layers);
    if (status != RLS_OK)
        return status;
    recorded *r = (recorded *)*out;
    r->stream = stream;
    r->layers = layers;
    return RLS_OK;
}
