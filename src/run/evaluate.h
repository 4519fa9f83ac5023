/* Judging a finished run from its data: how well the edits hold, and the proof that the result is the
 * objective's minimum. */
#ifndef RUN_EVALUATE_H
#define RUN_EVALUATE_H

#include "editor/optimality.h"
#include "run/source.h"

/* sqrt(sum ||W K_i - V_i||^2 / sum ||V_i||^2) of a layer over all edits, with W as it is now.
 * Collective. Reads all of the source, in batches of `batch`. Returns RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_evaluate_fit(rls_source *source, int layer, int64_t batch, double *fit_error);

/* The proof of a layer: anchor and edits are read again. Takes three more matrices of the weight's size, and
 * C for the second moment: no step is possible afterwards. Collective. Returns RLS_ERR_DATA, RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_evaluate_proof(rls_source *source, int layer, int64_t batch, rls_proof *proof);

#endif
