/* What a model has learnt, kept and forgotten of the facts that were edited into it: what `rlsedit eval`
 * does. */
#ifndef EVAL_EVAL_H
#define EVAL_EVAL_H

#include <jansson.h>

#include "corpus/facts.h"
#include "eval/metrics.h"

#define RLS_EVAL_FORMAT "rlsedit-eval"

typedef struct {
    const char *run;      /* a finished run; NULL: model and facts are given */
    const char *model;    /* the edited model; NULL: the run's */
    const char *facts;    /* NULL: the run's, of which those are tried that were applied */
    const char *original; /* the model before the edits; NULL: the run's, when it is still there */
    bool only_after;      /* no model before the edits is tried */
    int64_t limit;        /* facts, from the first; 0: all */
    rls_facts_policy policy;
    const char *text; /* a corpus, for the perplexity; NULL: none */
    const char *field;
    bool last_word;    /* the perplexity is of each text's last word */
    int64_t fluency;   /* facts that texts are written after; 0: none */
    int64_t questions; /* facts that are shown with their answers; 0: none */
    int tensor_ranks;  /* 0: chosen */
    const char *out;   /* where eval.json goes; NULL: RUN/eval.json, nowhere without a run */
    FILE *progress;    /* where rank 0 shows progress; NULL: nowhere */
} rls_eval_request;

/* Of one model. */
typedef struct {
    rls_eval_metrics all;
    int ages;
    rls_eval_age age[RLS_EVAL_AGES];
    rls_continuation_score text; /* tokens = 0: no text */
    double entropy;              /* of what it writes, in bits; NaN: not asked for */
} rls_eval_figures;

/* A question, and how the models answer it: their greedy continuation, cut to as many words as are wanted. */
typedef struct {
    int64_t line, case_id;
    char *prompt, *wanted;
    char *before, *after; /* rank 0's; before: NULL without an original */
} rls_eval_example;

typedef struct {
    char *model, *original, *facts, *text; /* original, text: NULL without */
    int64_t count, skipped;                /* of facts */
    int64_t texts;                         /* that have something to predict */
    bool last_word, compared;              /* compared: there is a before */
    int64_t fluency;                       /* facts that texts were written after */
    rls_eval_figures before, after;
    int64_t examples;
    rls_eval_example *example;
} rls_eval_result;

/* Asks one model or two about all facts, dealt over the data groups, and writes eval.json.
 * Collective. request: equal on all ranks. *out: equal on all ranks but for the examples' answers; to be
 * freed with rls_eval_free, also after a failure. The figures do not depend on the number of ranks, but for
 * rounding. Returns RLS_ERR_USAGE (an unfinished run; a run of a recorded stream and no facts), RLS_ERR_DATA
 * (run, model, facts or text), RLS_ERR_IO, RLS_ERR_MEMORY, RLS_ERR_NUMERIC. */
RLS_NODISCARD rls_status rls_eval(rls_context *ctx, const rls_eval_request *request, rls_eval_result *out);
void rls_eval_free(rls_eval_result *result);

/* The result as eval.json has it (docs/formats.md); NULL without memory; free with json_decref. Not
 * collective; rank 0's has the examples' answers. */
json_t *rls_eval_json(const rls_eval_result *result);

#endif
