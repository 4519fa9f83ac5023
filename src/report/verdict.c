#include "report/verdict.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/eval.h"
#include "report/stages.h"

/* What is worth a warning. */
static const double PIVOT_LEAST = 1.0 - 1e-6; /* 1 in exact arithmetic */
static const double BOUND_SHARE = 0.95;       /* of the bound that ||D|| reaches */
static const double FIT_ERROR_MOST = 0.5;     /* of the values' norm */
static const double LEARNT_LEAST = 0.9;       /* share of edits that reached the stop loss */
static const double EFFICACY_LEAST = 0.7;     /* after editing */
static const double NEIGHBOURS_LOST = 0.05;   /* share */
static const double FORGOTTEN = 0.1;          /* efficacy of the newest tenth less that of the oldest */
static const double PERPLEXITY_GROWTH = 1.05; /* after over before */

enum { TEXT_MAX = 512 };

typedef struct {
    const rls_report_data *data;
    json_t *tiles, *findings;
    bool warned, bad, failed;
} verdict;

RLS_PRINTF(3, 4) static void find(verdict *v, const char *level, const char *fmt, ...);
RLS_PRINTF(5, 6)
static void add_tile(verdict *v, const char *level, const char *label, const char *value, const char *fmt,
                     ...);

static void note_level(verdict *v, const char *level)
{
    v->bad = v->bad || strcmp(level, "bad") == 0;
    v->warned = v->warned || strcmp(level, "warning") == 0;
}

static json_t *text_of(const char *fmt, va_list args)
{
    char text[TEXT_MAX];
    (void)vsnprintf(text, sizeof text, fmt, args);
    json_t *string = json_string(text);
    return string != NULL ? string
                          : json_string("(a text that is not UTF-8)"); /* also one cut within a letter */
}

static void find(verdict *v, const char *level, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    json_t *finding = json_pack("{s:s, s:o}", "level", level, "text", text_of(fmt, args));
    va_end(args);
    v->failed = json_array_append_new(v->findings, finding) != 0 || v->failed;
    note_level(v, level);
}

static void add_tile(verdict *v, const char *level, const char *label, const char *value, const char *fmt,
                     ...)
{
    va_list args;
    va_start(args, fmt);
    json_t *tile = json_pack("{s:s, s:s, s:s, s:o}", "level", level, "label", label, "value", value, "detail",
                             text_of(fmt, args));
    va_end(args);
    v->failed = json_array_append_new(v->tiles, tile) != 0 || v->failed;
    note_level(v, level);
}

static const char *state_of(const verdict *v)
{
    const char *state = json_string_value(json_object_get(v->data->about, "state"));
    return state != NULL ? state : "unknown";
}

static int64_t about_integer(const verdict *v, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(v->data->about, key));
}

static void seconds_text(double seconds, char *text, size_t bytes)
{
    if (seconds < 120.0)
        (void)snprintf(text, bytes, "%.3g s", seconds);
    else if (seconds < 7200.0)
        (void)snprintf(text, bytes, "%.0f min %02.0f s", floor(seconds / 60.0), fmod(seconds, 60.0));
    else
        (void)snprintf(text, bytes, "%.0f h %02.0f min", floor(seconds / 3600.0),
                       floor(fmod(seconds, 3600.0) / 60.0));
}

static void judge_state(verdict *v)
{
    const json_t *resume = json_object_get(json_object_get(v->data->about, "resume"), "replay");
    const int64_t edits = about_integer(v, "edits"), batches = about_integer(v, "batches");
    const char *state = state_of(v);
    if (strcmp(state, "finished") == 0)
        add_tile(v, "good", "State", "finished", "%" PRId64 " edits in %" PRId64 " batches", edits, batches);
    else if (strcmp(state, "running") == 0)
        add_tile(v, "plain", "State", "running", "%" PRId64 " edits so far, in %" PRId64 " batches", edits,
                 batches);
    else
        add_tile(v, "warning", "State", state, "at edit %" PRId64 ", batch %" PRId64 "; --resume goes on%s",
                 edits, batches,
                 json_integer_value(resume) > 0 ? " and applies a part of the journal again" : "");
}

static void judge_size(verdict *v)
{
    const rls_report_log *log = &v->data->log;
    const json_t *layers = json_object_get(v->data->summary, "layers");
    const json_t *ranks = json_object_get(v->data->summary, "ranks");
    char value[64], detail[128] = "";
    size_t at = 0;
    for (int64_t i = 0; i < log->layers && at < sizeof detail - 16; i++)
        at +=
            (size_t)snprintf(detail + at, sizeof detail - at, "%s%" PRId64, i > 0 ? ", " : "", log->layer[i]);
    const int64_t count = json_is_array(layers) ? (int64_t)json_array_size(layers) : log->layers;
    (void)snprintf(value, sizeof value, "%" PRId64, about_integer(v, "edits"));
    add_tile(v, "plain", "Edits applied", value, "in layer%s %s", count == 1 ? "" : "s",
             count > 0 ? detail : "?");
    const double seconds = rls_report_seconds(v->data), rate = rls_report_rate(v->data);
    if (isnan(seconds))
        return;
    seconds_text(seconds, value, sizeof value);
    detail[0] = '\0';
    if (json_is_integer(ranks))
        (void)snprintf(detail, sizeof detail, ", %" JSON_INTEGER_FORMAT " rank%s", json_integer_value(ranks),
                       json_integer_value(ranks) == 1 ? "" : "s");
    if (!isnan(rate))
        add_tile(v, "plain", "Time", value, "%.3g edits/s in the batches%s", rate, detail);
    else
        add_tile(v, "plain", "Time", value, "one batch%s", detail);
}

/* The worst layer's fit error of all edits. */
static void judge_fit(verdict *v)
{
    const json_t *layers = json_object_get(v->data->summary, "layers"), *layer = NULL;
    double worst = NAN;
    int64_t at = 0;
    size_t i = 0;
    char value[64];
    json_array_foreach(layers, i, layer)
    {
        const json_t *fit = json_object_get(layer, "fit_error");
        if (json_is_number(fit) && !(json_number_value(fit) <= worst)) {
            worst = json_number_value(fit);
            at = (int64_t)json_integer_value(json_object_get(layer, "layer"));
        }
    }
    if (isnan(worst))
        return;
    const bool good = worst <= FIT_ERROR_MOST;
    (void)snprintf(value, sizeof value, "%.3g", worst);
    add_tile(v, good ? "good" : "warning", "Fit error of all edits", value,
             "worst layer: %" PRId64 "; 0 is exact", at);
    if (!good)
        find(v, "warning",
             "the edits of layer %" PRId64
             " are met badly (fit error %.3g): a smaller lambda, mu or anchor.weight "
             "lets the weight move further",
             at, worst);
}

/* "61.2 % -> 98.0 %", or the second alone. */
static void change_text(double before, double after, char *text, size_t bytes)
{
    if (isnan(before))
        (void)snprintf(text, bytes, "%.1f %%", 100.0 * after);
    else
        (void)snprintf(text, bytes, "%.1f \xe2\x86\x92 %.1f %%", 100.0 * before, 100.0 * after);
}

/* "2.7 -> 3.9", or the second alone. */
static void numbers_text(double before, double after, char *text, size_t bytes)
{
    if (isnan(before))
        (void)snprintf(text, bytes, "%.4g", after);
    else
        (void)snprintf(text, bytes, "%.4g \xe2\x86\x92 %.4g", before, after);
}

/* What holds a model closer to what it was. */
static const char *holding(const verdict *v)
{
    return v->data->unanchored ? "; nothing is anchored: set anchor.moments (rlsedit moments)"
                               : "; a larger mu, lambda or anchor.weight holds the model closer";
}

static void judge_text(verdict *v, const json_t *before, const json_t *after)
{
    const double was = rls_eval_number(before, "perplexity", "value");
    const double is = rls_eval_number(after, "perplexity", "value");
    const double entropy = rls_eval_number(after, "fluency", "entropy");
    const bool worse = is > PERPLEXITY_GROWTH * was;
    char value[64];
    if (!isnan(is)) {
        numbers_text(was, is, value, sizeof value);
        add_tile(v,
                 isnan(was) ? "plain"
                 : worse    ? "warning"
                            : "good",
                 "Perplexity", value, "of a text: lower is better");
    }
    if (worse)
        find(v, "warning", "the perplexity of the text has grown from %.4g to %.4g%s", was, is, holding(v));
    if (!isnan(entropy)) {
        numbers_text(rls_eval_number(before, "fluency", "entropy"), entropy, value, sizeof value);
        add_tile(v, "plain", "Fluency", value, "n-gram entropy of what it writes");
    }
}

/* The squared standard error of a share p of an age's facts. */
static double age_variance(const json_t *metrics, size_t age, double p)
{
    const json_t *tenth = json_array_get(json_object_get(metrics, "retention"), age);
    const double facts = json_number_value(json_object_get(tenth, "last")) -
                         json_number_value(json_object_get(tenth, "first")) + 1.0;
    return p * (1.0 - p) / facts;
}

/* Old edits against new ones. */
static void judge_retention(verdict *v, const json_t *after)
{
    const size_t ages = json_array_size(json_object_get(after, "retention"));
    const double oldest = rls_eval_age(after, 0, "efficacy");
    const double newest = ages > 1 ? rls_eval_age(after, ages - 1, "efficacy") : NAN;
    char value[64];
    if (isnan(oldest) || isnan(newest))
        return;
    const double noise = sqrt(age_variance(after, 0, oldest) + age_variance(after, ages - 1, newest));
    const bool forgotten = newest - oldest > FORGOTTEN && newest - oldest > 2.0 * noise;
    (void)snprintf(value, sizeof value, "%.1f | %.1f %%", 100.0 * oldest, 100.0 * newest);
    add_tile(v, forgotten ? "warning" : "good", "Oldest | newest edits", value,
             "efficacy of the first and the last tenth");
    if (forgotten)
        find(v, "warning",
             "old edits are forgotten: efficacy is %.1f %% for the oldest tenth and %.1f %% for the newest",
             100.0 * oldest, 100.0 * newest);
}

/* The questions of one kind. Those of other facts should be answered as they were. */
static void judge_kind(verdict *v, int kind, bool keeps, const json_t *before, const json_t *after)
{
    double error = NAN;
    const char *level = "plain", *name = RLS_EVAL_TITLE[kind];
    const double is = rls_eval_share(after, RLS_EVAL_KIND[kind], NULL, &error);
    const double was = rls_eval_share(before, RLS_EVAL_KIND[kind], NULL, NULL);
    char value[64], title[32], deviation[32];
    if (isnan(is))
        return;
    if (kind == 0)
        level = is < EFFICACY_LEAST ? "bad" : "good";
    else if (!isnan(was))
        level = (keeps ? was - is > NEIGHBOURS_LOST : is < was) ? "warning" : "good";
    (void)snprintf(title, sizeof title, "%s", name);
    title[0] = (char)(title[0] - 'a' + 'A');
    change_text(was, is, value, sizeof value);
    (void)snprintf(deviation, sizeof deviation, "\xc2\xb1 %.1f points", 100.0 * error);
    add_tile(v, level, title, value, "%s", isnan(error) ? "" : deviation);
    if (strcmp(level, "bad") == 0)
        find(v, level, "only %.1f %% of the edits are answered as wanted", 100.0 * is);
    else if (strcmp(level, "warning") == 0)
        find(v, level, "%s went from %.1f %% to %.1f %%%s", name, 100.0 * was, 100.0 * is,
             keeps ? holding(v) : "");
}

static void judge_metrics(verdict *v)
{
    const json_t *before = json_object_get(v->data->eval, "before"),
                 *after = json_object_get(v->data->eval, "after");
    char value[64];
    for (int k = 0; k < RLS_EVAL_KINDS; k++)
        judge_kind(v, k, k >= 2, before, after);
    const double score = rls_eval_number(after, "score", NULL);
    if (!isnan(score)) {
        change_text(rls_eval_number(before, "score", NULL), score, value, sizeof value);
        add_tile(v, "plain", "Score", value, "harmonic mean of the first three");
    }
    judge_text(v, before, after);
    judge_retention(v, after);
}

/* The layer and row where a figure is lowest; false: it is nowhere. */
static bool lowest(const rls_report_log *log, rls_report_layer_column column, int64_t *row, int64_t *layer)
{
    bool any = false;
    for (int64_t i = 0; i < log->rows; i++) {
        for (int64_t l = 0; l < log->layers; l++) {
            const double x = rls_report_figure(log, i, l, column);
            if (isnan(x) || (any && !(x < rls_report_figure(log, *row, *layer, column))))
                continue;
            *row = i;
            *layer = l;
            any = true;
        }
    }
    return any;
}

static void judge_pivots(verdict *v)
{
    const rls_report_log *log = &v->data->log;
    int64_t row = 0, layer = 0;
    if (!lowest(log, RLS_REPORT_PIVOT, &row, &layer))
        return;
    const double pivot = rls_report_figure(log, row, layer, RLS_REPORT_PIVOT);
    if (pivot < PIVOT_LEAST)
        find(v, "bad",
             "the smallest pivot fell below 1, to %.6g, at layer %" PRId64 " after %.0f edits: C is losing "
             "definiteness; take state.dtype float64 or a larger lambda",
             pivot, log->layer[layer], rls_report_batch(log, row, RLS_REPORT_EDITS));
}

static void judge_norms(verdict *v)
{
    const rls_report_log *log = &v->data->log;
    for (int64_t l = 0; l < log->layers && log->rows > 0; l++) {
        const double norm = rls_report_figure(log, log->rows - 1, l, RLS_REPORT_DELTA);
        const double bound = rls_report_figure(log, log->rows - 1, l, RLS_REPORT_BOUND);
        if (norm > BOUND_SHARE * bound)
            find(v, norm > bound * (1.0 + 1e-6) ? "bad" : "warning",
                 "||D|| of layer %" PRId64 " is %.4g, %.0f %% of its bound %.4g%s", log->layer[l], norm,
                 100.0 * norm / bound, bound, norm > bound * (1.0 + 1e-6) ? ": this cannot be" : "");
    }
}

static void judge_search(verdict *v)
{
    const rls_report_log *log = &v->data->log;
    double edits = 0.0, learnt = 0.0;
    char value[64];
    for (int64_t i = 0; i < log->rows; i++) {
        const double share = rls_report_batch(log, i, RLS_REPORT_LEARNT);
        const double count = rls_report_batch(log, i, RLS_REPORT_BATCH_EDITS);
        edits += isnan(share) ? 0.0 : count;
        learnt += isnan(share) ? 0.0 : share * count;
    }
    if (!(edits > 0.0))
        return;
    const double missed = round(edits - learnt);
    const bool good = learnt >= LEARNT_LEAST * edits;
    (void)snprintf(value, sizeof value, "%.1f %%", 100.0 * learnt / edits);
    add_tile(v, good ? "good" : "warning", "Reached the stop loss", value, "%.0f of %.0f edits did not",
             missed, edits);
    if (!good)
        find(v, "warning",
             "%.0f of %.0f edits did not reach the stop loss: more value.steps, or a larger value.lr or "
             "value.clamp_norm_factor",
             missed, edits);
}

static void judge_files(verdict *v)
{
    const json_t *aside = json_object_get(v->data->about, "set_aside"), *item = NULL;
    const json_t *lists[] = {json_object_get(v->data->about, "problems"), v->data->problems};
    const rls_report_log *log = &v->data->log;
    size_t i = 0;
    json_array_foreach(aside, i, item)
    {
        find(v, "warning", "damaged, set aside, and done without: %s", json_string_value(item));
    }
    for (size_t l = 0; l < sizeof lists / sizeof lists[0]; l++) {
        json_array_foreach(lists[l], i, item)
        {
            find(v, "warning", "%s: %s", json_string_value(json_object_get(item, "path")),
                 json_string_value(json_object_get(item, "problem")));
        }
    }
    if (log->damaged > 0)
        find(v, "warning", "log.jsonl: %" PRId64 " of its lines are damaged and left out", log->damaged);
    if (log->lost > 0)
        find(v, "warning",
             "log.jsonl: the figures of %" PRId64 " batches are lost; the curves have gaps there", log->lost);
}

/* The whole in a line. */
static json_t *headline_of(const verdict *v)
{
    const char *state = state_of(v);
    const int64_t edits = about_integer(v, "edits");
    const size_t findings = json_array_size(v->findings);
    if (findings == 0)
        return json_sprintf("%s: %" PRId64 " edits; %s", state, edits,
                            v->warned ? "it can go on" : "nothing to worry about");
    return json_sprintf("%s: %" PRId64 " edits; %zu thing%s %s", state, edits, findings,
                        findings == 1 ? "" : "s",
                        v->bad          ? "to see to"
                        : findings == 1 ? "deserves a look"
                                        : "deserve a look");
}

rls_status rls_report_judge(rls_context *ctx, const rls_report_data *data, json_t **out)
{
    verdict v = {.data = data, .tiles = json_array(), .findings = json_array()};
    v.failed = v.tiles == NULL || v.findings == NULL;
    judge_state(&v);
    judge_size(&v);
    judge_fit(&v);
    judge_metrics(&v);
    judge_search(&v);
    judge_pivots(&v);
    judge_norms(&v);
    judge_files(&v);
    const bool finished = strcmp(state_of(&v), "finished") == 0;
    *out = v.failed ? NULL
                    : json_pack("{s:s, s:o, s:O, s:O}", "level",
                                v.bad      ? "bad"
                                : v.warned ? "warning"
                                : finished ? "good"
                                           : "plain",
                                "headline", headline_of(&v), "tiles", v.tiles, "findings", v.findings);
    json_decref(v.tiles);
    json_decref(v.findings);
    return *out != NULL ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for the report");
}
