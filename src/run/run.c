#include "run/run.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "store/checkpoint.h"

/* Room for the reports of so many batches a layer. Collective. */
static rls_status reserve_reports(rls_run *run, int64_t parts)
{
    const int64_t layers = run->states->count;
    void *memory = NULL;
    if (parts <= run->parts_room)
        return RLS_OK;
    const rls_status status =
        rls_agree(run->ctx, rls_alloc(run->ctx, layers * parts,
                                      sizeof(rls_step_report) + sizeof(rls_drift_report), &memory));
    if (status != RLS_OK) {
        free(memory);
        return status;
    }
    free(run->part_reports);
    run->part_reports = memory;
    run->parts_room = parts;
    rls_step_report *steps = memory;
    rls_drift_report *drifts = (rls_drift_report *)(steps + layers * parts);
    for (int64_t i = 0; i < layers; i++) {
        run->reports[i].steps = steps + i * parts;
        run->reports[i].drifts = drifts + i * parts;
    }
    return RLS_OK;
}

/* One layer's share of a step: read, step, measure. */
static rls_status step_layer(rls_run *run, rls_source *source, int layer, int64_t count, int64_t each)
{
    rls_state *state = &run->states->state[layer];
    rls_layer_report *report = &run->reports[layer];
    rls_batch batch;
    double start = rls_profile_start();
    rls_status status = rls_source_get(source, layer, run->totals.edits, count, &batch);
    report->seconds_read = rls_profile_start() - start;
    if (status != RLS_OK)
        return status;
    batch.each = each;
    report->keys = batch.keys;
    report->values = batch.values;
    if (batch.kind == RLS_RESIDUAL) /* what the step makes of them */
        report->values = (rls_vectors){batch.values.count, run->config->state.dtype, batch.targets};
    start = rls_profile_start();
    status = rls_editor_step(state->editor, &batch, report->steps);
    report->seconds_step = rls_profile_start() - start;
    if (status != RLS_OK)
        return status;
    start = rls_profile_start();
    status = rls_drift_update(state->drift, count, each, report->drifts);
    report->seconds_drift = rls_profile_start() - start;
    return status;
}

rls_status rls_run_step(rls_run *run, rls_source *source, int64_t count, int64_t each)
{
    run->step_started = rls_profile_start();
    rls_status status = reserve_reports(run, rls_editor_parts(count, each));
    for (int i = 0; i < run->states->count && status == RLS_OK; i++)
        status = step_layer(run, source, i, count, each);
    return status == RLS_OK ? rls_source_stepped(source) : status;
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

/* Counts batch number `part` of the step of `count` edits as done, and logs it. The step's time is the
 * batches' by their edits. */
static rls_status count_batch(rls_run *run, int64_t part, int64_t done, int64_t count)
{
    const int64_t edits = run->reports[0].steps[part].edits;
    const double seconds = rls_profile_start() - run->step_started;
    run->totals.batches++;
    run->totals.edits += edits;
    if (run->totals.batches <= run->logged)
        return RLS_OK;
    run->logged = run->totals.batches;
    if (run->ctx->rank != 0)
        return RLS_OK;
    const rls_batch_share share = {part, edits, (double)edits / (double)count,
                                   run->step_started + seconds * (double)(done + edits) / (double)count};
    json_t *line = rls_batch_line(run->states, &run->totals, &share, run->reports);
    rls_source_describe(run->source, line);
    rls_log(run->ctx, RLS_LOG_DEBUG,
            "batch %" PRId64 ": %" PRId64 " edits in %.1f s; %" PRId64 " of %" PRId64 " done",
            run->totals.batches, edits, seconds * (double)edits / (double)count, run->totals.edits,
            run->inputs->edits);
    return rls_run_dir_log(run->dir, line);
}

rls_status rls_run_count(rls_run *run, int64_t count, int64_t each)
{
    const int64_t before = run->totals.edits;
    rls_status status = RLS_OK;
    for (int64_t part = 0; part < rls_editor_parts(count, each) && status == RLS_OK; part++)
        status = count_batch(run, part, run->totals.edits - before, count);
    return status;
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
    free(run->part_reports);
    free(run->reports);
    free(run->stop.file);
    free(run->journal_path);
    free(run->checkpoints_path);
    free(run->paths.model);
    free(run->paths.stream);
    free(run->paths.facts);
}
