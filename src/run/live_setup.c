#include "run/live_setup.h"

#include <inttypes.h>

#include "store/run_dir.h"

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
static rls_status check_architecture(const rls_inputs *in, const char *model, int64_t loss_layer)
{
    rls_architecture arch;
    rls_status status = rls_architecture_read(in->ctx, model, &arch);
    if (status != RLS_OK)
        return status;
    status = rls_live_layers(in, &arch);
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
    rls_status status = check_architecture(in, model, loss_layer);
    if (status == RLS_OK)
        status = rls_llm_open(ctx, model, &o, &out->llm);
    if (status == RLS_OK)
        status = take_contexts(states, contexts, out);
    if (status == RLS_OK)
        status = rls_live_check(out->llm, in->facts, &out->contexts);
    return status;
}

void rls_live_close(rls_live_setup *setup)
{
    rls_contexts_free(&setup->contexts);
    rls_llm_close(&setup->llm);
}

json_t *rls_live_line(const rls_live_report *report)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:o, s:o}", "loss", rls_json_real(report->loss), "nll",
                     rls_json_real(report->nll), "learnt", rls_json_real(report->learnt), "steps",
                     (json_int_t)report->steps, "seconds_search", rls_json_real(report->seconds_search),
                     "seconds_keys", rls_json_real(report->seconds_keys));
}
