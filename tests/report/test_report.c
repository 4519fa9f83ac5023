/* ctest: NP 1 2 */
/* The parts of a report: the log as a table, what is left of curves, texts in HTML, the verdict. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/data.h"
#include "report/eval.h"
#include "report/gnuplot.h"
#include "report/html.h"
#include "report/plot.h"
#include "report/report.h"
#include "report/stages.h"
#include "report/verdict.h"
#include "store/manifest.h"
#include "support/collective.h"
#include "support/scratch.h"
#include "support/state.h"

static rls_context *ctx;

static int setup(void **state)
{
    const int failed = scratch_setup(state);
    ctx = *state;
    return failed;
}

/* Thinning. */

enum { MOST = 100 };

static bool is_kept(const int64_t *kept, int64_t n, int64_t index)
{
    for (int64_t i = 0; i < n; i++)
        if (kept[i] == index)
            return true;
    return false;
}

/* Ends, extremes and order of a random curve with holes stay, whatever its length. */
static void test_thinning(void **state)
{
    (void)state;
    int64_t kept[MOST];
    rls_random random = rls_random_seed(7);
    for (int64_t count = 0; count < 5000; count = 3 * count / 2 + 1) {
        double *x = calloc((size_t)count + 1, sizeof *x), *y = calloc((size_t)count + 1, sizeof *y);
        int64_t low = -1, high = -1, first = -1, last = -1, sound = 0;
        for (int64_t i = 0; i < count; i++) {
            x[i] = (double)i;
            y[i] = rls_random_below(&random, 11) == 0 ? NAN : rls_random_normal(&random);
            if (isnan(y[i]))
                continue;
            sound++;
            first = first < 0 ? i : first;
            last = i;
            low = low < 0 || y[i] < y[low] ? i : low;
            high = high < 0 || y[i] > y[high] ? i : high;
        }
        const int64_t n = rls_plot_thin(x, y, count, false, MOST, kept);
        assert_all(n <= MOST && n <= sound);
        assert_all(sound > MOST ? n >= MOST / 2 - 1 : n == sound);
        for (int64_t i = 0; i < n; i++)
            assert_true(!isnan(y[kept[i]]) && (i == 0 || kept[i] > kept[i - 1]));
        if (sound > 0)
            assert_all(is_kept(kept, n, first) && is_kept(kept, n, last) && is_kept(kept, n, low) &&
                       is_kept(kept, n, high));
        const int64_t positive = rls_plot_thin(x, y, count, true, MOST, kept);
        for (int64_t i = 0; i < positive; i++)
            assert_true(y[kept[i]] > 0.0);
        free(x);
        free(y);
    }
}

/* A script has what is drawn and only that. */
static void test_scripts(void **state)
{
    (void)state;
    rls_plot plot = {.xlabel = "x", .ylabel = "y", .limit = NAN, .log = true};
    rls_curve *curve = NULL;
    char *script = NULL;
    assert_all_ok(ctx, rls_plot_curve(ctx, &plot, 3, 0, false, &curve));
    for (int i = 0; i < 3; i++) {
        curve->x[i] = i;
        curve->y[i] = NAN;
    }
    assert_all_ok(ctx, rls_plot_script(ctx, &plot, &script));
    assert_null(script); /* not one point */
    curve->y[1] = 0.25;
    curve->y[2] = 250.0;
    assert_all_ok(ctx, rls_plot_script(ctx, &plot, &script));
    assert_non_null(script);
    assert_non_null(strstr(script, "\n1 0.25\n2 250\nEOD"));
    assert_non_null(strstr(script, "set logscale y"));
    free(script);
    curve->y[2] = 1.0;
    assert_all_ok(ctx, rls_plot_script(ctx, &plot, &script));
    assert_null(strstr(script, "set logscale y"));
    free(script);
    for (int i = 0; i < RLS_PLOT_CURVES_MAX + 3; i++)
        assert_all_ok(ctx, rls_plot_curve(ctx, &plot, 1, i, true, &curve));
    assert_null(curve);
    rls_plot_free(&plot);
}

/* Text. */

static void test_escaping(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    rls_html_text("<a href=\"x\">'&amp;\x01\x7f\n\t\xc3\xa9", out);
    rls_html_text(NULL, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;amp;??\n\t\xc3\xa9");
    free(text);
}

static void test_svg_element(void **state)
{
    (void)state;
    static const char DOCUMENT[] =
        "<?xml version=\"1.0\"?>\n<svg viewBox=\"0 0 1 1\"><title>Gnuplot</title><desc>by "
        "gnuplot</desc><g id=\"gnuplot_canvas\"/><defs><circle id='p'/></defs><title>layer "
        "4</title><text>&lt;</text></svg>";
    char *element = NULL;
    assert_all_ok(ctx, rls_svg_element(ctx, DOCUMENT, "norms", false, &element));
    assert_string_equal(element,
                        "<svg role=\"img\" aria-label=\"norms\" viewBox=\"0 0 1 1\"><g/><title>layer "
                        "4</title><text>&lt;</text></svg>");
    free(element);
    assert_all_ok(ctx, rls_svg_element(ctx, DOCUMENT, "norms", true, &element));
    assert_non_null(strstr(element, "<defs><circle id='p'/></defs>"));
    free(element);
}

/* The log. */

enum { BATCHES = 300, LAYERS = 2 };

/* What the log says of a batch is computed from its number. */
static double delta_of(int64_t batch, int64_t layer)
{
    return 3.0 + 0.01 * (double)batch + (double)layer;
}

static char *line_of(int64_t batch, bool live)
{
    json_t *layers = json_array();
    for (int64_t l = 0; l < LAYERS; l++)
        (void)json_array_append_new(
            layers, json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:{s:f, s:f, s:f}}", "layer",
                              4 + (json_int_t)l, "innovation_before", 10.0, "innovation_after", 1.0,
                              "delta_norm", delta_of(batch, l), "delta_bound", 10.0, "objective", 200.0,
                              "trace", 50.0, "smallest_pivot", batch == 7 && l == 1 ? 0.5 : 2.0, "seconds",
                              "read", 0.25, "step", 0.125, "drift", 0.0625));
    /* the clock begins again after batch 200: a resumed run */
    json_t *line = json_pack("{s:I, s:I, s:I, s:f, s:o}", "batch", (json_int_t)batch, "edits",
                             10 * (json_int_t)batch, "batch_edits", 10, "seconds",
                             5.0 + 2.0 * (double)(batch > 200 ? batch - 200 : batch), "layers", layers);
    if (live)
        (void)json_object_set_new(line, "live",
                                  json_pack("{s:f, s:f, s:f, s:i, s:f, s:f}", "loss", 0.04, "nll", 0.02,
                                            "below_stop_loss", 0.5, "steps", 9, "seconds_search", 0.25,
                                            "seconds_keys", 0.125));
    char *text = rls_manifest_to_line(line);
    json_decref(line);
    return text;
}

/* Writes a log without the line `hole`, with a flipped bit in line `flipped`, and with half a line at its
 * end. */
static void write_log(const char *path, int64_t hole, int64_t flipped, bool live)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    for (int64_t b = 1; b <= BATCHES; b++) {
        char *line = line_of(b, live);
        if (b == flipped)
            line[20] ^= 1;
        if (b != hole)
            (void)fprintf(out, "%s\n", line);
        free(line);
    }
    (void)fputs("{\"batch\":301,\"edi", out);
    assert_int_equal(fclose(out), 0);
    rls_test_write(path, text, bytes);
    free(text);
}

static void test_log(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    rls_report_log log;
    (void)in_scratch("log.jsonl", path);
    assert_all_status(ctx, rls_report_log_read(ctx, path, &log), RLS_ERR_DATA);
    rls_report_log_free(&log);
    write_log(path, 5, 9, true);
    assert_all_ok(ctx, rls_report_log_read(ctx, path, &log));
    assert_all_int_equal(log.rows, BATCHES - 2);
    assert_all_int_equal(log.damaged, 1);
    assert_all_int_equal(log.lost, 2); /* the hole, and the damaged one */
    assert_all_int_equal(log.last, BATCHES);
    assert_all_int_equal(log.layers, LAYERS);
    assert_all_int_equal(log.layer[1], 5);
    for (int64_t i = 0; i < log.rows; i++) {
        const int64_t batch = i < 4 ? i + 1 : i < 7 ? i + 2 : i + 3;
        assert_true(rls_report_batch(&log, i, RLS_REPORT_EDITS) == 10.0 * (double)batch);
        for (int64_t l = 0; l < LAYERS; l++)
            assert_true(rls_report_figure(&log, i, l, RLS_REPORT_DELTA) == delta_of(batch, l));
        assert_true(rls_report_batch(&log, i, RLS_REPORT_READ) == 0.5 - 0.375); /* without search and keys */
        assert_true(rls_report_batch(&log, i, RLS_REPORT_STEP) == 0.25);
        assert_true(rls_report_batch(&log, i, RLS_REPORT_LEARNT) == 0.5);
    }
    rls_report_log_free(&log);
    rls_test_write(path, "", 0);
    assert_all_ok(ctx, rls_report_log_read(ctx, path, &log));
    assert_all_int_equal(log.rows, 0);
    rls_report_log_free(&log);
}

/* A line that stands for a lost one has no figures; layers are those of the first line that has some. */
static void test_lost_lines(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX], text[4096];
    rls_report_log log;
    json_t *lost = json_pack("{s:i, s:i, s:i, s:b}", "batch", 1, "edits", 10, "batch_edits", 10, "lost", 1);
    char *first = rls_manifest_to_line(lost), *second = line_of(2, false);
    (void)in_scratch("log.jsonl", path);
    (void)snprintf(text, sizeof text, "%s\n%s\nnonsense\n%s\n[]\n", first, second, second);
    rls_test_write(path, text, strlen(text));
    assert_all_ok(ctx, rls_report_log_read(ctx, path, &log));
    assert_all_int_equal(log.rows, 2);
    assert_all_int_equal(log.lost, 1);
    assert_all_int_equal(log.damaged, 3); /* nonsense, a batch twice, no object */
    assert_all(isnan(rls_report_figure(&log, 0, 1, RLS_REPORT_PIVOT)));
    assert_all(isnan(rls_report_batch(&log, 0, RLS_REPORT_STEP)));
    assert_all(isnan(rls_report_batch(&log, 1, RLS_REPORT_LOSS)));
    assert_all(rls_report_figure(&log, 1, 1, RLS_REPORT_PIVOT) == 2.0);
    rls_report_log_free(&log);
    json_decref(lost);
    free(first);
    free(second);
}

static bool has_finding(const json_t *verdict, const char *part)
{
    const json_t *findings = json_object_get(verdict, "findings"), *finding = NULL;
    size_t i = 0;
    json_array_foreach(findings, i, finding)
    {
        if (strstr(json_string_value(json_object_get(finding, "text")), part) != NULL)
            return true;
    }
    return false;
}

/* Figures that are derived from the log, and what is said about them. */
static void test_judging(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX];
    json_t *verdict = NULL;
    json_t *about = json_pack("{s:s, s:i, s:i, s:[s], s:[{s:s, s:s}]}", "state", "interrupted", "edits", 3000,
                              "batches", 300, "set_aside", "stream/segment-000004.nc.damaged", "problems",
                              "path", "run1/run.json", "problem", "is damaged");
    (void)in_scratch("log.jsonl", path);
    write_log(path, 0, 0, true);
    rls_report_data data;
    assert_all_ok(ctx, rls_report_read(ctx, scratch_dir(), about, &data));
    assert_null(data.eval);
    assert_null(data.summary);
    assert_all(isnan(data.lambda) && isnan(rls_report_misfit(&data, 0, 0))); /* there is no config */
    data.lambda = 2.0;
    /* J = 200, lambda^2 ||D||^2 = 4 x 3.01^2, E = (2 x 2 x 10)^2 */
    assert_all_le(fabs(rls_report_misfit(&data, 0, 0) - sqrt(200.0 - 4.0 * 3.01 * 3.01) / 40.0), 1e-15);
    /* two processes: 5 s + 200 batches of 2 s, and 5 s + 100 of them */
    assert_all_le(fabs(rls_report_seconds(&data) - 610.0), 1e-9);
    assert_all_le(fabs(rls_report_rate(&data) - 5.0), 1e-12);
    const char *name[RLS_STAGES_MAX];
    double seconds[RLS_STAGES_MAX], sum = 0.0;
    const int stages = rls_report_stages(&data, name, seconds);
    for (int s = 0; s < stages; s++)
        sum += seconds[s];
    assert_all_le(fabs(sum - 610.0), 1e-9);
    assert_all_string_equal(name[0], "start");
    assert_all_le(fabs(seconds[0] - 2.0 * (7.0 - 0.875)), 1e-9); /* up to the first batch's end, without it */
    assert_all_ok(ctx, rls_report_judge(ctx, &data, &verdict));
    assert_all_string_equal(json_string_value(json_object_get(verdict, "level")), "bad");
    assert_all(has_finding(verdict, "fell below 1, to 0.5, at layer 5 after 70 edits"));
    assert_all(has_finding(verdict, "1500 of 3000 edits did not reach the stop loss"));
    assert_all(has_finding(verdict, "stream/segment-000004.nc.damaged"));
    assert_all(has_finding(verdict, "run1/run.json: is damaged"));
    assert_all(!has_finding(verdict, "its bound")); /* 7 of 10 */
    json_decref(verdict);
    data.log.figure[(299 * LAYERS + 0) * RLS_REPORT_LAYER_COLUMNS + RLS_REPORT_DELTA] = 9.9;
    assert_all_ok(ctx, rls_report_judge(ctx, &data, &verdict));
    assert_all(has_finding(verdict, "||D|| of layer 4 is 9.9, 99 % of its bound 10"));
    json_decref(verdict);
    rls_report_data_free(&data);
    json_decref(about);
}

/* eval.json as rlsedit eval writes it: efficacy from 10 to 80 %, the oldest tenth at 50 %, neighbours lost.
 */
static json_t *share_of_facts(double mean)
{
    return json_pack("{s:f, s:f, s:i}", "mean", mean, "error", 0.01, "facts", 1000);
}

static json_t *metrics_of(double efficacy, double neighbours, double oldest)
{
    json_t *ages = json_array();
    for (int a = 0; a < 10; a++)
        (void)json_array_append_new(ages, json_pack("{s:i, s:i, s:f, s:n, s:f}", "first", 100 * a + 1, "last",
                                                    100 * a + 100, "efficacy", a == 0 ? oldest : efficacy,
                                                    "paraphrase", "neighborhood_exact", neighbours));
    return json_pack("{s:{s:i, s:o, s:o}, s:{s:n, s:o}, s:{s:n, s:n}, s:f, s:o, s:n}", "efficacy",
                     "questions", 1000, "success", share_of_facts(efficacy), "exact", share_of_facts(0.25),
                     "neighborhood", "success", "tokens", share_of_facts(neighbours), "paraphrase", "success",
                     "exact", "score", 0.5, "retention", ages, "perplexity");
}

static void test_eval(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX], *script = NULL;
    json_t *verdict = NULL, *about = json_pack("{s:s, s:i}", "state", "finished", "edits", 1000);
    (void)in_scratch("eval.json", path);
    if (ctx->rank == 0)
        assert_int_equal(
            rls_manifest_write(ctx, path,
                               json_pack("{s:s, s:o, s:o}", "format", "rlsedit-eval", "before",
                                         metrics_of(0.1, 0.9, 0.1), "after", metrics_of(0.8, 0.7, 0.5))),
            RLS_OK);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_report_data data;
    assert_all_ok(ctx, rls_report_read(ctx, scratch_dir(), about, &data));
    const json_t *after = json_object_get(data.eval, "after");
    double error = NAN;
    assert_all(rls_eval_share(after, "efficacy", NULL, &error) == 0.8 && error == 0.01);
    assert_all(rls_eval_share(after, "efficacy", "exact", NULL) == 0.25);
    assert_all(rls_eval_share(after, "neighborhood", NULL, NULL) ==
               0.7); /* of the tokens, for want of success */
    assert_all(isnan(rls_eval_share(after, "paraphrase", NULL, NULL)));
    assert_all(isnan(rls_eval_share(NULL, "efficacy", NULL, NULL)));
    assert_all(isnan(rls_eval_number(after, "perplexity", "value")));
    assert_all(rls_eval_age(after, 0, "efficacy") == 0.5 && rls_eval_age(after, 0, "neighborhood") == 0.7);
    assert_all(isnan(rls_eval_age(after, 10, "efficacy")));
    assert_all_ok(ctx, rls_report_judge(ctx, &data, &verdict));
    assert_all(has_finding(verdict, "efficacy is 50.0 % for the oldest tenth and 80.0 % for the newest"));
    assert_all(has_finding(verdict, "neighbourhood went from 90.0 % to 70.0 %"));
    assert_all_string_equal(json_string_value(json_object_get(verdict, "level")), "warning");
    json_decref(verdict);
    assert_all_ok(ctx, rls_draw_metrics(ctx, &data, &script));
    assert_non_null(strstr(script, "set xtics scale 0 ('efficacy' 0, 'neighbourhood' 1, 'score' 2)"));
    assert_non_null(strstr(script, " 80 1 \"80.0\""));
    free(script);
    assert_all_ok(ctx, rls_draw_retention(ctx, &data, &script));
    assert_non_null(strstr(script, "50.5 50\n150.5 80\n"));
    free(script);
    rls_report_data_free(&data);
    MPI_Barrier(MPI_COMM_WORLD);
    rls_test_write(path, "{}", 2);
    assert_all_ok(ctx, rls_report_read(ctx, scratch_dir(), about, &data));
    assert_null(data.eval);
    assert_all_ok(ctx, rls_report_judge(ctx, &data, &verdict));
    assert_all(has_finding(verdict, "eval.json: damaged"));
    json_decref(verdict);
    rls_report_data_free(&data);
    json_decref(about);
}

/* What is no run is refused before anything is drawn or written. */
static void test_refusals(void **state)
{
    (void)state;
    char path[RLS_TEST_PATH_MAX], *page = NULL;
    rls_test_data(path, "atlas");
    assert_all_status(ctx, rls_report(ctx, path, &page), RLS_ERR_DATA);
    assert_all_message(ctx, "is no run directory (rlsedit inspect calls it: model)");
    assert_all_status(ctx, rls_report(ctx, scratch_dir(), &page), RLS_ERR_DATA);
    (void)in_scratch("nowhere", path);
    assert_all_status(ctx, rls_report(ctx, path, &page), RLS_ERR_DATA);
    assert_all_message(ctx, "nowhere");
    assert_null(page);
}

#define report_test(f) cmocka_unit_test_setup_teardown(f, setup, scratch_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        report_test(test_thinning),    report_test(test_scripts), report_test(test_escaping),
        report_test(test_svg_element), report_test(test_log),     report_test(test_lost_lines),
        report_test(test_judging),     report_test(test_eval),    report_test(test_refusals),
    };
    return rls_test_main(&argc, &argv, tests, RLS_TEST_COUNT(tests), "report");
}
