/* A record without its longest fields that nobody reads: in CounterFact these are more than half of the
 * bytes, and a JSON parser takes its time for every one of them. */
#ifndef CORPUS_FACTS_SKIM_H
#define CORPUS_FACTS_SKIM_H

#include <stdint.h>

#include "base/context.h"

typedef struct {
    char *text;
    int64_t bytes, room;
} rls_skimmed;

/* Copies the JSON object that begins at text into out, with empty lists as attribute_prompts and
 * generation_prompts. Not collective.
 * *end: where the object ends, judged by its brackets alone; 0: it does not, or it is no object. What is left
 * out is not checked in any other way. Returns RLS_ERR_MEMORY. Free out->text with free(), also then. */
RLS_NODISCARD rls_status rls_fact_skim(rls_context *ctx, const char *text, int64_t bytes, rls_skimmed *out,
                                       int64_t *end);

#endif
