/* What a run writes down: a line of log.jsonl a batch, and summary.json. Rank 0 makes them from what all
 * ranks know. */
#ifndef SESSION_SUMMARY_H
#define SESSION_SUMMARY_H

#include <jansson.h>

#include "editor/optimality.h"
#include "session/states.h"

/* One layer's part of a batch. */
typedef struct {
    rls_step_report step;
    double delta_norm, delta_bound, objective;
    double seconds_read, seconds_step, seconds_drift;
    rls_vectors keys, values; /* this rank's share of the batch, as applied */
} rls_layer_report;

/* One layer's part of the result. */
typedef struct {
    double weight_norm, fit_error;
    rls_proof proof; /* with --verify */
} rls_layer_result;

typedef struct {
    int64_t edits, batches;
    double started, seconds;
    double peak_bytes, largest_peak_bytes; /* resident: summed over ranks, and of one */
} rls_run_totals;

/* Fills in the peak resident bytes. Collective. */
void rls_run_totals_peak(rls_run_totals *totals, const rls_context *ctx);

/* The line of a batch of `count` edits. NULL when there is no memory. Not collective. */
json_t *rls_batch_line(const rls_states *states, const rls_run_totals *totals, int64_t count,
                       const rls_layer_report *reports);

#endif
