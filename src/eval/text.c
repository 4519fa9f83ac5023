#include "eval/text.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "llm/prompt.h"

/* Texts that are scored together, for each data group. */
enum { PIECE = 2048 };

typedef struct {
    const rls_corpus *corpus;
    const rls_tokenizer *tokenizer;
    bool last_word;
    int64_t most, first; /* tokens of a text; number of the piece's first text */
} text_source;

/* Where the last word of a text begins, with the space before it; 0: it is the only one. */
static int64_t last_word_of(const char *text, int64_t bytes)
{
    static const char WHITE[] = " \t\r";
    while (bytes > 0 && strchr(WHITE, text[bytes - 1]) != NULL)
        bytes--;
    while (bytes > 0 && strchr(WHITE, text[bytes - 1]) == NULL)
        bytes--;
    while (bytes > 0 && strchr(WHITE, text[bytes - 1]) != NULL)
        bytes--;
    return bytes;
}

static rls_status make_text(rls_context *ctx, void *user, int64_t i, rls_ids *ids, int64_t *given)
{
    const text_source *source = user;
    const int64_t before = ids->count;
    char *text = NULL, *end = NULL;
    int64_t bytes = 0, cut = 0;
    *given = 1;
    rls_status status = rls_corpus_text(ctx, source->corpus, source->first + i, &text, &bytes);
    if (status == RLS_OK && source->last_word)
        cut = last_word_of(text, bytes);
    if (status == RLS_OK)
        status = rls_strdup(ctx, text + cut, &end);
    if (status == RLS_OK) {
        text[cut] = '\0';
        status = rls_prompt_encode(ctx, source->tokenizer, text, end, ids, given);
    }
    const bool too_long = ids->count - before > source->most;
    if (too_long)
        ids->count = before + source->most;
    if (source->last_word && (cut == 0 || too_long))
        *given = ids->count - before; /* nothing to predict */
    free(text);
    free(end);
    return status;
}

/* Collective. */
static rls_status score_piece(rls_llm *llm, text_source *source, int64_t count, int64_t *texts,
                              rls_continuation_score *total)
{
    rls_context *ctx = llm->ctx;
    void *lengths = NULL, *memory = NULL;
    rls_status status = rls_alloc(ctx, count, sizeof(int32_t), &lengths);
    if (status == RLS_OK)
        status = rls_alloc(ctx, count, sizeof(rls_continuation_score), &memory);
    status = rls_agree(ctx, status);
    int32_t *length = lengths;
    rls_continuation_score *scores = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        length[i] = (int32_t)rls_corpus_bytes(source->corpus, source->first + i);
    if (status == RLS_OK)
        status = rls_sequences_measure(ctx, count, make_text, source, length);
    if (status == RLS_OK)
        status = rls_score_sequences(llm, count, length, make_text, source, NULL, scores);
    for (int64_t i = 0; i < count && status == RLS_OK; i++) {
        total->nll += scores[i].nll;
        total->tokens += scores[i].tokens;
        total->right += scores[i].right;
        *texts += scores[i].tokens > 0 ? 1 : 0;
    }
    free(lengths);
    free(memory);
    return status;
}

rls_status rls_eval_texts(rls_llm *llm, const rls_corpus *corpus, bool last_word, int64_t *texts,
                          rls_continuation_score *total)
{
    const int64_t count = rls_corpus_count(corpus), piece = (int64_t)PIECE * llm->part.data_groups;
    const int64_t most = llm->arch.context < llm->token_budget ? llm->arch.context : llm->token_budget;
    rls_status status = RLS_OK;
    *texts = 0;
    *total = (rls_continuation_score){0};
    for (int64_t first = 0; first < count && status == RLS_OK; first += piece) {
        text_source source = {corpus, llm->tokenizer, last_word, most, first};
        const int64_t some = count - first < piece ? count - first : piece;
        status = score_piece(llm, &source, some, texts, total);
    }
    total->exact = total->right == total->tokens;
    return status;
}
