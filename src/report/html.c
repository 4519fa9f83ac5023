#include "report/html.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/eval.h"
#include "rlsedit/version.h"
#include "store/problem.h"

/* Colours of the page in light and dark; gnuplot's black becomes the text's colour. */
static const char STYLE[] =
    ":root{--back:#fff;--card:#f5f6f8;--text:#1b1f24;--faint:#5d6673;--edge:#d9dde3;--good:#1a7f45;"
    "--warning:#a86200;--bad:#c0282d;--plain:#6b7683}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#14171b;--card:#1e2329;--text:#e6e9ed;--faint:#9aa4b0;"
    "--edge:#343b44;--good:#4cc27e;--warning:#e0a040;--bad:#f0686c;--plain:#8894a2}}\n"
    "body{margin:0 auto;padding:1.2rem;max-width:84rem;background:var(--back);color:var(--text);"
    "font:15px/1.45 system-ui,sans-serif}\n"
    "h1{font-size:1.35rem;margin:0}h2{font-size:1rem;margin:0 0 .3rem}h3{font-size:1.05rem;margin:1.6rem 0 "
    ".5rem}\n"
    "p{margin:.3rem 0}.faint,figcaption,td.faint{color:var(--faint);font-size:.86rem}\n"
    ".verdict{border-left:.5rem solid var(--plain);padding:.5rem .9rem;background:var(--card);margin:.8rem 0;"
    "font-size:1.1rem;font-weight:600}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(12.5rem,1fr));gap:.7rem}\n"
    ".tile{background:var(--card);border-top:.25rem solid var(--plain);padding:.5rem .8rem}\n"
    ".tile b{display:block;font-size:1.3rem;line-height:1.3}\n"
    ".findings{list-style:none;padding:0}.findings li{border-left:.3rem solid;padding:.15rem .7rem;"
    "margin:.35rem 0;overflow-wrap:anywhere}\n"
    ".verdict.good,.tile.good{border-color:var(--good)}.verdict.warning,.tile.warning,"
    ".findings li.warning{border-color:var(--warning)}.verdict.bad,.tile.bad,.findings "
    "li.bad{border-color:var(--bad)}\n"
    ".pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));gap:.9rem}\n"
    "figure{margin:0;padding:.7rem .9rem;background:var(--card)}\n"
    "figure svg{width:100%;height:auto;display:block}\n"
    "svg [stroke=black]{stroke:currentColor}svg [fill=black]{fill:currentColor}svg "
    "[color=black]{color:inherit}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}\n"
    "th,td{text-align:right;padding:.2rem .7rem;border-bottom:1px solid var(--edge)}"
    "th:first-child,td:first-child,.left{text-align:left;overflow-wrap:anywhere}\n"
    "pre{background:var(--card);padding:.7rem;overflow-x:auto}summary{cursor:pointer;margin:.6rem 0}\n";

void rls_html_text(const char *text, FILE *out)
{
    for (const char *c = text != NULL ? text : ""; *c != '\0'; c++) {
        if (*c == '&')
            (void)fputs("&amp;", out);
        else if (*c == '<')
            (void)fputs("&lt;", out);
        else if (*c == '>')
            (void)fputs("&gt;", out);
        else if (*c == '"')
            (void)fputs("&quot;", out);
        else if (*c == '\'')
            (void)fputs("&#39;", out);
        else if (((unsigned char)*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f)
            (void)fputc('?', out);
        else
            (void)fputc(*c, out);
    }
}

static const char *string_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

static void write_head(const rls_page *page, FILE *out)
{
    json_t *run = rls_json_text(page->run);
    (void)fputs(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
        "<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width\"/>\n<title>",
        out);
    rls_html_text(json_string_value(run), out);
    (void)fprintf(out, " \xe2\x80\x93 rlsedit report</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>Run ",
                  STYLE);
    rls_html_text(json_string_value(run), out);
    (void)fprintf(out, "</h1>\n<p class=\"faint\">rlsedit %s, report of ", RLSEDIT_VERSION);
    rls_html_text(page->made, out);
    (void)fputs("</p>\n", out);
    json_decref(run);
}

static void write_verdict(const json_t *verdict, FILE *out)
{
    const json_t *tiles = json_object_get(verdict, "tiles"), *findings = json_object_get(verdict, "findings");
    const json_t *item = NULL;
    size_t i = 0;
    (void)fprintf(out, "<p class=\"verdict %s\">", string_of(verdict, "level"));
    rls_html_text(string_of(verdict, "headline"), out);
    (void)fputs("</p>\n<div class=\"tiles\">\n", out);
    json_array_foreach(tiles, i, item)
    {
        (void)fprintf(out, "<div class=\"tile %s\">", string_of(item, "level"));
        rls_html_text(string_of(item, "label"), out);
        (void)fputs("<b>", out);
        rls_html_text(string_of(item, "value"), out);
        (void)fputs("</b><span class=\"faint\">", out);
        rls_html_text(string_of(item, "detail"), out);
        (void)fputs("</span></div>\n", out);
    }
    (void)fputs("</div>\n", out);
    if (json_array_size(findings) == 0)
        return;
    (void)fputs("<ul class=\"findings\">\n", out);
    json_array_foreach(findings, i, item)
    {
        (void)fprintf(out, "<li class=\"%s\">", string_of(item, "level"));
        rls_html_text(string_of(item, "text"), out);
        (void)fputs("</li>\n", out);
    }
    (void)fputs("</ul>\n", out);
}

static void write_pictures(const rls_page *page, FILE *out)
{
    bool missing = false;
    (void)fputs("<h3>Pictures</h3>\n<div class=\"pictures\">\n", out);
    for (int i = 0; i < page->picture_count; i++) {
        const rls_picture *picture = &page->pictures[i];
        missing = missing || picture->svg == NULL;
        if (picture->svg != NULL)
            (void)fprintf(out, "<figure id=\"%s\"><h2>%s</h2>\n%s<figcaption>%s</figcaption></figure>\n",
                          picture->id, picture->title, picture->svg, picture->caption);
    }
    (void)fputs("</div>\n", out);
    if (!missing)
        return;
    (void)fputs("<p class=\"faint\">Left out:</p>\n<ul class=\"faint\">\n", out);
    for (int i = 0; i < page->picture_count; i++)
        if (page->pictures[i].svg == NULL)
            (void)fprintf(out, "<li>%s: %s</li>\n", page->pictures[i].title, page->pictures[i].missing);
    (void)fputs("</ul>\n", out);
}

static void write_number(double x, const char *format, FILE *out)
{
    (void)fputs("<td>", out);
    if (isnan(x))
        (void)fputs("\xe2\x80\x93", out);
    else
        (void)fprintf(out, format, x);
    (void)fputs("</td>", out);
}

static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* The layer's smallest pivot of all batches. */
static double pivot_of(const rls_report_log *log, int64_t number)
{
    double least = NAN;
    for (int64_t l = 0; l < log->layers; l++) {
        for (int64_t i = 0; i < log->rows && log->layer[l] == number; i++) {
            const double pivot = rls_report_figure(log, i, l, RLS_REPORT_PIVOT);
            least = !isnan(pivot) && !(pivot >= least) ? pivot : least;
        }
    }
    return least;
}

/* What the summary says of the layers; while there is none, what the log's last line does. */
static void write_layers(const rls_report_data *data, FILE *out)
{
    static const char *const COLUMNS[] = {"delta_norm", "delta_bound", "weight_norm", "objective",
                                          "fit_error"};
    const json_t *from = data->summary != NULL ? data->summary : json_object_get(data->about, "last_batch");
    const json_t *layers = json_object_get(from, "layers"), *layer = NULL;
    size_t i = 0;
    if (json_array_size(layers) == 0)
        return;
    (void)fputs(
        "<h3>Layers</h3>\n<div class=\"wide\"><table>\n<tr><th>layer</th><th class=\"left\">tensor</th>"
        "<th>size</th><th>||D||</th><th>bound</th><th>||W||</th><th>objective</th><th>fit error</th>"
        "<th>smallest pivot</th></tr>\n",
        out);
    json_array_foreach(layers, i, layer)
    {
        const int64_t number = (int64_t)json_integer_value(json_object_get(layer, "layer"));
        (void)fprintf(out, "<tr><td>%" PRId64 "</td><td class=\"left\">", number);
        rls_html_text(string_of(layer, "tensor"), out);
        if (json_is_integer(json_object_get(layer, "m")))
            (void)fprintf(out, "</td><td>%.0f \xc3\x97 %.0f</td>", number_of(layer, "m"),
                          number_of(layer, "n"));
        else
            (void)fputs("</td><td>\xe2\x80\x93</td>", out);
        for (size_t c = 0; c < sizeof COLUMNS / sizeof COLUMNS[0]; c++)
            write_number(number_of(layer, COLUMNS[c]), "%.6g", out);
        write_number(pivot_of(&data->log, number), "%.6g", out);
        (void)fputs("</tr>\n", out);
    }
    (void)fputs("</table></div>\n", out);
}

/* "80.7 ± 2.3" of before and after. */
static void write_share(const json_t *metrics, const char *kind, const char *how, FILE *out)
{
    double error = NAN;
    const double mean = rls_eval_share(metrics, kind, how, &error);
    (void)fputs("<td>", out);
    if (isnan(mean))
        (void)fputs("\xe2\x80\x93", out);
    else if (isnan(error))
        (void)fprintf(out, "%.1f", 100.0 * mean);
    else
        (void)fprintf(out, "%.1f \xc2\xb1 %.1f", 100.0 * mean, 100.0 * error);
    (void)fputs("</td>", out);
}

/* All that eval.json says of the questions. */
static void write_metrics(const json_t *eval, FILE *out)
{
    static const char *const HOWS[] = {"success", "exact", "tokens"};
    static const char *const WHAT[] = {"answers more probable", "answers exact", "tokens exact"};
    const json_t *before = json_object_get(eval, "before"), *after = json_object_get(eval, "after");
    if (!json_is_object(after))
        return;
    (void)fputs("<h3>Metrics</h3>\n<div class=\"wide\"><table>\n<tr><th>%</th><th class=\"left\">wanted "
                "answer is</th>"
                "<th>questions</th><th>before</th><th>after</th></tr>\n",
                out);
    for (int k = 0; k < RLS_EVAL_KINDS; k++) {
        for (int h = 0; h < 3; h++) {
            if (isnan(rls_eval_share(after, RLS_EVAL_KIND[k], HOWS[h], NULL)))
                continue;
            (void)fprintf(out, "<tr><td>%s</td><td class=\"left\">%s</td>", RLS_EVAL_TITLE[k], WHAT[h]);
            write_number(rls_eval_number(after, RLS_EVAL_KIND[k], "questions"), "%.0f", out);
            write_share(before, RLS_EVAL_KIND[k], HOWS[h], out);
            write_share(after, RLS_EVAL_KIND[k], HOWS[h], out);
            (void)fputs("</tr>\n", out);
        }
    }
    (void)fputs("</table></div>\n", out);
}

/* Answers before and after. */
static void write_questions(const json_t *eval, FILE *out)
{
    const json_t *questions = json_object_get(eval, "questions"), *question = NULL;
    size_t i = 0;
    if (json_array_size(questions) == 0)
        return;
    (void)fputs(
        "<h3>Questions</h3>\n<div class=\"wide\"><table>\n<tr><th>question</th><th class=\"left\">before</th>"
        "<th class=\"left\">after</th><th class=\"left\">wanted</th></tr>\n",
        out);
    json_array_foreach(questions, i, question)
    {
        static const char *const COLUMNS[] = {"before", "after", "wanted"};
        (void)fputs("<tr><td>", out);
        rls_html_text(string_of(question, "prompt"), out);
        for (size_t c = 0; c < sizeof COLUMNS / sizeof COLUMNS[0]; c++) {
            (void)fputs("</td><td class=\"left\">", out);
            rls_html_text(string_of(question, COLUMNS[c]), out);
        }
        (void)fputs("</td></tr>\n", out);
    }
    (void)fputs("</table></div>\n", out);
}

static void write_origin(const rls_report_data *data, FILE *out)
{
    static const char *const NAMES[] = {"model", "stream", "facts", "accept_config"};
    (void)fputs("<h3>Made from</h3>\n<table>\n", out);
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        const char *path = string_of(data->identity, NAMES[i]);
        if (path[0] == '\0')
            continue;
        (void)fprintf(out, "<tr><td>%s</td><td class=\"left\">", NAMES[i]);
        rls_html_text(path, out);
        (void)fputs("</td></tr>\n", out);
    }
    (void)fputs("</table>\n", out);
    if (data->config == NULL)
        return;
    (void)fputs("<details><summary>config.yaml</summary>\n<pre>", out);
    rls_html_text(data->config, out);
    (void)fputs("</pre></details>\n", out);
}

void rls_page_write(const rls_page *page, FILE *out)
{
    write_head(page, out);
    write_verdict(page->verdict, out);
    write_pictures(page, out);
    write_metrics(page->data->eval, out);
    write_questions(page->data->eval, out);
    write_layers(page->data, out);
    write_origin(page->data, out);
    (void)fputs("</body>\n</html>\n", out);
}
