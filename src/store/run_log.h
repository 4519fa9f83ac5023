/* log.jsonl when a run is resumed: which of its lines stay. */
#ifndef STORE_RUN_LOG_H
#define STORE_RUN_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

typedef struct {
    char *text; /* the log to go on with; free with free(), after a failure too */
    size_t bytes;
    int64_t lines;
    int64_t lost; /* of them, those that only say that a line was lost */
    bool damaged; /* there were whole lines that are not sound */
} rls_run_log;

/* Takes the sound lines that agree with the journal, up to the first one missing that will be logged again.
 * Not collective. text: the log as it is, NULL for none. ends [batches]: the journal's edits after each
 * batch. saved: batches that will not be applied again; a line of theirs that is missing is replaced by one
 * with "lost": true. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_run_log_compose(rls_context *ctx, const char *text, const int64_t *ends,
                                             int64_t batches, int64_t saved, rls_run_log *out);

#endif
