/* How well a model foretells texts: perplexity, of all tokens or of the last word. */
#ifndef EVAL_TEXT_H
#define EVAL_TEXT_H

#include "corpus/corpus.h"
#include "llm/continuations.h"

/* Sums over all texts. last_word: only what follows the last white space of each text is predicted, behind
 * all of the rest; texts of a single word are left out. Otherwise every token but the first, which nothing
 * comes before. Of a text only the beginning is read that the context and the token budget hold; with
 * last_word such a text is left out.
 * Collective over llm->ctx, which is the corpus's too. *texts: how many have something to predict. Returns
 * RLS_ERR_DATA, RLS_ERR_IO, and what rls_score_sequences does. */
RLS_NODISCARD rls_status rls_eval_texts(rls_llm *llm, const rls_corpus *corpus, bool last_word,
                                        int64_t *texts, rls_continuation_score *total);

#endif
