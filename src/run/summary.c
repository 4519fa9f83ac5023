#include "run/summary.h"

#include "grid/grid.h"
#include "rlsedit/version.h"
#include "store/run_dir.h"

static json_t *layer_result(const rls_states *states, int i, bool verify, const rls_layer_result *r)
{
    const rls_state *state = &states->state[i];
    const rls_layer_spec *spec = &states->inputs->layers[i];
    json_t *layer =
        json_pack("{s:i, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "layer", spec->number, "tensor",
                  spec->tensor, "n", (json_int_t)spec->n, "m", (json_int_t)spec->m, "delta_norm",
                  rls_json_real(rls_drift_norm(state->drift)), "weight_norm", rls_json_real(r->weight_norm),
                  "delta_bound", rls_json_real(rls_drift_bound(state->drift)), "objective",
                  rls_json_real(rls_editor_objective(state->editor)), "fit_error",
                  rls_json_real(r->fit_error), "anchor_pivot", rls_json_real(state->smallest_pivot));
    if (verify && layer != NULL) {
        json_object_set_new(layer, "identity_error", rls_json_real(r->proof.identity_error));
        json_object_set_new(layer, "stationarity", rls_json_real(r->proof.stationarity));
    }
    return layer;
}

/* The worst over layers, so that one look is enough. */
static void add_worst(json_t *summary, const rls_states *states, const rls_layer_result *results)
{
    double identity = 0.0, stationarity = 0.0;
    for (int i = 0; i < states->count; i++) {
        identity = results[i].proof.identity_error > identity ? results[i].proof.identity_error : identity;
        stationarity =
            results[i].proof.stationarity > stationarity ? results[i].proof.stationarity : stationarity;
    }
    json_object_set_new(summary, "identity_error", rls_json_real(identity));
    json_object_set_new(summary, "stationarity", rls_json_real(stationarity));
}

json_t *rls_run_summary(const rls_run *run, const rls_layer_result *results)
{
    const rls_config *config = run->config;
    const rls_states *states = run->states;
    const rls_run_totals *totals = &run->totals;
    const rls_edit_request *request = run->request;
    json_t *layers = json_array();
    for (int i = 0; i < states->count; i++)
        json_array_append_new(layers, layer_result(states, i, request->verify, &results[i]));
    json_t *summary = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:i, s:[i, i], s:I, s:s, s:o, s:o, s:o, s:o}", "rlsedit",
        RLSEDIT_VERSION, "model", run->paths.model, run->paths.stream != NULL ? "stream" : "facts",
        run->paths.stream != NULL ? run->paths.stream : run->paths.facts, "edits", (json_int_t)totals->edits,
        "batches", (json_int_t)totals->batches, "batch", (json_int_t)config->batch, "step",
        (json_int_t)states->step, "ranks", states->grid->ctx->size, "grid", states->grid->p, states->grid->q,
        "block", (json_int_t)config->grid.block, "dtype", rls_dtype_name(config->state.dtype), "seconds",
        rls_json_real(totals->seconds), "peak_bytes", rls_json_real(totals->peak_bytes), "largest_peak_bytes",
        rls_json_real(totals->largest_peak_bytes), "layers", layers);
    if (summary != NULL)
        json_object_set(summary, "model_files", run->model_files);
    if (summary != NULL && request->verify)
        add_worst(summary, states, results);
    return summary;
}
