#include "llm/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int64_t common_beginning(const int32_t *a, int64_t a_count, const int32_t *b, int64_t b_count)
{
    int64_t i = 0;
    while (i < a_count && i < b_count && a[i] == b[i])
        i++;
    return i;
}

rls_status rls_prompt_encode(rls_context *ctx, const rls_tokenizer *tokenizer, const char *prompt,
                             const char *target, rls_ids *ids, int64_t *given)
{
    char *whole = NULL;
    rls_ids alone = {0};
    const int64_t before = ids->count;
    rls_status status = rls_asprintf(ctx, &whole, "%s%s", prompt, target);
    *given = 1;
    if (status == RLS_OK)
        status = rls_tokenizer_encode(ctx, tokenizer, prompt, (int64_t)strlen(prompt), true, &alone);
    if (status == RLS_OK)
        status = rls_tokenizer_encode(ctx, tokenizer, whole, (int64_t)strlen(whole), true, ids);
    if (status == RLS_OK) {
        const int64_t common = common_beginning(alone.id, alone.count, ids->id + before, ids->count - before);
        *given = common > 0 ? common : 1;
    }
    rls_ids_free(&alone);
    free(whole);
    return status;
}

/* Bytes of text that the first `count` ids stand for. */
static rls_status text_bytes(rls_context *ctx, const rls_tokenizer *tokenizer, const int32_t *id,
                             int64_t count, int64_t *bytes)
{
    char *text = NULL;
    const rls_status status = rls_tokenizer_decode(ctx, tokenizer, id, count, true, &text, bytes);
    free(text);
    return status;
}

rls_status rls_prompt_token_at(rls_context *ctx, const rls_tokenizer *tokenizer, const char *text,
                               int64_t bytes, const int32_t *id, int64_t count, int64_t *index)
{
    rls_ids alone = {0};
    int64_t covered = 0;
    rls_status status = rls_tokenizer_encode(ctx, tokenizer, text, bytes, true, &alone);
    const int64_t common = status == RLS_OK ? common_beginning(alone.id, alone.count, id, count) : 0;
    const bool whole = common == alone.count && common > 0;
    rls_ids_free(&alone);
    *index = whole ? common - 1 : common;
    if (whole || status != RLS_OK)
        return status;
    /* a token goes on beyond the piece: the first that reaches its end */
    for (; *index < count - 1 && status == RLS_OK; ++*index) {
        status = text_bytes(ctx, tokenizer, id, *index + 1, &covered);
        if (covered >= bytes)
            break;
    }
    return status;
}
