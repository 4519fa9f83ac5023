/* The recorded stream as a source of batches. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "session/source.h"

/* Targets of one layer that are in no file: V = W k + value at the time of application, this rank's shares in
 * order. */
typedef struct {
    int64_t edits;    /* of the stream, done so far */
    int64_t count;    /* vectors of this rank */
    int64_t capacity; /* of those */
    char *data;
    int64_t *shares; /* this rank's count of each batch, to find a batch again */
    int64_t *firsts;
    int64_t batches, batches_capacity;
} kept_targets;

typedef struct {
    rls_source base;
    rls_stream_share keys, values;
    kept_targets *kept; /* a layer each; NULL for streams of targets */
} recorded;

static rls_status grow(rls_context *ctx, void **data, int64_t used, int64_t need, int64_t *capacity,
                       size_t size)
{
    if (need <= *capacity)
        return RLS_OK;
    void *larger = NULL;
    const int64_t want = need > 2 * *capacity ? need : 2 * *capacity;
    const rls_status status = rls_alloc(ctx, want, size, &larger);
    if (status != RLS_OK)
        return status;
    if (used > 0)
        memcpy(larger, *data, (size_t)used * size);
    free(*data);
    *data = larger;
    *capacity = want;
    return RLS_OK;
}

/* Room for the next batch's targets. Local. */
static rls_status keep_room(rls_context *ctx, kept_targets *kept, int64_t count, size_t vector_bytes)
{
    void *data = kept->data, *shares = kept->shares, *firsts = kept->firsts;
    int64_t capacity = kept->batches_capacity;
    rls_status status = grow(ctx, &data, kept->count, kept->count + count, &kept->capacity, vector_bytes);
    kept->data = data;
    if (status == RLS_OK)
        status = grow(ctx, &shares, kept->batches, kept->batches + 1, &capacity, sizeof *kept->shares);
    kept->shares = shares;
    if (status == RLS_OK)
        status = grow(ctx, &firsts, kept->batches, kept->batches + 1, &kept->batches_capacity,
                      sizeof *kept->firsts);
    kept->firsts = firsts;
    return status;
}

/* The batch's values become targets: worked out from the state when new, found again when not. */
static rls_status residuals_to_targets(recorded *r, int layer, int64_t first, int64_t count, rls_batch *batch)
{
    rls_states *states = r->base.states;
    rls_context *ctx = states->inputs->ctx;
    const rls_dtype dtype = states->inputs->config->state.dtype;
    const size_t vector = (size_t)states->inputs->layers[layer].m * rls_dtype_size(dtype);
    kept_targets *kept = &r->kept[layer];
    char *targets = NULL;
    if (first < kept->edits) {
        int64_t at = 0;
        for (int64_t b = 0; b < kept->batches && kept->firsts[b] < first; b++)
            at += kept->shares[b];
        targets = kept->data + (size_t)at * vector;
    } else {
        rls_status status = rls_agree(ctx, keep_room(ctx, kept, batch->values.count, vector));
        if (status != RLS_OK)
            return status;
        if (kept->data != NULL)
            targets = kept->data + (size_t)kept->count * vector;
        status = rls_editor_targets(states->state[layer].editor, batch, targets);
        if (status != RLS_OK)
            return status;
        kept->firsts[kept->batches] = first;
        kept->shares[kept->batches++] = batch->values.count;
        kept->count += batch->values.count;
        kept->edits = first + count;
    }
    batch->values = (rls_vectors){batch->values.count, dtype, targets};
    batch->kind = RLS_TARGET;
    return RLS_OK;
}

static rls_status recorded_get(rls_source *source, int layer, int64_t first, int64_t count, rls_batch *out)
{
    recorded *r = (recorded *)source;
    const rls_inputs *in = source->states->inputs;
    const int number = in->layers[layer].number;
    const rls_dtype dtype = in->config->state.dtype;
    rls_status status = rls_stream_read(in->stream, number, RLS_STREAM_KEYS, first, count, dtype, &r->keys);
    if (status == RLS_OK)
        status = rls_stream_read(in->stream, number, RLS_STREAM_VALUES, first, count, dtype, &r->values);
    if (status != RLS_OK)
        return status;
    *out = (rls_batch){
        .keys = r->keys.vectors, .values = r->values.vectors, .kind = rls_stream_inquire(in->stream)->kind};
    return out->kind == RLS_RESIDUAL ? residuals_to_targets(r, layer, first, count, out) : RLS_OK;
}

static void recorded_destroy(rls_source *source)
{
    recorded *r = (recorded *)source;
    for (int i = 0; r->kept != NULL && i < source->states->count; i++) {
        free(r->kept[i].data);
        free(r->kept[i].shares);
        free(r->kept[i].firsts);
    }
    free(r->kept);
    rls_stream_share_free(&r->keys);
    rls_stream_share_free(&r->values);
    free(r);
}

static const rls_source_kind RECORDED = {recorded_get, recorded_destroy};

rls_status rls_recorded_source(rls_states *states, rls_source **out)
{
    rls_context *ctx = states->inputs->ctx;
    void *memory = NULL, *kept = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(recorded), &memory);
    if (status == RLS_OK && rls_stream_inquire(states->inputs->stream)->kind == RLS_RESIDUAL)
        status = rls_alloc_zero(ctx, states->count, sizeof(kept_targets), &kept);
    status = rls_agree(ctx, status);
    if (status != RLS_OK) {
        free(memory);
        free(kept);
        *out = NULL;
        return status;
    }
    recorded *r = memory;
    r->base = (rls_source){.kind = &RECORDED, .states = states, .edits = states->inputs->edits};
    r->kept = kept;
    *out = &r->base;
    return RLS_OK;
}
