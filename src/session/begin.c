/* How a run begins: new, or resumed from what its directory holds. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/memory.h"
#include "base/share.h"
#include "session/fingerprint.h"
#include "session/run.h"
#include "store/checkpoint.h"

/* Where a resumed run takes up. */
typedef struct {
    rls_journal_survey journal;
    json_t *manifest; /* of the checkpoint; NULL: from the model */
    int64_t step, segments, edits, batches;
} resume_point;

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

static rls_status run_paths(rls_run *run)
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

/* The journal from segment `next` on. Targets of a recorded stream stay in its own type, which holds them
 * exactly. */
static rls_status open_journal(rls_run *run, int64_t next, int64_t edits)
{
    const rls_inputs *in = run->inputs;
    const rls_dtype state = run->config->state.dtype;
    void *layers = NULL;
    rls_stream_info info = *rls_stream_inquire(in->stream);
    rls_status status =
        rls_agree(run->ctx, rls_alloc(run->ctx, in->layer_count, sizeof(rls_stream_layer), &layers));
    if (status != RLS_OK)
        return status;
    rls_stream_layer *layer = layers;
    for (int i = 0; i < in->layer_count && status == RLS_OK; i++) {
        const rls_stream_layer *from = NULL;
        status = rls_stream_layer_info(in->stream, in->layers[i].number, &from);
        if (status != RLS_OK)
            break;
        layer[i] = *from;
        layer[i].key_dtype = narrower(from->key_dtype, state);
        layer[i].value_dtype = info.kind == RLS_TARGET ? narrower(from->value_dtype, state) : state;
    }
    status = rls_agree(run->ctx, status);
    info.layers = layer;
    info.layer_count = in->layer_count;
    info.kind = RLS_TARGET;
    info.batch = run->config->batch;
    (void)snprintf(info.module, sizeof info.module, "%s", run->config->model.module);
    if (status == RLS_OK)
        status = rls_journal_open(run->ctx, run->journal_path, rls_run_dir_token(run->dir), &info, next,
                                  edits, &run->journal);
    free(layers);
    return status;
}

static rls_status begin_new(rls_run *run)
{
    rls_context *ctx = run->ctx;
    const rls_edit_request *q = run->request;
    const char *missing = q->config == NULL   ? "CONFIG"
                          : q->model == NULL  ? "--model"
                          : q->stream == NULL ? "--stream"
                                              : NULL;
    rls_status status = RLS_OK;
    if (missing != NULL)
        status = rls_fail(ctx, RLS_ERR_USAGE, "%s is missing: a new run needs CONFIG, --model and --stream%s",
                          missing, q->resume != NULL ? " (there is nothing to resume)" : "");
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        status = rls_config_read(ctx, q->config, q->sets, q->nsets, &run->config);
    if (status == RLS_OK)
        status = rls_run_dir_check(ctx, q->run);
    if (status == RLS_OK)
        status = rls_agree(ctx, ctx->rank == 0 ? check_not_inside(ctx, q->model, q->run) : RLS_OK);
    if (status == RLS_OK)
        status = absolute_path(ctx, q->model, &run->model);
    if (status == RLS_OK)
        status = absolute_path(ctx, q->stream, &run->stream);
    if (status == RLS_OK)
        status = rls_inputs_open(ctx, run->config, run->model, run->stream, &run->inputs);
    if (status == RLS_OK)
        status = rls_states_prepare(run->inputs, run->request->verify, &run->states);
    json_t *fingerprint = NULL;
    if (status == RLS_OK)
        status = rls_fingerprint_take(run->inputs, &fingerprint);
    if (status == RLS_OK)
        status = rls_states_start(run->states);
    if (status == RLS_OK)
        run->identity = json_pack("{s:s, s:s, s:O}", "model", run->model, "stream", run->stream,
                                  "fingerprint", fingerprint);
    json_decref(fingerprint);
    if (status == RLS_OK)
        status = rls_agree(
            ctx, run->identity != NULL ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for run.json"));
    if (status == RLS_OK)
        status = rls_run_dir_create(ctx, q->run, rls_config_text(run->config),
                                    ctx->rank == 0 ? json_incref(run->identity) : NULL, &run->dir);
    if (status == RLS_OK)
        status = run_paths(run);
    if (status == RLS_OK)
        status = open_journal(run, 0, 0);
    return status;
}

/* What may not change between the parts of a run, because the result would be of neither. Equal on all ranks.
 */
static rls_status check_config(rls_context *ctx, const rls_config *then, const rls_config *now,
                               rls_value_kind kind)
{
    const char *differs = NULL;
    bool layers = then->model.layers_count == now->model.layers_count;
    for (size_t i = 0; i < then->model.layers_count && layers; i++)
        layers = then->model.layers[i] == now->model.layers[i];
    if (!layers)
        differs = "model.layers";
    else if (strcmp(then->model.module, now->model.module) != 0)
        differs = "model.module";
    else if (strcmp(then->editor.name, now->editor.name) != 0)
        differs = "editor.name";
    else if (then->editor.lambda != now->editor.lambda)
        differs = "editor.lambda";
    else if (then->editor.mu != now->editor.mu)
        differs = "editor.mu";
    else if (then->anchor.weight != now->anchor.weight)
        differs = "anchor.weight";
    else if ((then->anchor.moments == NULL) != (now->anchor.moments == NULL))
        differs = "anchor.moments";
    else if ((then->anchor.keys == NULL) != (now->anchor.keys == NULL))
        differs = "anchor.keys";
    else if (then->state.dtype != now->state.dtype)
        differs = "state.dtype";
    else if (kind == RLS_RESIDUAL && then->batch != now->batch)
        differs = "batch";
    if (differs == NULL)
        return RLS_OK;
    return rls_fail(ctx, RLS_ERR_CONFIG,
                    "%s: differs from what the run began with: resume with the same, or begin a new run",
                    differs);
}

/* The config to go on with: the given one, or the run's with the overrides. */
static rls_status resume_config(rls_run *run, const char *saved_text, rls_config **saved)
{
    const rls_edit_request *q = run->request;
    char *name = NULL;
    rls_status status = rls_run_dir_path(run->ctx, run->dir, "config.yaml", &name);
    if (status == RLS_OK)
        status = rls_config_parse(run->ctx, name, saved_text, strlen(saved_text), NULL, 0, saved);
    if (status == RLS_OK && q->config == NULL)
        status =
            rls_config_parse(run->ctx, name, saved_text, strlen(saved_text), q->sets, q->nsets, &run->config);
    status = rls_agree(run->ctx, status);
    if (status == RLS_OK && q->config != NULL)
        status = rls_config_read(run->ctx, q->config, q->sets, q->nsets, &run->config);
    free(name);
    return status;
}

/* Whether the journal's sound part has what a checkpoint covers. */
static bool covers(const rls_journal_survey *journal, const json_t *manifest)
{
    const int64_t segments = json_integer_value(json_object_get(manifest, "segments"));
    const int64_t edits = json_integer_value(json_object_get(manifest, "edits"));
    return segments >= 1 && segments <= journal->sound && journal->ends[segments - 1] == edits;
}

/* Loads the checkpoint, its checksums compared on the way. A damaged one leaves *sound false and its reason.
 */
static rls_status restore(rls_run *run, int64_t step, const json_t *manifest, bool *sound, char why[768])
{
    rls_context *ctx = run->ctx;
    rls_status status = rls_states_make(run->states);
    *sound = true;
    if (status != RLS_OK)
        return status;
    status = rls_states_restore(run->states, run->checkpoints_path, step, manifest);
    if (status != RLS_ERR_DATA)
        return status;
    (void)snprintf(why, 768, "%.700s", rls_context_message(ctx));
    rls_clear_failure(ctx);
    *sound = false;
    return RLS_OK;
}

/* Looks at the checkpoint of one step. With `wanted` it is loaded when it is sound; a damaged one, and one
 * that the journal does not cover, is reported and set aside, so that it neither counts nor is deleted. */
static rls_status try_checkpoint(rls_run *run, int64_t step, bool wanted, resume_point *point)
{
    rls_context *ctx = run->ctx;
    int64_t bytes = 0;
    char why[768];
    json_t *manifest = NULL;
    rls_status status =
        rls_checkpoint_verify(ctx, run->checkpoints_path, step, false, &manifest, &bytes, why);
    if (status != RLS_OK)
        return status;
    bool sound = manifest != NULL;
    if (sound && !covers(&point->journal, manifest)) {
        (void)snprintf(why, sizeof why, "it is ahead of the sound part of the journal");
        sound = false;
    } else if (sound && wanted) {
        status = restore(run, step, manifest, &sound, why);
    }
    if (status == RLS_OK && sound && wanted) {
        point->manifest = json_incref(manifest);
        point->step = step;
        point->segments = json_integer_value(json_object_get(manifest, "segments"));
        point->edits = json_integer_value(json_object_get(manifest, "edits"));
        point->batches = json_integer_value(json_object_get(manifest, "batches"));
    }
    if (status == RLS_OK && !sound) {
        rls_log(ctx, RLS_LOG_WARNING, "checkpoint of step %" PRId64 " is not used but set aside: %s", step,
                why);
        status = rls_checkpoint_set_aside(ctx, run->checkpoints_path, step);
    }
    json_decref(manifest);
    return status;
}

/* Loads the newest checkpoint that is sound, or the one of step `only` when that is not negative. */
static rls_status load_checkpoint(rls_run *run, int64_t only, resume_point *point)
{
    rls_context *ctx = run->ctx;
    int64_t *steps = NULL, count = 0;
    bool seen = false;
    rls_status status = rls_checkpoint_list(ctx, run->checkpoints_path, &steps, &count);
    for (int64_t i = 0; i < count; i++)
        seen = seen || steps[i] == only;
    if (status == RLS_OK && only >= 0 && !seen)
        status = rls_agree(ctx, rls_fail(ctx, RLS_ERR_DATA, "%s: there is no checkpoint of step %" PRId64,
                                         run->request->run, only));
    for (int64_t i = 0; i < count && status == RLS_OK && point->manifest == NULL; i++)
        if (only < 0 || steps[i] >= only)
            status = try_checkpoint(run, steps[i], only < 0 || steps[i] == only, point);
    free(steps);
    if (status == RLS_OK && only >= 0 && point->manifest == NULL)
        status = rls_agree(ctx, rls_fail(ctx, RLS_ERR_DATA, "%s: no sound checkpoint of step %" PRId64,
                                         run->request->run, only));
    return status;
}

/* The step that --resume names: "1200", "step-1200"; -1 for auto, and when it is not given. */
static rls_status named_step(rls_context *ctx, const char *resume, int64_t *step)
{
    *step = -1;
    if (resume == NULL || strcmp(resume, "auto") == 0 || strcmp(resume, "never") == 0)
        return RLS_OK;
    const char *digits = strncmp(resume, "step-", 5) == 0 ? resume + 5 : resume;
    char *end = NULL;
    *step = strtoll(digits, &end, 10);
    if (end == digits || *end != '\0' || *step < 0)
        return rls_fail(ctx, RLS_ERR_USAGE, "--resume=%s: not auto, never or a step", resume);
    return RLS_OK;
}

/* Applies the journal's segments after the checkpoint again. */
static rls_status replay(rls_run *run, const resume_point *point)
{
    rls_context *ctx = run->ctx;
    rls_stream *stream = NULL;
    rls_source *source = NULL;
    rls_status status = RLS_OK;
    if (point->segments < point->journal.sound) {
        status = rls_stream_open(ctx, run->journal_path, RLS_STREAM_EDITS, &stream);
        if (status == RLS_OK)
            status = rls_recorded_source(run->states, stream, &source);
    }
    for (int64_t i = point->segments; i < point->journal.sound && status == RLS_OK; i++) {
        const int64_t count = point->journal.ends[i] - run->totals.edits;
        status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_resume_replay));
        if (status == RLS_OK)
            status = rls_run_step(run, source, count);
        if (status == RLS_OK)
            status = rls_agree(ctx, rls_run_count(run, count));
    }
    rls_source_destroy(&source);
    rls_stream_close(&stream);
    return status;
}

/* The journal's sound part, the checkpoint, the states, and all later segments applied again. */
static rls_status resume_states(rls_run *run, resume_point *point)
{
    rls_context *ctx = run->ctx;
    int64_t only = -1;
    rls_status status = rls_agree(ctx, named_step(ctx, run->request->resume, &only));
    if (status == RLS_OK)
        status = rls_journal_examine(ctx, run->journal_path, &point->journal);
    if (status == RLS_OK)
        status = rls_checkpoint_clear(ctx, run->checkpoints_path);
    if (status == RLS_OK)
        status = load_checkpoint(run, only, point);
    if (status == RLS_OK && point->journal.sound < point->journal.present) {
        rls_log(ctx, RLS_LOG_WARNING,
                "journal: %s: this segment and those after it are set aside, their edits applied again from "
                "the stream",
                point->journal.why);
        status = rls_journal_set_aside(ctx, run->journal_path, point->journal.sound, point->journal.present);
    }
    if (status == RLS_OK)
        rls_log(ctx, RLS_LOG_INFO, "resumed from %s%" PRId64 ", then %" PRId64 " journal segments",
                point->manifest != NULL ? "the checkpoint of step " : "the model, step ", point->edits,
                point->journal.sound - point->segments);
    if (status == RLS_OK && point->manifest == NULL)
        status = rls_states_start(run->states);
    run->totals.edits = point->edits;
    run->totals.batches = point->batches;
    run->saved_step = point->manifest != NULL ? point->step : -1;
    if (status == RLS_OK)
        status = rls_run_dir_rewind_log(run->dir, point->journal.ends, point->journal.sound, point->segments,
                                        &run->logged);
    if (status == RLS_OK)
        status = replay(run, point);
    if (status == RLS_OK)
        status = open_journal(run, point->journal.sound, run->totals.edits);
    return status;
}

/* The inputs are what they were. */
static rls_status check_inputs(rls_run *run)
{
    json_t *now = NULL;
    rls_status status = rls_fingerprint_take(run->inputs, &now);
    if (status == RLS_OK)
        status = rls_agree(run->ctx, rls_fingerprint_compare(
                                         run->inputs, json_object_get(run->identity, "fingerprint"), now));
    json_decref(now);
    return status;
}

static const char *or_saved(const char *given, const json_t *identity, const char *name)
{
    return given != NULL ? given : json_string_value(json_object_get(identity, name));
}

static rls_status begin_resumed(rls_run *run)
{
    rls_context *ctx = run->ctx;
    const rls_edit_request *q = run->request;
    char *text = NULL;
    rls_config *saved = NULL;
    resume_point point = {0};
    run->resumed = true;
    rls_status status = rls_run_dir_open(ctx, q->run, &text, &run->identity, &run->dir);
    if (status == RLS_OK)
        status = resume_config(run, text, &saved);
    if (status == RLS_OK)
        status = rls_run_dir_finished(run->dir, &run->finished);
    if (status == RLS_OK)
        status = absolute_path(ctx, or_saved(q->model, run->identity, "model"), &run->model);
    if (status == RLS_OK)
        status = absolute_path(ctx, or_saved(q->stream, run->identity, "stream"), &run->stream);
    if (status == RLS_OK)
        status = rls_inputs_open(ctx, run->config, run->model, run->stream, &run->inputs);
    if (status == RLS_OK)
        status = rls_agree(
            ctx, check_config(ctx, saved, run->config, rls_stream_inquire(run->inputs->stream)->kind));
    if (status == RLS_OK)
        status = check_inputs(run);
    if (status == RLS_OK && !run->finished) {
        status = rls_states_prepare(run->inputs, run->request->verify, &run->states);
        if (status == RLS_OK)
            status = run_paths(run);
        if (status == RLS_OK)
            status = resume_states(run, &point);
    }
    rls_config_destroy(&saved);
    rls_journal_survey_free(&point.journal);
    json_decref(point.manifest);
    free(text);
    return status;
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
    rls_status status = named_step(ctx, resume, &only);
    if (status == RLS_OK)
        status = rls_stop_seconds_left(ctx, run->request->walltime, &left);
    status = rls_agree(ctx, status);
    run->stop.signal = run->request->stop_signal;
    run->stop.deadline = run->totals.started + left;
    if (status == RLS_OK)
        status = rls_run_dir_exists(ctx, run->request->run, &exists);
    if (status != RLS_OK)
        return status;
    status = exists && resume != NULL && strcmp(resume, "never") != 0 ? begin_resumed(run) : begin_new(run);
    run->saved_at = rls_profile_start();
    if (status == RLS_OK && !run->finished)
        status = rls_recorded_source(run->states, run->inputs->stream, &run->source);
    if (status == RLS_OK && !run->finished)
        rls_log(ctx, RLS_LOG_INFO, "%" PRId64 " of %" PRId64 " edits to do, %d layers on %d ranks",
                run->source->edits - run->totals.edits, run->source->edits, run->states->count, ctx->size);
    return status;
}
