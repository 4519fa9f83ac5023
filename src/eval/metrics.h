/* From answers to figures. As in MEMIT's evaluation (Meng et al. 2023), each fact counts once: a figure is
 * the mean over facts of the mean over the fact's questions of that kind. */
#ifndef EVAL_METRICS_H
#define EVAL_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "llm/continuations.h"

typedef enum {
    RLS_EVAL_EFFICACY,     /* the fact's own prompt: the new answer is wanted */
    RLS_EVAL_PARAPHRASE,   /* the same in other words */
    RLS_EVAL_NEIGHBORHOOD, /* other subjects: what was true before is wanted */
    RLS_EVAL_SAME_SUBJECT, /* other facts of the subject, to be kept */
    RLS_EVAL_KINDS
} rls_eval_kind;

/* "efficacy", ... Not collective. */
const char *rls_eval_kind_name(rls_eval_kind kind);

/* Sums over a fact's questions of one kind. */
typedef struct {
    int64_t asked, compared; /* compared: those with another answer to be better than */
    double success;          /* of the compared: -log p per token of the wanted answer is below the other's */
    double exact;            /* every token of the wanted answer is the most probable one */
    double tokens;           /* share of its tokens that are */
} rls_eval_tally;

typedef struct {
    rls_eval_tally kind[RLS_EVAL_KINDS];
} rls_eval_fact;

/* Counts one answer. other: NULL when there is nothing to compare with. Equal values are no success. Not
 * collective. */
void rls_eval_count(rls_eval_tally *tally, const rls_continuation_score *wanted,
                    const rls_continuation_score *other);

/* A mean over those facts that have one. */
typedef struct {
    double mean, error; /* error: its standard error, NaN with fewer than two facts */
    double pooled;      /* over all questions, whichever facts they belong to */
    int64_t facts;      /* 0: mean and pooled are NaN */
} rls_eval_share;

typedef struct {
    int64_t questions;
    rls_eval_share success, exact, tokens;
} rls_eval_metric;

typedef struct {
    rls_eval_metric kind[RLS_EVAL_KINDS];
    double score; /* harmonic mean of success in efficacy, paraphrase and neighborhood; NaN when one is
                     missing */
} rls_eval_metrics;

/* Of facts [count], in one piece of the stream. Not collective. */
rls_eval_metrics rls_eval_summarize(const rls_eval_fact *facts, int64_t count);

enum { RLS_EVAL_AGES = 10 };

/* A piece of the stream: facts first ... first + count - 1, from 0. */
typedef struct {
    int64_t first, count;
    rls_eval_metrics metrics;
} rls_eval_age;

/* Retention: the figures of each tenth of facts [count], which are in the order of their edits, oldest first.
 * Returns how many pieces there are: RLS_EVAL_AGES, or a fact each when there are fewer. Not collective. */
int rls_eval_by_age(const rls_eval_fact *facts, int64_t count, rls_eval_age age[RLS_EVAL_AGES]);

#endif
