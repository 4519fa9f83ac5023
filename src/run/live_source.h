/* Facts edited on the live model as a source of batches. */
#ifndef RUN_LIVE_SOURCE_H
#define RUN_LIVE_SOURCE_H

#include "live/value_search.h"
#include "run/live_setup.h"
#include "run/source.h"

/* A source over the inputs' facts; the setup, whose model takes the states' weights as they are before each
 * reading, outlives it. watch: is told how far a search is. Collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_live_source(rls_states *states, const rls_live_setup *setup,
                                         const rls_value_watch *watch, rls_source **out);

#endif
