/* Continuing prompts: what `rlsedit ask` does. */
#ifndef LLM_ASK_H
#define LLM_ASK_H

#include <stddef.h>

#include "llm/llm.h"

typedef struct {
    const char *model;          /* the Hugging Face directory */
    const char *const *prompts; /* NUL-terminated */
    size_t count;
    const char *file;   /* more prompts, after those: a corpus (corpus/corpus.h); NULL: none */
    const char *field;  /* of a corpus of JSON; NULL: "text" */
    int64_t tokens;     /* most new tokens a prompt */
    int64_t top_k;      /* 1: greedy */
    double temperature; /* 0: 1 */
    uint64_t seed;
    bool past_eos;    /* goes on after an end of text */
    int tensor_ranks; /* 0: chosen */
} rls_ask_request;

typedef struct {
    char *prompt, *text; /* as given; what was added to it. UTF-8, NUL-terminated */
    int64_t prompt_bytes, text_bytes;
    int32_t *id; /* of the new tokens */
    int64_t tokens;
} rls_answer;

typedef struct {
    int64_t count;
    rls_answer *answer;
} rls_answers;

/* Continues all prompts, in order: dealt over the data groups, gathered on rank 0. The prompts are checked
 * before the weights are read.
 * Collective. request: equal on all ranks. *out: on rank 0; empty on the others; free with rls_answers_free,
 * also after a failure. The answers depend neither on the number of ranks (up to rounding) nor on the other
 * prompts, but for the seed's: prompt i draws from stream i.
 * Returns RLS_ERR_DATA naming the prompt (empty, not UTF-8 with the byte offset, beyond the context) or what
 * is wrong with model or file, RLS_ERR_USAGE, RLS_ERR_IO, RLS_ERR_MEMORY, RLS_ERR_NUMERIC. */
RLS_NODISCARD rls_status rls_ask(rls_context *ctx, const rls_ask_request *request, rls_answers *out);

/* The same with an open model; the request's model and tensor_ranks are ignored. Also returns RLS_ERR_USAGE
 * for a prompt beyond the model's token budget. Collective over llm->ctx. */
RLS_NODISCARD rls_status rls_ask_model(rls_llm *llm, const rls_ask_request *request, rls_answers *out);

void rls_answers_free(rls_answers *answers);

#endif
