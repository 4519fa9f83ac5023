/* How probable a model finds texts: what `rlsedit score` does. */
#ifndef LLM_SCORE_H
#define LLM_SCORE_H

#include "corpus/corpus.h"
#include "llm/continuations.h"

typedef struct {
    const char *model; /* the Hugging Face directory */
    const char *text;  /* the corpus; see corpus/corpus.h */
    const char *field;
    int64_t samples;    /* only so many texts, from the first; 0: all */
    int64_t max_length; /* tokens that are read of each text; 0: all, which must be within the context */
    int tensor_ranks;   /* 0: chosen */
    FILE *progress;     /* where rank 0 shows progress; NULL: nowhere */
} rls_score_request;

/* Of each text, in order; equal on all ranks. */
typedef struct {
    int64_t count;
    int64_t *line; /* in the file, from 1 */
    rls_continuation_score *score;
} rls_score_result;

/* The sum over all texts. Not collective. */
rls_continuation_score rls_score_total(const rls_score_result *result);

/* exp(nll / tokens); NaN without tokens. Not collective. */
double rls_perplexity(const rls_continuation_score *score);

/* Scores texts: every token but the first of each, which nothing comes before; with what the tokenizer puts
 * before a text (<s>), that is every token of the text. The texts are checked before the weights are read.
 * Collective. *out: to be freed with rls_score_free, also after a failure. The result depends neither on the
 * number of ranks (up to rounding) nor on how texts are packed.
 * Returns RLS_ERR_DATA (the model or the corpus; a text longer than the context, by line), RLS_ERR_USAGE
 * (max_length beyond the context), RLS_ERR_IO, RLS_ERR_MEMORY, RLS_ERR_NUMERIC. */
RLS_NODISCARD rls_status rls_score(rls_context *ctx, const rls_score_request *request, rls_score_result *out);
void rls_score_free(rls_score_result *result);

/* Scores the first `count` texts of a corpus with an open model. length [count]: the tokens of each, at most
 * max_length (0: any number). scores [count]. Collective over llm->ctx, which is the corpus's too. Errors as
 * rls_score_sequences. */
RLS_NODISCARD rls_status rls_score_texts(rls_llm *llm, const rls_corpus *corpus, int64_t max_length,
                                         int64_t count, const int32_t *length, rls_progress *progress,
                                         rls_continuation_score *scores);

#endif
