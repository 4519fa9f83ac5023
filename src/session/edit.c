#include "session/edit.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "grid/grid.h"
#include "session/evaluate.h"
#include "session/progress.h"
#include "session/run_dir.h"
#include "session/summary.h"
#include "store/export.h"

/* All that is open during a run. */
typedef struct {
    rls_context *ctx;
    const rls_edit_request *request;
    rls_inputs *inputs;
    rls_states *states;
    rls_source *source;
    rls_run_dir *dir;
    rls_progress progress;
    rls_run_totals totals;
} edit_run;

/* An export copies whatever the model's directory holds: a run directory in it would end up in itself. */
static rls_status check_not_inside(rls_context *ctx, const char *model, const char *run)
{
    char *inside = realpath(model, NULL), *found = NULL, *place = NULL;
    rls_status status = rls_strdup(ctx, run, &place);
    while (status == RLS_OK && (found = realpath(place, NULL)) == NULL && strcmp(place, ".") != 0) {
        char *slash = strrchr(place, '/'); /* the run is not there yet: the nearest place above it that is */
        if (slash == NULL)
            (void)snprintf(place, 2, ".");
        else
            slash[slash == place ? 1 : 0] = '\0';
    }
    if (status == RLS_OK && inside != NULL && found != NULL) {
        const size_t len = strlen(inside);
        if (strncmp(found, inside, len) == 0 && (found[len] == '/' || found[len] == '\0'))
            status =
                rls_fail(ctx, RLS_ERR_USAGE,
                         "%s: is inside the model's directory %s: give --run a place outside", run, model);
    }
    free(inside);
    free(place);
    free(found);
    return status;
}

static int64_t batch_size(const edit_run *run)
{
    const int64_t batch = run->request->config->batch;
    return batch < run->inputs->edits ? batch : run->inputs->edits;
}

/* One layer's share of a batch: read, step, measure. */
static rls_status edit_layer(edit_run *run, int layer, int64_t first, int64_t count, rls_layer_report *report)
{
    rls_state *state = &run->states->state[layer];
    rls_batch batch;
    double start = rls_profile_start();
    rls_status status = rls_source_get(run->source, layer, first, count, &batch);
    report->seconds_read = rls_profile_start() - start;
    if (status != RLS_OK)
        return status;
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

static rls_status edit_batch(edit_run *run, int64_t first, int64_t count, rls_layer_report *reports)
{
    rls_status status = RLS_OK;
    for (int i = 0; i < run->states->count && status == RLS_OK; i++)
        status = edit_layer(run, i, first, count, &reports[i]);
    if (status != RLS_OK)
        return status;
    run->totals.batches++;
    run->totals.edits = first + count;
    if (run->ctx->rank == 0)
        status = rls_run_dir_log(run->dir, rls_batch_line(run->states, &run->totals, count, reports));
    status = rls_agree(run->ctx, status);
    if (status == RLS_OK)
        rls_progress_update(&run->progress, run->totals.edits);
    return status;
}

static rls_status edit_all(edit_run *run)
{
    void *memory = NULL;
    const int64_t batch = batch_size(run);
    rls_status status =
        rls_agree(run->ctx, rls_alloc_zero(run->ctx, run->states->count, sizeof(rls_layer_report), &memory));
    rls_progress_begin(&run->progress, run->ctx->rank == 0 ? run->request->progress : NULL,
                       run->inputs->edits);
    for (int64_t first = 0; first < run->inputs->edits && status == RLS_OK; first += batch) {
        const int64_t left = run->inputs->edits - first;
        status = edit_batch(run, first, left < batch ? left : batch, memory);
    }
    rls_progress_end(&run->progress);
    free(memory);
    return status;
}

static rls_status export_model(edit_run *run)
{
    rls_context *ctx = run->ctx;
    void *memory = NULL;
    char *dest = NULL;
    rls_status status = rls_alloc_zero(ctx, run->states->count, sizeof(rls_export_tensor), &memory);
    if (status == RLS_OK)
        status = rls_run_dir_path(ctx, run->dir, "model", &dest);
    status = rls_agree(ctx, status);
    rls_export_tensor *edits = memory;
    for (int i = 0; i < run->states->count && status == RLS_OK; i++)
        edits[i] = (rls_export_tensor){run->inputs->layers[i].tensor, run->inputs->lines,
                                       rls_editor_weight(run->states->state[i].editor)};
    if (status == RLS_OK)
        status = rls_model_export(run->inputs->model, dest, edits, run->states->count,
                                  run->request->config->export.dtype);
    free(memory);
    free(dest);
    return status;
}

/* The figures of the finished run that take another pass over the data. */
static rls_status evaluate(edit_run *run, rls_layer_result *results)
{
    const int64_t batch = batch_size(run);
    rls_status status = RLS_OK;
    double start = rls_profile_start();
    for (int i = 0; i < run->states->count && status == RLS_OK; i++) {
        status = rls_evaluate_fit(run->source, i, batch, &results[i].fit_error);
        if (status == RLS_OK)
            status =
                rls_matrix_norm(rls_editor_weight(run->states->state[i].editor), &results[i].weight_norm);
    }
    (void)rls_profile_add(run->ctx, "fit", start, 0.0, 0.0);
    start = rls_profile_start();
    for (int i = 0; i < run->states->count && status == RLS_OK && run->request->verify; i++)
        status = rls_evaluate_proof(run->source, i, batch, &results[i].proof);
    if (run->request->verify)
        (void)rls_profile_add(run->ctx, "verify", start, 0.0, 0.0);
    return status;
}

static rls_status finish(edit_run *run)
{
    void *memory = NULL;
    rls_status status =
        rls_agree(run->ctx, rls_alloc_zero(run->ctx, run->states->count, sizeof(rls_layer_result), &memory));
    if (status == RLS_OK)
        status = export_model(run);
    if (status == RLS_OK)
        status = evaluate(run, memory);
    if (status == RLS_OK) {
        run->totals.seconds = rls_profile_start() - run->totals.started;
        rls_run_totals_peak(&run->totals, run->ctx);
        status = rls_run_dir_summary(
            run->dir,
            run->ctx->rank == 0 ? rls_run_summary(run->states, run->request, &run->totals, memory) : NULL);
    }
    free(memory);
    return status;
}

rls_status rls_session_edit(rls_context *ctx, const rls_edit_request *request)
{
    edit_run run = {.ctx = ctx, .request = request};
    run.totals.started = rls_profile_start();
    rls_status status = rls_run_dir_check(ctx, request->run);
    if (status == RLS_OK)
        status =
            rls_agree(ctx, ctx->rank == 0 ? check_not_inside(ctx, request->model, request->run) : RLS_OK);
    if (status == RLS_OK)
        status = rls_inputs_open(ctx, request->config, request->model, request->stream, &run.inputs);
    if (status == RLS_OK)
        status = rls_states_prepare(run.inputs, &run.states);
    if (status == RLS_OK)
        rls_log(ctx, RLS_LOG_INFO, "%lld edits of %d layers on %d ranks, a %d x %d grid",
                (long long)run.inputs->edits, run.states->count, ctx->size, run.states->grid->p,
                run.states->grid->q);
    if (status == RLS_OK)
        status = rls_states_start(run.states);
    if (status == RLS_OK)
        status = rls_recorded_source(run.states, &run.source);
    if (status == RLS_OK)
        status = rls_run_dir_create(ctx, request->run, rls_config_text(request->config), &run.dir);
    if (status == RLS_OK)
        status = edit_all(&run);
    if (status == RLS_OK)
        status = finish(&run);
    int wanted = request->progress != NULL; /* what rank 0 says */
    MPI_Bcast(&wanted, 1, MPI_INT, 0, ctx->comm);
    if (status == RLS_OK && wanted != 0)
        status = rls_profile_print(ctx, request->progress);
    rls_run_dir_close(&run.dir);
    rls_source_destroy(&run.source);
    rls_states_destroy(&run.states);
    rls_inputs_close(&run.inputs);
    return status;
}
