/* An editing run from inputs to an edited model: what `rlsedit edit` does. */
#ifndef SESSION_EDIT_H
#define SESSION_EDIT_H

#include <stdio.h>

#include "base/config.h"

typedef struct {
    const rls_config *config;
    const char *model;  /* the Hugging Face directory to edit a copy of */
    const char *stream; /* recorded edits: a file, or a directory of segments */
    const char *run;    /* the run directory to make */
    bool verify;        /* add the proof of optimality to the summary */
    FILE *progress;     /* where rank 0 shows progress and the profile; NULL: nowhere */
} rls_edit_request;

/* Runs it: checks everything, builds the states, applies all batches, writes run/config.yaml, log.jsonl,
 * model/ and summary.json. Collective over the context. Returns RLS_ERR_CONFIG, RLS_ERR_USAGE, RLS_ERR_DATA,
 * RLS_ERR_MEMORY before anything is written; RLS_ERR_NUMERIC when a factorisation breaks down; RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_session_edit(rls_context *ctx, const rls_edit_request *request);

#endif
