/* eval.json. */
#include <math.h>

#include "eval/eval.h"
#include "llm/score.h"
#include "rlsedit/version.h"
#include "store/problem.h"
#include "store/run_dir.h"

static json_t *share_json(const rls_eval_share *share)
{
    if (share->facts == 0)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:I}", "mean", rls_json_real(share->mean), "error",
                     rls_json_real(share->error), "pooled", rls_json_real(share->pooled), "facts",
                     (json_int_t)share->facts);
}

static json_t *metric_json(const rls_eval_metric *metric)
{
    return json_pack("{s:I, s:o, s:o, s:o}", "questions", (json_int_t)metric->questions, "success",
                     share_json(&metric->success), "exact", share_json(&metric->exact), "tokens",
                     share_json(&metric->tokens));
}

static json_t *age_json(const rls_eval_age *age)
{
    const rls_eval_metric *kind = age->metrics.kind;
    const int64_t last = age->first + age->count;
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "first", (json_int_t)age->first + 1,
                     "last", (json_int_t)last, "efficacy",
                     rls_json_real(kind[RLS_EVAL_EFFICACY].success.mean), "efficacy_exact",
                     rls_json_real(kind[RLS_EVAL_EFFICACY].exact.mean), "paraphrase",
                     rls_json_real(kind[RLS_EVAL_PARAPHRASE].success.mean), "paraphrase_exact",
                     rls_json_real(kind[RLS_EVAL_PARAPHRASE].exact.mean), "neighborhood",
                     rls_json_real(kind[RLS_EVAL_NEIGHBORHOOD].success.mean), "neighborhood_exact",
                     rls_json_real(kind[RLS_EVAL_NEIGHBORHOOD].exact.mean), "same_subject_exact",
                     rls_json_real(kind[RLS_EVAL_SAME_SUBJECT].exact.mean));
}

static json_t *perplexity_json(const rls_continuation_score *text)
{
    if (text->tokens == 0)
        return json_null();
    return json_pack("{s:o, s:o, s:I}", "value", rls_json_real(rls_perplexity(text)), "nll",
                     rls_json_real(text->nll), "tokens", (json_int_t)text->tokens);
}

static json_t *fluency_json(double entropy, int64_t facts)
{
    if (isnan(entropy))
        return json_null();
    return json_pack("{s:f, s:I}", "entropy", entropy, "facts", (json_int_t)facts);
}

/* Appends to a list, or fails with what could not be made. */
static void add(json_t *list, json_t *item, bool *made)
{
    *made = json_array_append_new(list, item) == 0 && *made;
}

static json_t *figures_json(const rls_eval_figures *figures, int64_t fluency)
{
    json_t *object = json_object(), *ages = json_array();
    bool made = true;
    for (int i = 0; i < figures->ages; i++)
        add(ages, age_json(&figures->age[i]), &made);
    for (int kind = 0; kind < RLS_EVAL_KINDS; kind++)
        made = json_object_set_new(object, rls_eval_kind_name((rls_eval_kind)kind),
                                   metric_json(&figures->all.kind[kind])) == 0 &&
               made;
    made = json_object_set_new(object, "score", rls_json_real(figures->all.score)) == 0 && made;
    made = json_object_set_new(object, "retention", ages) == 0 && made;
    made = json_object_set_new(object, "perplexity", perplexity_json(&figures->text)) == 0 && made;
    made = json_object_set_new(object, "fluency", fluency_json(figures->entropy, fluency)) == 0 && made;
    if (made)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *examples_json(const rls_eval_result *result)
{
    json_t *list = json_array();
    bool made = list != NULL;
    for (int64_t i = 0; i < result->examples; i++) {
        const rls_eval_example *e = &result->example[i];
        add(list,
            json_pack("{s:I, s:I, s:s, s:s, s:s?, s:s?}", "line", (json_int_t)e->line, "case_id",
                      (json_int_t)e->case_id, "prompt", e->prompt, "wanted", e->wanted, "before", e->before,
                      "after", e->after),
            &made);
    }
    if (made)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *text_json(const rls_eval_result *result)
{
    if (result->text == NULL)
        return json_null();
    return json_pack("{s:o, s:I, s:b}", "file", rls_json_text(result->text), "texts",
                     (json_int_t)result->texts, "last_word", (int)result->last_word);
}

json_t *rls_eval_json(const rls_eval_result *result)
{
    json_t *before = result->compared ? figures_json(&result->before, result->fluency) : json_null();
    return json_pack("{s:s, s:i, s:s, s:o, s:o, s:{s:o, s:I, s:I}, s:o, s:o, s:o, s:o}", "format",
                     RLS_EVAL_FORMAT, "version", 1, "rlsedit", RLSEDIT_VERSION, "model",
                     rls_json_text(result->model), "original",
                     result->original != NULL ? rls_json_text(result->original) : json_null(), "facts",
                     "file", rls_json_text(result->facts), "count", (json_int_t)result->count, "skipped",
                     (json_int_t)result->skipped, "text", text_json(result), "before", before, "after",
                     figures_json(&result->after, result->fluency), "questions", examples_json(result));
}
