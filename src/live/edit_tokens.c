#include "live/edit_tokens.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "llm/prompt.h"

/* The sequence whose ids begin at `from` is complete. */
static rls_status close_sequence(rls_context *ctx, const rls_architecture *arch, const rls_fact *fact,
                                 rls_edit_tokens *t, int64_t s, int64_t from)
{
    t->length[s] = t->ids.count - from;
    t->longest = t->length[s] > t->longest ? t->length[s] : t->longest;
    if (t->length[s] > arch->context)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "facts, line %" PRId64 ": %" PRId64
                        " tokens with context and target, beyond the model's context of %" PRId64,
                        fact->line, t->length[s], arch->context);
    return RLS_OK;
}

/* The target's tokens go to t->target; the last one is not read by the model. */
static rls_status take_target(rls_context *ctx, const rls_fact *fact, rls_edit_tokens *t, int64_t s,
                              int64_t from)
{
    const int64_t first = from + t->given[s], count = t->ids.count - first;
    if (count < 1)
        return rls_fail(ctx, RLS_ERR_DATA, "facts, line %" PRId64 ": the target has no tokens", fact->line);
    int32_t *larger = realloc(t->target.id, (size_t)(t->target.count + count) * sizeof *larger);
    if (larger == NULL)
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a fact's tokens");
    memcpy(larger + t->target.count, t->ids.id + first, (size_t)count * sizeof *larger);
    t->target.id = larger;
    t->target.count += count;
    t->target.capacity = t->target.count;
    t->targets[s] = count;
    t->ids.count--;
    return RLS_OK;
}

static rls_status add_context(rls_context *ctx, const rls_tokenizer *tokenizer, const rls_architecture *arch,
                              const rls_contexts *contexts, const rls_fact *fact, int64_t s,
                              const char *prompt, int64_t subject_end, rls_edit_tokens *t)
{
    char *text = NULL, *target = NULL;
    int64_t before = 0;
    const int64_t from = t->ids.count;
    rls_status status = rls_context_fill(ctx, contexts, s, prompt, &text, &before);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &target, "%s%s", fact->target[0] == ' ' ? "" : " ", fact->target);
    if (status == RLS_OK)
        status = rls_prompt_encode(ctx, tokenizer, text, target, &t->ids, &t->given[s]);
    if (status == RLS_OK)
        status = rls_prompt_token_at(ctx, tokenizer, text, before + subject_end, t->ids.id + from,
                                     t->ids.count - from, &t->subject[s]);
    if (status == RLS_OK)
        status = take_target(ctx, fact, t, s, from);
    if (status == RLS_OK)
        status = close_sequence(ctx, arch, fact, t, s, from);
    free(text);
    free(target);
    return status;
}

/* "{subject} is a": what the subject is shall stay (Meng et al. 2022, "Locating and editing factual
 * associations in GPT"). */
static rls_status add_essence(rls_context *ctx, const rls_tokenizer *tokenizer, const rls_architecture *arch,
                              const rls_fact *fact, int64_t s, rls_edit_tokens *t)
{
    char *text = NULL;
    const int64_t from = t->ids.count;
    rls_status status = rls_asprintf(ctx, &text, "%s is a", fact->subject);
    if (status == RLS_OK)
        status = rls_tokenizer_encode(ctx, tokenizer, text, (int64_t)strlen(text), true, &t->ids);
    if (status == RLS_OK)
        status = rls_prompt_token_at(ctx, tokenizer, text, (int64_t)strlen(fact->subject), t->ids.id + from,
                                     t->ids.count - from, &t->subject[s]);
    if (status == RLS_OK) {
        t->ids.count = from + t->subject[s] + 1; /* nothing after the subject is looked at */
        status = close_sequence(ctx, arch, fact, t, s, from);
    }
    t->given[s] = t->length[s];
    free(text);
    return status;
}

rls_status rls_edit_tokens_make(rls_context *ctx, const rls_tokenizer *tokenizer,
                                const rls_architecture *arch, const rls_contexts *contexts,
                                const rls_fact *fact, rls_edit_tokens *out)
{
    const int64_t count = contexts->count + 1;
    char *prompt = NULL;
    void *memory = NULL;
    int64_t subject_end = 0;
    *out = (rls_edit_tokens){.sequences = count};
    rls_status status = rls_alloc_zero(ctx, 4 * count, sizeof(int64_t), &memory);
    if (status != RLS_OK)
        return status;
    out->length = memory;
    out->subject = out->length + count;
    out->given = out->subject + count;
    out->targets = out->given + count;
    status = rls_fact_text(ctx, fact, &prompt, &subject_end);
    for (int64_t s = 0; s < contexts->count && status == RLS_OK; s++)
        status = add_context(ctx, tokenizer, arch, contexts, fact, s, prompt, subject_end, out);
    if (status == RLS_OK)
        status = add_essence(ctx, tokenizer, arch, fact, count - 1, out);
    free(prompt);
    return status;
}

void rls_edit_tokens_free(rls_edit_tokens *tokens)
{
    rls_ids_free(&tokens->ids);
    rls_ids_free(&tokens->target);
    free(tokens->length); /* with those after it */
    *tokens = (rls_edit_tokens){0};
}

int64_t rls_edit_tokens_all(const rls_edit_tokens *tokens)
{
    return tokens->ids.count;
}

int64_t rls_edit_tokens_prompts(const rls_edit_tokens *tokens)
{
    int64_t count = 0;
    for (int64_t s = 0; s < tokens->sequences - 1; s++)
        count += tokens->subject[s] + 1;
    return count;
}
