#include "eval/fluency.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "eval/questions.h"
#include "llm/ask.h"

enum { TOKENS = 100, TOP_K = 5, LONGEST_GRAM = 3 };

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

/* The words' hashes into hash (NULL: only counts them). */
static int64_t list_words(const char *text, rls_hash *hash)
{
    int64_t count = 0;
    for (const char *at = text, *end = NULL; *at != '\0'; at = end) {
        for (end = at; in_word(*end);)
            end++;
        const bool white = isspace((unsigned char)*at) != 0;
        if (end == at)
            end++;
        if (white)
            continue;
        if (hash != NULL)
            hash[count] = rls_hash_bytes(at, (size_t)(end - at));
        count++;
    }
    return count;
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(rls_hash));
}

/* H_n from the words; gram: room for as many. */
static double gram_entropy(const rls_hash *word, int64_t words, int n, rls_hash *gram)
{
    const int64_t grams = words - n + 1;
    double entropy = 0.0;
    for (int64_t i = 0; i < grams; i++)
        gram[i] = rls_hash_bytes(&word[i], (size_t)n * sizeof *word);
    if (grams > 1)
        qsort(gram, (size_t)grams, sizeof *gram, by_bytes);
    for (int64_t i = 0, end = 0; i < grams; i = end) {
        for (end = i + 1; end < grams && by_bytes(&gram[i], &gram[end]) == 0;)
            end++;
        const double p = (double)(end - i) / (double)grams;
        entropy -= p * log2(p);
    }
    return entropy;
}

rls_status rls_ngram_entropy(rls_context *ctx, const char *text, double *entropy)
{
    const int64_t words = list_words(text, NULL);
    void *memory = NULL;
    const rls_status status = rls_alloc(ctx, 2 * words, sizeof(rls_hash), &memory);
    rls_hash *word = memory;
    *entropy = 0.0;
    if (status != RLS_OK || word == NULL)
        return status;
    (void)list_words(text, word);
    *entropy = (2.0 / 3.0 * gram_entropy(word, words, LONGEST_GRAM - 1, word + words) +
                4.0 / 3.0 * gram_entropy(word, words, LONGEST_GRAM, word + words)) /
               2.0;
    free(memory);
    return RLS_OK;
}

/* Rank 0. */
static rls_status mean_entropy(rls_context *ctx, const rls_answers *answers, double *entropy)
{
    double sum = 0.0;
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < answers->count && status == RLS_OK; i++) {
        char *text = NULL;
        double x = 0.0;
        status = rls_asprintf(ctx, &text, "%s%s", answers->answer[i].prompt, answers->answer[i].text);
        if (status == RLS_OK)
            status = rls_ngram_entropy(ctx, text, &x);
        sum += x;
        free(text);
    }
    *entropy = sum / (double)answers->count;
    return status;
}

rls_status rls_eval_fluency(rls_llm *llm, const rls_facts *facts, int64_t count, double *entropy)
{
    rls_context *ctx = llm->ctx;
    void *memory = NULL;
    rls_answers answers = {0};
    int64_t subject_end = 0;
    *entropy = (double)NAN;
    rls_status status = rls_alloc_zero(ctx, count, sizeof(char *), &memory);
    char **prompts = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        status = rls_fact_text(ctx, rls_eval_spread(facts, i, count), &prompts[i], &subject_end);
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        const rls_ask_request request = {.prompts = (const char *const *)prompts,
                                         .count = (size_t)count,
                                         .tokens = TOKENS,
                                         .top_k = TOP_K,
                                         .past_eos = true};
        status = rls_ask_model(llm, &request, &answers);
    }
    if (status == RLS_OK) {
        status = rls_agree(ctx, ctx->rank == 0 ? mean_entropy(ctx, &answers, entropy) : RLS_OK);
        MPI_Bcast(entropy, 1, MPI_DOUBLE, 0, ctx->comm);
    }
    for (int64_t i = 0; i < count && prompts != NULL; i++)
        free(prompts[i]);
    free(memory);
    rls_answers_free(&answers);
    return status;
}
