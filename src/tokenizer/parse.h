/* Reading tokenizer.json. Nothing here is collective; every function returns RLS_ERR_DATA that names the
 * field at fault, or RLS_ERR_MEMORY. `where` is the file and the path to an object, for messages. */
#ifndef TOKENIZER_PARSE_H
#define TOKENIZER_PARSE_H

#include <jansson.h>

#include "tokenizer/steps.h"

enum { RLS_WHERE_MAX = 512 };

struct rls_tokenizer {
    rls_bpe bpe;
    rls_normal normal;
    rls_added_set raw, normalized; /* added tokens, by the text they are looked for in */
    rls_split split;
    rls_decode decode;
    bool decoder;          /* there is one: without, tokens are joined by spaces */
    bool template_read;    /* before and after are */
    rls_ids before, after; /* what goes around a text */
};

/* Refuses what is no object, and keys that are not among `known` (separated and surrounded by spaces). */
RLS_NODISCARD rls_status rls_field_known(rls_context *ctx, const char *where, const json_t *object,
                                         const char *known);

/* A boolean; fallback: 0 or 1 for one that is not there or null, -1 when it must be. */
RLS_NODISCARD rls_status rls_field_bool(rls_context *ctx, const char *where, const json_t *object,
                                        const char *key, int fallback, bool *out);

/* A text; fallback for one that is not there, NULL when it must be. *out lives as long as the object. */
RLS_NODISCARD rls_status rls_field_text(rls_context *ctx, const char *where, const json_t *object,
                                        const char *key, const char *fallback, const char **out);

/* An integer from 0 to most. */
RLS_NODISCARD rls_status rls_field_count(rls_context *ctx, const char *where, const json_t *object,
                                         const char *key, int64_t most, int64_t *out);

/* A list, or with object true an object. */
RLS_NODISCARD rls_status rls_field_items(rls_context *ctx, const char *where, const json_t *parent,
                                         const char *key, bool object, const json_t **out);

/* Reads the model and the added tokens; the normalizer must have been read. */
RLS_NODISCARD rls_status rls_tokenizer_read_tokens(rls_context *ctx, const char *file, const json_t *root,
                                                   rls_tokenizer *out);

/* Reads the normalizer; the pre-tokenizer and the decoder; the post-processor, after the tokens. */
RLS_NODISCARD rls_status rls_tokenizer_read_normal(rls_context *ctx, const char *file, const json_t *root,
                                                   rls_tokenizer *out);
RLS_NODISCARD rls_status rls_tokenizer_read_steps(rls_context *ctx, const char *file, const json_t *root,
                                                  rls_tokenizer *out);
RLS_NODISCARD rls_status rls_tokenizer_read_post(rls_context *ctx, const char *file, const json_t *root,
                                                 rls_tokenizer *out);

#endif
