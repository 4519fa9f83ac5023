/*
 * Batches made from facts on the model as it is edited.
 *
 * For each batch, z of every fact is searched on the current model (live/value_search.h). Then, layer by
 * layer, the layers below already updated: keys K_i (means over the contexts, of the down projection's input
 * at the subject's last token) and the present output h of the last edited block are read anew, and the
 * layer's residuals are (z - h) / (L - i) (Meng et al. 2023, "Mass-editing memory in a transformer"). A
 * fact's weight w counts in the objective: key, and with it the residual, are multiplied by sqrt(w).
 *
 * What is made of them, and when the model takes the weights that came of it, is the caller's.
 */
#ifndef LIVE_BATCH_H
#define LIVE_BATCH_H

#include "live/value_search.h"
#include "rlsedit/editor.h"

/* What batches are made from; all of it outlives them. */
typedef struct {
    rls_llm *llm;
    const rls_facts *facts;
    const rls_contexts *contexts;
    const struct rls_config_value *value;
    const int64_t *blocks; /* the edited ones, ascending */
    int layers;            /* how many they are */
    rls_value_watch watch; /* is told how far the search is */
} rls_live_options;

/* What searching the values of the last batch came to. Equal on all ranks. */
typedef struct {
    double loss, nll;                    /* means */
    double below_stop_loss;              /* share of the facts */
    double probability;                  /* mean of the targets', after the batch; NaN: not measured */
    int64_t steps;                       /* sum */
    double seconds_search, seconds_keys; /* of the batch, until now */
} rls_live_report;

typedef struct rls_live_batch rls_live_batch;

/* Makes room for batches. Collective over llm->ctx. Returns RLS_ERR_MEMORY; then *out is NULL. */
RLS_NODISCARD rls_status rls_live_create(const rls_live_options *options, rls_live_batch **out);

/* Frees it and sets *live to NULL. Not collective. NULL is accepted. */
void rls_live_destroy(rls_live_batch **live);

/* Begins the batch of facts [first, first + count): they are dealt over the ranks, and their z searched.
 * Collective. Returns RLS_ERR_DATA for a fact that cannot be edited, RLS_ERR_NUMERIC, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_live_search(rls_live_batch *live, int64_t first, int64_t count);

/* This rank's share of the batch at an edited layer (its index), on the model as it is: keys [n, .] and
 * residuals [m, .]. They stay the batch's and hold until the layer is read again. Collective. Returns
 * RLS_ERR_NUMERIC, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_live_read(rls_live_batch *live, int layer, rls_vectors *keys,
                                       rls_vectors *residuals);

/* Measures the probability of the batch's targets on the model as it is, which shall have taken what came of it.
 * Collective. Returns RLS_ERR_NUMERIC, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_live_measure(rls_live_batch *live);

/* The case_ids of this rank's share of the batch, and what its search came to. Not collective. */
const int64_t *rls_live_case_ids(const rls_live_batch *live);
const rls_live_report *rls_live_batch_report(const rls_live_batch *live);

#endif
