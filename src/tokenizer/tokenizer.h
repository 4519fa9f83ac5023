/*
 * Text to token ids and back, from a model directory's tokenizer.json.
 *
 * Two kinds of byte-pair encoding are known, and anything else in the file is refused by name:
 *  - byte-level (the layouts of GPT-2, Llama-3 and Qwen2): optional NFC, pre-tokenizer patterns, bytes as
 *    printable characters, merges by rank, ignore_merges;
 *  - SentencePiece-style (the layouts of Llama-2 and Mistral): spaces become U+2581, byte fallback.
 * Added and special tokens are cut out of the text first. What the post-processor puts before and after a
 * text (<s>, <|begin_of_text|>) is added on request.
 */
#ifndef TOKENIZER_TOKENIZER_H
#define TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

typedef struct rls_tokenizer rls_tokenizer;

/* Token ids that grow: start with {0}, free with rls_ids_free. */
typedef struct {
    int32_t *id;
    int64_t count, capacity;
} rls_ids;
void rls_ids_free(rls_ids *ids);

/* Reads tokenizer.json of the model directory at path (rank 0) and makes it on every rank.
 * Collective. On failure *out is NULL. Returns RLS_ERR_DATA naming the file and the field or option at fault
 * (missing, malformed, unknown), RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_tokenizer_open(rls_context *ctx, const char *path, rls_tokenizer **out);

/* Makes one from the text of a tokenizer.json. name: for messages. Not collective. Errors as above. */
RLS_NODISCARD rls_status rls_tokenizer_parse(rls_context *ctx, const char *name, const char *text,
                                             int64_t bytes, rls_tokenizer **out);

/* Frees it and sets *tokenizer to NULL. Not collective. NULL is accepted. */
void rls_tokenizer_close(rls_tokenizer **tokenizer);

/* Appends the ids of a text of `bytes` bytes to ids; with special, also what the post-processor adds around
 * it. Not collective. Safe to call from several threads on one tokenizer.
 * Returns RLS_ERR_DATA with the byte offset when the text is not UTF-8, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_tokenizer_encode(rls_context *ctx, const rls_tokenizer *tokenizer,
                                              const char *text, int64_t bytes, bool special, rls_ids *ids);

/* The text of ids, NUL-terminated, in *text (free with free()) and its length in *bytes (may be NULL); with
 * skip_special, without special tokens. Not collective. Bytes that do not form UTF-8 become U+FFFD, and ids
 * that no token has become nothing, as the reference implementation has it. Returns RLS_ERR_DATA for a
 * negative id, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_tokenizer_decode(rls_context *ctx, const rls_tokenizer *tokenizer,
                                              const int32_t *id, int64_t count, bool skip_special,
                                              char **text, int64_t *bytes);

/* One more than the largest id. Not collective. */
int64_t rls_tokenizer_size(const rls_tokenizer *tokenizer);

/* The id of a token by its content (as in the vocabulary or the added tokens), or -1. Not collective. */
int32_t rls_tokenizer_id(const rls_tokenizer *tokenizer, const char *token);

#endif
