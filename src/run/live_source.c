/*
 * Facts edited on the live model as a source of batches: targets V = W K + residual of what live/batch.h
 * reads, on a model that takes each layer's weight as soon as it has been stepped.
 */
#include "run/live_source.h"

#include <stdlib.h>

#include "base/memory.h"
#include "live/batch.h"
#include "store/run_dir.h"

/* One layer's share of the batch. */
typedef struct {
    void *targets;
    bool changed; /* stepped since the model last took its weight */
} layer_share;

typedef struct {
    rls_source base;
    rls_llm *llm;
    rls_live_batch *batch;
    layer_share *layers;
} live;

static void live_destroy(rls_source *source)
{
    live *l = (live *)source;
    rls_live_destroy(&l->batch);
    for (int i = 0; i < source->states->count; i++)
        free(l->layers[i].targets);
    free(l->layers);
    free(l);
}

/* The model takes the weights that were stepped since it last did. Collective. */
static rls_status refresh(live *l)
{
    rls_states *states = l->base.states;
    rls_status status = RLS_OK;
    for (int i = 0; i < states->count && status == RLS_OK; i++) {
        if (!l->layers[i].changed)
            continue;
        status = rls_weights_set_down(&l->llm->weights, &l->llm->part, states->inputs->layers[i].number,
                                      rls_editor_weight(states->state[i].editor));
        l->layers[i].changed = false;
    }
    return status;
}

/* V = W K + residual, in the state's type. Collective. */
static rls_status set_targets(live *l, int layer, rls_batch *batch)
{
    const rls_inputs *in = l->base.states->inputs;
    const rls_dtype dtype = in->config->state.dtype;
    layer_share *share = &l->layers[layer];
    void *targets = NULL;
    free(share->targets);
    rls_status status = rls_agree(in->ctx, rls_alloc(in->ctx, batch->values.count * in->layers[layer].m,
                                                     rls_dtype_size(dtype), &targets));
    share->targets = targets;
    if (status == RLS_OK)
        status = rls_editor_targets(l->base.states->state[layer].editor, batch, targets);
    batch->values = (rls_vectors){batch->values.count, dtype, targets};
    batch->kind = RLS_TARGET;
    return status;
}

static rls_status live_get(rls_source *source, int layer, int64_t first, int64_t count, rls_batch *out)
{
    live *l = (live *)source;
    rls_status status = refresh(l);
    if (status == RLS_OK && layer == 0)
        status = rls_live_search(l->batch, first, count);
    source->case_ids = rls_live_case_ids(l->batch);
    *out = (rls_batch){.kind = RLS_RESIDUAL};
    if (status == RLS_OK)
        status = rls_live_read(l->batch, layer, &out->keys, &out->values);
    if (status != RLS_OK)
        return status;
    l->layers[layer].changed = true; /* what is given is stepped */
    return set_targets(l, layer, out);
}

/* What came of the batch: the model takes the weights, which the next batch would have it do anyway. */
static rls_status live_stepped(rls_source *source)
{
    live *l = (live *)source;
    const rls_status status = refresh(l);
    return status == RLS_OK ? rls_live_measure(l->batch) : status;
}

static json_t *live_describe(const rls_source *source)
{
    const rls_live_report *report = rls_live_batch_report(((const live *)source)->batch);
    return json_pack("{s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "loss", rls_json_real(report->loss), "nll",
                     rls_json_real(report->nll), "below_stop_loss", rls_json_real(report->below_stop_loss),
                     "probability", rls_json_real(report->probability), "steps", (json_int_t)report->steps,
                     "seconds_search", rls_json_real(report->seconds_search), "seconds_keys",
                     rls_json_real(report->seconds_keys));
}

static const rls_source_kind LIVE = {.name = "live",
                                     .get = live_get,
                                     .stepped = live_stepped,
                                     .describe = live_describe,
                                     .destroy = live_destroy};

rls_status rls_live_source(rls_states *states, const rls_live_setup *setup, const rls_value_watch *watch,
                           rls_source **out)
{
    const rls_inputs *in = states->inputs;
    void *layers = NULL;
    rls_status status = rls_source_create(&LIVE, states, rls_facts_count(in->facts), sizeof(live),
                                          sizeof(layer_share), out, &layers);
    if (status != RLS_OK)
        return status;
    live *l = (live *)*out;
    l->llm = setup->llm;
    l->layers = layers;
    for (int i = 0; i < states->count; i++)
        l->layers[i].changed = true; /* a resumed run's weights are not the files' */
    const rls_live_options options = {.llm = setup->llm,
                                      .facts = in->facts,
                                      .contexts = &setup->contexts,
                                      .value = &in->config->value,
                                      .blocks = setup->blocks,
                                      .layers = states->count,
                                      .watch = *watch};
    status = rls_live_create(&options, &l->batch);
    if (status != RLS_OK)
        rls_source_destroy(out);
    return status;
}
