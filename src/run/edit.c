#include "run/edit.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/memory.h"
#include "run/begin.h"
#include "run/checkpoint_policy.h"
#include "run/cut.h"
#include "run/evaluate.h"
#include "run/learnt.h"
#include "run/summary.h"
#include "store/export.h"
#include "store/file_util.h"

/* Whether a checkpoint is due: rank 0's clock decides for all. Collective. */
static bool checkpoint_due(const rls_run *run)
{
    const int64_t since = run->totals.edits - (run->saved_step > 0 ? run->saved_step : 0);
    int due = rls_checkpoint_due(&run->config->checkpoint, since, rls_profile_start() - run->saved_at,
                                 run->last_save_seconds);
    MPI_Bcast(&due, 1, MPI_INT, 0, run->ctx->comm);
    return due != 0 && run->totals.edits < run->source->edits; /* the end is saved as the model */
}

/* One step: its batches applied at once, committed to the journal, counted; then a checkpoint when it is due.
 */
static rls_status edit_step(rls_run *run)
{
    rls_context *ctx = run->ctx;
    const int64_t each = run->config->batch;
    const int64_t count = rls_cut_next(run->inputs, run->states->step, run->totals.edits);
    rls_status status = rls_run_step(run, run->source, count, each);
    if (status == RLS_OK)
        status = rls_run_commit(run);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_run_count(run, count, each));
    const double seconds = rls_profile_start() - run->step_started;
    run->longest_step = seconds > run->longest_step ? seconds : run->longest_step;
    if (status == RLS_OK && checkpoint_due(run))
        status = rls_run_save(run);
    return status;
}

/* What ending in good order will take: a checkpoint half as long again as the longest seen, or for want of
 * one a guess from the steps. */
static void learn_reserve(rls_run *run)
{
    const double save = run->save_seconds > 0.0 ? 1.5 * run->save_seconds : 5.0 * run->longest_step;
    run->stop.reserve = save + 0.5 * run->longest_step + 2.0;
}

static rls_status edit_all(rls_run *run)
{
    rls_context *ctx = run->ctx;
    const int64_t total = run->source->edits;
    rls_status status = RLS_OK;
    rls_progress_begin(&run->progress, ctx->rank == 0 ? run->request->progress : NULL, run->totals.edits,
                       total);
    while (run->totals.edits < total && status == RLS_OK) {
        learn_reserve(run);
        status = rls_agree(ctx, rls_stop_check(ctx, &run->stop, run->longest_step, run->totals.edits));
        if (status == RLS_OK)
            status = edit_step(run);
        rls_progress_update(&run->progress, run->totals.edits);
    }
    rls_progress_end(&run->progress);
    return status;
}

/* Stopped: the state goes to the disk, so that resuming need not replay. The reason stays the message. */
static rls_status save_and_stop(rls_run *run)
{
    if (run->saved_step == run->totals.edits || run->totals.edits == 0)
        return RLS_STOPPED;
    char *reason = NULL;
    rls_status status = rls_agree(run->ctx, rls_strdup(run->ctx, rls_context_message(run->ctx), &reason));
    if (status == RLS_OK)
        status = rls_run_save(run);
    if (status == RLS_OK)
        status =
            rls_agree(run->ctx, rls_fail(run->ctx, RLS_STOPPED, "%s; saved: go on with --run %s --resume",
                                         reason, run->request->run));
    free(reason);
    return status;
}

/* Rank 0: a model that a killed run exported but did not report is written anew. */
static rls_status clear_model(rls_run *run, const char *dest)
{
    rls_status status = rls_fault(run->ctx, RLS_FAULT_export_begin);
    if (status == RLS_OK && run->resumed)
        status = rls_dir_remove(run->ctx, dest);
    return status;
}

static rls_status export_model(rls_run *run)
{
    rls_context *ctx = run->ctx;
    void *memory = NULL;
    char *dest = NULL;
    rls_status status = rls_alloc_zero(ctx, run->states->count, sizeof(rls_export_tensor), &memory);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run->dir, "model", &dest);
    if (status == RLS_OK && ctx->rank == 0)
        status = clear_model(run, dest);
    else if (status == RLS_OK)
        status = rls_fault(ctx, RLS_FAULT_export_begin);
    status = rls_agree(ctx, status);
    rls_export_tensor *edits = memory;
    for (int i = 0; i < run->states->count && status == RLS_OK; i++)
        edits[i] = (rls_export_tensor){run->inputs->layers[i].tensor, run->inputs->lines,
                                       rls_editor_weight(run->states->state[i].editor)};
    if (status == RLS_OK)
        status = rls_model_export_digests(run->inputs->model, dest, edits, run->states->count,
                                          &run->config->export, &run->model_files);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_export_done));
    free(memory);
    free(dest);
    return status;
}

/* The figures of the finished run that take another pass over the edits, as the journal has them. */
static rls_status evaluate(rls_run *run, rls_layer_result *results)
{
    rls_context *ctx = run->ctx;
    rls_stream *stream = NULL;
    rls_source *source = NULL;
    double start = rls_profile_start();
    rls_status status =
        rls_stream_open_journal(ctx, run->journal_path, rls_journal_segments(run->journal), NULL, &stream);
    if (status == RLS_OK)
        status = rls_recorded_source(run->states, stream, &source);
    for (int i = 0; i < run->states->count && status == RLS_OK; i++) {
        status = rls_evaluate_fit(source, i, run->states->step, &results[i].fit_error);
        if (status == RLS_OK)
            status =
                rls_matrix_norm(rls_editor_weight(run->states->state[i].editor), &results[i].weight_norm);
    }
    (void)rls_profile_add(ctx, "fit", start, 0.0, 0.0);
    rls_run_totals_peak(&run->totals, ctx); /* of the editing: the proof takes more */
    start = rls_profile_start();
    for (int i = 0; i < run->states->count && status == RLS_OK && run->request->verify; i++)
        status = rls_evaluate_proof(source, i, run->states->step, &results[i].proof);
    if (run->request->verify)
        (void)rls_profile_add(ctx, "verify", start, 0.0, 0.0);
    rls_source_destroy(&source);
    rls_stream_close(&stream);
    return status;
}

static rls_status finish(rls_run *run)
{
    rls_context *ctx = run->ctx;
    void *memory = NULL;
    rls_status status =
        rls_agree(ctx, rls_alloc_zero(ctx, run->states->count, sizeof(rls_layer_result), &memory));
    if (status == RLS_OK)
        status = export_model(run);
    if (status == RLS_OK)
        status = evaluate(run, memory);
    rls_learnt learnt = {0};
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? rls_learnt_read(run, &learnt) : RLS_OK);
    if (status == RLS_OK) {
        run->totals.seconds = rls_profile_start() - run->totals.started;
        json_t *summary = ctx->rank == 0 ? rls_run_summary(run, memory) : NULL;
        if (summary != NULL && learnt.facts > 0)
            (void)json_object_set_new(summary, "live", rls_learnt_json(&learnt));
        status = rls_run_dir_summary(run->dir, summary);
    }
    if (status == RLS_OK)
        rls_learnt_tell(run, &learnt);
    free(memory);
    return status;
}

rls_status rls_edit(rls_context *ctx, const rls_edit_request *request)
{
    rls_run run = {.ctx = ctx, .request = request};
    int wanted = request->progress != NULL; /* what rank 0 says */
    MPI_Bcast(&wanted, 1, MPI_INT, 0, ctx->comm);
    rls_status status = rls_run_begin(&run);
    if (status == RLS_OK && run.finished) {
        rls_log(ctx, RLS_LOG_INFO, "%s: this run is finished", request->run);
    } else if (status == RLS_OK) {
        status = edit_all(&run);
        if (status == RLS_STOPPED)
            status = save_and_stop(&run);
        if (status == RLS_OK)
            status = finish(&run);
        if (status == RLS_OK && wanted != 0)
            status = rls_profile_print(ctx, request->progress);
    }
    rls_run_end(&run);
    return status;
}
