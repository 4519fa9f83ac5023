/* Keys of facts at a layer, and the present output of the last edited block. */
#ifndef LIVE_KEYS_H
#define LIVE_KEYS_H

#include "live/edit_tokens.h"
#include "llm/pass.h"

typedef struct {
    float *key;    /* this rank's slice [inner.count, count]: means over the contexts */
    float *output; /* [hidden, count], behind the empty context; the same on every rank of the group */
} rls_edit_keys;

/* Reads the keys of `block` and the output of block `last` (>= block) at the subject's last token of `count`
 * facts, in chunks of at most the token budget. Only the tokens up to the subject are run.
 * Collective over the group of llm; reports on its context. Returns RLS_ERR_NUMERIC, RLS_ERR_MEMORY. Free
 * with rls_edit_keys_free, also after a failure. */
RLS_NODISCARD rls_status rls_edit_keys_read(rls_llm *llm, const rls_contexts *contexts, int64_t block,
                                            int64_t last, int64_t count, const rls_edit_tokens *facts,
                                            rls_edit_keys *out);
void rls_edit_keys_free(rls_edit_keys *keys);

#endif
