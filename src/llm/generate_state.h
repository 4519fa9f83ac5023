/* Inside view of generation: lines of text that grow, and choosing their next tokens. */
#ifndef LLM_GENERATE_STATE_H
#define LLM_GENERATE_STATE_H

#include "llm/generate.h"
#include "llm/pass_state.h"

/* A prompt and its continuation. */
typedef struct {
    int64_t prompt; /* of the call */
    int64_t length; /* tokens in the cache */
    int64_t most;   /* new tokens it may get */
    int64_t offset; /* of its first token among the cache's */
    int64_t fresh;  /* new tokens so far */
    int32_t token;  /* the newest, which is not in the cache yet */
    bool done;
} rls_line;

/* Keys and values of a turn's lines: of block b, keys at (2 b) and values at (2 b + 1) times slots x rows. */
typedef struct {
    int64_t slots, rows; /* tokens, and this rank's key-value heads x head_dim */
    float *data;
    float *scores; /* slots of them */
} rls_cache;

/* Chooses line[i]'s next token from h[:, position[i]], greedily or among the top k. Collective over the
 * group. A rank whose status is not RLS_OK takes part with nothing. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_choose_tokens(rls_pass *pass, rls_status status,
                                           const rls_generate_options *options, int64_t count,
                                           rls_line *const *line, const int64_t *position);

#endif
