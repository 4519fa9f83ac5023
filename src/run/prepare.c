#include "run/prepare.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/share.h"

/* The absolute path of something that shall be there, on all ranks; NULL stays NULL. */
static rls_status absolute_path(rls_context *ctx, const char *path, char **out)
{
    rls_status status = RLS_OK;
    *out = NULL;
    if (path == NULL)
        return RLS_OK;
    if (ctx->rank == 0 && (*out = realpath(path, NULL)) == NULL)
        status = rls_strdup(ctx, path, out); /* whoever opens it says what is wrong with it */
    return rls_share_text(ctx, status, out);
}

rls_status rls_prepare_find_inputs(rls_run *run, const char *model, const char *stream, const char *facts)
{
    rls_status status = absolute_path(run->ctx, model, &run->paths.model);
    if (status == RLS_OK)
        status = absolute_path(run->ctx, stream, &run->paths.stream);
    if (status == RLS_OK)
        status = absolute_path(run->ctx, facts, &run->paths.facts);
    return status;
}

rls_status rls_prepare_open_states(rls_run *run, int64_t step, int64_t loss_layer, const json_t *contexts)
{
    const rls_llm_options options = {.tensor_ranks = run->request->tensor_ranks,
                                     .token_budget = run->request->token_budget};
    rls_status status = rls_states_prepare(run->inputs, run->request->verify, step, &run->states);
    if (status == RLS_OK && run->inputs->facts != NULL)
        status = rls_live_open(run->states, run->paths.model, &options, loss_layer, contexts, &run->live);
    return status;
}

rls_status rls_prepare_paths(rls_run *run)
{
    rls_context *ctx = run->ctx;
    void *reports = NULL;
    rls_status status = rls_run_dir_path(ctx, run->dir, "stream", &run->journal_path);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run->dir, "checkpoints", &run->checkpoints_path);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run->dir, "STOP", &run->stop.file);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, run->states->count, sizeof(rls_layer_report), &reports);
    run->reports = reports;
    return rls_agree(ctx, status);
}

static rls_dtype narrower(rls_dtype a, rls_dtype b)
{
    return rls_dtype_size(a) < rls_dtype_size(b) ? a : b;
}

rls_status rls_prepare_open_journal(rls_run *run, int64_t next)
{
    const rls_inputs *in = run->inputs;
    const rls_dtype state = run->config->state.dtype;
    void *layers = NULL;
    rls_stream_info info = {.has_case_ids = true}; /* facts */
    if (in->stream != NULL)
        info = *rls_stream_inquire(in->stream);
    rls_status status =
        rls_agree(run->ctx, rls_alloc(run->ctx, in->layer_count, sizeof(rls_stream_layer), &layers));
    if (status != RLS_OK)
        return status;
    rls_stream_layer *layer = layers;
    const bool targets = rls_inputs_give_targets(in);
    for (int i = 0; i < in->layer_count && status == RLS_OK; i++) {
        const rls_stream_layer made = {in->layers[i].number, in->layers[i].n, in->layers[i].m, RLS_F32,
                                       state};
        const rls_stream_layer *from = &made;
        if (in->stream != NULL)
            status = rls_stream_layer_info(in->stream, in->layers[i].number, &from);
        if (status != RLS_OK)
            break;
        layer[i] = *from;
        layer[i].key_dtype = narrower(from->key_dtype, state);
        layer[i].value_dtype = targets ? narrower(from->value_dtype, state) : state;
    }
    status = rls_agree(run->ctx, status);
    info.layers = layer;
    info.layer_count = in->layer_count;
    info.kind = RLS_TARGET;
    info.batch = run->config->batch;
    (void)snprintf(info.module, sizeof info.module, "%s", run->config->model.module);
    if (status == RLS_OK)
        status = rls_journal_open(run->ctx, run->journal_path, rls_run_dir_token(run->dir), &info, next,
                                  run->totals.edits, run->totals.batches, &run->journal);
    free(layers);
    return status;
}
