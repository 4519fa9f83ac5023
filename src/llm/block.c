/* One block's forward pass. h is the same on every rank of the group; a rank adds what its slices give, and
 * the sum over the group is the next h. */
#include <string.h>

#include "linalg/mixed.h"
#include "llm/pass_state.h"

rls_status rls_linear_apply(rls_context *ctx, const rls_linear *linear, int64_t tokens, const float *x,
                            float beta, float *y)
{
    const int64_t out = linear->out;
    if (out == 0 || tokens == 0)
        return RLS_OK;
    rls_status status = RLS_OK;
    if (linear->in > 0)
        status = rls_mixed_multiply(ctx, linear->dtype, out, linear->in, tokens, linear->weight, x,
                                    linear->in, beta, y, out);
    else if (beta == 0.0F)
        memset(y, 0, (size_t)(out * tokens) * sizeof *y);
    if (linear->bias == NULL)
        return status;
    const float *bias = linear->bias;
#pragma omp parallel for
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t j = 0; j < out; j++)
            y[i * out + j] += bias[j];
    return status;
}

rls_status rls_linear_back(rls_context *ctx, const rls_linear *linear, int64_t tokens, const float *y,
                           float beta, float *x)
{
    const int64_t in = linear->in;
    if (in == 0 || tokens == 0)
        return RLS_OK;
    if (linear->out > 0)
        return rls_mixed_multiply_back(ctx, linear->dtype, linear->out, in, tokens, linear->weight, y,
                                       linear->out, beta, x, in);
    if (beta == 0.0F)
        memset(x, 0, (size_t)(in * tokens) * sizeof *x);
    return RLS_OK;
}

void rls_norm_apply(const rls_architecture *arch, const rls_norm *norm, int64_t tokens, const float *x,
                    float *y)
{
    if (arch->rms_norm)
        rls_rms_norm(arch->hidden, tokens, arch->norm_eps, norm->gain, x, y);
    else
        rls_layer_norm(arch->hidden, tokens, arch->norm_eps, norm->gain, norm->bias, x, y);
}

rls_attention rls_pass_attention(const rls_pass *pass)
{
    const rls_partition *part = &pass->llm->part;
    return (rls_attention){.arch = &pass->llm->arch,
                           .heads_first = part->heads.first,
                           .heads = part->heads.count,
                           .kv_first = part->kv_heads.first,
                           .kv_heads = part->kv_heads.count,
                           .sequences = pass->sequences,
                           .start = pass->start};
}

rls_status rls_block_begin(rls_pass *pass, int64_t block, rls_status status, float *qkv)
{
    const rls_llm *llm = pass->llm;
    const rls_block_weights *w = &llm->weights.block[block];
    rls_pass_room *room = pass->room;
    if (status != RLS_OK)
        return status;
    rls_norm_apply(&llm->arch, &w->attention_norm, pass->tokens, room->h, room->normed);
    status = rls_linear_apply(llm->part.group, &w->qkv, pass->tokens, room->normed, 0.0F, qkv);
    if (llm->arch.rotary_dim > 0 && status == RLS_OK)
        rls_rotate(&llm->arch, llm->rotary, llm->part.heads.count + llm->part.kv_heads.count, pass->tokens,
                   pass->position, false, qkv, pass->rows.qkv);
    return status;
}

rls_status rls_block_end(rls_pass *pass, int64_t block, rls_status status, const float *attention,
                         float *gate_up, float *middle)
{
    rls_llm *llm = pass->llm;
    const rls_architecture *arch = &llm->arch;
    const rls_block_weights *w = &llm->weights.block[block];
    rls_pass_room *room = pass->room;
    const int64_t tokens = pass->tokens, size = pass->rows.hidden * tokens;
    /* One rank of the group brings h itself into the sum. */
    const float own = llm->part.tensor == 0 ? 1.0F : 0.0F;
    if (status == RLS_OK)
        status = rls_linear_apply(llm->part.group, &w->out, tokens, attention, own, room->h);
    if (!arch->parallel_residual) {
        rls_group_sum(llm, room->h, size);
        if (middle != NULL)
            memcpy(middle, room->h, (size_t)size * sizeof *middle);
        if (status == RLS_OK)
            rls_norm_apply(arch, &w->mlp_norm, tokens, room->h, room->normed);
    }
    if (status == RLS_OK)
        status = rls_linear_apply(llm->part.group, &w->gate_up, tokens, room->normed, 0.0F, gate_up);
    if (status == RLS_OK) {
        rls_activate(arch->activation, arch->gated, pass->rows.inner, tokens, gate_up, room->inner);
        status = rls_linear_apply(llm->part.group, &w->down, tokens, room->inner,
                                  arch->parallel_residual ? 1.0F : own, room->h);
    }
    rls_group_sum(llm, room->h, size);
    return status;
}

rls_status rls_block_forward(rls_pass *pass, int64_t block, rls_status status, bool keep)
{
    rls_pass_room *room = pass->room;
    rls_kept kept = {.qkv = room->qkv, .attention = room->attention, .gate_up = room->gate_up};
    if (keep) {
        kept = room->kept[block];
        memcpy(kept.input, room->h, (size_t)(pass->rows.hidden * pass->tokens) * sizeof *room->h);
    }
    status = rls_block_begin(pass, block, status, kept.qkv);
    if (status == RLS_OK && pass->rows.heads > 0) {
        const rls_attention a = rls_pass_attention(pass);
        const float *k = kept.qkv + pass->rows.q;
        status = rls_attend(pass->llm->part.group, &a, kept.qkv, k, k + pass->rows.kv, pass->rows.qkv,
                            kept.attention, pass->rows.q, kept.log_sum);
    }
    return rls_block_end(pass, block, status, kept.attention, kept.gate_up, kept.middle);
}

double rls_block_flops(const rls_pass *pass, int64_t block)
{
    const rls_block_weights *w = &pass->llm->weights.block[block];
    const rls_linear *linear[] = {&w->qkv, &w->out, &w->gate_up, &w->down};
    double weights = 0.0, pairs = 0.0;
    for (size_t i = 0; i < sizeof linear / sizeof linear[0]; i++)
        weights += (double)linear[i]->out * (double)linear[i]->in;
    for (int64_t s = 0; s < pass->sequences; s++) {
        const double length = (double)(pass->start[s + 1] - pass->start[s]);
        pairs += 0.5 * length * (length + 1.0);
    }
    return 2.0 * weights * (double)pass->tokens + 4.0 * (double)pass->rows.q * pairs;
}
