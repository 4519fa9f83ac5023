/* What a new run and a resumed one begin with in common: below run/begin.c and run/resume.c. */
#ifndef RUN_PREPARE_H
#define RUN_PREPARE_H

#include "run/run.h"

/* The absolute places of what the run is made from; NULL stays NULL. Collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_prepare_find_inputs(rls_run *run, const char *model, const char *stream,
                                                 const char *facts);

/* The states' grid, and for facts the language model. Collective. step: of rls_states_prepare; loss_layer,
 * contexts: of rls_live_open. */
RLS_NODISCARD rls_status rls_prepare_open_states(rls_run *run, int64_t step, int64_t loss_layer,
                                                 const json_t *contexts);

/* Paths inside the run directory, and the layers' reports. Collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_prepare_paths(rls_run *run);

/* The journal from segment `next` on, after the run's edits so far. Targets of a recorded stream stay in its
 * own type, which holds them exactly. Collective. Returns what rls_journal_open does. */
RLS_NODISCARD rls_status rls_prepare_open_journal(rls_run *run, int64_t next);

#endif
