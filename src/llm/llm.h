/*
 * A language model on the ranks of a context.
 *
 *     rls_llm_open ->  rls_pass_create, rls_pass_run, rls_pass_loss, rls_pass_backward  (llm/pass.h)
 *                      rls_generate (llm/generate.h)         -> rls_llm_close
 *
 * Functions that are "collective over the group" are called by the tensor ranks of one data group with equal
 * arguments, and groups do not wait for each other; their failures are reported on the group's context. When
 * the groups are done with their shares of the work, rls_llm_agree ends it for all.
 */
#ifndef LLM_LLM_H
#define LLM_LLM_H

#include "llm/architecture.h"
#include "llm/partition.h"
#include "llm/weights.h"
#include "tokenizer/tokenizer.h"

typedef struct {
    int tensor_ranks;     /* 0: as few as hold the model in the memory there is */
    int64_t token_budget; /* most tokens of one pass, which bounds its workspace; 0: RLS_TOKEN_BUDGET */
    int64_t kept_from;    /* passes shall be able to keep the blocks from this one on; 0: none */
    double reserved;      /* bytes a rank that something else will take */
    bool no_tokenizer;    /* tokenizer.json is not read and not missed; rls_llm.tokenizer is then NULL */
} rls_llm_options;

enum { RLS_TOKEN_BUDGET = 4096 };

typedef struct {
    rls_context *ctx;
    rls_architecture arch;
    rls_partition part;
    rls_weights weights;
    rls_tokenizer *tokenizer;
    float *rotary; /* cos and sin by position; see rls_rotary_table in llm/ops.h */
    int64_t token_budget;
    struct rls_pass_room *spare; /* memory that destroyed passes left to the next one */
} rls_llm;

/* Opens the model directory at path: configuration, tokenizer, weights.
 * Collective over ctx. options: NULL for the defaults. On failure *out is NULL.
 * Needs on a rank its slices, rls_pass_bytes of the token budget and the blocks kept, and what is reserved.
 * Returns RLS_ERR_DATA (also a tokenizer with more ids than the embedding has rows), RLS_ERR_USAGE
 * (tensor_ranks does not divide the ranks), RLS_ERR_IO, RLS_ERR_MEMORY (with the bytes a rank that are needed
 * and there). */
RLS_NODISCARD rls_status rls_llm_open(rls_context *ctx, const char *path, const rls_llm_options *options,
                                      rls_llm **out);

/* Frees it and sets *llm to NULL. Collective. NULL is accepted. */
void rls_llm_close(rls_llm **llm);

/* The worst status of all ranks, with its message on ctx. Collective over ctx. */
RLS_NODISCARD rls_status rls_llm_agree(rls_llm *llm, rls_status local);

#endif
