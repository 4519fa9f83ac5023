#include "report/plot.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

enum {
    WIDTH = 640,
    HEIGHT = 330,
    POINTS_ALL_CURVES = 16000, /* of a picture: keeps a page of many layers small */
    MARKED_MAX = 60,           /* a curve of so few points shows them */
    MANY_EDITS = 100000,
    LOG_SPREAD = 50 /* largest over smallest value that asks for a logarithmic axis */
};

/* To be told from each other on white and on black, also by the colour-blind. */
static const char *const COLOURS[RLS_PLOT_COLOURS] = {"#3b82c4", "#e08214", "#2a9d6a", "#c4457c",
                                                      "#8c6bb1", "#b59a0e", "#17a2b2", "#a0603a"};
static const char GREY[] = "#888888", LIMIT[] = "#d0453a";

static const char *colour_of(int colour)
{
    return colour < 0 ? GREY : COLOURS[colour % RLS_PLOT_COLOURS];
}

static bool drawn(double x, double y, bool positive)
{
    return isfinite(x) && isfinite(y) && (!positive || y > 0.0);
}

/* The lowest and the highest of the points from `from`, as many as `points` of them that are drawn; appends
 * both, in order. */
static int64_t keep_extremes(const double *x, const double *y, bool positive, int64_t *from, int64_t points,
                             int64_t *kept, int64_t n)
{
    int64_t low = -1, high = -1, i = *from;
    for (; points > 0; i++) {
        if (!drawn(x[i], y[i], positive))
            continue;
        low = low < 0 || y[i] < y[low] ? i : low;
        high = high < 0 || y[i] > y[high] ? i : high;
        points--;
    }
    *from = i;
    const int64_t a = low < high ? low : high, b = low < high ? high : low;
    if (a >= 0 && (n == 0 || a > kept[n - 1]))
        kept[n++] = a;
    if (b > a)
        kept[n++] = b;
    return n;
}

int64_t rls_plot_thin(const double *x, const double *y, int64_t count, bool positive, int64_t most,
                      int64_t *kept)
{
    int64_t all = 0, first = -1, last = -1, n = 0, from = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!drawn(x[i], y[i], positive))
            continue;
        first = first < 0 ? i : first;
        last = i;
        if (all++ < most)
            kept[n++] = i;
    }
    if (all <= most)
        return n;
    const int64_t parts = (most - 2) / 2; /* two of each, and the ends */
    kept[0] = first;
    n = 1;
    for (int64_t p = 0; p < parts; p++)
        n = keep_extremes(x, y, positive, &from, all * (p + 1) / parts - all * p / parts, kept, n);
    if (kept[n - 1] < last)
        kept[n++] = last;
    return n;
}

rls_status rls_plot_curve(rls_context *ctx, rls_plot *plot, int64_t count, int colour, bool dashed,
                          rls_curve **out)
{
    void *memory = NULL;
    *out = NULL;
    if (plot->curve_count == RLS_PLOT_CURVES_MAX)
        return RLS_OK;
    const rls_status status = rls_alloc(ctx, 2 * count, sizeof(double), &memory);
    if (status != RLS_OK)
        return status;
    *out = &plot->curve[plot->curve_count++];
    **out = (rls_curve){.colour = colour,
                        .dashed = dashed,
                        .count = count,
                        .x = memory,
                        .y = memory != NULL ? (double *)memory + count : NULL};
    return RLS_OK;
}

rls_status rls_plot_explain_dashes(rls_context *ctx, rls_plot *plot, const char *meaning)
{
    rls_curve *curve = NULL;
    const rls_status status = rls_plot_curve(ctx, plot, 1, RLS_PLOT_GREY, true, &curve);
    if (curve != NULL && curve->x != NULL) {
        curve->x[0] = curve->y[0] = NAN; /* in the legend only */
        (void)snprintf(curve->title, sizeof curve->title, "%s", meaning);
    }
    return status;
}

void rls_plot_free(rls_plot *plot)
{
    for (int i = 0; i < plot->curve_count; i++)
        free(plot->curve[i].x);
    plot->curve_count = 0;
}

/* What pictures have in common. */
static void begin(FILE *out, const char *ylabel)
{
    (void)fprintf(out,
                  "set terminal svg size %d,%d dynamic noenhanced font 'sans-serif,13'\n"
                  "set border 3\n"
                  "set tics nomirror out scale 0.6\n"
                  "set grid ytics lc rgb '%s' lw 0.4 dt 1\n"
                  "set key above left horizontal Left reverse samplen 2 maxcols 3 font ',12'\n",
                  WIDTH, HEIGHT, GREY);
    (void)fprintf(out, "set ylabel '%s'\n", ylabel);
}

/* The range of what is drawn; false: nothing is. */
static bool range_of(const rls_plot *plot, bool positive, double *last, double *low, double *high)
{
    bool any = false;
    *last = *low = *high = 0.0;
    for (int c = 0; c < plot->curve_count; c++) {
        for (int64_t i = 0; i < plot->curve[c].count; i++) {
            const double x = plot->curve[c].x[i], y = plot->curve[c].y[i];
            if (!drawn(x, y, positive))
                continue;
            *last = !any || x > *last ? x : *last;
            *low = !any || y < *low ? y : *low;
            *high = !any || y > *high ? y : *high;
            any = true;
        }
    }
    return any;
}

/* Large numbers of edits are shown in thousands. */
static double x_unit(double last)
{
    return last >= MANY_EDITS ? 1000.0 : 1.0;
}

static void write_axes(FILE *out, const rls_plot *plot, double last, double low, double high, bool log)
{
    (void)fprintf(out, "set xlabel '%s%s'\nset xrange [0:%.9g]\n", plot->xlabel,
                  last >= MANY_EDITS ? ", thousands" : "", last > 0.0 ? last / x_unit(last) : 1.0);
    if (log) {
        (void)fputs("set logscale y\n", out);
        return;
    }
    if (!isnan(plot->limit)) {
        low = low < plot->limit ? low : plot->limit;
        high = high > plot->limit ? high : plot->limit;
    }
    const double from = plot->from_zero && low > 0.0 ? 0.0 : low;
    const double to = plot->top > 0.0 ? plot->top : high;
    if (to - from > 1e-9 * (fabs(to) + fabs(from))) /* else gnuplot finds a range by itself */
        (void)fprintf(out, "set yrange [%.9g:%.9g%s]\n", from, to, plot->top > 0.0 ? "" : "<*");
}

/* The thinned points of every curve, as gnuplot's data blocks; *marked: they are few. */
static void write_points(FILE *out, const rls_plot *plot, bool log, double unit, int64_t *kept, int64_t most,
                         bool *marked)
{
    *marked = true;
    for (int c = 0; c < plot->curve_count; c++) {
        const rls_curve *curve = &plot->curve[c];
        const int64_t n = rls_plot_thin(curve->x, curve->y, curve->count, log, most, kept);
        *marked = *marked && n <= MARKED_MAX;
        (void)fprintf(out, "$c%d << EOD\n", c);
        for (int64_t i = 0; i < n; i++)
            (void)fprintf(out, "%.9g %.6g\n", curve->x[kept[i]] / unit, curve->y[kept[i]]);
        (void)fputs(n == 0 ? "NaN NaN\nEOD\n" : "EOD\n", out);
    }
}

static void write_curves(FILE *out, const rls_plot *plot, bool marked)
{
    (void)fputs("plot ", out);
    if (!isnan(plot->limit))
        (void)fprintf(out, "%.9g with lines lc rgb '%s' lw 1.4 dt (2,3) notitle, ", plot->limit, LIMIT);
    for (int c = 0; c < plot->curve_count; c++) {
        const rls_curve *curve = &plot->curve[c];
        (void)fprintf(out, "%s$c%d using 1:2 with %s lc rgb '%s' lw %s dt %s ", c > 0 ? ", " : "", c,
                      marked && !curve->dashed ? "linespoints pt 7 ps 0.35" : "lines",
                      colour_of(curve->colour), curve->dashed || !marked ? "1.2" : "1.8",
                      curve->dashed ? "(6,4)" : "1");
        if (curve->title[0] != '\0')
            (void)fprintf(out, "title '%s'", curve->title);
        else
            (void)fputs("notitle", out);
    }
    (void)fputc('\n', out);
}

/* Ends the script in memory. */
static rls_status finish(rls_context *ctx, FILE *out, char **script)
{
    if (out != NULL && ferror(out) == 0 && fclose(out) == 0)
        return RLS_OK;
    free(*script);
    *script = NULL;
    return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a picture");
}

rls_status rls_plot_script(rls_context *ctx, const rls_plot *plot, char **script)
{
    double last = 0.0, low = 0.0, high = 0.0;
    size_t bytes = 0;
    void *memory = NULL;
    bool marked = false, log = plot->log && range_of(plot, true, &last, &low, &high) &&
                               high > LOG_SPREAD * low && isnan(plot->limit);
    *script = NULL;
    if (!range_of(plot, log, &last, &low, &high))
        return RLS_OK;
    int64_t most = POINTS_ALL_CURVES / plot->curve_count;
    most = most > RLS_PLOT_POINTS_MAX ? RLS_PLOT_POINTS_MAX : most;
    const rls_status status = rls_alloc(ctx, most, sizeof(int64_t), &memory);
    if (status != RLS_OK)
        return status;
    FILE *out = open_memstream(script, &bytes);
    if (out != NULL) {
        begin(out, plot->ylabel);
        write_axes(out, plot, last, low, high, log);
        write_points(out, plot, log, x_unit(last), memory, most, &marked);
        write_curves(out, plot, marked);
    }
    free(memory);
    return finish(ctx, out, script);
}

static bool any_bar(const rls_bars *bars)
{
    for (int i = 0; i < bars->groups * bars->series; i++)
        if (isfinite(bars->value[i]))
            return true;
    return false;
}

/* Lines "x height error number" of a series. */
static void write_serie(FILE *out, const rls_bars *bars, int s, double width)
{
    (void)fprintf(out, "$s%d << EOD\n", s);
    for (int g = 0; g < bars->groups; g++) {
        const int i = g * bars->series + s;
        const double x = g + width * (s - 0.5 * (bars->series - 1));
        if (!isfinite(bars->value[i]))
            continue;
        (void)fprintf(out, "%.6g %.6g %.6g \"", x, bars->value[i],
                      bars->error != NULL && isfinite(bars->error[i]) ? bars->error[i] : 0.0);
        (void)fprintf(out, bars->number, bars->value[i]);
        (void)fputs("\"\n", out);
    }
    (void)fputs("NaN NaN NaN \"\"\nEOD\n", out); /* a series without bars is no error */
}

rls_status rls_bars_script(rls_context *ctx, const rls_bars *bars, char **script)
{
    const double width = 0.8 / bars->series;
    size_t bytes = 0;
    *script = NULL;
    if (!any_bar(bars))
        return RLS_OK;
    FILE *out = open_memstream(script, &bytes);
    if (out == NULL)
        return finish(ctx, out, script);
    begin(out, bars->ylabel);
    (void)fprintf(out, "set style fill solid 0.85 noborder\nset boxwidth %.6g\nset xrange [-0.6:%.6g]\n",
                  0.94 * width, bars->groups - 0.4);
    if (bars->top > 0.0)
        (void)fprintf(out, "set yrange [0:%.9g]\n", bars->top);
    else
        (void)fputs("set yrange [0:*]\nset offsets graph 0, 0, 0.1, 0\n", out);
    (void)fputs("set xtics scale 0 (", out);
    for (int g = 0; g < bars->groups; g++)
        (void)fprintf(out, "%s'%s' %d", g > 0 ? ", " : "", bars->group[g], g);
    (void)fputs(")\n", out);
    for (int s = 0; s < bars->series; s++)
        write_serie(out, bars, s, width);
    (void)fputs("plot ", out);
    for (int s = 0; s < bars->series; s++) {
        (void)fprintf(out, "%s$s%d using 1:2 with boxes lc rgb '%s' ", s > 0 ? ", " : "", s,
                      colour_of(bars->colour[s]));
        (void)fprintf(out, "%s'%s'", bars->serie != NULL ? "title " : "notitle ",
                      bars->serie != NULL ? bars->serie[s] : "");
        if (bars->error != NULL)
            (void)fprintf(out, ", $s%d using 1:($2-$3):(0):(2*$3) with vectors nohead lw 1.4 lc -1 notitle",
                          s);
        (void)fprintf(out, ", $s%d using 1:($2+$3):4 with labels offset 0,0.6 font 'sans-serif,11' notitle",
                      s);
    }
    (void)fputc('\n', out);
    return finish(ctx, out, script);
}
