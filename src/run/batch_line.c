#include "run/batch_line.h"

#include "base/memory.h"
#include "store/run_dir.h"

void rls_run_totals_peak(rls_run_totals *totals, const rls_context *ctx)
{
    const double mine = rls_memory_peak();
    MPI_Allreduce(&mine, &totals->peak_bytes, 1, MPI_DOUBLE, MPI_SUM, ctx->comm);
    MPI_Allreduce(&mine, &totals->largest_peak_bytes, 1, MPI_DOUBLE, MPI_MAX, ctx->comm);
}

json_t *rls_batch_line(const rls_states *states, const rls_run_totals *totals, const rls_batch_share *batch,
                       const rls_layer_report *reports)
{
    json_t *layers = json_array();
    for (int i = 0; i < states->count; i++) {
        const rls_layer_report *r = &reports[i];
        const rls_step_report *step = &r->steps[batch->part];
        const rls_drift_report *drift = &r->drifts[batch->part];
        json_array_append_new(
            layers, json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o}}", "layer",
                              states->inputs->layers[i].number, "innovation_before",
                              rls_json_real(step->innovation_before), "innovation_after",
                              rls_json_real(step->innovation_after), "delta_norm", rls_json_real(drift->norm),
                              "delta_bound", rls_json_real(drift->bound), "objective",
                              rls_json_real(step->objective), "trace", rls_json_real(step->trace),
                              "smallest_pivot", rls_json_real(step->smallest_pivot), "seconds", "read",
                              rls_json_real(batch->of_step * r->seconds_read), "step",
                              rls_json_real(batch->of_step * r->seconds_step), "drift",
                              rls_json_real(batch->of_step * r->seconds_drift)));
    }
    return json_pack("{s:I, s:I, s:I, s:o, s:o}", "batch", (json_int_t)totals->batches, "edits",
                     (json_int_t)totals->edits, "batch_edits", (json_int_t)batch->edits, "seconds",
                     rls_json_real(batch->ended - totals->started), "layers", layers);
}
