#include "llm/architecture_keys.h"

#include <stddef.h>
#include <string.h>

enum {
    LLAMA = 1U << RLS_FAMILY_LLAMA,
    MISTRAL = 1U << RLS_FAMILY_MISTRAL,
    QWEN2 = 1U << RLS_FAMILY_QWEN2,
    GPT2 = 1U << RLS_FAMILY_GPT2,
    GPTJ = 1U << RLS_FAMILY_GPTJ,
    ROPE3 = LLAMA | MISTRAL | QWEN2, /* the families with rotary positions over the whole head */
    GPTS = GPT2 | GPTJ,
    ALL = ROPE3 | GPTS
};

#define TO(field) offsetof(rls_architecture, field)

static const rls_arch_key KEYS[] = {
    {"hidden_size", ROPE3, RLS_KEY_COUNT, TO(hidden)},
    {"intermediate_size", ROPE3, RLS_KEY_COUNT, TO(inner)},
    {"num_hidden_layers", ROPE3, RLS_KEY_COUNT, TO(blocks)},
    {"num_attention_heads", ROPE3, RLS_KEY_COUNT, TO(heads)},
    {"num_key_value_heads", ROPE3, RLS_KEY_COUNT, TO(kv_heads)},
    {"head_dim", ROPE3, RLS_KEY_COUNT, TO(head_dim)},
    {"max_position_embeddings", ROPE3, RLS_KEY_COUNT, TO(context)},
    {"n_embd", GPTS, RLS_KEY_COUNT, TO(hidden)},
    {"n_inner", GPTS, RLS_KEY_COUNT, TO(inner)},
    {"n_layer", GPTS, RLS_KEY_COUNT, TO(blocks)},
    {"n_head", GPTS, RLS_KEY_COUNT, TO(heads)},
    {"n_positions", GPTS, RLS_KEY_COUNT, TO(context)},
    {"n_ctx", GPTS, RLS_KEY_SAME_CONTEXT, 0},
    {"rotary_dim", GPTJ, RLS_KEY_COUNT, TO(rotary_dim)},
    {"vocab_size", ALL, RLS_KEY_COUNT, TO(vocab)},
    {"rms_norm_eps", ROPE3, RLS_KEY_REAL, TO(norm_eps)},
    {"layer_norm_epsilon", GPTS, RLS_KEY_REAL, TO(norm_eps)},
    {"hidden_act", ROPE3, RLS_KEY_ACTIVATION, TO(activation)},
    {"activation_function", GPTS, RLS_KEY_ACTIVATION, TO(activation)},
    {"rope_theta", ROPE3, RLS_KEY_REAL, TO(rope_theta)},
    {"rope_scaling", ROPE3, RLS_KEY_ROPE, 0},
    {"rope_parameters", ROPE3, RLS_KEY_ROPE, 0},
    {"attention_bias", LLAMA, RLS_KEY_BOOL, TO(qkv_bias)},
    {"mlp_bias", LLAMA, RLS_KEY_BOOL, TO(mlp_bias)},
    {"sliding_window", MISTRAL, RLS_KEY_COUNT, TO(window)},
    {"scale_attn_weights", GPT2, RLS_KEY_BOOL, TO(scale_attention)},
    {"tie_word_embeddings", ALL, RLS_KEY_BOOL, TO(tied)},
    {"bos_token_id", ALL, RLS_KEY_TOKEN, TO(bos)},
    {"eos_token_id", ALL, RLS_KEY_TOKENS, 0},
    {"layer_types", ROPE3, RLS_KEY_LAYER_TYPES, 0},

    {"attention_bias", MISTRAL, RLS_KEY_FALSE, 0},
    {"mlp_bias", MISTRAL | QWEN2, RLS_KEY_FALSE, 0},
    {"use_sliding_window", LLAMA | QWEN2, RLS_KEY_FALSE, 0},
    {"sliding_window", LLAMA, RLS_KEY_NONE, 0},
    {"use_mrope", QWEN2, RLS_KEY_FALSE, 0},
    {"rope_interleaved", LLAMA, RLS_KEY_FALSE, 0},
    {"partial_rotary_factor", ROPE3, RLS_KEY_ONE, 0},
    {"scale_attn_by_inverse_layer_idx", GPTS, RLS_KEY_FALSE, 0},
    {"scale_attn_weights", GPTJ, RLS_KEY_TRUE, 0},
    {"rotary", GPTJ, RLS_KEY_TRUE, 0},
    {"is_decoder", ALL, RLS_KEY_FALSE, 0},
    {"is_encoder_decoder", ALL, RLS_KEY_FALSE, 0},
    {"add_cross_attention", ALL, RLS_KEY_FALSE, 0},
    {"tie_encoder_decoder", ALL, RLS_KEY_FALSE, 0},
    {"cross_attention_hidden_size", ALL, RLS_KEY_NONE, 0},
    {"pruned_heads", ALL, RLS_KEY_NONE, 0},
    {"quantization_config", ALL, RLS_KEY_NONE, 0},
    {"auto_map", ALL, RLS_KEY_NONE, 0}, /* code of its own */

    {"sliding_window", QWEN2, RLS_KEY_INERT, 0},    /* without use_sliding_window */
    {"max_window_layers", QWEN2, RLS_KEY_INERT, 0}, /* the same */
    {"pretraining_tp", ROPE3, RLS_KEY_INERT, 0},    /* cuts products up, which are the same */
    {"is_llama_config", LLAMA, RLS_KEY_INERT, 0},
    {"max_sequence_length", LLAMA, RLS_KEY_INERT, 0},    /* beside max_position_embeddings */
    {"reorder_and_upcast_attn", GPTS, RLS_KEY_INERT, 0}, /* a precision, of 16-bit arithmetic */
};

/* Keys that change nothing in any family: how it was trained, what to do with outputs, how to sample, names.
 */
static const char *const INERT[] = {"architectures",
                                    "attention_dropout",
                                    "attn_implementation",
                                    "attn_pdrop",
                                    "bad_words_ids",
                                    "begin_suppress_tokens",
                                    "chunk_size_feed_forward",
                                    "decoder_start_token_id",
                                    "diversity_penalty",
                                    "do_sample",
                                    "dtype",
                                    "early_stopping",
                                    "embd_pdrop",
                                    "encoder_no_repeat_ngram_size",
                                    "exponential_decay_length_penalty",
                                    "finetuning_task",
                                    "forced_bos_token_id",
                                    "forced_eos_token_id",
                                    "gradient_checkpointing",
                                    "hidden_dropout",
                                    "id2label",
                                    "initializer_range",
                                    "label2id",
                                    "length_penalty",
                                    "max_length",
                                    "min_length",
                                    "model_type",
                                    "no_repeat_ngram_size",
                                    "num_beam_groups",
                                    "num_beams",
                                    "num_labels",
                                    "num_return_sequences",
                                    "output_attentions",
                                    "output_hidden_states",
                                    "output_scores",
                                    "output_past",
                                    "pad_token_id",
                                    "prefix",
                                    "problem_type",
                                    "remove_invalid_values",
                                    "repetition_penalty",
                                    "resid_pdrop",
                                    "return_dict",
                                    "return_dict_in_generate",
                                    "sep_token_id",
                                    "summary_activation",
                                    "summary_first_dropout",
                                    "summary_proj_to_labels",
                                    "summary_type",
                                    "summary_use_proj",
                                    "suppress_tokens",
                                    "task_specific_params",
                                    "temperature",
                                    "tf_legacy_loss",
                                    "tokenizer_class",
                                    "top_k",
                                    "top_p",
                                    "torch_dtype",
                                    "torchscript",
                                    "transformers.js_config",
                                    "transformers_version",
                                    "typical_p",
                                    "unk_token_id",
                                    "unsloth_fixed",
                                    "unsloth_version",
                                    "use_bfloat16",
                                    "use_cache"};

const rls_arch_key *rls_arch_key_find(rls_family family, const char *name)
{
    static const rls_arch_key inert = {.name = "", .families = ALL, .kind = RLS_KEY_INERT};
    for (size_t i = 0; i < sizeof KEYS / sizeof KEYS[0]; i++) {
        if ((KEYS[i].families & 1U << family) != 0 && strcmp(KEYS[i].name, name) == 0)
            return &KEYS[i];
    }
    for (size_t i = 0; i < sizeof INERT / sizeof INERT[0]; i++) {
        if (strcmp(INERT[i], name) == 0)
            return &inert;
    }
    return NULL;
}
