/* Sequences of tokens that are made when they are needed: counting their tokens on all ranks together,
 * dealing them over the data groups, and bringing together what the groups made of them. */
#ifndef LLM_SEQUENCES_H
#define LLM_SEQUENCES_H

#include "llm/llm.h"

/* Appends the tokens of sequence i to ids, and says how many of them, at least 1, are given and not to be
 * predicted. Not collective: any rank asks for any sequence, as often as it likes, and gets the same. */
typedef rls_status rls_sequence_maker(rls_context *ctx, void *user, int64_t i, rls_ids *ids, int64_t *given);

/* The tokens of each of count sequences, made on all ranks together. Collective over ctx.
 * length [count], equal on all ranks: in: about how much work each is (bytes); out: its tokens. Returns what
 * the maker of the first sequence at fault does, RLS_ERR_DATA for 2^31 tokens or more. */
RLS_NODISCARD rls_status rls_sequences_measure(rls_context *ctx, int64_t count, rls_sequence_maker *make,
                                               void *user, int32_t *length);

/* The largest of length [count], at least `least`. Not collective. */
int64_t rls_sequences_longest(int64_t count, const int32_t *length, int64_t least);

/* Part `part` of `parts` of the sequences 0 ... count - 1: neighbours, with about equal sums of length. Not
 * collective. */
rls_share rls_sequences_deal(int64_t count, const int32_t *length, int part, int parts);

/* How many of the sequences that begin at `first` and end before `end` have at most `budget` tokens together,
 * but at least 1. Not collective. */
int64_t rls_sequences_fit(const int32_t *length, int64_t first, int64_t end, int64_t budget);

/* Brings together an array of which every element was set by one rank and is 0 on the others. Collective over
 * ctx. */
void rls_join_doubles(rls_context *ctx, int64_t count, double *x);
void rls_join_ints(rls_context *ctx, int64_t count, int32_t *x);

#endif
