/* Tiny models of every family: their config.json, and tensors of known numbers (tests/store/model_files.h).
 */
#ifndef LLM_TINY_MODELS_H
#define LLM_TINY_MODELS_H

#include <stdarg.h>

#include "llm/weights.h"
#include "store/model_files.h"

enum { TINY_TENSORS_MAX = 64, TINY_BLOCKS = 2 };

typedef struct {
    const char *name; /* of the test's variant */
    const char *config;
    const char *root; /* before GPT names */
    bool biases, tied;
} tiny;

/* Sizes that tensor ranks do not divide: 6 heads on 2 key-value heads of 4, inner 11, vocabulary 17. */
#define TINY_LLAMA                                                                                           \
    "\"hidden_size\": 12, \"intermediate_size\": 11, \"num_hidden_layers\": 2, \"num_attention_heads\": 6, " \
    "\"num_key_value_heads\": 2, \"head_dim\": 4, \"max_position_embeddings\": 32, \"vocab_size\": 17"
#define TINY_GPT                                                                                             \
    "\"n_embd\": 12, \"n_inner\": 11, \"n_layer\": 2, \"n_head\": 3, \"n_positions\": 9, \"vocab_size\": 17"

static const tiny TINY[] = {
    {"llama", "{\"model_type\": \"llama\", " TINY_LLAMA "}", "", false, false},
    {"llama with biases, tied",
     "{\"model_type\": \"llama\", \"attention_bias\": true, \"mlp_bias\": true, \"tie_word_embeddings\": "
     "true, " TINY_LLAMA "}",
     "", true, true},
    {"mistral", "{\"model_type\": \"mistral\", \"sliding_window\": 5, " TINY_LLAMA "}", "", false, false},
    {"qwen2", "{\"model_type\": \"qwen2\", " TINY_LLAMA "}", "", true, false},
    {"gpt2", "{\"model_type\": \"gpt2\", " TINY_GPT "}", "transformer.", true, true},
    {"gpt2 of its own files", "{\"model_type\": \"gpt2\", " TINY_GPT "}", "", true, true},
    {"gptj", "{\"model_type\": \"gptj\", \"rotary_dim\": 2, " TINY_GPT "}", "transformer.", true, false}};
enum { TINY_COUNT = sizeof TINY / sizeof TINY[0] };

/* A model's tensors. */
typedef struct {
    int count;
    sample tensor[TINY_TENSORS_MAX];
    char name[TINY_TENSORS_MAX][96];
} tiny_files;

__attribute__((format(printf, 5, 6))) static inline void
tiny_add(tiny_files *f, rls_tensor_type type, int64_t rows, int64_t cols, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(f->name[f->count], sizeof f->name[0], fmt, args);
    va_end(args);
    f->tensor[f->count] = (sample){f->name[f->count], type, rows, cols};
    f->count++;
}

static inline void tiny_llama_tensors(const tiny *t, rls_tensor_type type, tiny_files *f)
{
    const bool qwen = strcmp(t->name, "qwen2") == 0;
    tiny_add(f, type, 17, 12, "model.embed_tokens.weight");
    for (int b = 0; b < TINY_BLOCKS; b++) {
        tiny_add(f, type, 12, 0, "model.layers.%d.input_layernorm.weight", b);
        tiny_add(f, type, 24, 12, "model.layers.%d.self_attn.q_proj.weight", b);
        tiny_add(f, type, 8, 12, "model.layers.%d.self_attn.k_proj.weight", b);
        tiny_add(f, type, 8, 12, "model.layers.%d.self_attn.v_proj.weight", b);
        tiny_add(f, type, 12, 24, "model.layers.%d.self_attn.o_proj.weight", b);
        tiny_add(f, type, 12, 0, "model.layers.%d.post_attention_layernorm.weight", b);
        tiny_add(f, type, 11, 12, "model.layers.%d.mlp.gate_proj.weight", b);
        tiny_add(f, type, 11, 12, "model.layers.%d.mlp.up_proj.weight", b);
        tiny_add(f, type, 12, 11, "model.layers.%d.mlp.down_proj.weight", b);
        tiny_add(f, type, 2, 0, "model.layers.%d.self_attn.rotary_emb.inv_freq", b);
        if (!t->biases)
            continue;
        tiny_add(f, type, 24, 0, "model.layers.%d.self_attn.q_proj.bias", b);
        tiny_add(f, type, 8, 0, "model.layers.%d.self_attn.k_proj.bias", b);
        tiny_add(f, type, 8, 0, "model.layers.%d.self_attn.v_proj.bias", b);
        if (qwen)
            continue;
        tiny_add(f, type, 12, 0, "model.layers.%d.self_attn.o_proj.bias", b);
        tiny_add(f, type, 11, 0, "model.layers.%d.mlp.gate_proj.bias", b);
        tiny_add(f, type, 11, 0, "model.layers.%d.mlp.up_proj.bias", b);
        tiny_add(f, type, 12, 0, "model.layers.%d.mlp.down_proj.bias", b);
    }
    tiny_add(f, type, 12, 0, "model.norm.weight");
    if (!t->tied)
        tiny_add(f, type, 17, 12, "lm_head.weight");
}

static inline void tiny_pair(tiny_files *f, rls_tensor_type type, int64_t rows, int64_t cols, int64_t bias,
                             const char *root, int b, const char *name)
{
    tiny_add(f, type, rows, cols, "%sh.%d.%s.weight", root, b, name);
    if (bias > 0)
        tiny_add(f, type, bias, 0, "%sh.%d.%s.bias", root, b, name);
}

static inline void tiny_gpt_tensors(const tiny *t, rls_tensor_type type, tiny_files *f)
{
    const bool gptj = strcmp(t->name, "gptj") == 0;
    tiny_add(f, type, 17, 12, "%swte.weight", t->root);
    if (!gptj)
        tiny_add(f, type, 9, 12, "%swpe.weight", t->root);
    for (int b = 0; b < TINY_BLOCKS; b++) {
        tiny_pair(f, type, 12, 0, 12, t->root, b, "ln_1");
        tiny_add(f, type, 9, 9, "%sh.%d.attn.bias", t->root, b);
        if (gptj) {
            tiny_pair(f, type, 12, 12, 0, t->root, b, "attn.q_proj");
            tiny_pair(f, type, 12, 12, 0, t->root, b, "attn.k_proj");
            tiny_pair(f, type, 12, 12, 0, t->root, b, "attn.v_proj");
            tiny_pair(f, type, 12, 12, 0, t->root, b, "attn.out_proj");
            tiny_pair(f, type, 11, 12, 11, t->root, b, "mlp.fc_in");
            tiny_pair(f, type, 12, 11, 12, t->root, b, "mlp.fc_out");
        } else {
            tiny_pair(f, type, 12, 36, 36, t->root, b, "attn.c_attn");
            tiny_pair(f, type, 12, 12, 12, t->root, b, "attn.c_proj");
            tiny_pair(f, type, 12, 0, 12, t->root, b, "ln_2");
            tiny_pair(f, type, 12, 11, 11, t->root, b, "mlp.c_fc");
            tiny_pair(f, type, 11, 12, 12, t->root, b, "mlp.c_proj");
        }
    }
    tiny_add(f, type, 12, 0, "%sln_f.weight", t->root);
    tiny_add(f, type, 12, 0, "%sln_f.bias", t->root);
    if (gptj) {
        tiny_add(f, type, 17, 12, "lm_head.weight");
        tiny_add(f, type, 17, 0, "lm_head.bias");
    }
}

static inline void tiny_tensors(const tiny *t, rls_tensor_type type, tiny_files *f)
{
    f->count = 0;
    if (strncmp(t->name, "gpt", 3) == 0)
        tiny_gpt_tensors(t, type, f);
    else
        tiny_llama_tensors(t, type, f);
}

/* Its tensor of that name, to be changed; a missing one ends the test. */
static inline sample *tiny_find(tiny_files *f, const char *name)
{
    for (int i = 0; i < f->count; i++) {
        if (strcmp(f->name[i], name) == 0)
            return &f->tensor[i];
    }
    abort();
}

/* Writes the model into an existing directory: in `shards` files, with an index when there are several. */
static inline void tiny_write(const char *dir, const tiny *t, const tiny_files *f, int shards)
{
    enum { INDEX_BYTES = 1 << 14 };
    char name[64], *index = malloc(INDEX_BYTES);
    bool first = true;
    (void)snprintf(index, INDEX_BYTES, "{\"weight_map\": {");
    for (int s = 0; s < shards; s++) {
        const int from = f->count * s / shards, to = f->count * (s + 1) / shards;
        (void)snprintf(name, sizeof name, shards > 1 ? "model-%d.safetensors" : "model.safetensors", s);
        write_shard(dir, name, &f->tensor[from], to - from, s);
        for (int i = from; i < to; i++, first = false) {
            const size_t at = strlen(index);
            (void)snprintf(index + at, INDEX_BYTES - at, "%s\"%s\": \"%s\"", first ? "" : ", ", f->name[i],
                           name);
        }
    }
    const size_t at = strlen(index);
    (void)snprintf(index + at, INDEX_BYTES - at, "}}");
    if (shards > 1)
        rls_test_write_text(dir, RLS_MODEL_INDEX, index);
    rls_test_write_text(dir, "config.json", t->config);
    free(index);
}

#endif
