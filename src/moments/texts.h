/* The texts of a corpus as tokens, some ahead, and their shares for one pass of every data group. */
#ifndef MOMENTS_TEXTS_H
#define MOMENTS_TEXTS_H

#include "corpus/corpus.h"
#include "llm/pass.h"

/* Texts [first, first + count) as every rank knows them. */
typedef struct {
    rls_context *ctx;
    uint64_t seed; /* of the order in which the corpus's texts are taken; 0: as they come */
    const rls_tokenizer *tokenizer;
    const rls_corpus *corpus;
    int64_t max_length, end; /* tokens of a text; texts to take in all */
    int64_t first, count, tokens;
    int64_t *length;           /* [count] */
    int32_t *token;            /* [tokens] */
    int64_t seen, seen_tokens; /* so far, to guess how many texts make a pass */
} rls_texts;

/* The text of a corpus of `count` that comes at place i in the order of a seed: a permutation, from a Feistel
 * network on the next power of 4, walked until it falls below count (Black and Rogaway 2002). Not collective.
 */
int64_t rls_texts_order(uint64_t seed, int64_t count, int64_t i);

/* Starts at text `first` in the order. Not collective. */
void rls_texts_begin(rls_texts *texts, rls_context *ctx, const rls_tokenizer *tokenizer,
                     const rls_corpus *corpus, uint64_t seed, int64_t first, int64_t end, int64_t max_length);
void rls_texts_free(rls_texts *texts);

/* Drops texts below `position`, and encodes more until there are `wanted` tokens or no more texts; every rank
 * encodes its share. Collective. Returns RLS_ERR_DATA, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_texts_fill(rls_texts *texts, int64_t position, int64_t wanted);

/* One round: the texts that group `group` of `groups` passes through the model. */
typedef struct {
    int64_t end;               /* texts below it are done after the round */
    int64_t keys;              /* tokens of the round over all groups */
    int64_t sequences, tokens; /* of this group */
    int64_t *length;           /* [sequences] */
    int32_t *token;            /* [tokens] */
} rls_texts_round;

/* Deals the texts from the first known one on to the groups, each to the one with the fewest tokens, until
 * one does not fit its budget or text `stop` is reached. Equal on all ranks but for the group's own. Not
 * collective. Free with rls_texts_round_free. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_texts_deal(const rls_texts *texts, int64_t stop, int64_t budget, int groups,
                                        int group, rls_texts_round *out);
void rls_texts_round_free(rls_texts_round *round);

#endif
