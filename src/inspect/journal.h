/* The journal of a run as inspect sees it. */
#ifndef INSPECT_JOURNAL_H
#define INSPECT_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/context.h"

typedef struct {
    int64_t segments, bytes; /* that are there */
    int64_t sound; /* of them, from the first on; without `verify` all without a gap are taken to be */
    int64_t edits, batches; /* in these */
    int64_t last_batches;   /* of them in the last segment */
    int64_t strays;         /* files that are no segments: nothing reads them */
    char stray[256];        /* one of them */
} rls_journal_view;

/* Looks at the journal in directory `path`: at its names and last manifest, or with `verify` at every byte.
 * Damage goes to the problems (rank 0's). Collective; with `verify` the view is equal on all ranks, else rank
 * 0's. No directory: all 0. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_inspect_journal(rls_context *ctx, const char *path, bool verify,
                                             json_t *problems, rls_journal_view *view);

/* Whether so many lines of log.jsonl fit the journal: all of them when the run is finished, perhaps not yet
 * those of the last segment when it was killed; more only when segments were set aside since (`aside`). Of
 * segments that are not sound it is only known that they have a batch. Not collective. */
bool rls_journal_fits_log(const rls_journal_view *view, int64_t lines, bool finished, bool aside);

#endif
