#include "llm/score.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

typedef struct {
    const rls_corpus *corpus;
    const rls_tokenizer *tokenizer;
    int64_t max_length; /* 0: any number of tokens */
} text_source;

static rls_status make_text(rls_context *ctx, void *user, int64_t i, rls_ids *ids, int64_t *given)
{
    const text_source *source = user;
    const int64_t before = ids->count;
    char *text = NULL;
    int64_t bytes = 0;
    *given = 1;
    rls_status status = rls_corpus_text(ctx, source->corpus, i, &text, &bytes);
    if (status == RLS_OK)
        status = rls_tokenizer_encode(ctx, source->tokenizer, text, bytes, true, ids);
    free(text);
    if (status == RLS_OK && source->max_length > 0 && ids->count - before > source->max_length)
        ids->count = before + source->max_length;
    return status;
}

rls_status rls_score_texts(rls_llm *llm, const rls_corpus *corpus, int64_t max_length, int64_t count,
                           const int32_t *length, rls_progress *progress, rls_continuation_score *scores)
{
    text_source source = {corpus, llm->tokenizer, max_length};
    return rls_score_sequences(llm, count, length, make_text, &source, progress, scores);
}

/* The tokens of each text, none of which may be longer than the context. Collective. */
static rls_status measure(rls_context *ctx, const rls_score_request *request, const rls_architecture *arch,
                          text_source *source, int64_t count, int32_t *length)
{
    rls_status status = RLS_OK;
    if (request->max_length > arch->context)
        status = rls_fail(ctx, RLS_ERR_USAGE,
                          "--max-length %" PRId64 " is beyond the model's context of %" PRId64 " tokens",
                          request->max_length, arch->context);
    status = rls_agree(ctx, status);
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        length[i] = (int32_t)rls_corpus_bytes(source->corpus, i);
    if (status == RLS_OK)
        status = rls_sequences_measure(ctx, count, make_text, source, length);
    if (status != RLS_OK)
        return status;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        if (length[i] > arch->context)
            status = rls_fail(ctx, RLS_ERR_DATA,
                              "%s:%" PRId64 ": %" PRId32 " tokens, beyond the model's context of %" PRId64
                              ": give --max-length %" PRId64 " to score the beginning of each text only",
                              rls_corpus_path(source->corpus), rls_corpus_line(source->corpus, i), length[i],
                              arch->context, arch->context);
    return rls_agree(ctx, status);
}

/* Counts tokens before the weights are read, which may take long. Collective. */
static rls_status check(rls_context *ctx, const rls_score_request *request, const rls_corpus *corpus,
                        int64_t count, int32_t *length)
{
    rls_architecture arch;
    rls_tokenizer *tokenizer = NULL;
    rls_status status = rls_architecture_read(ctx, request->model, &arch);
    if (status == RLS_OK)
        status = rls_tokenizer_open(ctx, request->model, &tokenizer);
    if (status == RLS_OK) {
        text_source source = {corpus, tokenizer, request->max_length};
        status = measure(ctx, request, &arch, &source, count, length);
    }
    rls_tokenizer_close(&tokenizer);
    return status;
}

/* Collective. */
static rls_status score(rls_context *ctx, const rls_score_request *request, const rls_corpus *corpus,
                        const int32_t *length, rls_score_result *out)
{
    const rls_llm_options options = {.tensor_ranks = request->tensor_ranks,
                                     .token_budget =
                                         rls_sequences_longest(out->count, length, RLS_TOKEN_BUDGET)};
    rls_llm *llm = NULL;
    rls_progress progress;
    rls_status status = rls_llm_open(ctx, request->model, &options, &llm);
    rls_progress_begin(&progress, ctx->rank == 0 ? request->progress : NULL, 0, out->count);
    progress.unit = "texts of this rank's";
    if (status == RLS_OK)
        status = rls_score_texts(llm, corpus, request->max_length, out->count, length, &progress, out->score);
    rls_progress_end(&progress);
    rls_llm_close(&llm);
    return status;
}

/* Collective. */
static rls_status make_result(rls_context *ctx, const rls_corpus *corpus, int64_t samples, int32_t **length,
                              rls_score_result *out)
{
    void *lines = NULL, *scores = NULL, *lengths = NULL;
    const int64_t all = rls_corpus_count(corpus), count = samples > 0 && samples < all ? samples : all;
    rls_status status = RLS_OK;
    if (count == 0)
        status = rls_fail(ctx, RLS_ERR_DATA, "%s: holds no text", rls_corpus_path(corpus));
    else
        status = rls_alloc(ctx, count, sizeof *out->line, &lines);
    if (status == RLS_OK)
        status = rls_alloc(ctx, count, sizeof *out->score, &scores);
    if (status == RLS_OK)
        status = rls_alloc(ctx, count, sizeof **length, &lengths);
    *out = (rls_score_result){count, lines, scores};
    *length = lengths;
    status = rls_agree(ctx, status);
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        out->line[i] = rls_corpus_line(corpus, i);
    return status;
}

rls_status rls_score(rls_context *ctx, const rls_score_request *request, rls_score_result *out)
{
    rls_corpus *corpus = NULL;
    int32_t *length = NULL;
    *out = (rls_score_result){0};
    rls_status status = rls_corpus_open(ctx, request->text, request->field, &corpus);
    if (status == RLS_OK)
        status = make_result(ctx, corpus, request->samples, &length, out);
    if (status == RLS_OK)
        status = check(ctx, request, corpus, out->count, length);
    if (status == RLS_OK)
        status = score(ctx, request, corpus, length, out);
    rls_corpus_close(&corpus);
    free(length);
    return status;
}

void rls_score_free(rls_score_result *result)
{
    free(result->line);
    free(result->score);
    *result = (rls_score_result){0};
}

rls_continuation_score rls_score_total(const rls_score_result *result)
{
    rls_continuation_score total = {.exact = true};
    for (int64_t i = 0; i < result->count; i++) {
        total.nll += result->score[i].nll;
        total.tokens += result->score[i].tokens;
        total.right += result->score[i].right;
        total.exact = total.exact && result->score[i].exact;
    }
    return total;
}

double rls_perplexity(const rls_continuation_score *score)
{
    return score->tokens > 0 ? exp(score->nll / (double)score->tokens) : (double)NAN;
}
