/* What a model's config.json says about how it computes. */
#ifndef LLM_ARCHITECTURE_H
#define LLM_ARCHITECTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

typedef enum {
    RLS_FAMILY_LLAMA,
    RLS_FAMILY_MISTRAL,
    RLS_FAMILY_QWEN2,
    RLS_FAMILY_GPT2,
    RLS_FAMILY_GPTJ
} rls_family;
typedef enum { RLS_ACT_SILU, RLS_ACT_GELU, RLS_ACT_GELU_TANH } rls_activation;

/* How the rotary frequencies theta^(-2i/d) are changed: not; all divided by factor; or Llama 3.1's, by
 * wavelength between original_context / high_freq and original_context / low_freq. */
typedef enum { RLS_ROPE_PLAIN, RLS_ROPE_LINEAR, RLS_ROPE_LLAMA3 } rls_rope_scaling;

enum { RLS_EOS_MAX = 8 };

typedef struct {
    rls_family family;
    char model_type[64];
    int64_t hidden, blocks, heads, kv_heads, head_dim;
    int64_t inner;   /* the MLP's: length of a key of its down projection */
    int64_t vocab;   /* rows of the embedding */
    int64_t context; /* longest sequence */
    bool rms_norm;   /* else LayerNorm with bias */
    double norm_eps;
    bool gated; /* down(act(gate x) * up x), else down(act(up x)) */
    rls_activation activation;
    int64_t rotary_dim;      /* of each head, from its beginning; 0: learned positions */
    bool rotary_interleaved; /* pairs (2i, 2i+1) as in GPT-J, else (i, i + rotary_dim / 2) */
    double rope_theta;
    rls_rope_scaling rope_scaling;
    double rope_factor, rope_low_freq, rope_high_freq, rope_original_context;
    int64_t window;         /* a token sees itself and the window - 1 before it; 0: all before it */
    bool scale_attention;   /* by 1 / sqrt(head_dim) */
    bool parallel_residual; /* attention and MLP read the same normed input (GPT-J): one norm a block */
    bool qkv_bias, out_bias, mlp_bias, head_bias;
    bool tied;   /* the head is the embedding */
    bool conv1d; /* Linear weights are stored [in, out] (GPT-2) */
    int32_t bos; /* -1: none */
    int32_t eos[RLS_EOS_MAX];
    int eos_count; /* of config.json and generation_config.json */
} rls_architecture;

/* Reads config.json (and generation_config.json's eos_token_id, when there is one) of the model directory.
 * Collective; rank 0 reads. Returns RLS_ERR_DATA naming file, line and field: a family, activation or option
 * that is not known (ignored only when llm/architecture_accept.h has it), a missing or senseless number; RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_architecture_read(rls_context *ctx, const char *path, rls_architecture *out);

/* The same from the texts; generation may be NULL. Not collective. name: for messages. */
RLS_NODISCARD rls_status rls_architecture_parse(rls_context *ctx, const char *name, const char *text,
                                                int64_t bytes, const char *generation,
                                                int64_t generation_bytes, rls_architecture *out);

/* Where a family's down projections may be, by the names of the model's tensors: the usual name first, each
 * with
 * {} for the block's number; ends with NULL. Not collective. */
const char *const *rls_architecture_down(rls_family family);

#endif
