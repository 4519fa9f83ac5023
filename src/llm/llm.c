/* A language model on the ranks of a context: deciding how many ranks hold it, and opening it. */
#include "llm/llm.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/memory.h"
#include "llm/ops.h"
#include "llm/pass.h"

/* Bytes a rank needs when tensor_ranks share the model. */
static double needed_bytes(const rls_model_dir *dir, const rls_llm *llm, const rls_llm_options *o,
                           int tensor_ranks)
{
    const int64_t kept = o->kept_from > 0 ? llm->arch.blocks - o->kept_from : 0;
    return (double)rls_weights_bytes(dir, &llm->arch, tensor_ranks) +
           rls_pass_bytes(&llm->arch, tensor_ranks, llm->token_budget, kept) + o->reserved;
}

/* The smallest number of tensor ranks, a divisor of all, of which each has memory enough for its share. */
static rls_status choose_tensor_ranks(rls_context *ctx, const rls_model_dir *dir, const rls_llm *llm,
                                      const rls_llm_options *o, int *tensor_ranks)
{
    double there = 0.0, needed = 0.0;
    const int asked = o->tensor_ranks;
    const int first = asked > 0 ? asked : 1, last = asked > 0 ? asked : ctx->size;
    const rls_status status = rls_memory_available(ctx, &there);
    if (status != RLS_OK)
        return status;
    for (*tensor_ranks = first; *tensor_ranks <= last; ++*tensor_ranks) {
        if (ctx->size % *tensor_ranks != 0 && asked <= 0)
            continue;
        needed = needed_bytes(dir, llm, o, *tensor_ranks);
        if (needed <= there)
            return RLS_OK;
    }
    *tensor_ranks = last;
    char a[32], b[32];
    return rls_fail(ctx, RLS_ERR_MEMORY,
                    "%s: shared by %d ranks, the model and the workspace of %" PRId64
                    " tokens take %s a rank, and there are %s: use more nodes, more tensor ranks, or a "
                    "smaller token budget",
                    rls_model_dir_path(dir), last, llm->token_budget, rls_bytes_text(needed, a),
                    rls_bytes_text(there, b));
}

static rls_status open_tokenizer(rls_context *ctx, const char *path, rls_llm *llm)
{
    rls_status status = rls_tokenizer_open(ctx, path, &llm->tokenizer);
    if (status != RLS_OK)
        return status;
    if (rls_tokenizer_size(llm->tokenizer) > llm->arch.vocab)
        status = rls_fail(ctx, RLS_ERR_DATA,
                          "%s: vocabulary and embedding disagree: tokenizer.json has ids up to %" PRId64
                          ", and the embedding has %" PRId64 " rows",
                          path, rls_tokenizer_size(llm->tokenizer) - 1, llm->arch.vocab);
    return rls_agree(ctx, status);
}

static rls_status check_options(rls_context *ctx, const rls_llm_options *o)
{
    if (o->tensor_ranks < 0 || (o->tensor_ranks > 0 && ctx->size % o->tensor_ranks != 0))
        return rls_fail(ctx, RLS_ERR_USAGE, "%d tensor ranks do not divide the %d ranks there are",
                        o->tensor_ranks, ctx->size);
    if (o->token_budget < 0)
        return rls_fail(ctx, RLS_ERR_USAGE, "a token budget of %" PRId64 " means nothing", o->token_budget);
    return RLS_OK;
}

/* Everything that depends on the partition. */
static rls_status open_weights(rls_context *ctx, const rls_model_dir *dir, int tensor_ranks, rls_llm *llm)
{
    rls_status status = rls_partition_init(ctx, &llm->arch, tensor_ranks, &llm->part);
    if (status != RLS_OK)
        return status;
    status = rls_weights_load(dir, &llm->arch, &llm->part, &llm->weights);
    if (status != RLS_OK)
        return status;
    return rls_agree(ctx, rls_rotary_table(ctx, &llm->arch, &llm->rotary));
}

static rls_status open_all(rls_context *ctx, const char *path, const rls_llm_options *options, rls_llm *llm)
{
    rls_model_dir *dir = NULL;
    int tensor_ranks = 1;
    rls_status status = rls_architecture_read(ctx, path, &llm->arch);
    if (status == RLS_OK && !options->no_tokenizer)
        status = open_tokenizer(ctx, path, llm);
    if (status == RLS_OK)
        status = rls_model_dir_open(ctx, path, &dir);
    if (status == RLS_OK)
        status = rls_agree(ctx, choose_tensor_ranks(ctx, dir, llm, options, &tensor_ranks));
    if (status == RLS_OK)
        status = open_weights(ctx, dir, tensor_ranks, llm);
    if (status == RLS_OK) {
        char text[32];
        rls_log(ctx, RLS_LOG_INFO, "%s: %s, %" PRId64 " blocks, %d x %d ranks, %s of weights a rank", path,
                llm->arch.model_type, llm->arch.blocks, llm->part.data_groups, tensor_ranks,
                rls_bytes_text((double)llm->weights.bytes, text));
    }
    rls_model_dir_close(&dir);
    return status;
}

rls_status rls_llm_open(rls_context *ctx, const char *path, const rls_llm_options *options, rls_llm **out)
{
    const rls_llm_options o = options != NULL ? *options : (rls_llm_options){0};
    void *memory = NULL;
    *out = NULL;
    rls_status status = check_options(ctx, &o);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, 1, sizeof **out, &memory);
    status = rls_agree(ctx, status);
    rls_llm *llm = memory;
    if (status == RLS_OK && llm != NULL) {
        llm->ctx = ctx;
        llm->token_budget = o.token_budget > 0 ? o.token_budget : RLS_TOKEN_BUDGET;
        status = open_all(ctx, path, &o, llm);
    }
    *out = llm;
    if (status != RLS_OK)
        rls_llm_close(out);
    return status;
}

void rls_llm_close(rls_llm **llm)
{
    rls_llm *l = *llm;
    if (l == NULL)
        return;
    rls_pass_release(l);
    if (l->weights.block != NULL)
        rls_weights_free(&l->weights, &l->arch);
    rls_partition_free(&l->part);
    rls_tokenizer_close(&l->tokenizer);
    free(l->rotary);
    free(l);
    *llm = NULL;
}

rls_status rls_llm_agree(rls_llm *llm, rls_status local)
{
    return rls_partition_agree(&llm->part, local);
}
