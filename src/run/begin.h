/* How a run begins. */
#ifndef RUN_BEGIN_H
#define RUN_BEGIN_H

#include "run/run.h"

/* Decides between a new and a resumed run, opens and checks the inputs, and brings the states to where the
 * journal ends. Collective. After a failure too, rls_run_end closes everything. */
RLS_NODISCARD rls_status rls_run_begin(rls_run *run);

#endif
