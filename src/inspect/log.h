/* The log of a run, log.jsonl, as inspect reads it: a line a batch, of which the last may be torn. */
#ifndef INSPECT_LOG_H
#define INSPECT_LOG_H

#include <stdbool.h>

#include <jansson.h>

#include "base/context.h"

typedef struct {
    json_t *last;  /* the last whole line; NULL: none */
    int64_t lines; /* whole ones; with `verify` only */
    bool torn;     /* bytes follow the last newline */
} rls_log_view;

/* Reads the last line; with `verify` also checks every line. What is wrong goes to the problems. Rank 0, not
 * collective. Returns RLS_ERR_MEMORY. Free view->last. */
RLS_NODISCARD rls_status rls_inspect_log(rls_context *ctx, const char *path, bool verify, json_t *problems,
                                         rls_log_view *view);

#endif
