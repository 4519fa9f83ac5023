/* Continuations of prompts, with a cache of keys and values. */
#ifndef LLM_GENERATE_H
#define LLM_GENERATE_H

#include "llm/pass.h"

typedef struct {
    int64_t most;       /* new tokens a prompt */
    int64_t top_k;      /* 1 (or 0): greedy; else sampled among the k most probable */
    double temperature; /* of the sampling; 0: 1 */
    uint64_t seed;      /* prompt i of the call draws from its own stream (seed, first_index + i) */
    int64_t first_index;
    bool past_eos; /* goes on after an end-of-text token */
} rls_generate_options;

/* Continues each prompt. ids[i] (prompts->count of them, {0} at first) gets the new tokens, without the
 * end-of-text token. A prompt stops at the context length.
 * Collective over the group; reports on its context. Prompts are done in turns of as many as have, with their
 * new tokens, no more tokens than the budget (but at least one), so that the cache is 2 x blocks x this
 * rank's key-value heads x head_dim x budget numbers. The result depends neither on the number of ranks nor
 * on how prompts are batched, up to rounding (which decides between tokens equally probable to float32).
 * Returns RLS_ERR_USAGE (a prompt beyond the budget, options that are negative),
 * RLS_ERR_DATA (an empty prompt, one beyond the context length, an unknown id), RLS_ERR_MEMORY,
 * RLS_ERR_NUMERIC. */
RLS_NODISCARD rls_status rls_generate(rls_llm *llm, const rls_sequences *prompts,
                                      const rls_generate_options *options, rls_ids *ids);

#endif
