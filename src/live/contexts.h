/*
 * Context prefixes: texts that a fact's prompt is tried behind, so that what is learnt does not hang on how a
 * text begins. Each has {} where the prompt stands; the first is always "{}" alone.
 *
 * Means over contexts (of keys) give the empty one weight 1/2 and the others 1/2 between them, as MEMIT does
 * it (Meng et al. 2023, "Mass-editing memory in a transformer").
 */
#ifndef LIVE_CONTEXTS_H
#define LIVE_CONTEXTS_H

#include <jansson.h>

#include "llm/llm.h"

typedef struct {
    int64_t count;
    char **text;
} rls_contexts;

/* Reads contexts, one a line; "{}" is put first when it is not there.
 * Collective; rank 0 reads. Returns RLS_ERR_DATA naming the line (not exactly one {}, not UTF-8), RLS_ERR_IO,
 * RLS_ERR_MEMORY. Free with rls_contexts_free. */
RLS_NODISCARD rls_status rls_contexts_read(rls_context *ctx, const char *path, rls_contexts *out);

/* Makes `prefixes` contexts besides the empty one from what the model says after The, Therefore, Because, I
 * and You: ten tokens each, sampled among the five most probable with `seed`.
 * Collective over llm->ctx; equal on all ranks. Returns what rls_generate does. */
RLS_NODISCARD rls_status rls_contexts_generate(rls_llm *llm, int64_t prefixes, uint64_t seed,
                                               rls_contexts *out);

/* Contexts as a JSON array of texts (NULL: no memory), and back. Not collective. Returns RLS_ERR_DATA,
 * RLS_ERR_MEMORY. */
json_t *rls_contexts_json(const rls_contexts *contexts);
RLS_NODISCARD rls_status rls_contexts_from_json(rls_context *ctx, const json_t *array, rls_contexts *out);

void rls_contexts_free(rls_contexts *contexts);

/* The weight of context i in a mean; the weights' sum is 1. Not collective. */
double rls_context_weight(const rls_contexts *contexts, int64_t i);

/* Context i around a text, in *out (free with free()); *before: bytes in front of the text. Not collective.
 */
RLS_NODISCARD rls_status rls_context_fill(rls_context *ctx, const rls_contexts *contexts, int64_t i,
                                          const char *text, char **out, int64_t *before);

#endif
