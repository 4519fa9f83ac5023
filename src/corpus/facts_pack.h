/* Facts as one rank hands them to the others: three arrays without pointers in them, and one of characters.
 */
#ifndef CORPUS_FACTS_PACK_H
#define CORPUS_FACTS_PACK_H

#include "base/context.h"
#include "corpus/facts.h"

enum { RLS_FACT_PARAPHRASES, RLS_FACT_NEIGHBORHOOD, RLS_FACT_SAME_SUBJECT, RLS_FACT_LISTS };

/* Texts are offsets of NUL-terminated strings in the pack's text; -1: none. */
typedef struct {
    int64_t prompt, target;
} rls_packed_prompt;

typedef struct {
    int64_t line, case_id;
    int64_t prompt, subject, target, target_true;
    double weight;
    int64_t first[RLS_FACT_LISTS], count[RLS_FACT_LISTS]; /* in the pack's prompts */
} rls_packed_fact;

typedef struct {
    char *text;
    rls_packed_prompt *prompt;
    rls_packed_fact *fact;
    int64_t bytes, prompts, facts; /* used */
    int64_t room[3];               /* of the same */
    int64_t skipped;
} rls_fact_pack;

/* Appends len bytes and a NUL; *offset is where they are. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_pack_text(rls_context *ctx, rls_fact_pack *pack, const char *text, size_t len,
                                       int64_t *offset);

/* Appends a prompt, and a fact. Not collective. Return RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_pack_prompt(rls_context *ctx, rls_fact_pack *pack, rls_packed_prompt prompt);
RLS_NODISCARD rls_status rls_pack_fact(rls_context *ctx, rls_fact_pack *pack, const rls_packed_fact *fact);

/* Frees the arrays. Not collective. */
void rls_pack_free(rls_fact_pack *pack);

/* Gives every rank rank 0's pack; the others' must be empty. Collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_pack_share(rls_context *ctx, rls_fact_pack *pack);

/* Makes facts of a pack, whose text they take. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_pack_open(rls_context *ctx, rls_fact_pack *pack, rls_facts **out);

#endif
