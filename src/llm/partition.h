/*
 * How the ranks of a context share a model: (data groups) x (tensor ranks). Ranks of a group, neighbours in
 * rank order, hold one model between them; groups work on different sequences.
 *
 * A tensor rank has a contiguous share of the heads, of the MLP's inner width and of the vocabulary: share t
 * of T of x things is [x t / T, x (t + 1) / T), which may be empty. Key-value heads that its heads need are
 * copied to each rank that needs them.
 */
#ifndef LLM_PARTITION_H
#define LLM_PARTITION_H

#include "llm/architecture.h"

typedef struct {
    int64_t first, count;
} rls_share;

/* What a tensor rank has of a model. */
typedef struct {
    rls_share heads, kv_heads, inner, vocab;
} rls_shares;

typedef struct {
    rls_context *ctx;         /* all ranks; the caller's */
    rls_context *group;       /* this rank's group; failures in it reach ctx by rls_partition_agree */
    int tensor_ranks, tensor; /* ranks of a group, and which of them this is */
    int data_groups, data;    /* groups, and which this one is */
    rls_share heads, kv_heads, inner, vocab;
    int64_t inner_all; /* the model's inner width */
} rls_partition;

/* Share t of T of x things. Not collective. */
rls_share rls_share_of(int64_t x, int t, int T);

/* The shares of tensor rank t of T. Not collective. */
rls_shares rls_shares_of(const rls_architecture *arch, int t, int T);

/* Deals the ranks of ctx into groups of tensor_ranks, which must divide their number.
 * Collective. Free with rls_partition_free (collective). Returns RLS_ERR_USAGE, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_partition_init(rls_context *ctx, const rls_architecture *arch, int tensor_ranks,
                                            rls_partition *out);
void rls_partition_free(rls_partition *partition);

/* Ends what the groups did by themselves: the worst status over all ranks, with its message (the group's
 * context's becomes ctx's). Collective over all ranks. */
RLS_NODISCARD rls_status rls_partition_agree(rls_partition *partition, rls_status local);

#endif
