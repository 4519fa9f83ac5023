/* config.json of the models people have, as transformers 4 and 5 write it; what is refused, and by what name.
 */
#include "llm/architecture.h"
#include "llm/architecture_accept.h"

#include <stdio.h>
#include <string.h>

#include "base/context.h"
#include "support/collective.h"

#define LLAMA_2                                                                                              \
    "{\"_name_or_path\": \"meta-llama/Llama-2-7b-hf\", \"architectures\": [\"LlamaForCausalLM\"], "          \
    "\"bos_token_id\": 1, \"eos_token_id\": 2, \"hidden_act\": \"silu\", \"hidden_size\": 4096, "            \
    "\"initializer_range\": 0.02, \"intermediate_size\": 11008, \"max_position_embeddings\": 4096, "         \
    "\"model_type\": \"llama\", \"num_attention_heads\": 32, \"num_hidden_layers\": 32, "                    \
    "\"num_key_value_heads\": 32, \"pretraining_tp\": 1, \"rms_norm_eps\": 1e-05, \"rope_scaling\": null, "  \
    "\"tie_word_embeddings\": false, \"torch_dtype\": \"float16\", \"transformers_version\": "               \
    "\"4.31.0.dev0\", \"use_cache\": true, \"vocab_size\": 32000}"
#define LLAMA_31                                                                                             \
    "{\"architectures\": [\"LlamaForCausalLM\"], \"attention_bias\": false, \"attention_dropout\": 0.0, "    \
    "\"bos_token_id\": 128000, \"eos_token_id\": [128001, 128008, 128009], \"hidden_act\": \"silu\", "       \
    "\"hidden_size\": 8192, \"initializer_range\": 0.02, \"intermediate_size\": 28672, "                     \
    "\"max_position_embeddings\": 131072, \"mlp_bias\": false, \"model_type\": \"llama\", "                  \
    "\"num_attention_heads\": 64, \"num_hidden_layers\": 80, \"num_key_value_heads\": 8, "                   \
    "\"pretraining_tp\": 1, \"rms_norm_eps\": 1e-05, \"rope_scaling\": {\"factor\": 8.0, "                   \
    "\"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, \"original_max_position_embeddings\": 8192, "      \
    "\"rope_type\": \"llama3\"}, \"rope_theta\": 500000.0, \"tie_word_embeddings\": false, "                 \
    "\"torch_dtype\": \"bfloat16\", \"transformers_version\": \"4.42.3\", \"use_cache\": true, "             \
    "\"vocab_size\": 128256}"
#define LLAMA_31_NEW                                                                                         \
    "{\"architectures\": [\"LlamaForCausalLM\"], \"attention_bias\": false, \"attention_dropout\": 0.0, "    \
    "\"bos_token_id\": 128000, \"dtype\": \"bfloat16\", \"eos_token_id\": 128001, \"head_dim\": 128, "       \
    "\"hidden_act\": \"silu\", \"hidden_size\": 8192, \"initializer_range\": 0.02, "                         \
    "\"intermediate_size\": 28672, \"max_position_embeddings\": 131072, \"mlp_bias\": false, "               \
    "\"model_type\": \"llama\", \"num_attention_heads\": 64, \"num_hidden_layers\": 80, "                    \
    "\"num_key_value_heads\": 8, \"pad_token_id\": null, \"pretraining_tp\": 1, \"rms_norm_eps\": 1e-05, "   \
    "\"rope_parameters\": {\"factor\": 8.0, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "           \
    "\"original_max_position_embeddings\": 8192, \"rope_theta\": 500000.0, \"rope_type\": \"llama3\"}, "     \
    "\"tie_word_embeddings\": false, \"transformers_version\": \"5.23.0\", \"use_cache\": true, "            \
    "\"vocab_size\": 128256}"
#define LLAMA_3                                                                                              \
    "{\"architectures\": [\"LlamaForCausalLM\"], \"attention_bias\": false, \"attention_dropout\": 0.0, "    \
    "\"bos_token_id\": 128000, \"eos_token_id\": 128001, \"hidden_act\": \"silu\", \"hidden_size\": 4096, "  \
    "\"initializer_range\": 0.02, \"intermediate_size\": 14336, \"max_position_embeddings\": 8192, "         \
    "\"model_type\": \"llama\", \"num_attention_heads\": 32, \"num_hidden_layers\": 32, "                    \
    "\"num_key_value_heads\": 8, \"pretraining_tp\": 1, \"rms_norm_eps\": 1e-05, \"rope_scaling\": null, "   \
    "\"rope_theta\": 500000.0, \"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\", "              \
    "\"transformers_version\": \"4.40.0.dev0\", \"use_cache\": true, \"vocab_size\": 128256}"
#define MISTRAL(window, theta, vocab)                                                                        \
    "{\"architectures\": [\"MistralForCausalLM\"], \"attention_dropout\": 0.0, \"bos_token_id\": 1, "        \
    "\"eos_token_id\": 2, \"hidden_act\": \"silu\", \"hidden_size\": 4096, \"initializer_range\": 0.02, "    \
    "\"intermediate_size\": 14336, \"max_position_embeddings\": 32768, \"model_type\": \"mistral\", "        \
    "\"num_attention_heads\": 32, \"num_hidden_layers\": 32, \"num_key_value_heads\": 8, "                   \
    "\"rms_norm_eps\": 1e-05, \"rope_theta\": " theta ", \"sliding_window\": " window ", "                   \
    "\"tie_word_embeddings\": false, \"torch_dtype\": \"bfloat16\", \"transformers_version\": "              \
    "\"4.42.0.dev0\", \"use_cache\": true, \"vocab_size\": " vocab "}"
#define QWEN2(hidden, inner, heads, kv, layers, vocab)                                                       \
    "{\"architectures\": [\"Qwen2ForCausalLM\"], \"attention_dropout\": 0.0, \"bos_token_id\": 151643, "     \
    "\"eos_token_id\": 151645, \"hidden_act\": \"silu\", \"hidden_size\": " hidden ", "                      \
    "\"initializer_range\": 0.02, \"intermediate_size\": " inner ", \"max_position_embeddings\": 32768, "    \
    "\"max_window_layers\": 28, \"model_type\": \"qwen2\", \"num_attention_heads\": " heads ", "             \
    "\"num_hidden_layers\": " layers ", \"num_key_value_heads\": " kv ", \"rms_norm_eps\": 1e-06, "          \
    "\"rope_theta\": 1000000.0, \"sliding_window\": 131072, \"tie_word_embeddings\": false, "                \
    "\"torch_dtype\": \"bfloat16\", \"transformers_version\": \"4.43.1\", \"use_cache\": true, "             \
    "\"use_sliding_window\": false, \"vocab_size\": " vocab "}"
#define GPT2_XL                                                                                              \
    "{\"activation_function\": \"gelu_new\", \"architectures\": [\"GPT2LMHeadModel\"], \"attn_pdrop\": "     \
    "0.1, "                                                                                                  \
    "\"bos_token_id\": 50256, \"embd_pdrop\": 0.1, \"eos_token_id\": 50256, \"initializer_range\": 0.02, "   \
    "\"layer_norm_epsilon\": 1e-05, \"model_type\": \"gpt2\", \"n_ctx\": 1024, \"n_embd\": 1600, "           \
    "\"n_head\": 25, \"n_layer\": 48, \"n_positions\": 1024, \"output_past\": true, \"resid_pdrop\": 0.1, "  \
    "\"summary_activation\": null, \"summary_first_dropout\": 0.1, \"summary_proj_to_labels\": true, "       \
    "\"summary_type\": \"cls_index\", \"summary_use_proj\": true, \"task_specific_params\": "                \
    "{\"text-generation\": {\"do_sample\": true, \"max_length\": 50}}, \"vocab_size\": 50257}"
#define GPT_J                                                                                                \
    "{\"activation_function\": \"gelu_new\", \"architectures\": [\"GPTJForCausalLM\"], \"attn_pdrop\": "     \
    "0.0, "                                                                                                  \
    "\"bos_token_id\": 50256, \"embd_pdrop\": 0.0, \"eos_token_id\": 50256, \"gradient_checkpointing\": "    \
    "false, \"initializer_range\": 0.02, \"layer_norm_epsilon\": 1e-05, \"model_type\": \"gptj\", "          \
    "\"n_embd\": 4096, \"n_head\": 16, \"n_inner\": null, \"n_layer\": 28, \"n_positions\": 2048, "          \
    "\"resid_pdrop\": 0.0, \"rotary\": true, \"rotary_dim\": 64, \"scale_attn_weights\": true, "             \
    "\"summary_activation\": null, \"summary_first_dropout\": 0.1, \"summary_proj_to_labels\": true, "       \
    "\"summary_type\": \"cls_index\", \"summary_use_proj\": true, \"task_specific_params\": "                \
    "{\"text-generation\": {\"do_sample\": true, \"max_length\": 50, \"temperature\": 1.0}}, "               \
    "\"tie_word_embeddings\": false, \"tokenizer_class\": \"GPT2Tokenizer\", \"transformers_version\": "     \
    "\"4.18.0.dev0\", \"use_cache\": true, \"vocab_size\": 50400}"

static rls_architecture parse(const char *text)
{
    rls_context *ctx = NULL;
    rls_architecture arch;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    assert_all_ok(ctx, rls_agree(ctx, rls_architecture_parse(ctx, "config.json", text, (int64_t)strlen(text),
                                                             NULL, 0, &arch)));
    rls_context_destroy(&ctx);
    return arch;
}

static void check_sizes(const rls_architecture *a, int64_t hidden, int64_t blocks, int64_t heads, int64_t kv,
                        int64_t head_dim, int64_t inner, int64_t vocab, int64_t context)
{
    assert_int_equal(a->hidden, hidden);
    assert_int_equal(a->blocks, blocks);
    assert_int_equal(a->heads, heads);
    assert_int_equal(a->kv_heads, kv);
    assert_int_equal(a->head_dim, head_dim);
    assert_int_equal(a->inner, inner);
    assert_int_equal(a->vocab, vocab);
    assert_int_equal(a->context, context);
}

/* What Llama, Mistral and Qwen2 have in common. */
static void check_llama_like(const rls_architecture *a, bool qkv_bias)
{
    assert_true(a->rms_norm && a->gated && a->activation == RLS_ACT_SILU && !a->rotary_interleaved);
    assert_true(a->scale_attention && !a->parallel_residual && !a->conv1d && !a->out_bias && !a->mlp_bias);
    assert_true(a->qkv_bias == qkv_bias && !a->head_bias && !a->tied && a->rotary_dim == a->head_dim);
}

static void test_llama(void **state)
{
    (void)state;
    rls_architecture a = parse(LLAMA_2);
    check_sizes(&a, 4096, 32, 32, 32, 128, 11008, 32000, 4096);
    check_llama_like(&a, false);
    assert_true(a.family == RLS_FAMILY_LLAMA && a.rope_theta == 1e4 && a.rope_scaling == RLS_ROPE_PLAIN);
    assert_true(a.norm_eps == 1e-5 && a.window == 0 && a.bos == 1 && a.eos_count == 1 && a.eos[0] == 2);
    a = parse(LLAMA_3);
    check_sizes(&a, 4096, 32, 32, 8, 128, 14336, 128256, 8192);
    check_llama_like(&a, false);
    assert_true(a.rope_theta == 5e5 && a.rope_scaling == RLS_ROPE_PLAIN && a.eos[0] == 128001);
    static const char *const both[] = {LLAMA_31, LLAMA_31_NEW};
    for (int i = 0; i < 2; i++) {
        a = parse(both[i]);
        check_sizes(&a, 8192, 80, 64, 8, 128, 28672, 128256, 131072);
        check_llama_like(&a, false);
        assert_true(a.rope_theta == 5e5 && a.rope_scaling == RLS_ROPE_LLAMA3 && a.rope_factor == 8.0);
        assert_true(a.rope_low_freq == 1.0 && a.rope_high_freq == 4.0 && a.rope_original_context == 8192.0);
        assert_int_equal(a.eos_count, i == 0 ? 3 : 1);
    }
}

static void test_mistral(void **state)
{
    (void)state;
    rls_architecture a = parse(MISTRAL("4096", "10000.0", "32000"));
    check_sizes(&a, 4096, 32, 32, 8, 128, 14336, 32000, 32768);
    check_llama_like(&a, false);
    assert_true(a.family == RLS_FAMILY_MISTRAL && a.window == 4096 && a.rope_theta == 1e4);
    a = parse(MISTRAL("null", "1000000.0", "32768"));
    assert_true(a.window == 0 && a.rope_theta == 1e6 && a.vocab == 32768);
}

static void test_qwen2(void **state)
{
    (void)state;
    rls_architecture a = parse(QWEN2("3584", "18944", "28", "4", "28", "152064"));
    check_sizes(&a, 3584, 28, 28, 4, 128, 18944, 152064, 32768);
    check_llama_like(&a, true);
    assert_true(a.family == RLS_FAMILY_QWEN2 && a.window == 0 && a.norm_eps == 1e-6 && a.rope_theta == 1e6);
    a = parse(QWEN2("8192", "29568", "64", "8", "80", "152064"));
    check_sizes(&a, 8192, 80, 64, 8, 128, 29568, 152064, 32768);
}

static void test_gpt(void **state)
{
    (void)state;
    rls_architecture a = parse(GPT2_XL);
    check_sizes(&a, 1600, 48, 25, 25, 64, 6400, 50257, 1024);
    assert_true(!a.rms_norm && !a.gated && a.activation == RLS_ACT_GELU_TANH && a.rotary_dim == 0);
    assert_true(a.qkv_bias && a.out_bias && a.mlp_bias && !a.head_bias && a.tied && a.conv1d);
    assert_true(a.scale_attention && !a.parallel_residual && a.bos == 50256 && a.eos[0] == 50256);
    a = parse(GPT_J);
    check_sizes(&a, 4096, 28, 16, 16, 256, 16384, 50400, 2048);
    assert_true(!a.rms_norm && !a.gated && a.activation == RLS_ACT_GELU_TANH && a.rotary_dim == 64);
    assert_true(a.rotary_interleaved && a.parallel_residual && !a.qkv_bias && !a.out_bias && a.mlp_bias);
    assert_true(a.head_bias && !a.tied && !a.conv1d && a.rope_theta == 1e4);
}

/* A small Llama with more members. */
#define SMALL(more)                                                                                          \
    "{\"model_type\": \"llama\",\n \"hidden_size\": 64, \"intermediate_size\": 96, "                         \
    "\"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"max_position_embeddings\": 128,\n "             \
    "\"vocab_size\": 100" more "}"
#define SMALL_GPT2(more)                                                                                     \
    "{\"model_type\": \"gpt2\", \"n_embd\": 64, \"n_layer\": 2, \"n_head\": 4, \"n_positions\": 128, "       \
    "\"vocab_size\": 100" more "}"

static void test_options(void **state)
{
    (void)state;
    rls_architecture a = parse(SMALL(""));
    check_sizes(&a, 64, 2, 4, 4, 16, 96, 100, 128);
    assert_true(a.norm_eps == 1e-6 && a.bos == -1 && a.eos_count == 0);
    a = parse(SMALL(", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": true"));
    assert_true(a.qkv_bias && a.out_bias && a.mlp_bias && a.tied);
    a = parse(SMALL(", \"head_dim\": 32, \"num_key_value_heads\": null, \"some_new_option\": null"));
    assert_true(a.head_dim == 32 && a.rotary_dim == 32 && a.kv_heads == 4);
    a = parse(SMALL(", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}"));
    assert_true(a.rope_scaling == RLS_ROPE_LINEAR && a.rope_factor == 2.0);
    a = parse(SMALL(", \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 20000}"));
    assert_true(a.rope_scaling == RLS_ROPE_PLAIN && a.rope_theta == 2e4);
    a = parse(SMALL(", \"layer_types\": [\"full_attention\", \"full_attention\"]"));
    assert_true(a.window == 0);
    a = parse(
        SMALL_GPT2(", \"n_inner\": 80, \"scale_attn_weights\": false, \"activation_function\": \"gelu\""));
    assert_true(a.inner == 80 && !a.scale_attention && a.activation == RLS_ACT_GELU);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "config.json:1: not a JSON object"},
        {"{", "not a JSON object"},
        {"{}", "model_type is missing"},
        {"{\"model_type\": \"mamba\"}", "config.json:1: model_type: 'mamba' is not a family"},
        {"{\"model_type\": 3}", "model_type: '(no text)'"},
        {SMALL(",\n \"new_option\": 1"), "config.json:4: new_option: not an option of llama models"},
        {SMALL(", \"hidden_act\": \"relu2\""), "config.json:3: hidden_act: 'relu2' is not an activation"},
        {SMALL(", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4}"),
         "config.json:3: rope_scaling.rope_type: 'yarn'"},
        {SMALL(", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 4}"), "'dynamic'"},
        {SMALL(", \"rope_scaling\": {\"rope_type\": \"linear\"}"), "rope_scaling.factor: is missing"},
        {SMALL(", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 0}"), "a number above 0"},
        {SMALL(", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2, \"mscale\": 1}"),
         "rope_scaling.mscale: is not known"},
        {SMALL(", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, "
               "\"high_freq_factor\": 4}"),
         "original_max_position_embeddings: is missing"},
        {SMALL(", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, "
               "\"high_freq_factor\": 4, \"original_max_position_embeddings\": 64}"),
         "high_freq_factor: is not above low_freq_factor"},
        {SMALL(", \"rope_theta\": 1, \"rope_parameters\": {\"rope_theta\": 2}"), "disagree"},
        {SMALL(", \"quantization_config\": {\"bits\": 4}"), "quantization_config: is not supported"},
        {SMALL(", \"is_decoder\": true"), "is_decoder: is not supported"},
        {SMALL(", \"auto_map\": {\"AutoModel\": \"x\"}"), "auto_map"},
        {SMALL(", \"layer_types\": [\"full_attention\", \"sliding_attention\"]"), "'sliding_attention'"},
        {SMALL(", \"layer_types\": [\"full_attention\"]"), "lists 1 of 2 layers"},
        {SMALL(", \"num_key_value_heads\": 3"), "not a multiple of 3 key-value heads"},
        {SMALL(", \"head_dim\": 15"), "15 rotary dimensions"},
        {SMALL(", \"rms_norm_eps\": \"tiny\""), "rms_norm_eps: expected a number"},
        {SMALL(", \"attention_bias\": 1"), "attention_bias: expected true or false"},
        {SMALL(", \"bos_token_id\": -5"), "bos_token_id: expected a token's id"},
        {SMALL(", \"eos_token_id\": [1, 2, 3, 4, 5, 6, 7, 8, 9]"), "more different end-of-sequence ids"},
        {SMALL(", \"head_dim\": 0"), "head_dim: expected an integer from 1"},
        {SMALL(", \"vocab_size\": 5"), "not a JSON object: duplicate object key"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 64}", "num_hidden_layers is missing"},
        {"{\"model_type\": \"llama\", \"hidden_size\": 1e3}", "hidden_size: expected an integer"},
        {QWEN2("8192", "29568", "64", "8", "80", "1, \"x\": 1"), "x: not an option of qwen2 models"},
        {"{\"model_type\": \"qwen2\", \"use_sliding_window\": true}", "use_sliding_window: is not supported"},
        {SMALL_GPT2(", \"scale_attn_by_inverse_layer_idx\": true"), "scale_attn_by_inverse_layer_idx"},
        {SMALL_GPT2(", \"add_cross_attention\": true"), "add_cross_attention"},
        {SMALL_GPT2(", \"n_ctx\": 64"), "n_ctx 64 and n_positions 128 disagree"},
        {SMALL_GPT2(", \"rope_theta\": 1e4"), "rope_theta: not an option of gpt2 models"},
        {"{\"model_type\": \"gptj\", \"n_embd\": 64, \"n_layer\": 2, \"n_head\": 4, \"n_positions\": 8, "
         "\"vocab_size\": 9}",
         "64 rotary dimensions of heads of 16"}};
    rls_context *ctx = NULL;
    (void)state;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rls_architecture arch;
        const rls_status status = rls_architecture_parse(ctx, "config.json", cases[i].text,
                                                         (int64_t)strlen(cases[i].text), NULL, 0, &arch);
        assert_all_status(ctx, rls_agree(ctx, status), RLS_ERR_DATA);
        assert_all_message(ctx, cases[i].message);
    }
    rls_context_destroy(&ctx);
}

/* Names that begin with _ are notes, never options; other unknown keys only pass when they were accepted by name. */
static void test_accepted(void **state)
{
    static const char *const config =
        SMALL(", \"_model_name_or_path\": \"x\", \"neftune_noise_alpha\": 5, \"other\": 1");
    rls_context *ctx = NULL;
    rls_architecture arch;
    (void)state;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    const int64_t bytes = (int64_t)strlen(config);
    rls_status status = rls_architecture_parse(ctx, "config.json", config, bytes, NULL, 0, &arch);
    assert_all_status(ctx, rls_agree(ctx, status), RLS_ERR_DATA);
    assert_all_message(ctx, "--accept-config neftune_noise_alpha");
    assert_all_ok(ctx, rls_architecture_accept(ctx, "neftune_noise_alpha"));
    assert_all_ok(ctx, rls_architecture_accept(ctx, NULL));
    status = rls_architecture_parse(ctx, "config.json", config, bytes, NULL, 0, &arch);
    assert_all_status(ctx, rls_agree(ctx, status), RLS_ERR_DATA);
    assert_all_message(ctx, "--accept-config other");
    assert_all_ok(ctx, rls_architecture_accept(ctx, "neftune_noise_alpha,other"));
    assert_all_string_equal(rls_architecture_accepted(ctx), "neftune_noise_alpha,other");
    assert_all_ok(ctx,
                  rls_agree(ctx, rls_architecture_parse(ctx, "config.json", config, bytes, NULL, 0, &arch)));
    assert_all(!rls_architecture_accepts(ctx, "neftune") && !rls_architecture_accepts(ctx, ""));
    assert_all_status(ctx, rls_agree(ctx, rls_architecture_accept(ctx, "a,,b")), RLS_ERR_USAGE);
    rls_context_destroy(&ctx);
}

static void expect_generation(rls_context *ctx, const char *generation, int count, const char *message)
{
    static const char *const config = SMALL(", \"eos_token_id\": 7");
    rls_architecture arch;
    const rls_status status = rls_architecture_parse(ctx, "config.json", config, (int64_t)strlen(config),
                                                     generation, (int64_t)strlen(generation), &arch);
    assert_all_status(ctx, rls_agree(ctx, status), message == NULL ? RLS_OK : RLS_ERR_DATA);
    if (message != NULL)
        assert_all_message(ctx, message);
    else
        assert_all(arch.eos_count == count && arch.eos[0] == 7);
}

static void test_generation(void **state)
{
    rls_context *ctx = NULL;
    (void)state;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    expect_generation(ctx, "{}", 1, NULL);
    expect_generation(ctx, "{\"eos_token_id\": null}", 1, NULL);
    expect_generation(ctx, "{\"eos_token_id\": 7, \"top_p\": 0.9}", 1, NULL);
    expect_generation(ctx, "{\"eos_token_id\": [8, 7, 9]}", 3, NULL);
    expect_generation(ctx, "{\n\"eos_token_id\": \"x\"}", 0, "generation_config.json:2: eos_token_id");
    expect_generation(ctx, "3", 0, "generation_config.json:1: not a JSON object");
    rls_context_destroy(&ctx);
}

static void test_read(void **state)
{
    rls_context *ctx = NULL;
    rls_architecture a;
    char path[RLS_TEST_PATH_MAX];
    (void)state;
    assert_all_ok(NULL, rls_context_create(MPI_COMM_WORLD, &ctx));
    rls_test_data(path, "atlas");
    assert_all_ok(ctx, rls_architecture_read(ctx, path, &a));
    assert_all(a.hidden == 128 && a.blocks == 6 && a.heads == 8 && a.kv_heads == 2 && a.inner == 1024);
    assert_all(a.vocab == 2048 && a.context == 256 && a.eos_count == 1 && a.eos[0] == 2047);
    if (rls_test_extra(path, "models/stories260K")) {
        assert_all_ok(ctx, rls_architecture_read(ctx, path, &a));
        assert_all(a.hidden == 64 && a.blocks == 5 && a.heads == 8 && a.kv_heads == 4 && a.inner == 172);
        assert_all(a.vocab == 512 && a.context == 512 && a.tied && a.bos == 1 && a.eos[0] == 2);
    } else if (ctx->rank == 0)
        print_message("stories260K is not there: its config.json was not read\n");
    rls_test_tmpdir(path);
    assert_all_status(ctx, rls_architecture_read(ctx, path, &a), RLS_ERR_DATA);
    assert_all_message(ctx, "config.json: is missing");
    rls_test_rmtree(path);
    rls_context_destroy(&ctx);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),      cmocka_unit_test(test_mistral), cmocka_unit_test(test_qwen2),
        cmocka_unit_test(test_gpt),        cmocka_unit_test(test_options), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_generation), cmocka_unit_test(test_read),    cmocka_unit_test(test_accepted),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "architecture");
}
