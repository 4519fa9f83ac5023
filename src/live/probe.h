/* How probable the wanted answers of facts are on the model as it is. */
#ifndef LIVE_PROBE_H
#define LIVE_PROBE_H

#include "live/edit_tokens.h"
#include "llm/pass.h"

/* Adds p(target | prompt), the product over the target's tokens, of `count` facts behind the empty context to *sum.
 * Collective over the group of llm; the same on its ranks; reports on its context. In chunks of at most the token
 * budget. Returns RLS_ERR_NUMERIC, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_live_probe(rls_llm *llm, int64_t count, const rls_edit_tokens *facts,
                                        double *sum);

#endif
