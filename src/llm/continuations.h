/* How probable a model finds given continuations of prompts. */
#ifndef LLM_CONTINUATIONS_H
#define LLM_CONTINUATIONS_H

#include "base/progress.h"
#include "llm/sequences.h"

/* Of the tokens of a sequence that are not given. */
typedef struct {
    double nll;     /* sum of -log p(token | all before it), natural logarithm */
    int64_t tokens; /* how many were predicted */
    int64_t right;  /* of which the most probable one */
    bool exact;     /* all of them; true for none */
} rls_continuation_score;

/* Scores count sequences, dealt over the data groups and packed to the token budget.
 * Collective over llm->ctx, arguments equal on all ranks. length [count]: the tokens of each, of
 * rls_sequences_measure. progress: NULL, or shows how far this rank's group is; it has begun. scores [count]:
 * equal on all ranks. Returns what the maker does, RLS_ERR_USAGE (a sequence longer than the token budget),
 * RLS_ERR_DATA, RLS_ERR_NUMERIC, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_score_sequences(rls_llm *llm, int64_t count, const int32_t *length,
                                             rls_sequence_maker *make, void *user, rls_progress *progress,
                                             rls_continuation_score *scores);

/* UTF-8. The target is what follows the prompt, with its leading space. */
typedef struct {
    const char *prompt, *target;
} rls_continuation;

/* -log p(target | prompt) of each pair, by rls_score_sequences, with what the tokenizer puts before a text.
 * Prompt and target are encoded together, as they would be read; the target's tokens are those after the
 * beginning that this has in common with the prompt encoded alone (a token across the border is the
 * target's). Collective over llm->ctx, arguments equal on all ranks. Returns RLS_ERR_DATA naming the pair
 * (not UTF-8, no target, beyond the context length) and as above. */
RLS_NODISCARD rls_status rls_score_continuations(rls_llm *llm, int64_t count, const rls_continuation *pairs,
                                                 rls_continuation_score *scores);

#endif
