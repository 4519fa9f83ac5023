/* What a live run has learnt, over all its batches, as its log tells. */
#ifndef RUN_LEARNT_H
#define RUN_LEARNT_H

#include <jansson.h>

#include "run/run.h"

typedef struct {
    int64_t facts;           /* that the log tells of; 0: no live run */
    double below_stop_loss;  /* how many of them, by their search */
    double probability, nll; /* means: of the targets right after their batch, of the search's end */
    int64_t probed;          /* facts whose probability is known */
} rls_learnt;

/* Adds up log.jsonl. Rank 0; not collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_learnt_read(const rls_run *run, rls_learnt *out);

/* Says it in the log, with what to change when it is little. Rank 0. */
void rls_learnt_tell(const rls_run *run, const rls_learnt *learnt);

/* For summary.json: {facts, below_stop_loss: share, probability, nll}; NULL: no live run. */
json_t *rls_learnt_json(const rls_learnt *learnt);

#endif
