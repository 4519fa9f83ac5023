/* What a run directory tells of what was edited into what. */
#ifndef EVAL_RUN_H
#define EVAL_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

typedef struct {
    char *model;         /* RUN/model */
    char *original;      /* the model that was edited, which may be gone */
    char *facts;         /* their file; NULL for a recorded stream */
    char *digest;        /* rls_facts_digest of the facts that were edited; NULL: not known */
    int64_t edits;       /* that were applied: the facts' first so many */
    char *accept_config; /* keys of config.json that it accepted; NULL: none */
    bool skip;           /* wrong records of the facts were left out */
} rls_eval_run;

/* Reads run.json and summary.json of a finished run, which is not locked. Collective; equal on all ranks.
 * Returns RLS_ERR_USAGE when it is not finished, RLS_ERR_DATA when it is no run or damaged, RLS_ERR_IO,
 * RLS_ERR_MEMORY. Free with rls_eval_run_free, also after a failure. */
RLS_NODISCARD rls_status rls_eval_run_read(rls_context *ctx, const char *path, rls_eval_run *out);
void rls_eval_run_free(rls_eval_run *run);

#endif
