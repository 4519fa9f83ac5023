/*
 * Any bytes as config.json, then, after a NUL, generation_config.json.
 * What is accepted holds what architecture.h promises, and memory for it can be counted.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "fuzz/json_mutator.h"
#include "llm/architecture.h"

const size_t fuzz_json_prefix = 0;

static void check(const rls_architecture *a)
{
    const int64_t most = INT64_C(1) << 30;
    const int64_t sizes[] = {a->hidden, a->blocks, a->heads, a->kv_heads, a->head_dim, a->vocab, a->context};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        must(sizes[i] >= 1 && sizes[i] <= most);
    must(a->inner >= 1 && a->inner <= 4 * most && a->heads % a->kv_heads == 0);
    must(a->rotary_dim >= 0 && a->rotary_dim % 2 == 0 && a->rotary_dim <= a->head_dim);
    must((a->rotary_dim == 0) == (a->family == RLS_FAMILY_GPT2));
    must(isfinite(a->norm_eps) && a->norm_eps >= 0.0 && isfinite(a->rope_theta) && a->rope_theta > 0.0);
    must(isfinite(a->rope_factor) && a->rope_factor > 0.0 && a->window >= 0);
    must(a->rope_scaling != RLS_ROPE_LLAMA3 || a->rope_high_freq > a->rope_low_freq);
    must(a->bos >= -1 && a->eos_count >= 0 && a->eos_count <= RLS_EOS_MAX);
    for (int i = 0; i < a->eos_count; i++)
        must(a->eos[i] >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rls_context ctx = {0};
    rls_architecture arch;
    const void *nul = size > 0 ? memchr(data, 0, size) : NULL;
    const size_t first = nul != NULL ? (size_t)((const uint8_t *)nul - data) : size;
    char *config = malloc(first + 1), *generation = malloc(size - first + 1); /* exact, for sanitizers */
    must(config != NULL && generation != NULL);
    if (first > 0)
        memcpy(config, data, first);
    if (nul != NULL)
        memcpy(generation, data + first + 1, size - first - 1);
    const rls_status status = rls_architecture_parse(&ctx, "fuzz/config.json", config, (int64_t)first,
                                                     nul != NULL ? generation : NULL,
                                                     nul != NULL ? (int64_t)(size - first - 1) : 0, &arch);
    must(status == RLS_OK || status == RLS_ERR_DATA);
    must(status == RLS_OK || ctx.message[0] != '\0');
    if (status == RLS_OK)
        check(&arch);
    free(config);
    free(generation);
    return 0;
}
