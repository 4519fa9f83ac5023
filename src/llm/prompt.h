/* Prompts as token ids: where a target begins, and where a piece of text ends. */
#ifndef LLM_PROMPT_H
#define LLM_PROMPT_H

#include "tokenizer/tokenizer.h"

/* Appends the ids of a prompt and the target that follows it (with its leading space), encoded together, as
 * they would be read, with what the tokenizer puts before a text.
 * Not collective. given: how many ids, at least 1, are the prompt's: the beginning that they have in common
 * with the prompt encoded alone (a token across the border is the target's). Returns what
 * rls_tokenizer_encode does. */
RLS_NODISCARD rls_status rls_prompt_encode(rls_context *ctx, const rls_tokenizer *tokenizer,
                                           const char *prompt, const char *target, rls_ids *ids,
                                           int64_t *given);

/* The index of the token, of the count ids of a text, that holds the last one of its first `bytes` bytes.
 * Not collective. Returns what rls_tokenizer_encode does. */
RLS_NODISCARD rls_status rls_prompt_token_at(rls_context *ctx, const rls_tokenizer *tokenizer,
                                             const char *text, int64_t bytes, const int32_t *id,
                                             int64_t count, int64_t *index);

#endif
