#include "live/check.h"

#include <inttypes.h>
#include <string.h>

#include "live/edit_tokens.h"

rls_status rls_live_check_layers(rls_context *ctx, const char *module, const int64_t *blocks, int count,
                                 const rls_architecture *arch)
{
    const char *const *down = rls_architecture_down(arch->family);
    while (*down != NULL && strcmp(module, *down) != 0)
        down++;
    if (*down == NULL)
        return rls_fail(ctx, RLS_ERR_CONFIG,
                        "model.module: facts are edited into the down projection of a %s model, \"%s\", not "
                        "\"%s\"",
                        arch->model_type, *rls_architecture_down(arch->family), module);
    for (int i = 0; i < count; i++) {
        if (blocks[i] >= arch->blocks)
            return rls_fail(ctx, RLS_ERR_CONFIG,
                            "model.layers: there is no layer %" PRId64 "; the model has %" PRId64, blocks[i],
                            arch->blocks);
        if (i > 0 && blocks[i] <= blocks[i - 1])
            return rls_fail(ctx, RLS_ERR_CONFIG,
                            "model.layers: facts are edited from the lowest layer up: give them in order");
    }
    return RLS_OK;
}

rls_status rls_live_check_facts(rls_llm *llm, const rls_facts *facts, const rls_contexts *contexts)
{
    rls_context *ctx = llm->ctx;
    const rls_share mine = rls_share_of(rls_facts_count(facts), ctx->rank, ctx->size);
    rls_status status = RLS_OK;
    for (int64_t f = mine.first; f < mine.first + mine.count && status == RLS_OK; f++) {
        const rls_fact *fact = rls_facts_get(facts, f);
        rls_edit_tokens tokens = {0};
        status = rls_edit_tokens_make(ctx, llm->tokenizer, &llm->arch, contexts, fact, &tokens);
        if (status == RLS_OK && rls_edit_tokens_all(&tokens) > llm->token_budget)
            status = rls_fail(ctx, RLS_ERR_USAGE,
                              "facts, line %" PRId64 ": takes %" PRId64
                              " tokens with its contexts, beyond the token budget of %" PRId64
                              ": raise --token-budget or give fewer contexts",
                              fact->line, rls_edit_tokens_all(&tokens), llm->token_budget);
        rls_edit_tokens_free(&tokens);
    }
    return rls_agree(ctx, status);
}
