/* Fluency: how varied the texts are that a model writes. A model damaged by edits repeats itself. */
#ifndef EVAL_FLUENCY_H
#define EVAL_FLUENCY_H

#include "corpus/facts.h"
#include "llm/llm.h"

/* (2/3 H_2 + 4/3 H_3) / 2 with the entropy H_n in bits of the distribution of the text's n-grams of words, a
 * text shorter than n words having H_n = 0: the weighted n-gram entropy of ROME (Meng et al. 2022, "Locating
 * and editing factual associations in GPT"; Zhang et al. 2018). A word is a run of letters, digits and bytes
 * above 127, or one other character that is not white space. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_ngram_entropy(rls_context *ctx, const char *text, double *entropy);

/* The mean of that over what the model writes after the prompts of `count` facts, evenly spread: prompt and
 * up to 100 tokens, sampled among the 5 most probable from a fixed seed. Collective over llm->ctx; equal on
 * all ranks. Returns what rls_ask_model does. */
RLS_NODISCARD rls_status rls_eval_fluency(rls_llm *llm, const rls_facts *facts, int64_t count,
                                          double *entropy);

#endif
