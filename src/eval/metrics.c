#include "eval/metrics.h"

#include <math.h>

const char *rls_eval_kind_name(rls_eval_kind kind)
{
    static const char *const NAMES[RLS_EVAL_KINDS] = {"efficacy", "paraphrase", "neighborhood",
                                                      "same_subject"};
    return NAMES[kind];
}

static double per_token(const rls_continuation_score *score)
{
    return score->nll / (double)score->tokens;
}

void rls_eval_count(rls_eval_tally *tally, const rls_continuation_score *wanted,
                    const rls_continuation_score *other)
{
    tally->asked++;
    tally->exact += wanted->right == wanted->tokens ? 1.0 : 0.0;
    tally->tokens += (double)wanted->right / (double)wanted->tokens;
    if (other == NULL)
        return;
    tally->compared++;
    tally->success += per_token(wanted) < per_token(other) ? 1.0 : 0.0;
}

/* One of the tally's sums, and of how many questions it is. */
typedef double tally_sum(const rls_eval_tally *tally, int64_t *questions);

static double success_of(const rls_eval_tally *tally, int64_t *questions)
{
    *questions = tally->compared;
    return tally->success;
}

static double exact_of(const rls_eval_tally *tally, int64_t *questions)
{
    *questions = tally->asked;
    return tally->exact;
}

static double tokens_of(const rls_eval_tally *tally, int64_t *questions)
{
    *questions = tally->asked;
    return tally->tokens;
}

/* The standard error of the mean of x is sqrt(sum (x - mean)^2 / (n (n - 1))). */
static rls_eval_share mean_over_facts(const rls_eval_fact *facts, int64_t count, int kind, tally_sum *of)
{
    rls_eval_share share = {(double)NAN, (double)NAN, (double)NAN, 0};
    double means = 0.0, sums = 0.0, squares = 0.0;
    int64_t questions = 0, all = 0;
    for (int64_t i = 0; i < count; i++) {
        const double sum = of(&facts[i].kind[kind], &questions);
        means += questions > 0 ? sum / (double)questions : 0.0;
        share.facts += questions > 0 ? 1 : 0;
        sums += sum;
        all += questions;
    }
    const double n = (double)share.facts;
    if (share.facts > 0) {
        share.mean = means / n;
        share.pooled = sums / (double)all;
    }
    for (int64_t i = 0; i < count; i++) {
        const double sum = of(&facts[i].kind[kind], &questions);
        const double x = questions > 0 ? sum / (double)questions - share.mean : 0.0;
        squares += x * x;
    }
    if (share.facts > 1)
        share.error = sqrt(squares / (n * (n - 1.0)));
    return share;
}

/* 0 when one of them is 0; NaN when one is. */
static double harmonic_mean(const double x[3])
{
    double inverse = 0.0;
    for (int i = 0; i < 3; i++) {
        if (isnan(x[i]))
            return (double)NAN;
        inverse += x[i] > 0.0 ? 1.0 / x[i] : (double)INFINITY;
    }
    return 3.0 / inverse;
}

rls_eval_metrics rls_eval_summarize(const rls_eval_fact *facts, int64_t count)
{
    rls_eval_metrics metrics = {0};
    for (int kind = 0; kind < RLS_EVAL_KINDS; kind++) {
        rls_eval_metric *m = &metrics.kind[kind];
        for (int64_t i = 0; i < count; i++)
            m->questions += facts[i].kind[kind].asked;
        m->success = mean_over_facts(facts, count, kind, success_of);
        m->exact = mean_over_facts(facts, count, kind, exact_of);
        m->tokens = mean_over_facts(facts, count, kind, tokens_of);
    }
    metrics.score = harmonic_mean((double[3]){metrics.kind[RLS_EVAL_EFFICACY].success.mean,
                                              metrics.kind[RLS_EVAL_PARAPHRASE].success.mean,
                                              metrics.kind[RLS_EVAL_NEIGHBORHOOD].success.mean});
    return metrics;
}

int rls_eval_by_age(const rls_eval_fact *facts, int64_t count, rls_eval_age age[RLS_EVAL_AGES])
{
    const int ages = count < RLS_EVAL_AGES ? (int)count : RLS_EVAL_AGES;
    for (int i = 0; i < ages; i++) {
        const int64_t first = count * i / ages, end = count * (i + 1) / ages;
        age[i] = (rls_eval_age){first, end - first, rls_eval_summarize(facts + first, end - first)};
    }
    return ages;
}
