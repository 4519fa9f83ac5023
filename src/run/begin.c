#include "run/begin.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "llm/architecture_accept.h"
#include "run/cut.h"
#include "run/hparams.h"
#include "run/live_source.h"
#include "run/prepare.h"
#include "run/resume.h"

/* An export copies whatever the model's directory holds: a run directory in it would end up in itself. Rank
 * 0. */
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

/* The config of a new run: its file, under the hyperparameters', under the overrides. */
static rls_status new_config(rls_run *run, int64_t *loss_layer)
{
    static const char nothing[] = "{}";
    const rls_edit_request *q = run->request;
    rls_context *ctx = run->ctx;
    char **given = NULL;
    size_t ngiven = 0;
    void *memory = NULL;
    rls_status status = RLS_OK;
    if (q->hparams != NULL)
        status = rls_hparams_read(ctx, q->hparams, &given, &ngiven, loss_layer);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_alloc(ctx, (int64_t)(ngiven + q->nsets), sizeof(char *), &memory));
    const char **sets = memory;
    for (size_t i = 0; i < ngiven + q->nsets && status == RLS_OK; i++)
        sets[i] = i < ngiven ? given[i] : q->sets[i - ngiven];
    if (status == RLS_OK && q->config != NULL)
        status = rls_config_read(ctx, q->config, sets, ngiven + q->nsets, &run->config);
    else if (status == RLS_OK)
        status = rls_agree(ctx, rls_config_parse(ctx, q->hparams, nothing, sizeof nothing - 1, sets,
                                                 ngiven + q->nsets, &run->config));
    rls_hparams_free(&given, ngiven);
    free(memory);
    return status;
}

/* What run.json says. */
static rls_status make_identity(rls_run *run, json_t *fingerprint)
{
    const bool facts = run->inputs->facts != NULL;
    bool failed = (run->identity =
                       json_pack("{s:s, s:s, s:O, s:I}", "model", run->paths.model,
                                 facts ? "facts" : "stream", facts ? run->paths.facts : run->paths.stream,
                                 "fingerprint", fingerprint, "step", (json_int_t)run->states->step)) == NULL;
    if (!failed && facts)
        failed =
            json_object_set_new(run->identity, "contexts", rls_contexts_json(&run->live.contexts)) != 0 ||
            json_object_set_new(run->identity, "facts_limit", json_integer(run->paths.limit)) != 0 ||
            json_object_set_new(run->identity, "facts_skip",
                                json_boolean(run->paths.policy == RLS_FACTS_SKIP)) != 0;
    const char *accepted = rls_architecture_accepted(run->ctx);
    failed = failed || (accepted != NULL &&
                        json_object_set_new(run->identity, "accept_config", json_string(accepted)) != 0);
    return failed ? rls_fail(run->ctx, RLS_ERR_MEMORY, "no memory for run.json") : RLS_OK;
}

static rls_status begin_new(rls_run *run)
{
    rls_context *ctx = run->ctx;
    int64_t loss_layer = -1;
    const rls_edit_request *q = run->request;
    const char *missing = q->config == NULL && q->hparams == NULL ? "CONFIG"
                          : q->model == NULL                      ? "--model"
                          : q->stream == NULL && q->facts == NULL ? "--stream or --facts"
                                                                  : NULL;
    rls_status status = RLS_OK;
    if (missing != NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "%s is missing: a new run needs CONFIG, --model, and --stream or --facts%s",
                          missing, q->resume != NULL ? " (there is nothing to resume)" : "");
    else if (q->stream != NULL && q->facts != NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE, "--stream and --facts: give one of them");
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = new_config(run, &loss_layer);
    if (status == RLS_OK)
        status = rls_run_dir_check(ctx, q->run);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? check_not_inside(ctx, q->model, q->run) : RLS_OK);
    if (status == RLS_OK)
        status = rls_prepare_find_inputs(run, q->model, q->stream, q->facts);
    run->paths.policy = q->skip_bad_facts ? RLS_FACTS_SKIP : RLS_FACTS_STOP;
    run->paths.limit = q->limit;
    if (status == RLS_OK)
        status = rls_inputs_open(ctx, run->config, &run->paths, &run->inputs);
    if (status == RLS_OK)
        status = rls_prepare_open_states(run, rls_cut_step(run->inputs), loss_layer, NULL);
    json_t *fingerprint = NULL;
    if (status == RLS_OK)
        status = rls_inputs_fingerprint(run->inputs, &fingerprint);
    if (status == RLS_OK)
        status = rls_states_start(run->states);
    if (status == RLS_OK)
        status = rls_agree(ctx, make_identity(run, fingerprint));
    json_decref(fingerprint);
    if (status == RLS_OK)
        status = rls_run_dir_create(ctx, q->run, rls_config_text(run->config),
                                    ctx->rank == 0 ? json_incref(run->identity) : NULL, &run->dir);
    if (status == RLS_OK)
        status = rls_prepare_paths(run);
    if (status == RLS_OK)
        status = rls_prepare_open_journal(run, 0);
    return status;
}

/* How far the search for the batch at hand is, as progress between two batches. */
static void show_search(void *user, double share, const char *what)
{
    rls_run *run = user;
    const int64_t left = run->source->edits - run->totals.edits;
    const int64_t batch = left < run->config->batch ? left : run->config->batch;
    rls_progress_within(&run->progress, (double)run->totals.edits + share * (double)batch, what);
}

rls_status rls_run_begin(rls_run *run)
{
    rls_context *ctx = run->ctx;
    const char *resume = run->request->resume;
    bool exists = false;
    double left = INFINITY;
    run->totals.started = rls_profile_start();
    run->saved_step = -1;
    int64_t only = -1;
    rls_status status = rls_resume_step(ctx, resume, &only);
    if (status == RLS_OK)
        status = rls_stop_seconds_left(ctx, run->request->walltime, &left);
    status = rls_agree(ctx, status);
    run->stop.signal = run->request->stop_signal;
    run->stop.deadline = run->totals.started + left;
    if (status == RLS_OK)
        status = rls_run_dir_exists(ctx, run->request->run, &exists);
    if (status != RLS_OK)
        return status;
    status = exists && resume != NULL && strcmp(resume, "never") != 0 ? rls_run_resume(run) : begin_new(run);
    run->saved_at = rls_profile_start();
    const rls_value_watch watch = {show_search, run};
    if (status == RLS_OK && !run->finished)
        status = run->inputs->stream != NULL
                     ? rls_recorded_source(run->states, run->inputs->stream, &run->source)
                     : rls_live_source(run->states, &run->live, &watch, &run->source);
    if (status == RLS_OK && !run->finished)
        rls_log(ctx, RLS_LOG_INFO, "%" PRId64 " of %" PRId64 " edits to do, %d layers on %d ranks",
                run->source->edits - run->totals.edits, run->source->edits, run->states->count, ctx->size);
    return status;
}
