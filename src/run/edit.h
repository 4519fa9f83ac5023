/* An editing run from inputs to an edited model: what `rlsedit edit` does. */
#ifndef RUN_EDIT_H
#define RUN_EDIT_H

#include "rlsedit/context.h"
#include "run/request.h"

/* Runs it: checks everything, builds or restores the states, applies all batches, each committed to
 * run/stream before it counts, writes checkpoints by policy, then run/model and summary.json. Collective over
 * the context. Returns RLS_STOPPED when asked to stop (everything saved: resume goes on); RLS_ERR_CONFIG,
 * RLS_ERR_USAGE, RLS_ERR_DATA, RLS_ERR_MEMORY before anything is written; RLS_ERR_NUMERIC when a
 * factorisation breaks down; RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_edit(rls_context *ctx, const rls_edit_request *request);

#endif
