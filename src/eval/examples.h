/* Questions with the answers that models give, for people to look at. */
#ifndef EVAL_EXAMPLES_H
#define EVAL_EXAMPLES_H

#include "eval/eval.h"
#include "llm/llm.h"

/* Makes the prompts of `count` facts, evenly spread, the result's examples. Collective over ctx. Returns
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_eval_examples_make(rls_context *ctx, const rls_facts *facts, int64_t count,
                                                rls_eval_result *result);

/* Lets the model answer the examples: into `before`, or `after`, on rank 0. Collective over llm->ctx. Returns
 * what rls_ask_model does. */
RLS_NODISCARD rls_status rls_eval_examples_answer(rls_llm *llm, bool before, rls_eval_result *result);

/* The first words of text, as many as wanted has, with a space between them and without the punctuation that
 * ends them, in *out (free with free()). Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_first_words(rls_context *ctx, const char *text, const char *wanted, char **out);

#endif
