#include "session/run.h"

#include <stdlib.h>

#include "base/memory.h"
#include "store/checkpoint.h"

/* One layer's share of a batch: read, step, measure. */
static rls_status step_layer(rls_run *run, rls_source *source, int layer, int64_t count)
{
    rls_state *state = &run->states->state[layer];
    rls_layer_report *report = &run->reports[layer];
    rls_batch batch;
    double start = rls_profile_start();
    rls_status status = rls_source_get(source, layer, run->totals.edits, count, &batch);
    report->seconds_read = rls_profile_start() - start;
    if (status != RLS_OK)
        return status;
    report->keys = batch.keys;
    report->values = batch.values;
    start = rls_profile_start();
    status = rls_editor_step(state->editor, &batch, &report->step);
    report->seconds_step = rls_profile_start() - start;
    if (status != RLS_OK)
        return status;
    start = rls_profile_start();
    status = rls_drift_update(state->drift, count);
    report->seconds_drift = rls_profile_start() - start;
    report->delta_norm = rls_drift_norm(state->drift);
    report->delta_bound = rls_drift_bound(state->drift);
    report->objective = rls_editor_objective(state->editor);
    return status;
}

rls_status rls_run_step(rls_run *run, rls_source *source, int64_t count)
{
    rls_status status = RLS_OK;
    for (int i = 0; i < run->states->count && status == RLS_OK; i++)
        status = step_layer(run, source, i, count);
    return status;
}

rls_status rls_run_commit(rls_run *run)
{
    rls_context *ctx = run->ctx;
    void *memory = NULL;
    const int count = run->states->count;
    rls_status status = rls_agree(ctx, rls_alloc(ctx, 2 * (int64_t)count, sizeof(rls_vectors), &memory));
    rls_vectors *vectors = memory;
    for (int i = 0; i < count && status == RLS_OK; i++) {
        vectors[i] = run->reports[i].keys;
        vectors[count + i] = run->reports[i].values;
    }
    if (status == RLS_OK)
        status = rls_journal_commit(run->journal, rls_source_case_ids(run->source), vectors, vectors + count);
    free(memory);
    return status;
}

rls_status rls_run_count(rls_run *run, int64_t count)
{
    run->totals.batches++;
    run->totals.edits += count;
    if (run->totals.batches <= run->logged)
        return RLS_OK;
    run->logged = run->totals.batches;
    if (run->ctx->rank != 0)
        return RLS_OK;
    json_t *line = rls_batch_line(run->states, &run->totals, count, run->reports);
    const rls_live_report *live = run->source != NULL ? rls_live_source_report(run->source) : NULL;
    if (line != NULL && live != NULL)
        (void)json_object_set_new(line, "live", rls_live_line(live));
    return rls_run_dir_log(run->dir, line);
}

rls_status rls_run_save(rls_run *run)
{
    rls_context *ctx = run->ctx;
    const double start = rls_profile_start();
    json_t *manifest = NULL;
    rls_status status =
        rls_agree(ctx, rls_run_dir_sync_log(run->dir)); /* its batches will not be logged again */
    if (status != RLS_OK)
        return status;
    if (ctx->rank == 0)
        manifest = json_pack("{s:I, s:I, s:I, s:s, s:s, s:O}", "edits", (json_int_t)run->totals.edits,
                             "batches", (json_int_t)run->totals.batches, "segments",
                             (json_int_t)rls_journal_segments(run->journal), "dtype",
                             rls_dtype_name(run->config->state.dtype), "config", rls_config_text(run->config),
                             "run", run->identity);
    status = rls_states_save(run->states, run->checkpoints_path, run->totals.edits,
                             rls_run_dir_token(run->dir), manifest);
    if (status != RLS_OK)
        return status;
    run->saved_step = run->totals.edits;
    status = rls_checkpoint_prune(ctx, run->checkpoints_path, run->config->checkpoint.keep,
                                  run->config->checkpoint.keep_every);
    run->saved_at = rls_profile_start();
    const double seconds = run->saved_at - start;
    run->last_save_seconds = seconds;
    run->save_seconds = seconds > run->save_seconds ? seconds : run->save_seconds;
    return status;
}

void rls_run_end(rls_run *run)
{
    rls_source_destroy(&run->source);
    rls_journal_close(&run->journal);
    rls_live_close(&run->live);
    rls_states_destroy(&run->states);
    rls_inputs_close(&run->inputs);
    rls_run_dir_close(&run->dir);
    rls_config_destroy(&run->config);
    json_decref(run->identity);
    json_decref(run->model_files);
    free(run->reports);
    free(run->stop.file);
    free(run->journal_path);
    free(run->checkpoints_path);
    free(run->paths.model);
    free(run->paths.stream);
    free(run->paths.facts);
}
