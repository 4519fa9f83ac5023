#include "run/states.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/memory.h"
#include "grid/grid.h"
#include "linalg/factor.h"
#include "run/cut.h"
#include "store/checkpoint.h"
#include "store/tensor_io.h"

enum {
    SMALLEST_USEFUL_BLOCK = 8, /* below it, level-3 BLAS has nothing to work on */
    ANCHOR_ROUND = 256,        /* anchor keys taken at a time */
    OVERHEAD_BYTES = 256 << 20 /* of a rank: MPI, BLAS, rounds of input and output */
};

static rls_editor_options options_for(const rls_states *states, int layer)
{
    const rls_inputs *in = states->inputs;
    return (rls_editor_options){.rule = in->config->editor.name,
                                .lambda = in->config->editor.lambda,
                                .mu = in->config->editor.mu,
                                .dtype = in->config->state.dtype,
                                .n = in->layers[layer].n,
                                .m = in->layers[layer].m,
                                .block = in->config->grid.block,
                                .workspace = states->workspace};
}

/* W_0 is kept in the narrower of the file's type and the state's: it holds the values exactly. */
static rls_dtype drift_dtype(const rls_states *states, int layer)
{
    const rls_dtype file = states->inputs->layers[layer].dtype, state = states->inputs->config->state.dtype;
    return rls_dtype_size(file) < rls_dtype_size(state) ? file : state;
}

static int64_t largest_step(const rls_states *states)
{
    return states->step < states->inputs->edits ? states->step : states->inputs->edits;
}

/* Bytes on the fullest rank of a p x q grid. */
static double bytes_needed(const rls_states *states, int p, int q)
{
    double total = OVERHEAD_BYTES, work = 0.0, most_extra = 0.0;
    const rls_inputs *in = states->inputs;
    const int64_t step = largest_step(states);
    for (int i = 0; i < states->count; i++) {
        const rls_editor_options o = options_for(states, i);
        const rls_dim row = {o.n, o.block, p}, col = {o.m, o.block, q};
        const int64_t rows = rls_dim_count(row, 0), cols = rls_dim_count(col, 0);
        const double x = (double)rows * (double)cols;
        const double panels = rls_editor_bytes(&o, p, q, step);
        total += rls_editor_bytes(&o, p, q, 0) + rls_drift_bytes(o.dtype, drift_dtype(states, i), rows, cols);
        const double inverse = rls_spd_invert_bytes(o.dtype, o.n, o.block, p, q); /* before the first panel */
        work = fmax(work, fmax(panels, inverse));
        /* One layer after another: for a pull before the start, for the proof at the end. */
        const double extra = x * (double)rls_dtype_size(o.dtype) *
                             (states->proof       ? 3.0
                              : in->anchor_values ? 1.0
                                                  : 0.0);
        most_extra = extra > most_extra ? extra : most_extra;
    }
    return total + work + most_extra;
}

double rls_states_bytes(const rls_states *states)
{
    return bytes_needed(states, states->grid->p, states->grid->q);
}

static void squarest(int ranks, int *p, int *q)
{
    *p = rls_grid_automatic_rows(ranks);
    *q = ranks / *p;
}

/* Fewer edits a step, down to a batch, until every rank has the memory. Collective. */
static void fit_step(rls_states *states, double available)
{
    const rls_inputs *in = states->inputs;
    while (states->step > in->config->batch &&
           bytes_needed(states, states->grid->p, states->grid->q) > available)
        states->step = rls_cut_whole_batches(in, states->step / 2);
    MPI_Allreduce(MPI_IN_PLACE, &states->step, 1, MPI_INT64_T, MPI_MIN, in->ctx->comm);
}

static rls_status check_memory(const rls_states *states, double available)
{
    const rls_inputs *in = states->inputs;
    rls_context *ctx = in->ctx;
    const double need = bytes_needed(states, states->grid->p, states->grid->q);
    char need_text[32], have_text[32], total_text[32];
    if (need <= available)
        return RLS_OK;
    (void)rls_bytes_text(need, need_text);
    (void)rls_bytes_text(available, have_text);
    (void)rls_bytes_text(bytes_needed(states, 1, 1), total_text);
    for (int ranks = ctx->size + 1; ranks <= 1 << 20 && available > OVERHEAD_BYTES; ranks += 1 + ranks / 64) {
        int p = 1, q = 1;
        squarest(ranks, &p, &q);
        if (p * 8 >= q && bytes_needed(states, p, q) <= available)
            return rls_fail(ctx, RLS_ERR_MEMORY,
                            "the states need %s a rank on %d ranks, but only %s a rank are there: use about "
                            "%d ranks of this size (that is, "
                            "more nodes), fewer layers, state.dtype float32, or a smaller batch",
                            need_text, ctx->size, have_text, ranks);
    }
    return rls_fail(
        ctx, RLS_ERR_MEMORY,
        "the states need %s a rank on %d ranks, but only %s a rank are there, too little for any "
        "number of ranks: the states are %s in all, with what each rank needs for batches of %lld "
        "edits; use a smaller batch, or nodes with more memory a rank",
        need_text, ctx->size, have_text, total_text, (long long)largest_step(states));
}

/* A process row or column without a useful block would only slow the others down. Local; equal on all ranks.
 */
static rls_status check_sizes(const rls_states *states)
{
    const rls_grid *grid = states->grid;
    for (int i = 0; i < states->count; i++) {
        const rls_layer_spec *layer = &states->inputs->layers[i];
        const int64_t most = (layer->n + SMALLEST_USEFUL_BLOCK - 1) / SMALLEST_USEFUL_BLOCK;
        if (grid->p > most || grid->q > most)
            return rls_fail(grid->ctx, RLS_ERR_USAGE,
                            "a grid of %d x %d ranks is too large for layer %d: its %lld keys' elements make "
                            "%lld blocks of %d, so no more than "
                            "%lld process rows or columns are useful. Use fewer ranks",
                            grid->p, grid->q, layer->number, (long long)layer->n, (long long)most,
                            SMALLEST_USEFUL_BLOCK, (long long)most);
    }
    return RLS_OK;
}

rls_status rls_states_prepare(const rls_inputs *inputs, bool proof, int64_t step, rls_states **out)
{
    rls_context *ctx = inputs->ctx;
    void *memory = NULL, *state = NULL;
    double available = 0.0;
    *out = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_states), &memory);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, inputs->layer_count, sizeof(rls_state), &state);
    status = rls_agree(ctx, status);
    if (status != RLS_OK) {
        free(memory);
        free(state);
        return status;
    }
    rls_states *states = memory;
    *states = (rls_states){
        .inputs = inputs, .proof = proof, .step = step, .count = inputs->layer_count, .state = state};
    const int64_t p = inputs->config->grid.shape[0], q = inputs->config->grid.shape[1];
    status =
        rls_grid_create(ctx, p > INT_MAX ? INT_MAX : (int)p, q > INT_MAX ? INT_MAX : (int)q, &states->grid);
    if (status == RLS_OK)
        status = rls_memory_available(ctx, &available);
    if (status == RLS_OK)
        fit_step(states, available);
    if (status == RLS_OK) {
        status = check_sizes(states);
        if (status == RLS_OK)
            status = check_memory(states, available);
        status = rls_agree(ctx, status);
    }
    if (status == RLS_OK && states->step < step)
        rls_log(ctx, RLS_LOG_INFO,
                "the memory is enough for steps of %lld edits, not of %lld as they would be fastest",
                (long long)states->step, (long long)step);
    if (status == RLS_OK)
        status = rls_workspace_create(states->grid, &states->workspace);
    if (status != RLS_OK)
        rls_states_destroy(&states);
    *out = states;
    return status;
}

static void free_layer(rls_state *state)
{
    rls_drift_destroy(&state->drift);
    rls_editor_destroy(&state->editor);
}

void rls_states_destroy(rls_states **states)
{
    rls_states *s = *states;
    if (s == NULL)
        return;
    for (int i = 0; i < s->count; i++)
        free_layer(&s->state[i]);
    rls_workspace_destroy(&s->workspace);
    rls_grid_destroy(&s->grid);
    free(s->state);
    free(s);
    *states = NULL;
}

rls_status rls_states_each_anchor(const rls_states *states, int layer, rls_anchor_taker *take, void *user)
{
    const rls_inputs *in = states->inputs;
    const int number = in->layers[layer].number;
    const int64_t total = in->anchor != NULL ? rls_stream_inquire(in->anchor)->edits : 0;
    rls_stream_share keys = {0}, values = {0};
    rls_status status = RLS_OK;
    for (int64_t first = 0; first < total && status == RLS_OK; first += ANCHOR_ROUND) {
        const int64_t count = total - first < ANCHOR_ROUND ? total - first : ANCHOR_ROUND;
        status = rls_stream_read(in->anchor, number, RLS_STREAM_KEYS, first, count, in->config->state.dtype,
                                 &keys);
        if (status == RLS_OK && in->anchor_values)
            status = rls_stream_read(in->anchor, number, RLS_STREAM_VALUES, first, count,
                                     in->config->state.dtype, &values);
        if (status == RLS_OK)
            status = take(user, &keys.vectors, in->anchor_values ? &values.vectors : NULL);
    }
    rls_stream_share_free(&keys);
    rls_stream_share_free(&values);
    return status;
}

static rls_status take_anchor(void *user, const rls_vectors *keys, const rls_vectors *values)
{
    return rls_editor_anchor_keys(user, keys, values);
}

static rls_status load_weight(rls_states *states, int layer)
{
    const rls_inputs *in = states->inputs;
    rls_state *state = &states->state[layer];
    rls_status status =
        rls_tensor_load(in->model, in->layers[layer].tensor, in->lines, rls_editor_weight(state->editor));
    if (status == RLS_OK)
        status = rls_drift_create(state->editor, drift_dtype(states, layer), &state->drift);
    return status;
}

static rls_status load_anchor(rls_states *states, int layer)
{
    const rls_inputs *in = states->inputs;
    rls_editor *editor = states->state[layer].editor;
    rls_status status = RLS_OK;
    if (in->moments != NULL) {
        status = rls_moments_load(in->moments, in->layers[layer].number, rls_editor_inv_cov(editor));
        if (status == RLS_OK)
            status = rls_editor_anchor_moment(editor, in->config->anchor.weight);
    }
    if (status == RLS_OK)
        status = rls_states_each_anchor(states, layer, take_anchor, editor);
    return status;
}

static rls_status make_layer(rls_states *states, int layer)
{
    const rls_editor_options options = options_for(states, layer);
    const double start = rls_profile_start();
    rls_status status = rls_editor_create(states->grid, &options, &states->state[layer].editor);
    (void)rls_profile_add(states->inputs->ctx, "allocate", start, 0.0, 0.0);
    if (status == RLS_OK)
        status = load_weight(states, layer);
    return status;
}

static rls_status start_layer(rls_states *states, int layer)
{
    rls_context *ctx = states->inputs->ctx;
    rls_state *state = &states->state[layer];
    rls_status status = make_layer(states, layer);
    if (status == RLS_OK)
        status = load_anchor(states, layer);
    if (status == RLS_OK)
        status = rls_editor_start(state->editor, &state->smallest_pivot);
    if (status != RLS_ERR_NUMERIC)
        return status;
    char *message = NULL; /* which layer it was; the same on all ranks */
    const rls_status copied = rls_strdup(ctx, rls_context_message(ctx), &message);
    if (copied == RLS_OK)
        status = rls_fail(ctx, status, "layer %d: %s", states->inputs->layers[layer].number, message);
    free(message);
    return rls_agree(ctx, status);
}

rls_status rls_states_start(rls_states *states)
{
    rls_status status = RLS_OK;
    for (int i = 0; i < states->count && status == RLS_OK; i++) {
        status = start_layer(states, i);
        if (status == RLS_OK)
            rls_log(states->inputs->ctx, RLS_LOG_INFO,
                    "layer %d: W %lld x %lld loaded, C_0 built (smallest pivot of A_0 %.3g)",
                    states->inputs->layers[i].number, (long long)states->inputs->layers[i].m,
                    (long long)states->inputs->layers[i].n, states->state[i].smallest_pivot);
    }
    return status;
}

/* A layer's checkpoint file and figures: the manifest's "layers" in the order of the states. */
static rls_checkpoint_layer checkpoint_layer(const rls_states *states, int layer)
{
    rls_editor *editor = states->state[layer].editor;
    return (rls_checkpoint_layer){states->inputs->layers[layer].number, rls_editor_inv_cov(editor),
                                  rls_editor_weight(editor)};
}

static double figure(const json_t *layer, const char *name)
{
    return json_number_value(json_object_get(layer, name));
}

static rls_status restore_layer(rls_states *states, int i, const char *dir, int64_t step,
                                const json_t *manifest)
{
    const json_t *saved = json_array_get(json_object_get(manifest, "layers"), (size_t)i);
    rls_state *state = &states->state[i];
    const rls_checkpoint_layer layer = checkpoint_layer(states, i);
    rls_status status = rls_checkpoint_load_checked(states->inputs->ctx, dir, step, manifest, &layer);
    if (status == RLS_OK)
        status =
            rls_editor_restore(state->editor, figure(saved, "objective"), figure(saved, "anchor_misfit"));
    if (status != RLS_OK)
        return status;
    rls_drift_restore(state->drift, figure(saved, "delta_norm"), figure(saved, "edits_residual2"));
    state->smallest_pivot = figure(saved, "anchor_pivot");
    return RLS_OK;
}

rls_status rls_states_make(rls_states *states)
{
    rls_status status = RLS_OK;
    for (int i = 0; i < states->count && status == RLS_OK; i++)
        status = states->state[i].editor == NULL ? make_layer(states, i) : RLS_OK;
    return status;
}

rls_status rls_states_restore(rls_states *states, const char *dir, int64_t step, const json_t *manifest)
{
    rls_status status = rls_agree(states->inputs->ctx, rls_fault(states->inputs->ctx, RLS_FAULT_resume_load));
    for (int i = 0; i < states->count && status == RLS_OK; i++)
        status = restore_layer(states, i, dir, step, manifest);
    for (int i = 0; i < states->count && status != RLS_OK; i++)
        free_layer(&states->state[i]); /* what has been read is of no use */
    return status;
}

rls_status rls_states_save(const rls_states *states, const char *dir, int64_t step, const char *token,
                           json_t *manifest)
{
    rls_context *ctx = states->inputs->ctx;
    void *memory = NULL;
    json_t *figures = json_array();
    rls_status status = rls_agree(ctx, rls_alloc(ctx, states->count, sizeof(rls_checkpoint_layer), &memory));
    rls_checkpoint_layer *layers = memory;
    for (int i = 0; i < states->count && status == RLS_OK; i++) {
        const rls_state *state = &states->state[i];
        const double misfit = rls_editor_anchor_misfit(state->editor);
        layers[i] = checkpoint_layer(states, i);
        json_array_append_new(
            figures,
            json_pack("{s:i, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "layer", layers[i].number, "n",
                      (json_int_t)states->inputs->layers[i].n, "m", (json_int_t)states->inputs->layers[i].m,
                      "objective", rls_editor_objective(state->editor), "anchor_misfit", misfit, "delta_norm",
                      rls_drift_norm(state->drift), "edits_residual2",
                      rls_drift_edits_residual2(state->drift), "anchor_pivot", state->smallest_pivot));
    }
    if (manifest != NULL)
        (void)json_object_set(manifest, "layers", figures);
    json_decref(figures);
    if (status == RLS_OK)
        status = rls_checkpoint_write(ctx, dir, step, token, layers, states->count, manifest);
    else
        json_decref(manifest);
    free(memory);
    return status;
}
