/* What a run writes down of a batch: its line of log.jsonl. Rank 0 makes it from what all ranks know. */
#ifndef RUN_BATCH_LINE_H
#define RUN_BATCH_LINE_H

#include <jansson.h>

#include "run/states.h"

/* One layer's part of a step. */
typedef struct {
    rls_step_report *steps; /* one a batch; they lie elsewhere */
    rls_drift_report *drifts;
    double seconds_read, seconds_step, seconds_drift;
    rls_vectors keys, values; /* this rank's share of the step, as applied */
} rls_layer_report;

/* A batch within its step. */
typedef struct {
    int64_t part, edits; /* its number in the step, from 0; its own edits */
    double of_step;      /* its share of the step's edits, and so of its seconds */
    double ended;        /* MPI_Wtime() when it would have been done */
} rls_batch_share;

typedef struct {
    int64_t edits, batches;
    double started, seconds;
    double peak_bytes, largest_peak_bytes; /* resident: summed over ranks, and of one */
} rls_run_totals;

/* Fills in the peak resident bytes. Collective. */
void rls_run_totals_peak(rls_run_totals *totals, const rls_context *ctx);

/* The line of a batch; the totals include it. NULL when there is no memory. Not collective. */
json_t *rls_batch_line(const rls_states *states, const rls_run_totals *totals, const rls_batch_share *batch,
                       const rls_layer_report *reports);

#endif
