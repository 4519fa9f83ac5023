/*
 * The live source: batches made from facts on the model as it is edited.
 *
 * For each batch, z of every fact is searched on the current model (live/value_search.h). Then, layer by
 * layer, the layers below already updated: keys K_i (means over the contexts, of the down projection's input
 * at the subject's last token) and the present output h of the last edited block are read anew, and the
 * layer's targets are V = W K_i + (z - h) / (L - i) (Meng et al. 2023, "Mass-editing memory in a
 * transformer"). A fact's weight w counts in the objective: key, and with it the target, are multiplied by
 * sqrt(w).
 */
#ifndef LIVE_BATCH_H
#define LIVE_BATCH_H

#include "live/value_search.h"
#include "run/source.h"

/* What searching the values of the last batch came to. Equal on all ranks. */
typedef struct {
    double loss, nll;                    /* means */
    double learnt;                       /* share below stop_loss */
    int64_t steps;                       /* sum */
    double seconds_search, seconds_keys; /* of the batch, until now */
} rls_live_report;

/* A live source over facts, which, like the model and the contexts, outlive it. The model takes the states'
 * weights as they are before each reading. Collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_live_source(rls_states *states, rls_llm *llm, const rls_facts *facts,
                                         const rls_contexts *contexts, rls_source **out);

/* The report of a live source's last batch; NULL for another kind. Not collective. */
const rls_live_report *rls_live_source_report(const rls_source *source);

/* Whether the edited layers are what the runtime can replace. Not collective; equal on all ranks. Returns
 * RLS_ERR_CONFIG when the module is not the model's down projection, a layer is not there or they do not
 * ascend.
 */
RLS_NODISCARD rls_status rls_live_layers(const rls_inputs *inputs, const rls_architecture *arch);

/* Tokenises all facts, dealt over the ranks, so that a bad one is named before any expensive work.
 * Collective over llm->ctx. Returns RLS_ERR_DATA naming the line, RLS_ERR_USAGE for one beyond the token
 * budget. */
RLS_NODISCARD rls_status rls_live_check(rls_llm *llm, const rls_facts *facts, const rls_contexts *contexts);

#endif
