#include "llm/weights_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A walk under way. */
typedef struct {
    const rls_architecture *arch;
    int tensor;
    rls_shares shares;
    rls_weight_visitor *visit;
    void *user;
    bool llama;       /* names as in Llama, Mistral, Qwen2 */
    const char *root; /* "model.", "transformer." or "" */
} walk;

/* A part of block `block` with the given name below it; more pieces are added to it. */
static rls_weight_part begin_part(rls_weight_slot slot, int64_t block)
{
    return (rls_weight_part){.slot = slot, .block = block, .weight = true};
}

static void add_piece(const walk *w, rls_weight_part *part, const char *name, int64_t out, int64_t in,
                      rls_share rows, rls_share cols)
{
    rls_weight_piece *piece = &part->piece[part->pieces++];
    *piece = (rls_weight_piece){.out = out, .in = in, .rows = rows, .cols = cols};
    if (part->block < 0)
        (void)snprintf(piece->name, sizeof piece->name, "%s%s", strcmp(name, "lm_head") == 0 ? "" : w->root,
                       name);
    else
        (void)snprintf(piece->name, sizeof piece->name, "%s%s.%" PRId64 ".%s", w->root,
                       w->llama ? "layers" : "h", part->block, name);
}

static rls_share all_of(int64_t count)
{
    return (rls_share){0, count};
}

static rls_share scaled(rls_share share, int64_t by, int64_t from)
{
    return (rls_share){from + share.first * by, share.count * by};
}

static rls_status visit_norm(const walk *w, rls_weight_slot slot, int64_t block, const char *name)
{
    const int64_t hidden = w->arch->hidden;
    rls_weight_part part = begin_part(slot, block);
    part.norm = true;
    part.bias = part.bias_here = !w->arch->rms_norm;
    add_piece(w, &part, name, hidden, 0, all_of(hidden), all_of(1));
    return w->visit(w->user, &part);
}

static rls_status visit_qkv(const walk *w, int64_t block)
{
    const rls_architecture *a = w->arch;
    const int64_t d = a->head_dim, q = a->heads * d, kv = a->kv_heads * d;
    const rls_share in = all_of(a->hidden);
    rls_weight_part part = begin_part(RLS_PART_QKV, block);
    part.bias = part.bias_here = a->qkv_bias;
    part.stored_transposed = a->conv1d;
    if (a->family == RLS_FAMILY_GPT2) { /* one tensor: queries, keys, values */
        for (int i = 0; i < 3; i++)
            add_piece(w, &part, "attn.c_attn", 3 * q, a->hidden, scaled(w->shares.heads, d, i * q), in);
    } else {
        const char *const llama[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
        const char *const gptj[] = {"attn.q_proj", "attn.k_proj", "attn.v_proj"};
        const char *const *name = w->llama ? llama : gptj;
        add_piece(w, &part, name[0], q, a->hidden, scaled(w->shares.heads, d, 0), in);
        add_piece(w, &part, name[1], kv, a->hidden, scaled(w->shares.kv_heads, d, 0), in);
        add_piece(w, &part, name[2], kv, a->hidden, scaled(w->shares.kv_heads, d, 0), in);
    }
    return w->visit(w->user, &part);
}

/* A map back to the hidden width, summed over the group: its columns are shared out. */
static rls_status visit_back(const walk *w, rls_weight_slot slot, int64_t block, const char *name, int64_t in,
                             rls_share cols, bool bias)
{
    rls_weight_part part = begin_part(slot, block);
    part.bias = bias;
    part.bias_here = bias && w->tensor == 0;
    part.stored_transposed = w->arch->conv1d;
    add_piece(w, &part, name, w->arch->hidden, in, all_of(w->arch->hidden), cols);
    return w->visit(w->user, &part);
}

static rls_status visit_gate_up(const walk *w, int64_t block)
{
    const rls_architecture *a = w->arch;
    const char *up = w->llama ? "mlp.up_proj" : a->family == RLS_FAMILY_GPT2 ? "mlp.c_fc" : "mlp.fc_in";
    rls_weight_part part = begin_part(RLS_PART_GATE_UP, block);
    part.bias = part.bias_here = a->mlp_bias;
    part.stored_transposed = a->conv1d;
    if (a->gated)
        add_piece(w, &part, "mlp.gate_proj", a->inner, a->hidden, w->shares.inner, all_of(a->hidden));
    add_piece(w, &part, up, a->inner, a->hidden, w->shares.inner, all_of(a->hidden));
    return w->visit(w->user, &part);
}

static rls_status visit_block(const walk *w, int64_t block)
{
    const rls_architecture *a = w->arch;
    const bool gpt2 = a->family == RLS_FAMILY_GPT2;
    const char *out = w->llama ? "self_attn.o_proj" : gpt2 ? "attn.c_proj" : "attn.out_proj";
    const char *down = w->llama ? "mlp.down_proj" : gpt2 ? "mlp.c_proj" : "mlp.fc_out";
    rls_status status = visit_norm(w, RLS_PART_ATTENTION_NORM, block, w->llama ? "input_layernorm" : "ln_1");
    if (status == RLS_OK)
        status = visit_qkv(w, block);
    if (status == RLS_OK)
        status = visit_back(w, RLS_PART_OUT, block, out, a->heads * a->head_dim,
                            scaled(w->shares.heads, a->head_dim, 0), a->out_bias);
    if (status == RLS_OK && !a->parallel_residual)
        status = visit_norm(w, RLS_PART_MLP_NORM, block, w->llama ? "post_attention_layernorm" : "ln_2");
    if (status == RLS_OK)
        status = visit_gate_up(w, block);
    if (status == RLS_OK)
        status = visit_back(w, RLS_PART_DOWN, block, down, a->inner, w->shares.inner, a->mlp_bias);
    return status;
}

static rls_status visit_vocabulary(const walk *w, rls_weight_slot slot, const char *name)
{
    const rls_architecture *a = w->arch;
    rls_weight_part part = begin_part(slot, -1);
    part.weight = slot == RLS_PART_EMBEDDING || !a->tied;
    part.bias = part.bias_here = slot == RLS_PART_HEAD && a->head_bias;
    add_piece(w, &part, name, a->vocab, a->hidden, w->shares.vocab, all_of(a->hidden));
    return w->visit(w->user, &part);
}

static rls_status visit_positions(const walk *w)
{
    const rls_architecture *a = w->arch;
    rls_weight_part part = begin_part(RLS_PART_POSITIONS, -1);
    add_piece(w, &part, "wpe", a->context, a->hidden, all_of(w->tensor == 0 ? a->context : 0),
              all_of(a->hidden));
    return w->visit(w->user, &part);
}

rls_status rls_weights_plan(const rls_model_dir *dir, const rls_architecture *arch, int tensor,
                            int tensor_ranks, rls_weight_visitor *visit, void *user)
{
    walk w = {arch,    tensor, rls_shares_of(arch, tensor, tensor_ranks),
              visit,   user,   arch->family <= RLS_FAMILY_QWEN2,
              "model."};
    if (!w.llama) /* GPT-2's own files have no "transformer." */
        w.root = rls_model_dir_find(dir, "transformer.wte.weight") == NULL &&
                         rls_model_dir_find(dir, "wte.weight") != NULL
                     ? ""
                     : "transformer.";
    rls_status status = visit_vocabulary(&w, RLS_PART_EMBEDDING, w.llama ? "embed_tokens" : "wte");
    if (status == RLS_OK && arch->family == RLS_FAMILY_GPT2)
        status = visit_positions(&w);
    for (int64_t block = 0; status == RLS_OK && block < arch->blocks; block++)
        status = visit_block(&w, block);
    if (status == RLS_OK)
        status = visit_norm(&w, RLS_PART_NORM, -1, w.llama ? "norm" : "ln_f");
    if (status == RLS_OK)
        status = visit_vocabulary(&w, RLS_PART_HEAD, "lm_head");
    return status;
}

rls_linear *rls_weights_linear(rls_weights *weights, const rls_weight_part *part)
{
    rls_block_weights *block = part->block >= 0 ? &weights->block[part->block] : NULL;
    switch (part->slot) {
    case RLS_PART_EMBEDDING:
        return &weights->embedding;
    case RLS_PART_POSITIONS:
        return &weights->positions;
    case RLS_PART_HEAD:
        return &weights->head;
    case RLS_PART_QKV:
        return &block->qkv;
    case RLS_PART_OUT:
        return &block->out;
    case RLS_PART_GATE_UP:
        return &block->gate_up;
    case RLS_PART_DOWN:
        return &block->down;
    default:
        return NULL;
    }
}

rls_norm *rls_weights_norm(rls_weights *weights, const rls_weight_part *part)
{
    switch (part->slot) {
    case RLS_PART_NORM:
        return &weights->norm;
    case RLS_PART_ATTENTION_NORM:
        return &weights->block[part->block].attention_norm;
    case RLS_PART_MLP_NORM:
        return &weights->block[part->block].mlp_norm;
    default:
        return NULL;
    }
}
