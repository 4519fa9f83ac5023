#include "llm/architecture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "llm/architecture_accept.h"
#include "llm/architecture_parse.h"
#include "store/safetensors.h"

enum { BLOCKS_MAX = 1 << 16 };

static const char *const FAMILY[] = {"llama", "mistral", "qwen2", "gpt2", "gptj"};

/* What holds for a family where its config.json is silent (the defaults of transformers' classes). */
static rls_architecture defaults(rls_family family)
{
    rls_architecture arch = {.family = family, .scale_attention = true, .bos = -1, .rope_factor = 1.0};
    const bool llama_like = family <= RLS_FAMILY_QWEN2;
    (void)snprintf(arch.model_type, sizeof arch.model_type, "%s", FAMILY[family]);
    arch.rms_norm = arch.gated = llama_like;
    arch.norm_eps = llama_like ? 1e-6 : 1e-5;
    arch.activation = llama_like ? RLS_ACT_SILU : RLS_ACT_GELU_TANH;
    arch.rope_theta = 1e4;
    switch (family) {
    case RLS_FAMILY_LLAMA:
        break;
    case RLS_FAMILY_MISTRAL:
        arch.kv_heads = 8;
        arch.window = 4096;
        break;
    case RLS_FAMILY_QWEN2:
        arch.kv_heads = 32;
        arch.qkv_bias = true;
        break;
    case RLS_FAMILY_GPT2:
        arch.qkv_bias = arch.out_bias = arch.mlp_bias = true;
        arch.tied = arch.conv1d = true;
        break;
    case RLS_FAMILY_GPTJ:
        arch.rotary_dim = 64;
        arch.rotary_interleaved = arch.parallel_residual = true;
        arch.mlp_bias = arch.head_bias = true;
        break;
    }
    return arch;
}

static rls_status find_family(rls_arch_parse *p, const json_t *root, rls_family *out)
{
    char place[512], shown[RLS_TENSOR_TEXT_MAX];
    const json_t *type = json_object_get(root, "model_type");
    const char *name = json_string_value(type);
    for (size_t i = 0; name != NULL && i < sizeof FAMILY / sizeof FAMILY[0]; i++) {
        if (strcmp(name, FAMILY[i]) != 0)
            continue;
        *out = (rls_family)i;
        return RLS_OK;
    }
    if (type == NULL)
        return rls_fail(p->ctx, RLS_ERR_DATA,
                        "%s: model_type is missing: it must be llama, mistral, qwen2, gpt2 or gptj", p->file);
    return rls_fail(
        p->ctx, RLS_ERR_DATA,
        "%s: '%s' is not a family of models that can be run here: llama, mistral, qwen2, gpt2 and "
        "gptj are",
        rls_arch_place(p, "model_type", place), name != NULL ? rls_printable(name, shown) : "(no text)");
}

static rls_status read_keys(rls_arch_parse *p, const json_t *root)
{
    const char *name = NULL;
    const json_t *value = NULL;
    char place[512], shown[RLS_TENSOR_TEXT_MAX];
    rls_status status = RLS_OK;
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        const rls_arch_key *key = rls_arch_key_find(p->arch->family, name);
        if (key != NULL)
            status = rls_arch_key_read(p, name, key, value);
        else if (name[0] == '_' ||
                 json_is_null(value)) /* a note of who wrote it; an option that was not chosen */
            continue;
        else if (rls_architecture_accepts(p->ctx, name))
            rls_log(p->ctx, RLS_LOG_WARNING, "%s: is not used, as --accept-config says",
                    rls_arch_place(p, name, place));
        else
            status = rls_fail(
                p->ctx, RLS_ERR_DATA,
                "%s: not an option of %s models that is known here; it could change what the "
                "model computes, so it is not ignored. If you know that it does not: --accept-config "
                "%s",
                rls_arch_place(p, name, place), p->arch->model_type, rls_printable(name, shown));
        if (status != RLS_OK)
            return status;
    }
    return RLS_OK;
}

static rls_status need(const rls_arch_parse *p, int64_t value, const char *llama_name, const char *gpt_name)
{
    const char *name = p->arch->family >= RLS_FAMILY_GPT2 ? gpt_name : llama_name;
    if (value > 0)
        return RLS_OK;
    return rls_fail(p->ctx, RLS_ERR_DATA, "%s: %s is missing", p->file, name);
}

/* What follows from other numbers. */
static rls_status derive(const rls_arch_parse *p)
{
    rls_architecture *arch = p->arch;
    const bool gpt = arch->family >= RLS_FAMILY_GPT2;
    if (gpt && arch->inner == 0)
        arch->inner = 4 * arch->hidden;
    rls_status status = need(p, arch->hidden, "hidden_size", "n_embd");
    if (status == RLS_OK)
        status = need(p, arch->blocks, "num_hidden_layers", "n_layer");
    if (status == RLS_OK)
        status = need(p, arch->heads, "num_attention_heads", "n_head");
    if (status == RLS_OK)
        status = need(p, arch->inner, "intermediate_size", "n_inner");
    if (status == RLS_OK)
        status = need(p, arch->context, "max_position_embeddings", "n_positions");
    if (status == RLS_OK)
        status = need(p, arch->vocab, "vocab_size", "vocab_size");
    if (status != RLS_OK)
        return status;
    if (arch->kv_heads == 0)
        arch->kv_heads = arch->heads;
    if (arch->head_dim == 0 && arch->hidden % arch->heads != 0)
        return rls_fail(p->ctx, RLS_ERR_DATA,
                        "%s: a hidden size of %" PRId64 " is not divided by %" PRId64
                        " attention heads, and there is no head_dim",
                        p->file, arch->hidden, arch->heads);
    if (arch->head_dim == 0)
        arch->head_dim = arch->hidden / arch->heads;
    if (!gpt)
        arch->rotary_dim = arch->head_dim;
    if (arch->family == RLS_FAMILY_LLAMA)
        arch->out_bias = arch->qkv_bias;
    if (p->theta_beside > 0.0)
        arch->rope_theta = p->theta_beside;
    return RLS_OK;
}

/* Numbers that do not go together. */
static rls_status check(const rls_arch_parse *p, double theta)
{
    const rls_architecture *arch = p->arch;
    if (arch->blocks > BLOCKS_MAX)
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: %" PRId64 " blocks are more than the %d that make sense",
                        p->file, arch->blocks, BLOCKS_MAX);
    if (arch->heads % arch->kv_heads != 0)
        return rls_fail(p->ctx, RLS_ERR_DATA,
                        "%s: %" PRId64 " attention heads are not a multiple of %" PRId64
                        " key-value heads (num_key_value_heads)",
                        p->file, arch->heads, arch->kv_heads);
    const bool rotary = arch->family != RLS_FAMILY_GPT2;
    if (rotary && (arch->rotary_dim == 0 || arch->rotary_dim % 2 != 0 || arch->rotary_dim > arch->head_dim))
        return rls_fail(p->ctx, RLS_ERR_DATA,
                        "%s: %" PRId64 " rotary dimensions of heads of %" PRId64
                        ": expected an even number from 2 to the head's (rotary_dim, head_dim)",
                        p->file, arch->rotary_dim, arch->head_dim);
    if (p->theta_given && p->theta_beside > 0.0 && p->theta_beside != theta)
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: rope_theta and rope_parameters.rope_theta disagree",
                        p->file);
    if (p->layer_types >= 0 && p->layer_types != arch->blocks)
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: layer_types lists %" PRId64 " of %" PRId64 " layers",
                        p->file, p->layer_types, arch->blocks);
    if (p->n_ctx > 0 && p->n_ctx != arch->context)
        return rls_fail(p->ctx, RLS_ERR_DATA, "%s: n_ctx %" PRId64 " and n_positions %" PRId64 " disagree",
                        p->file, p->n_ctx, arch->context);
    return RLS_OK;
}

static rls_status parse_config(rls_arch_parse *p)
{
    json_t *root = NULL;
    rls_family family = RLS_FAMILY_LLAMA;
    rls_status status = rls_json_object(p->ctx, p->file, p->text, p->bytes, &root);
    if (status == RLS_OK)
        status = find_family(p, root, &family);
    if (status == RLS_OK) {
        *p->arch = defaults(family);
        status = read_keys(p, root);
    }
    if (status == RLS_OK) {
        const double theta = p->arch->rope_theta; /* the one beside rope_parameters */
        status = derive(p);
        if (status == RLS_OK)
            status = check(p, theta);
    }
    json_decref(root);
    return status;
}

/* generation_config.json says how to sample, of which only the end of a text matters here. */
static rls_status parse_generation(rls_arch_parse *p)
{
    json_t *root = NULL;
    rls_status status = rls_json_object(p->ctx, p->file, p->text, p->bytes, &root);
    const json_t *eos = json_object_get(root, "eos_token_id");
    if (status == RLS_OK && eos != NULL)
        status = rls_arch_eos_read(p, "eos_token_id", eos);
    json_decref(root);
    return status;
}

static rls_status parse_both(rls_context *ctx, const char *name, const char *text, int64_t bytes,
                             const char *generation_name, const char *generation, int64_t generation_bytes,
                             rls_architecture *out)
{
    rls_arch_parse p = {.ctx = ctx, .file = name, .text = text, .bytes = bytes, .arch = out};
    p.theta_beside = -1.0;
    p.layer_types = -1;
    memset(out, 0, sizeof *out);
    rls_status status = parse_config(&p);
    if (status == RLS_OK && generation != NULL) {
        p.file = generation_name;
        p.text = generation;
        p.bytes = generation_bytes;
        status = parse_generation(&p);
    }
    return status;
}

rls_status rls_architecture_parse(rls_context *ctx, const char *name, const char *text, int64_t bytes,
                                  const char *generation, int64_t generation_bytes, rls_architecture *out)
{
    return parse_both(ctx, name, text, bytes, "generation_config.json", generation, generation_bytes, out);
}

static rls_status read_on_root(rls_context *ctx, const char *path, rls_architecture *out)
{
    rls_model_text config = {0}, generation = {0};
    rls_status status = rls_model_text_read(ctx, path, "config.json", &config);
    if (status == RLS_OK && config.text == NULL)
        status = rls_fail(ctx, RLS_ERR_DATA,
                          "%s: is missing: a model cannot be run without it (point to its directory)",
                          config.file);
    if (status == RLS_OK)
        status = rls_model_text_read(ctx, path, "generation_config.json", &generation);
    if (status == RLS_OK)
        status = parse_both(ctx, config.file, config.text, config.bytes, generation.file, generation.text,
                            generation.bytes, out);
    rls_model_text_free(&config);
    rls_model_text_free(&generation);
    return status;
}

rls_status rls_architecture_read(rls_context *ctx, const char *path, rls_architecture *out)
{
    memset(out, 0, sizeof *out);
    const rls_status status = rls_agree(ctx, ctx->rank == 0 ? read_on_root(ctx, path, out) : RLS_OK);
    if (status == RLS_OK) /* the ranks of a job are of one build */
        MPI_Bcast(out, (int)sizeof *out, MPI_BYTE, 0, ctx->comm);
    return status;
}

const char *const *rls_architecture_down(rls_family family)
{
    static const char *const LLAMA[] = {"model.layers.{}.mlp.down_proj", "layers.{}.mlp.down_proj", NULL};
    static const char *const GPT2[] = {"transformer.h.{}.mlp.c_proj", "h.{}.mlp.c_proj", NULL};
    static const char *const GPTJ[] = {"transformer.h.{}.mlp.fc_out", "h.{}.mlp.fc_out", NULL};
    switch (family) {
    case RLS_FAMILY_GPT2:
        return GPT2;
    case RLS_FAMILY_GPTJ:
        return GPTJ;
    default:
        return LLAMA;
    }
}
