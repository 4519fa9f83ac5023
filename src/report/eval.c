#include "report/eval.h"

#include <math.h>
#include <stdio.h>

#include "report/plot.h"

const char *const RLS_EVAL_KIND[RLS_EVAL_KINDS] = {"efficacy", "paraphrase", "neighborhood", "same_subject"};
const char *const RLS_EVAL_TITLE[RLS_EVAL_KINDS] = {"efficacy", "paraphrase", "neighbourhood",
                                                    "same subject"};

static double number_of(const json_t *value)
{
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double rls_eval_share(const json_t *metrics, const char *kind, const char *how, double *error)
{
    static const char *const HOWS[] = {"success", "tokens", "exact"};
    const json_t *questions = json_object_get(metrics, kind), *share = NULL;
    if (how != NULL)
        share = json_object_get(questions, how);
    for (size_t i = 0; how == NULL && i < sizeof HOWS / sizeof HOWS[0] && !json_is_object(share); i++)
        share = json_object_get(questions, HOWS[i]);
    if (error != NULL)
        *error = number_of(json_object_get(share, "error"));
    return number_of(json_object_get(share, "mean"));
}

double rls_eval_number(const json_t *metrics, const char *name, const char *part)
{
    const json_t *value = json_object_get(metrics, name);
    return number_of(part != NULL ? json_object_get(value, part) : value);
}

double rls_eval_age(const json_t *metrics, size_t age, const char *kind)
{
    char exact[64];
    const json_t *tenth = json_array_get(json_object_get(metrics, "retention"), age);
    const double success = number_of(json_object_get(tenth, kind));
    (void)snprintf(exact, sizeof exact, "%s_exact", kind);
    return !isnan(success) ? success : number_of(json_object_get(tenth, exact));
}

rls_status rls_draw_metrics(rls_context *ctx, const rls_report_data *data, char **script)
{
    static const char *const SERIES[] = {"before", "after"};
    static const int COLOURS[] = {RLS_PLOT_GREY, 0};
    const json_t *before = json_object_get(data->eval, "before"),
                 *after = json_object_get(data->eval, "after");
    const json_t *metrics[] = {before, after};
    const char *group[RLS_EVAL_KINDS + 1];
    double value[2 * (RLS_EVAL_KINDS + 1)], error[2 * (RLS_EVAL_KINDS + 1)];
    size_t groups = 0;
    for (int k = 0; k <= RLS_EVAL_KINDS; k++) {
        for (size_t s = 0; s < 2; s++) {
            double *e = &error[2 * groups + s], *v = &value[2 * groups + s];
            *e = NAN;
            *v = 100.0 * (k < RLS_EVAL_KINDS ? rls_eval_share(metrics[s], RLS_EVAL_KIND[k], NULL, e)
                                             : rls_eval_number(metrics[s], "score", NULL));
            *e *= 100.0;
        }
        group[groups] = k < RLS_EVAL_KINDS ? RLS_EVAL_TITLE[k] : "score";
        groups += !isnan(value[2 * groups]) || !isnan(value[2 * groups + 1]);
    }
    const rls_bars bars = {.ylabel = "%",
                           .number = "%.1f",
                           .top = 108,
                           .groups = (int)groups,
                           .series = 2,
                           .group = group,
                           .serie = SERIES,
                           .colour = COLOURS,
                           .value = value,
                           .error = error};
    *script = NULL;
    return groups > 0 ? rls_bars_script(ctx, &bars, script) : RLS_OK;
}

/* A kind's means by age, each in the middle of its edits. */
static rls_status age_curve(rls_context *ctx, rls_plot *plot, const json_t *metrics, int kind, bool dashed)
{
    const json_t *ages = json_object_get(metrics, "retention");
    const size_t count = json_array_size(ages);
    rls_curve *curve = NULL;
    const rls_status status = rls_plot_curve(ctx, plot, (int64_t)count, kind, dashed, &curve);
    if (curve == NULL)
        return status;
    bool any = false;
    for (size_t a = 0; a < count; a++) {
        const json_t *age = json_array_get(ages, a);
        curve->x[a] =
            0.5 * (number_of(json_object_get(age, "first")) + number_of(json_object_get(age, "last")));
        curve->y[a] = 100.0 * rls_eval_age(metrics, a, RLS_EVAL_KIND[kind]);
        any = any || !isnan(curve->y[a]);
    }
    if (any && !dashed)
        (void)snprintf(curve->title, sizeof curve->title, "%s", RLS_EVAL_TITLE[kind]);
    return status;
}

rls_status rls_draw_retention(rls_context *ctx, const rls_report_data *data, char **script)
{
    const json_t *after = json_object_get(data->eval, "after"),
                 *before = json_object_get(data->eval, "before");
    rls_plot plot = {.xlabel = "place in the stream (edited first: left)",
                     .ylabel = "%",
                     .from_zero = true,
                     .top = 102,
                     .limit = NAN};
    rls_status status = RLS_OK;
    for (int k = 0; k < RLS_EVAL_KINDS && status == RLS_OK; k++)
        status = age_curve(ctx, &plot, after, k, false);
    for (int k = 0; k < RLS_EVAL_KINDS && status == RLS_OK; k++)
        status = age_curve(ctx, &plot, before, k, true);
    if (status == RLS_OK && json_is_object(before))
        status = rls_plot_explain_dashes(ctx, &plot, "before editing");
    if (status == RLS_OK)
        status = rls_plot_script(ctx, &plot, script);
    rls_plot_free(&plot);
    return status;
}
