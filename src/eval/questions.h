/* The questions that a fact is tried by, and a model's answers to them. */
#ifndef EVAL_QUESTIONS_H
#define EVAL_QUESTIONS_H

#include "base/progress.h"
#include "corpus/facts.h"
#include "eval/metrics.h"
#include "llm/llm.h"

typedef struct {
    rls_eval_kind kind;
    const char *prompt; /* NULL: the fact's own, with the subject in its place */
    const char *wanted; /* without space before it */
    const char *other;  /* the answer it shall be more probable than; NULL: none is known */
} rls_eval_question;

/* The numbers of a fact's questions are below this. Not collective. */
int64_t rls_eval_question_count(const rls_fact *fact);

/* Question i of the fact: its own prompt, paraphrases, neighbours, other facts of the subject. A neighbour
 * without an answer of its own is asked for the fact's true target against the new one. Returns false when it
 * has no answer, and cannot be asked. Not collective. */
bool rls_eval_question_get(const rls_fact *fact, int64_t i, rls_eval_question *out);

/* Names a fact with a question that is beyond the context, before a model's weights are read. Collective.
 * path: the facts' file, for messages. longest: tokens of the longest question with its answer, when that is
 * above RLS_TOKEN_BUDGET; else that. Returns RLS_ERR_DATA, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_eval_check(rls_context *ctx, const char *path, const rls_facts *facts,
                                        const rls_tokenizer *tokenizer, int64_t context, int64_t *longest);

/* Asks the model every question of every fact, in pieces, so that memory does not grow with the facts.
 * Collective over llm->ctx, arguments equal on all ranks. progress: has begun, and gets the facts that are
 * done, from `before` on. results [rls_facts_count]: equal on all ranks. Returns what rls_score_sequences
 * does. */
RLS_NODISCARD rls_status rls_eval_ask(rls_llm *llm, const char *path, const rls_facts *facts,
                                      rls_progress *progress, int64_t before, rls_eval_fact *results);

/* The fact that is number i of `count` evenly spread ones. Not collective. */
const rls_fact *rls_eval_spread(const rls_facts *facts, int64_t i, int64_t count);

#endif
