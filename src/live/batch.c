#include "live/batch.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "live/keys.h"

/* One layer's share of the batch: this rank's columns. */
typedef struct {
    rls_vectors keys;
    float *residuals;
    void *targets;
    bool changed; /* stepped since the model last took its weight */
} layer_share;

typedef struct {
    rls_source base;
    rls_llm *llm;
    const rls_facts *facts;
    const rls_contexts *contexts;
    layer_share *layers;
    rls_share group, mine;  /* of the batch's facts: this data group's, and this rank's */
    rls_edit_tokens *token; /* of the group's */
    float *z;               /* [hidden, group.count] */
    int64_t *ids;           /* case_ids of this rank's */
    rls_live_report report;
} live;

static void free_layer(layer_share *share)
{
    free((void *)(uintptr_t)share->keys.data);
    free(share->residuals);
    free(share->targets);
    share->keys = (rls_vectors){0};
    share->residuals = NULL;
    share->targets = NULL;
}

static void free_batch(live *l)
{
    for (int i = 0; l->layers != NULL && i < l->base.states->count; i++)
        free_layer(&l->layers[i]);
    for (int64_t f = 0; l->token != NULL && f < l->group.count; f++)
        rls_edit_tokens_free(&l->token[f]);
    free(l->token);
    free(l->z);
    free(l->ids);
    l->token = NULL;
    l->z = NULL;
    l->ids = NULL;
    l->base.case_ids = NULL;
}

static void live_destroy(rls_source *source)
{
    live *l = (live *)source;
    free_batch(l);
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

/* The group's facts as tokens. Local. */
static rls_status make_tokens(live *l, int64_t first)
{
    rls_context *group = l->llm->part.group;
    void *token = NULL, *z = NULL, *ids = NULL;
    rls_status status = rls_alloc_zero(group, l->group.count, sizeof(rls_edit_tokens), &token);
    l->token = token;
    for (int64_t f = 0; f < l->group.count && status == RLS_OK; f++)
        status = rls_edit_tokens_make(group, l->llm->tokenizer, &l->llm->arch, l->contexts,
                                      rls_facts_get(l->facts, first + l->group.first + f), &l->token[f]);
    if (status == RLS_OK)
        status = rls_alloc_zero(group, l->group.count * l->llm->arch.hidden, sizeof(float), &z);
    l->z = z;
    if (status == RLS_OK)
        status = rls_alloc(group, l->mine.count + 1, sizeof(int64_t), &ids);
    l->ids = ids;
    for (int64_t f = 0; f < l->mine.count && status == RLS_OK; f++)
        l->ids[f] = rls_facts_get(l->facts, first + l->group.first + l->mine.first + f)->case_id;
    return status;
}

/* Means over all facts of the batch. Collective. */
static void sum_reports(live *l, const rls_value_report *reports, int64_t count)
{
    const double stop = l->base.states->inputs->config->value.stop_loss;
    double sums[4] = {0};
    for (int64_t f = 0; f < l->group.count && l->llm->part.tensor == 0; f++) {
        sums[0] += reports[f].loss;
        sums[1] += reports[f].nll;
        sums[2] += reports[f].loss < stop ? 1.0 : 0.0;
        sums[3] += (double)reports[f].steps;
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, 4, MPI_DOUBLE, MPI_SUM, l->llm->ctx->comm);
    const double all = count > 0 ? (double)count : 1.0;
    l->report.loss = sums[0] / all;
    l->report.nll = sums[1] / all;
    l->report.learnt = sums[2] / all;
    l->report.steps = (int64_t)sums[3];
}

/* A batch begins: its facts are dealt, and their z searched. Collective. */
static rls_status begin_batch(live *l, int64_t first, int64_t count)
{
    const rls_partition *part = &l->llm->part;
    const rls_inputs *in = l->base.states->inputs;
    const int64_t block = in->layers[in->layer_count - 1].number;
    const double start = rls_profile_start();
    void *reports = NULL;
    free_batch(l);
    l->group = rls_share_of(count, part->data, part->data_groups);
    l->mine = rls_share_of(l->group.count, part->tensor, part->tensor_ranks);
    l->report = (rls_live_report){0};
    rls_status status = rls_alloc_zero(part->group, l->group.count, sizeof(rls_value_report), &reports);
    if (status == RLS_OK)
        status = make_tokens(l, first);
    status = rls_agree(part->group, status);
    if (status == RLS_OK)
        status = rls_value_search(l->llm, &in->config->value, block, l->group.count, l->token, l->z, reports);
    status = rls_llm_agree(l->llm, status);
    if (status == RLS_OK) {
        sum_reports(l, reports, count);
        l->base.case_ids = l->ids;
    }
    free(reports);
    l->report.seconds_search = rls_profile_add(l->llm->ctx, "value search", start, 0.0, 0.0);
    return status;
}

/* This rank's keys and residuals of a layer from what its group read, weighed. Collective over the group. */
static rls_status deal(live *l, int64_t first, int layer, const rls_edit_keys *read)
{
    const int64_t hidden = l->llm->arch.hidden, n = l->llm->arch.inner;
    const double share = 1.0 / (double)(l->base.states->count - layer);
    layer_share *out = &l->layers[layer];
    void *memory = NULL;
    rls_status status = rls_keys_gather(l->llm, l->group.count, read->key, &out->keys);
    if (status == RLS_OK)
        status = rls_agree(l->llm->part.group,
                           rls_alloc(l->llm->part.group, l->mine.count * hidden, sizeof(float), &memory));
    out->residuals = memory;
    float *keys = (float *)(uintptr_t)out->keys.data;
    for (int64_t f = 0; f < l->mine.count && status == RLS_OK; f++) {
        const int64_t in_group = l->mine.first + f;
        const double w = sqrt(rls_facts_get(l->facts, first + l->group.first + in_group)->weight);
        const float *z = l->z + in_group * hidden, *h = read->output + in_group * hidden;
        for (int64_t j = 0; j < n; j++)
            keys[f * n + j] = (float)(w * (double)keys[f * n + j]);
        for (int64_t j = 0; j < hidden; j++)
            out->residuals[f * hidden + j] = (float)(w * share * ((double)z[j] - (double)h[j]));
    }
    return status;
}

/* Keys of a layer and what is still missing of z, on the model as it is. Collective. */
static rls_status read_layer(live *l, int64_t first, int layer)
{
    const rls_inputs *in = l->base.states->inputs;
    const int64_t block = in->layers[layer].number, last = in->layers[in->layer_count - 1].number;
    const double start = rls_profile_start();
    rls_edit_keys read = {0};
    free_layer(&l->layers[layer]);
    rls_status status = rls_edit_keys_read(l->llm, l->contexts, block, last, l->group.count, l->token, &read);
    if (status == RLS_OK)
        status = deal(l, first, layer, &read);
    status = rls_llm_agree(l->llm, status);
    rls_edit_keys_free(&read);
    l->report.seconds_keys += rls_profile_add(l->llm->ctx, "read keys", start, 0.0, 0.0);
    return status;
}

/* V = W K + residual, in the state's type. Collective. */
static rls_status set_targets(live *l, int layer, rls_batch *batch)
{
    const rls_inputs *in = l->base.states->inputs;
    const rls_dtype dtype = in->config->state.dtype;
    layer_share *share = &l->layers[layer];
    void *targets = NULL;
    rls_status status = rls_agree(
        in->ctx, rls_alloc(in->ctx, l->mine.count * in->layers[layer].m, rls_dtype_size(dtype), &targets));
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
        status = begin_batch(l, first, count);
    if (status == RLS_OK)
        status = read_layer(l, first, layer);
    if (status != RLS_OK)
        return status;
    l->layers[layer].changed = true; /* what is given is stepped */
    *out = (rls_batch){.keys = l->layers[layer].keys,
                       .values = {l->mine.count, RLS_F32, l->layers[layer].residuals},
                       .kind = RLS_RESIDUAL};
    return set_targets(l, layer, out);
}

static const rls_source_kind LIVE = {live_get, live_destroy};

rls_status rls_live_layers(const rls_inputs *in, const rls_architecture *arch)
{
    const char *const *down = rls_architecture_down(arch->family);
    while (*down != NULL && strcmp(in->config->model.module, *down) != 0)
        down++;
    if (*down == NULL)
        return rls_fail(in->ctx, RLS_ERR_CONFIG,
                        "model.module: facts are edited into the down projection of a %s model, \"%s\", not "
                        "\"%s\"",
                        arch->model_type, *rls_architecture_down(arch->family), in->config->model.module);
    for (int i = 0; i < in->layer_count; i++) {
        if (in->layers[i].number >= arch->blocks)
            return rls_fail(in->ctx, RLS_ERR_CONFIG,
                            "model.layers: there is no layer %d; the model has %" PRId64,
                            in->layers[i].number, arch->blocks);
        if (i > 0 && in->layers[i].number <= in->layers[i - 1].number)
            return rls_fail(in->ctx, RLS_ERR_CONFIG,
                            "model.layers: facts are edited from the lowest layer up: give them in order");
    }
    return RLS_OK;
}

rls_status rls_live_source(rls_states *states, rls_llm *llm, const rls_facts *facts,
                           const rls_contexts *contexts, rls_source **out)
{
    void *layers = NULL;
    const rls_status status = rls_source_create(&LIVE, states, rls_facts_count(facts), sizeof(live),
                                                sizeof(layer_share), out, &layers);
    if (status != RLS_OK)
        return status;
    live *l = (live *)*out;
    l->llm = llm;
    l->facts = facts;
    l->contexts = contexts;
    l->layers = layers;
    for (int i = 0; i < states->count; i++)
        l->layers[i].changed = true; /* a resumed run's weights are not the files' */
    return RLS_OK;
}

const rls_live_report *rls_live_source_report(const rls_source *source)
{
    return source->kind == &LIVE ? &((const live *)source)->report : NULL;
}

rls_status rls_live_check(rls_llm *llm, const rls_facts *facts, const rls_contexts *contexts)
{
    rls_context *ctx = llm->ctx;
    const rls_share mine = rls_share_of(rls_facts_count(facts), ctx->rank, ctx->size);
    rls_status status = RLS_OK;
    for (int64_t f = mine.first; f < mine.first + mine.count && status == RLS_OK; f++) {
        const rls_fact *fact = rls_facts_get(facts, f);
        rls_edit_tokens tokens = {0};
        status = rls_edit_tokens_make(ctx, llm->tokenizer, &llm->arch, contexts, fact, &tokens);
        if (status == RLS_OK && rls_edit_tokens_all(&tokens) > llm->token_budget)
            status = rls_fail(ctx, RLS_ERR_USAGE,
                              "facts, line %" PRId64 ": takes %" PRId64
                              " tokens with its contexts, beyond the token budget of %" PRId64
                              ": raise --token-budget or give fewer contexts",
                              fact->line, rls_edit_tokens_all(&tokens), llm->token_budget);
        rls_edit_tokens_free(&tokens);
    }
    return rls_agree(ctx, status);
}
