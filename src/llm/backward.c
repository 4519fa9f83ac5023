/* The way back through the kept blocks. The gradient is the same on every rank of the group; what comes back
 * through a rank's slices is summed where it reaches the normed input they share. */
#include <string.h>

#include "llm/pass_state.h"

void rls_norm_back(const rls_architecture *arch, const rls_norm *norm, int64_t tokens, const float *x,
                   const float *dy, float *dx)
{
    if (arch->rms_norm)
        rls_rms_norm_back(arch->hidden, tokens, arch->norm_eps, norm->gain, x, dy, dx);
    else
        rls_layer_norm_back(arch->hidden, tokens, arch->norm_eps, norm->gain, x, dy, dx);
}

/* room->normed = beta room->normed + what comes back through the MLP's slices. */
static rls_status back_mlp(rls_pass *pass, int64_t block, float beta)
{
    const rls_llm *llm = pass->llm;
    const rls_block_weights *w = &llm->weights.block[block];
    rls_pass_room *room = pass->room;
    float *gate_up = room->kept[block].gate_up;
    const rls_status status =
        rls_linear_back(llm->part.group, &w->down, pass->tokens, room->gradient, 0.0F, room->inner);
    if (status != RLS_OK)
        return status;
    rls_activate_back(llm->arch.activation, llm->arch.gated, pass->rows.inner, pass->tokens, gate_up,
                      room->inner, gate_up);
    return rls_linear_back(llm->part.group, &w->gate_up, pass->tokens, gate_up, beta, room->normed);
}

/* The same through the attention's slices. */
static rls_status back_attention(rls_pass *pass, int64_t block, float beta)
{
    const rls_llm *llm = pass->llm;
    const rls_block_weights *w = &llm->weights.block[block];
    const rls_rows *rows = &pass->rows;
    rls_pass_room *room = pass->room;
    const rls_kept *kept = &room->kept[block];
    rls_status status =
        rls_linear_back(llm->part.group, &w->out, pass->tokens, room->gradient, 0.0F, room->attention);
    if (status == RLS_OK && rows->heads > 0) {
        const rls_attention a = rls_pass_attention(pass);
        const float *k = kept->qkv + rows->q;
        float *dk = room->qkv + rows->q;
        status =
            rls_attend_back(llm->part.group, &a, kept->qkv, k, k + rows->kv, rows->qkv, kept->attention,
                            room->attention, rows->q, kept->log_sum, room->qkv, dk, dk + rows->kv, rows->qkv);
    }
    if (status != RLS_OK)
        return status;
    if (llm->arch.rotary_dim > 0)
        rls_rotate(&llm->arch, llm->rotary, llm->part.heads.count + llm->part.kv_heads.count, pass->tokens,
                   pass->position, true, room->qkv, rows->qkv);
    return rls_linear_back(llm->part.group, &w->qkv, pass->tokens, room->qkv, beta, room->normed);
}

rls_status rls_block_backward(rls_pass *pass, int64_t block, rls_status status)
{
    rls_llm *llm = pass->llm;
    const rls_block_weights *w = &llm->weights.block[block];
    rls_pass_room *room = pass->room;
    const rls_kept *kept = &room->kept[block];
    const int64_t size = pass->rows.hidden * pass->tokens;
    const bool parallel = llm->arch.parallel_residual;
    if (status == RLS_OK)
        status = back_mlp(pass, block, 0.0F);
    if (!parallel) {
        rls_group_sum(llm, room->normed, size);
        if (status == RLS_OK)
            rls_norm_back(&llm->arch, &w->mlp_norm, pass->tokens, kept->middle, room->normed, room->gradient);
    }
    if (status == RLS_OK)
        status = back_attention(pass, block, parallel ? 1.0F : 0.0F);
    rls_group_sum(llm, room->normed, size);
    if (status == RLS_OK)
        rls_norm_back(&llm->arch, &w->attention_norm, pass->tokens, kept->input, room->normed,
                      room->gradient);
    return status;
}

static rls_status check_backward(const rls_pass *pass, int64_t count, const int64_t *position)
{
    rls_context *group = pass->llm->part.group;
    if (pass->mark < 0 || pass->kept != pass->llm->arch.blocks)
        return rls_fail(group, RLS_ERR_USAGE,
                        "no way back: the pass was not run from its mark to the end with everything kept");
    if (!pass->gradient)
        return rls_fail(group, RLS_ERR_USAGE, "no way back: the pass has no gradient of a loss");
    return rls_pass_check_positions(pass, count, position);
}

rls_status rls_pass_backward(rls_pass *pass, int64_t count, const int64_t *position, float *gradient)
{
    rls_context *group = pass->llm->part.group;
    const double start = rls_profile_start();
    const int64_t hidden = pass->rows.hidden;
    double flops = 0.0;
    rls_status status = check_backward(pass, count, position);
    if (status == RLS_OK)
        status = rls_room_for_run(pass, false, 0, 0);
    status = rls_agree(group, status);
    if (status != RLS_OK)
        return status;
    for (int64_t block = pass->llm->arch.blocks; block-- > pass->mark;) {
        status = rls_block_backward(pass, block, status);
        flops += rls_block_flops(pass, block);
    }
    pass->kept = pass->mark;
    pass->gradient = false;
    rls_take_columns(hidden, count, position, pass->room->gradient, gradient);
    if (status == RLS_OK && !rls_all_finite(gradient, hidden * count))
        status = rls_fail(group, RLS_ERR_NUMERIC, "the gradient at block %lld is not finite",
                          (long long)pass->mark);
    rls_profile_add(pass->llm->ctx, "llm: blocks, way back", start, flops, 0.0);
    return rls_agree(group, status);
}
