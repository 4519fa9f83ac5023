#include "run/resume.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/memory.h"
#include "llm/architecture_accept.h"
#include "run/cut.h"
#include "run/prepare.h"
#include "store/checkpoint.h"
#include "store/fingerprint.h"
#include "store/manifest.h"

/* Where a resumed run takes up. */
typedef struct {
    rls_journal_survey journal;
    json_t *manifest; /* of the checkpoint; NULL: from the model */
    int64_t step, segments, edits, batches;
} resume_point;

/* The first field of the value search that is not the same; NULL: none. The contexts are the run's own. */
static const char *value_differs(const struct rls_config_value *then, const struct rls_config_value *now)
{
    return then->steps != now->steps                           ? "value.steps"
           : then->lr != now->lr                               ? "value.lr"
           : then->clamp_norm_factor != now->clamp_norm_factor ? "value.clamp_norm_factor"
           : then->kl_factor != now->kl_factor                 ? "value.kl_factor"
           : then->weight_decay != now->weight_decay           ? "value.weight_decay"
           : then->stop_loss != now->stop_loss                 ? "value.stop_loss"
                                                               : NULL;
}

/* What may not change between the parts of a run, because the result would be of neither. Equal on all ranks.
 */
static rls_status check_config(rls_context *ctx, const rls_config *then, const rls_config *now,
                               const rls_inputs *inputs)
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
    else if (!rls_inputs_give_targets(inputs) && then->batch != now->batch)
        differs = "batch";
    else if (inputs->facts != NULL)
        differs = value_differs(&then->value, &now->value);
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
    const int64_t segments = rls_manifest_count(manifest, "segments");
    const int64_t edits = rls_manifest_count(manifest, "edits");
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
        point->segments = rls_manifest_count(manifest, "segments");
        point->edits = rls_manifest_count(manifest, "edits");
        point->batches = rls_manifest_count(manifest, "batches");
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

rls_status rls_resume_step(rls_context *ctx, const char *resume, int64_t *step)
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

/* The run's edits a step, as run.json has it, so that what is done now follows bit by bit from what was done
 * before; a run from before there was one has a batch. What the user says now goes before that. */
static int64_t resumed_step(const rls_run *run, const rls_config *saved)
{
    const rls_inputs *in = run->inputs;
    if (run->config->state.step != saved->state.step)
        return rls_cut_step(in);
    return rls_cut_whole_batches(in, (int64_t)json_integer_value(json_object_get(run->identity, "step")));
}

/* Where each batch of the journal's sound part ends. Local. *ends: [*batches], free with free(). */
static rls_status batch_ends(rls_context *ctx, const rls_journal_survey *journal, int64_t **ends,
                             int64_t *batches)
{
    void *memory = NULL;
    int64_t count = 0;
    for (int64_t i = 0, begin = 0; i < journal->sound; begin = journal->ends[i++])
        count += rls_editor_parts(journal->ends[i] - begin, journal->each[i]);
    const rls_status status = rls_alloc(ctx, count, sizeof(int64_t), &memory);
    *ends = memory;
    *batches = 0;
    for (int64_t i = 0, begin = 0; i < journal->sound && status == RLS_OK; begin = journal->ends[i++])
        for (int64_t end = begin; end < journal->ends[i];) {
            const int64_t left = journal->ends[i] - end;
            end += journal->each[i] > 0 && journal->each[i] < left ? journal->each[i] : left;
            (*ends)[(*batches)++] = end;
        }
    return status;
}

/* Keeps of the log the lines of the journal's batches. Collective. */
static rls_status rewind_log(rls_run *run, const resume_point *point)
{
    int64_t *ends = NULL, batches = 0;
    rls_status status = rls_agree(run->ctx, batch_ends(run->ctx, &point->journal, &ends, &batches));
    if (status == RLS_OK)
        status = rls_run_dir_rewind_log(run->dir, ends, batches, point->batches, &run->logged);
    free(ends);
    return status;
}

/* Applies the journal's segments after the checkpoint again. */
static rls_status replay(rls_run *run, const resume_point *point, rls_stream *journal)
{
    rls_context *ctx = run->ctx;
    rls_source *source = NULL;
    rls_status status = RLS_OK;
    if (point->segments < point->journal.sound)
        status = rls_recorded_source(run->states, journal, &source);
    for (int64_t i = point->segments; i < point->journal.sound && status == RLS_OK; i++) {
        const int64_t count = point->journal.ends[i] - run->totals.edits;
        status = rls_agree(ctx, rls_fault(ctx, RLS_FAULT_resume_replay));
        if (status == RLS_OK)
            status = rls_run_step(run, source, count, point->journal.each[i]);
        if (status == RLS_OK)
            status = rls_agree(ctx, rls_run_count(run, count, point->journal.each[i]));
    }
    rls_source_destroy(&source);
    return status;
}

/* The journal's edits are those of the run's facts or stream: the same case_ids in the same places. Collective. */
static rls_status compare_cases(const rls_inputs *in, rls_stream *journal)
{
    enum { ROUND = 1 << 16 }; /* ids at a time */
    rls_context *ctx = in->ctx;
    const int64_t edits = rls_stream_inquire(journal)->edits;
    int64_t *ids = NULL;
    void *memory = NULL;
    rls_status status = RLS_OK;
    if (edits > in->edits)
        status = rls_fail(ctx, RLS_ERR_DATA, "the journal has %" PRId64 " edits, but the run only %" PRId64,
                          edits, in->edits);
    if (status == RLS_OK)
        status = rls_alloc(ctx, 2 * (int64_t)ROUND, sizeof(int64_t), &memory);
    status = rls_agree(ctx, status);
    ids = memory;
    for (int64_t first = 0; first < edits && status == RLS_OK; first += ROUND) {
        const int64_t count = edits - first < ROUND ? edits - first : ROUND;
        status = rls_stream_case_ids(journal, first, count, ids);
        if (status == RLS_OK)
            status = rls_inputs_case_ids(in, first, count, ids + ROUND);
        for (int64_t i = 0; i < count && status == RLS_OK; i++) /* the same on all ranks */
            if (ids[i] != ids[ROUND + i])
                status = rls_agree(ctx, rls_fail(ctx, RLS_ERR_DATA,
                                                 "the journal's edit %" PRId64 " is case %" PRId64
                                                 ", the run's is case %" PRId64
                                                 ": this journal is not of this run",
                                                 first + i, ids[i], ids[ROUND + i]));
    }
    free(memory);
    return status;
}

/* Opens the journal's sound part; without one *out is NULL. */
static rls_status open_sound(const rls_run *run, const resume_point *point, rls_stream **out)
{
    rls_context *ctx = run->ctx;
    const rls_journal_survey *survey = &point->journal;
    rls_status status = RLS_OK;
    *out = NULL;
    if (survey->strays > 0)
        rls_log(ctx, RLS_LOG_WARNING,
                "%s: %" PRId64 " files that are no segments of this journal are left alone, among them %s",
                run->journal_path, survey->strays, survey->stray);
    if (survey->sound > 0)
        status = rls_stream_open_journal(ctx, run->journal_path, survey->sound, survey->ends, out);
    if (status == RLS_OK && *out != NULL)
        status = compare_cases(run->inputs, *out);
    return status;
}

/* The journal's sound part, the checkpoint, the states, and all later segments applied again. */
static rls_status resume_states(rls_run *run, resume_point *point)
{
    rls_context *ctx = run->ctx;
    rls_stream *journal = NULL;
    int64_t only = -1;
    rls_status status = rls_agree(ctx, rls_resume_step(ctx, run->request->resume, &only));
    if (status == RLS_OK)
        status = rls_journal_examine(ctx, run->journal_path, &point->journal);
    if (status == RLS_OK)
        status = open_sound(run, point, &journal);
    if (status == RLS_OK)
        status = rls_checkpoint_clear(ctx, run->checkpoints_path);
    if (status == RLS_OK)
        status = load_checkpoint(run, only, point);
    if (status == RLS_OK && point->journal.sound < point->journal.present) {
        rls_log(ctx, RLS_LOG_WARNING,
                "journal: %s: this segment and those after it are set aside, their edits applied again from "
                "the stream",
                point->journal.why);
        status = rls_journal_set_aside(ctx, run->journal_path, &point->journal);
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
        status = rewind_log(run, point);
    if (status == RLS_OK)
        status = replay(run, point, journal);
    rls_stream_close(&journal);
    if (status == RLS_OK)
        status = rls_prepare_open_journal(run, point->journal.sound);
    return status;
}

/* The inputs are what they were. */
static rls_status check_inputs(rls_run *run)
{
    json_t *now = NULL;
    rls_status status = rls_inputs_fingerprint(run->inputs, &now);
    if (status == RLS_OK)
        status = rls_agree(
            run->ctx, rls_fingerprint_compare(run->ctx, json_object_get(run->identity, "fingerprint"), now));
    json_decref(now);
    return status;
}

static const char *or_saved(const char *given, const json_t *identity, const char *name)
{
    return given != NULL ? given : json_string_value(json_object_get(identity, name));
}

rls_status rls_run_resume(rls_run *run)
{
    rls_context *ctx = run->ctx;
    const rls_edit_request *q = run->request;
    char *text = NULL;
    rls_config *saved = NULL;
    resume_point point = {0};
    run->resumed = true;
    rls_status status = rls_run_dir_open(ctx, q->run, &text, &run->identity, &run->dir);
    if (status == RLS_OK)
        status = rls_agree(ctx, rls_architecture_accept(ctx, or_saved(NULL, run->identity, "accept_config")));
    if (status == RLS_OK)
        status = resume_config(run, text, &saved);
    if (status == RLS_OK)
        status = rls_run_dir_finished(run->dir, &run->finished);
    if (status == RLS_OK)
        status = rls_prepare_find_inputs(run, or_saved(q->model, run->identity, "model"),
                                         or_saved(q->stream, run->identity, "stream"),
                                         or_saved(q->facts, run->identity, "facts"));
    if (status == RLS_OK &&
        (run->paths.model == NULL || (run->paths.stream == NULL) == (run->paths.facts == NULL)))
        status = rls_agree(
            ctx, rls_fail(ctx, RLS_ERR_DATA,
                          "%s/run.json: says no model, or not what is edited, a stream or facts: give "
                          "them with --model and --stream or --facts",
                          q->run));
    run->paths.limit = (int64_t)json_integer_value(json_object_get(run->identity, "facts_limit"));
    run->paths.policy =
        json_is_true(json_object_get(run->identity, "facts_skip")) ? RLS_FACTS_SKIP : RLS_FACTS_STOP;
    if (status == RLS_OK)
        status = rls_inputs_open(ctx, run->config, &run->paths, &run->inputs);
    if (status == RLS_OK)
        status = rls_agree(ctx, check_config(ctx, saved, run->config, run->inputs));
    if (status == RLS_OK)
        status = check_inputs(run);
    if (status == RLS_OK && !run->finished)
        status = rls_prepare_open_states(run, resumed_step(run, saved), -1,
                                         json_object_get(run->identity, "contexts"));
    if (status == RLS_OK && !run->finished)
        status = rls_prepare_paths(run);
    if (status == RLS_OK && !run->finished)
        status = resume_states(run, &point);
    rls_config_destroy(&saved);
    rls_journal_survey_free(&point.journal);
    json_decref(point.manifest);
    free(text);
    return status;
}
