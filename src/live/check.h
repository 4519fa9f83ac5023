/* What can be edited live, checked before any expensive work. */
#ifndef LIVE_CHECK_H
#define LIVE_CHECK_H

#include "corpus/facts.h"
#include "live/contexts.h"
#include "llm/llm.h"

/* Whether `blocks` [count] of `module` are what the runtime can replace. Not collective; equal on all ranks.
 * Returns RLS_ERR_CONFIG when the module is not the model's down projection, a layer is not there or they do
 * not ascend. */
RLS_NODISCARD rls_status rls_live_check_layers(rls_context *ctx, const char *module, const int64_t *blocks,
                                               int count, const rls_architecture *arch);

/* Tokenises all facts, dealt over the ranks, so that a bad one is named before any expensive work.
 * Collective over llm->ctx. Returns RLS_ERR_DATA naming the line, RLS_ERR_USAGE for one beyond the token
 * budget. */
RLS_NODISCARD rls_status rls_live_check_facts(rls_llm *llm, const rls_facts *facts,
                                              const rls_contexts *contexts);

#endif
