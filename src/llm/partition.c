#include "llm/partition.h"

#include <string.h>

rls_share rls_share_of(int64_t x, int t, int T)
{
    /* floor(x t / T) without the product, which may not fit. */
    const int64_t each = x / T, rest = x % T;
    const int64_t first = each * t + rest * t / T;
    return (rls_share){first, each * (t + 1) + rest * (t + 1) / T - first};
}

/* The key-value heads that query heads [first, first + count) use. */
static rls_share kv_share(const rls_architecture *arch, rls_share heads)
{
    const int64_t each = arch->heads / arch->kv_heads; /* query heads of a key-value head */
    const int64_t first = heads.first / each;
    if (heads.count == 0)
        return (rls_share){first < arch->kv_heads ? first : arch->kv_heads, 0};
    return (rls_share){first, (heads.first + heads.count - 1) / each + 1 - first};
}

rls_shares rls_shares_of(const rls_architecture *arch, int t, int T)
{
    const rls_share heads = rls_share_of(arch->heads, t, T);
    return (rls_shares){heads, kv_share(arch, heads), rls_share_of(arch->inner, t, T),
                        rls_share_of(arch->vocab, t, T)};
}

rls_status rls_partition_init(rls_context *ctx, const rls_architecture *arch, int tensor_ranks,
                              rls_partition *out)
{
    rls_status status = RLS_OK;
    memset(out, 0, sizeof *out);
    out->ctx = ctx;
    if (tensor_ranks < 1 || ctx->size % tensor_ranks != 0)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "%d tensor ranks do not divide %d ranks: choose a divisor, or another number of "
                          "ranks",
                          tensor_ranks, ctx->size);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        return status;
    out->tensor_ranks = tensor_ranks;
    out->tensor = ctx->rank % tensor_ranks;
    out->data_groups = ctx->size / tensor_ranks;
    out->data = ctx->rank / tensor_ranks;
    const rls_shares shares = rls_shares_of(arch, out->tensor, tensor_ranks);
    out->heads = shares.heads;
    out->kv_heads = shares.kv_heads;
    out->inner = shares.inner;
    out->vocab = shares.vocab;
    out->inner_all = arch->inner;
    return rls_context_split(ctx, out->data, &out->group);
}

void rls_partition_free(rls_partition *partition)
{
    rls_context_destroy(&partition->group);
}

rls_status rls_partition_agree(rls_partition *partition, rls_status local)
{
    rls_context *group = partition->group;
    if (local != RLS_OK)
        (void)rls_fail(partition->ctx, local, "%s",
                       group->message[0] != '\0' ? group->message : rls_status_text(local));
    rls_clear_failure(group);
    return rls_agree(partition->ctx, local);
}
