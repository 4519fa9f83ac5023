/* summary.json: what a finished run came to. Rank 0 makes it from what all ranks know. */
#ifndef RUN_SUMMARY_H
#define RUN_SUMMARY_H

#include "editor/optimality.h"
#include "run/run.h"

/* One layer's part of the result. */
typedef struct {
    double weight_norm, fit_error;
    rls_proof proof; /* with --verify */
} rls_layer_result;

/* The run's summary from the layers' results. NULL when there is no memory. Not collective. */
json_t *rls_run_summary(const rls_run *run, const rls_layer_result *results);

#endif
