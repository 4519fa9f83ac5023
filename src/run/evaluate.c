#include "run/evaluate.h"

#include <math.h>

rls_status rls_evaluate_fit(rls_source *source, int layer, int64_t batch, double *fit_error)
{
    rls_editor *editor = source->states->state[layer].editor;
    double misfit = 0.0, values = 0.0;
    rls_status status = RLS_OK;
    for (int64_t first = 0; first < source->edits && status == RLS_OK; first += batch) {
        const int64_t count = source->edits - first < batch ? source->edits - first : batch;
        rls_batch edits;
        double m = 0.0, v = 0.0;
        status = rls_source_get(source, layer, first, count, &edits);
        if (status == RLS_OK)
            status = rls_editor_misfit(editor, &edits, &m, &v);
        misfit += m;
        values += v;
    }
    *fit_error = values > 0.0 ? sqrt(misfit / values) : sqrt(misfit);
    return status;
}

static rls_status take_anchor(void *user, const rls_vectors *keys, const rls_vectors *values)
{
    return rls_optimality_anchor(user, keys, values);
}

rls_status rls_evaluate_proof(rls_source *source, int layer, int64_t batch, rls_proof *proof)
{
    const rls_states *states = source->states;
    const rls_inputs *in = states->inputs;
    const rls_state *state = &states->state[layer];
    rls_optimality *o = NULL;
    rls_status status = rls_optimality_begin(state->editor, state->drift, &o);
    if (status == RLS_OK && in->moments != NULL) {
        status = rls_moments_load(in->moments, in->layers[layer].number, rls_editor_inv_cov(state->editor));
        if (status == RLS_OK)
            status = rls_optimality_moment(o, in->config->anchor.weight);
    }
    if (status == RLS_OK)
        status = rls_states_each_anchor(states, layer, take_anchor, o);
    for (int64_t first = 0; first < source->edits && status == RLS_OK; first += batch) {
        const int64_t count = source->edits - first < batch ? source->edits - first : batch;
        rls_batch edits;
        status = rls_source_get(source, layer, first, count, &edits);
        if (status == RLS_OK)
            status = rls_optimality_edits(o, &edits);
    }
    rls_optimality_end(&o, status == RLS_OK ? proof : NULL);
    return status;
}
