/* What editing facts needs besides the states: the language model and its contexts. */
#ifndef RUN_LIVE_SETUP_H
#define RUN_LIVE_SETUP_H

#include <jansson.h>

#include "live/contexts.h"
#include "run/states.h"

typedef struct {
    rls_llm *llm; /* NULL: no facts are edited */
    rls_contexts contexts;
    int64_t *blocks; /* the edited ones, as the inputs' layers */
} rls_live_setup;

/* Opens the model beside states that are prepared and not started yet, takes the contexts (those of a resumed
 * run, else the file of value.contexts, else the model's own), and checks all facts.
 * Collective. options: tensor_ranks and token_budget. loss_layer: where the hyperparameters take the loss,
 * which has to be the last layer; -1: not said. contexts: a resumed run's, of rls_contexts_json, or NULL.
 * Returns RLS_ERR_CONFIG, RLS_ERR_DATA, RLS_ERR_USAGE, RLS_ERR_IO, RLS_ERR_MEMORY; after a failure too,
 * rls_live_close frees it. */
RLS_NODISCARD rls_status rls_live_open(const rls_states *states, const char *model,
                                       const rls_llm_options *options, int64_t loss_layer,
                                       const json_t *contexts, rls_live_setup *out);

/* Collective. */
void rls_live_close(rls_live_setup *setup);

#endif
