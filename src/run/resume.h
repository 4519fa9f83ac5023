/* How a run goes on: its checkpoint, its journal, and what may not have changed meanwhile. */
#ifndef RUN_RESUME_H
#define RUN_RESUME_H

#include "run/run.h"

/* The step that --resume names: "1200", "step-1200"; -1 for auto, and when it is not given. Not collective.
 * Returns RLS_ERR_USAGE. */
RLS_NODISCARD rls_status rls_resume_step(rls_context *ctx, const char *resume, int64_t *step);

/* Goes on with the run in its directory. Collective. See rls_run_begin. */
RLS_NODISCARD rls_status rls_run_resume(rls_run *run);

#endif
