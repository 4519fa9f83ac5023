#include "live/batch.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "live/keys.h"
#include "live/probe.h"

/* One layer's share of the batch: this rank's columns. */
typedef struct {
    rls_vectors keys;
    float *residuals;
} layer_share;

struct rls_live_batch {
    rls_live_options options;
    layer_share *layers;
    int64_t first, count;   /* the batch's first fact, and its facts */
    rls_share group, mine;  /* of the batch's facts: this data group's, and this rank's of those */
    rls_edit_tokens *token; /* of the group's */
    float *z;               /* [hidden, group.count] */
    int64_t *ids;           /* case_ids of this rank's */
    rls_live_report report;
};

static void free_layer(layer_share *share)
{
    free((void *)(uintptr_t)share->keys.data);
    free(share->residuals);
    *share = (layer_share){0};
}

static void free_batch(rls_live_batch *l)
{
    for (int i = 0; l->layers != NULL && i < l->options.layers; i++)
        free_layer(&l->layers[i]);
    for (int64_t f = 0; l->token != NULL && f < l->group.count; f++)
        rls_edit_tokens_free(&l->token[f]);
    free(l->token);
    free(l->z);
    free(l->ids);
    l->token = NULL;
    l->z = NULL;
    l->ids = NULL;
}

void rls_live_destroy(rls_live_batch **live)
{
    if (*live == NULL)
        return;
    free_batch(*live);
    free((*live)->layers);
    free(*live);
    *live = NULL;
}

rls_status rls_live_create(const rls_live_options *options, rls_live_batch **out)
{
    rls_context *ctx = options->llm->ctx;
    void *memory = NULL, *layers = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_live_batch), &memory);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, options->layers, sizeof(layer_share), &layers);
    *out = memory;
    if (*out != NULL)
        **out = (rls_live_batch){.options = *options, .layers = layers};
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        rls_live_destroy(out);
    return status;
}

/* A fact of the batch by its number in the group's share. */
static const rls_fact *fact_of(const rls_live_batch *l, int64_t in_group)
{
    return rls_facts_get(l->options.facts, l->first + l->group.first + in_group);
}

/* The group's facts as tokens. Local. */
static rls_status make_tokens(rls_live_batch *l)
{
    const rls_llm *llm = l->options.llm;
    rls_context *group = llm->part.group;
    void *token = NULL, *z = NULL, *ids = NULL;
    rls_status status = rls_alloc_zero(group, l->group.count, sizeof(rls_edit_tokens), &token);
    l->token = token;
    for (int64_t f = 0; f < l->group.count && status == RLS_OK; f++)
        status = rls_edit_tokens_make(group, llm->tokenizer, &llm->arch, l->options.contexts, fact_of(l, f),
                                      &l->token[f]);
    if (status == RLS_OK)
        status = rls_alloc_zero(group, l->group.count * llm->arch.hidden, sizeof(float), &z);
    l->z = z;
    if (status == RLS_OK)
        status = rls_alloc(group, l->mine.count + 1, sizeof(int64_t), &ids);
    l->ids = ids;
    for (int64_t f = 0; f < l->mine.count && status == RLS_OK; f++)
        l->ids[f] = fact_of(l, l->mine.first + f)->case_id;
    return status;
}

/* Means over all facts of the batch. Collective. */
static void sum_reports(rls_live_batch *l, const rls_value_report *reports, int64_t count)
{
    const double stop = l->options.value->stop_loss;
    double sums[4] = {0};
    for (int64_t f = 0; f < l->group.count && l->options.llm->part.tensor == 0; f++) {
        sums[0] += reports[f].loss;
        sums[1] += reports[f].nll;
        sums[2] += reports[f].loss < stop ? 1.0 : 0.0;
        sums[3] += (double)reports[f].steps;
    }
    MPI_Allreduce(MPI_IN_PLACE, sums, 4, MPI_DOUBLE, MPI_SUM, l->options.llm->ctx->comm);
    const double all = count > 0 ? (double)count : 1.0;
    l->report.loss = sums[0] / all;
    l->report.nll = sums[1] / all;
    l->report.below_stop_loss = sums[2] / all;
    l->report.steps = (int64_t)sums[3];
}

rls_status rls_live_search(rls_live_batch *l, int64_t first, int64_t count)
{
    rls_llm *llm = l->options.llm;
    const rls_partition *part = &llm->part;
    const int64_t block = l->options.blocks[l->options.layers - 1];
    const double start = rls_profile_start();
    void *reports = NULL;
    free_batch(l);
    l->first = first;
    l->group = rls_share_of(count, part->data, part->data_groups);
    l->mine = rls_share_of(l->group.count, part->tensor, part->tensor_ranks);
    l->report = (rls_live_report){.probability = (double)NAN};
    l->count = count;
    rls_status status = rls_alloc_zero(part->group, l->group.count, sizeof(rls_value_report), &reports);
    if (status == RLS_OK)
        status = make_tokens(l);
    status = rls_agree(part->group, status);
    if (status == RLS_OK)
        status = rls_value_search(llm, l->options.value, block, l->group.count, l->token, l->z, reports,
                                  &l->options.watch);
    status = rls_llm_agree(llm, status);
    if (status == RLS_OK)
        sum_reports(l, reports, count);
    free(reports);
    l->report.seconds_search = rls_profile_add(llm->ctx, "value search", start, 0.0, 0.0);
    return status;
}

/* This rank's keys and residuals of a layer from what its group read, weighed. Collective over the group. */
static rls_status deal(rls_live_batch *l, int layer, const rls_edit_keys *read)
{
    rls_llm *llm = l->options.llm;
    const int64_t hidden = llm->arch.hidden, n = llm->arch.inner;
    const double share = 1.0 / (double)(l->options.layers - layer);
    layer_share *out = &l->layers[layer];
    void *memory = NULL;
    rls_status status = rls_keys_gather(llm, l->group.count, read->key, &out->keys);
    if (status == RLS_OK)
        status = rls_agree(llm->part.group,
                           rls_alloc(llm->part.group, l->mine.count * hidden, sizeof(float), &memory));
    out->residuals = memory;
    float *keys = (float *)(uintptr_t)out->keys.data;
    for (int64_t f = 0; f < l->mine.count && status == RLS_OK; f++) {
        const int64_t in_group = l->mine.first + f;
        const double w = sqrt(fact_of(l, in_group)->weight);
        const float *z = l->z + in_group * hidden, *h = read->output + in_group * hidden;
        for (int64_t j = 0; j < n; j++)
            keys[f * n + j] = (float)(w * (double)keys[f * n + j]);
        for (int64_t j = 0; j < hidden; j++)
            out->residuals[f * hidden + j] = (float)(w * share * ((double)z[j] - (double)h[j]));
    }
    return status;
}

rls_status rls_live_read(rls_live_batch *l, int layer, rls_vectors *keys, rls_vectors *residuals)
{
    rls_llm *llm = l->options.llm;
    const int64_t block = l->options.blocks[layer], last = l->options.blocks[l->options.layers - 1];
    const double start = rls_profile_start();
    rls_edit_keys read = {0};
    free_layer(&l->layers[layer]);
    rls_status status =
        rls_edit_keys_read(llm, l->options.contexts, block, last, l->group.count, l->token, &read);
    if (status == RLS_OK)
        status = deal(l, layer, &read);
    status = rls_llm_agree(llm, status);
    rls_edit_keys_free(&read);
    *keys = l->layers[layer].keys;
    *residuals = (rls_vectors){l->mine.count, RLS_F32, l->layers[layer].residuals};
    l->report.seconds_keys += rls_profile_add(llm->ctx, "read keys", start, 0.0, 0.0);
    return status;
}

rls_status rls_live_measure(rls_live_batch *l)
{
    rls_llm *llm = l->options.llm;
    const double start = rls_profile_start();
    double sum = 0.0;
    rls_status status = rls_llm_agree(llm, rls_live_probe(llm, l->group.count, l->token, &sum));
    if (status != RLS_OK)
        return status;
    if (llm->part.tensor != 0)
        sum = 0.0; /* the ranks of a group know the same */
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, llm->ctx->comm);
    l->report.probability = l->count > 0 ? sum / (double)l->count : (double)NAN;
    (void)rls_profile_add(llm->ctx, "probe", start, 0.0, 0.0);
    return RLS_OK;
}

const int64_t *rls_live_case_ids(const rls_live_batch *l)
{
    return l->ids;
}

const rls_live_report *rls_live_batch_report(const rls_live_batch *l)
{
    return &l->report;
}
