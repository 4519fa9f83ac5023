/*
 * Facts to edit: requests in the words of CounterFact and multi_counterfact (also nested under
 * requested_rewrite), of ZsRE, of EasyEdit, or plain {"prompt", "subject", "target"}; JSONL or a JSON array.
 *
 *     prompt       prompt, src; the subject stands in it as {} (once) or literally (its first place counts)
 *     target       target_new, target, answers, alt: a text, {"str": text}, or the first in a list of them
 *     target_true  target_true, ground_truth; <|endoftext|> is nothing
 *     paraphrases  paraphrase_prompts, rephrase_prompts, rephrase_prompt, rephrase: a text or a list
 *     neighborhood neighborhood_prompts; locality_prompt with locality_ground_truth; loc with loc_ans
 *     same_subject same_subject_prompts: {"prompt", "target"} each
 *     weight, case_id (a number; else the record's own number in the file, from 0)
 *
 * Of several names the first that is there counts. ZsRE's src, answers, loc are read as MEMIT reads them: the
 * target is the first answer, not alt, and the question loc gets a question mark. Questions without text are
 * left out. Fields of other names are not read; in the first record, those that look mistyped are logged.
 */
#ifndef CORPUS_FACTS_H
#define CORPUS_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

/* A question beside an edit, with its answer (NULL: the fact's true target). */
typedef struct {
    const char *prompt, *target;
} rls_fact_prompt;

typedef struct {
    int64_t count;
    const rls_fact_prompt *item;
} rls_fact_prompts;

typedef struct {
    int64_t line; /* in the file, from 1 (of the record's beginning) */
    int64_t case_id;
    const char *prompt; /* with {} where the subject stands */
    const char *subject;
    const char *target;            /* what shall be answered, without space before it */
    const char *target_true;       /* what was answered; NULL: not known */
    double weight;                 /* of the edit in the objective, > 0 */
    rls_fact_prompts paraphrases;  /* asked for the target */
    rls_fact_prompts neighborhood; /* asked for what is to stay */
    rls_fact_prompts same_subject; /* other facts of the subject, to stay */
} rls_fact;

typedef struct rls_facts rls_facts;

/* What to do with records that are wrong. */
typedef enum { RLS_FACTS_STOP, RLS_FACTS_SKIP } rls_facts_policy;

/* Reads the facts of a file.
 * Collective; rank 0 reads, all ranks have them after. limit: at most so many (0: all).
 * Returns RLS_ERR_DATA naming line and field (with RLS_FACTS_SKIP wrong records are left out, counted and the
 * first few logged; none left is an error), RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_facts_read(rls_context *ctx, const char *path, rls_facts_policy policy,
                                        int64_t limit, rls_facts **out);

/* Frees them and sets *facts to NULL. Not collective. NULL is accepted. */
void rls_facts_free(rls_facts **facts);

/* How many there are, how many were skipped, and fact i. Not collective. They stay the facts'. */
int64_t rls_facts_count(const rls_facts *facts);
int64_t rls_facts_skipped(const rls_facts *facts);
const rls_fact *rls_facts_get(const rls_facts *facts, int64_t i);

/* The prompt with the subject in its place, in *text (free with free()); subject_end: bytes up to the
 * subject's end. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_fact_text(rls_context *ctx, const rls_fact *fact, char **text,
                                       int64_t *subject_end);

/* XXH3-128 of what the facts ask for (prompt, subject, target, weight), as text: equal for equal edits in
 * equal order. Not collective. */
void rls_facts_digest(const rls_facts *facts, char text[33]);

#endif
