/* A fact as token sequences: behind every context, and in the prompt "{subject} is a". */
#ifndef LIVE_EDIT_TOKENS_H
#define LIVE_EDIT_TOKENS_H

#include "corpus/facts.h"
#include "live/contexts.h"

/* Sequence s of a fact, s < contexts: context s around the prompt, then the target without its last token;
 * sequence `contexts`: the subject's essence prompt, up to the subject. */
typedef struct {
    int64_t sequences; /* contexts + 1 */
    rls_ids ids;       /* of all, one after another */
    int64_t *length;   /* of each */
    int64_t *subject;  /* index in each sequence of the subject's last token */
    int64_t *given;    /* index in each of the target's first token; length for the essence prompt */
    rls_ids target;    /* the target's tokens of all sequences but the last */
    int64_t *targets;  /* how many of them belong to each */
    int64_t longest;
} rls_edit_tokens;

/* Tokens of a fact. Not collective. Prompt and target are encoded together; the subject's last token is the
 * one that holds its last byte. Returns RLS_ERR_DATA naming the fact's line (a target without tokens, a
 * sequence beyond the context length), RLS_ERR_MEMORY. Free with rls_edit_tokens_free, also after a failure.
 */
RLS_NODISCARD rls_status rls_edit_tokens_make(rls_context *ctx, const rls_tokenizer *tokenizer,
                                              const rls_architecture *arch, const rls_contexts *contexts,
                                              const rls_fact *fact, rls_edit_tokens *out);
void rls_edit_tokens_free(rls_edit_tokens *tokens);

/* Tokens of all sequences together, and of those up to the subject's last token behind the contexts. Not
 * collective. */
int64_t rls_edit_tokens_all(const rls_edit_tokens *tokens);
int64_t rls_edit_tokens_prompts(const rls_edit_tokens *tokens);

#endif
