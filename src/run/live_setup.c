#include "run/live_setup.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "live/check.h"

/* A resumed run goes on with the contexts it began with. */
static rls_status take_contexts(const rls_states *states, const json_t *saved, rls_live_setup *out)
{
    rls_context *ctx = states->inputs->ctx;
    const struct rls_config_value *value = &states->inputs->config->value;
    if (saved != NULL)
        return rls_agree(ctx, rls_contexts_from_json(ctx, saved, &out->contexts));
    if (value->contexts != NULL)
        return rls_contexts_read(ctx, value->contexts, &out->contexts);
    return rls_contexts_generate(out->llm, value->prefixes, 0, &out->contexts);
}

/* Before the weights are read. Collective. */
static rls_status check_architecture(const rls_inputs *in, const char *model, const int64_t *blocks,
                                     int64_t loss_layer)
{
    rls_architecture arch;
    rls_status status = rls_architecture_read(in->ctx, model, &arch);
    if (status != RLS_OK)
        return status;
    status = rls_live_check_layers(in->ctx, in->config->model.module, blocks, in->layer_count, &arch);
    if (status == RLS_OK && loss_layer >= 0 && loss_layer != arch.blocks - 1)
        status =
            rls_fail(in->ctx, RLS_ERR_CONFIG,
                     "v_loss_layer: %" PRId64 " is not the last layer, %" PRId64 ", where the loss is taken",
                     loss_layer, arch.blocks - 1);
    return rls_agree(in->ctx, status);
}

rls_status rls_live_open(const rls_states *states, const char *model, const rls_llm_options *options,
                         int64_t loss_layer, const json_t *contexts, rls_live_setup *out)
{
    const rls_inputs *in = states->inputs;
    rls_context *ctx = in->ctx;
    rls_llm_options o = *options;
    *out = (rls_live_setup){0};
    o.reserved = rls_states_bytes(states);
    o.kept_from = in->layers[in->layer_count - 1].number + 1;
    void *memory = NULL;
    rls_status status = rls_agree(ctx, rls_alloc(ctx, in->layer_count, sizeof(int64_t), &memory));
    out->blocks = memory;
    for (int i = 0; i < in->layer_count && status == RLS_OK; i++)
        out->blocks[i] = in->layers[i].number;
    if (status == RLS_OK)
        status = check_architecture(in, model, out->blocks, loss_layer);
    if (status == RLS_OK)
        status = rls_llm_open(ctx, model, &o, &out->llm);
    if (status == RLS_OK)
        status = take_contexts(states, contexts, out);
    if (status == RLS_OK)
        status = rls_live_check_facts(out->llm, in->facts, &out->contexts);
    return status;
}

void rls_live_close(rls_live_setup *setup)
{
    rls_contexts_free(&setup->contexts);
    free(setup->blocks);
    setup->blocks = NULL;
    rls_llm_close(&setup->llm);
}
