#include "report/pictures.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "report/eval.h"
#include "report/gnuplot.h"
#include "report/plot.h"
#include "report/stages.h"

static const char EDITS[] = "edits applied";

/* A figure of a layer after a batch. */
typedef double layer_figure(const rls_report_data *data, int64_t row, int64_t layer);

static double delta_of(const rls_report_data *data, int64_t row, int64_t layer)
{
    return rls_report_figure(&data->log, row, layer, RLS_REPORT_DELTA);
}

static double bound_of(const rls_report_data *data, int64_t row, int64_t layer)
{
    return rls_report_figure(&data->log, row, layer, RLS_REPORT_BOUND);
}

static double per_edit(const rls_report_data *data, int64_t row, double innovation)
{
    const double edits = rls_report_batch(&data->log, row, RLS_REPORT_BATCH_EDITS);
    return edits > 0.0 ? innovation / sqrt(edits) : NAN;
}

static double before_of(const rls_report_data *data, int64_t row, int64_t layer)
{
    return per_edit(data, row, rls_report_figure(&data->log, row, layer, RLS_REPORT_BEFORE));
}

static double after_of(const rls_report_data *data, int64_t row, int64_t layer)
{
    return per_edit(data, row, rls_report_figure(&data->log, row, layer, RLS_REPORT_AFTER));
}

static double misfit_of(const rls_report_data *data, int64_t row, int64_t layer)
{
    return 100.0 * rls_report_misfit(data, row, layer);
}

static double trace_of(const rls_report_data *data, int64_t row, int64_t layer)
{
    return rls_report_figure(&data->log, row, layer, RLS_REPORT_TRACE);
}

static double pivot_of(const rls_report_data *data, int64_t row, int64_t layer)
{
    return rls_report_figure(&data->log, row, layer, RLS_REPORT_PIVOT);
}

/* Many layers share colours, neighbours the same one; each colour is in the legend once. */
static void style_layer(const rls_report_log *log, int64_t layer, rls_curve *curve)
{
    const int64_t colours = log->layers < RLS_PLOT_COLOURS ? log->layers : RLS_PLOT_COLOURS;
    const int64_t colour = layer * colours / log->layers;
    int64_t last = layer;
    curve->colour = (int)colour;
    if (curve->dashed || (layer > 0 && (layer - 1) * colours / log->layers == colour))
        return;
    while (last + 1 < log->layers && (last + 1) * colours / log->layers == colour)
        last++;
    if (last == layer)
        (void)snprintf(curve->title, sizeof curve->title, "layer %" PRId64, log->layer[layer]);
    else
        (void)snprintf(curve->title, sizeof curve->title, "layers %" PRId64 "-%" PRId64, log->layer[layer],
                       log->layer[last]);
}

/* A curve for each layer: solid ones are in the legend. */
static rls_status layer_curves(rls_context *ctx, const rls_report_data *data, rls_plot *plot,
                               layer_figure *figure, bool dashed)
{
    const rls_report_log *log = &data->log;
    rls_status status = RLS_OK;
    for (int64_t l = 0; l < log->layers && status == RLS_OK; l++) {
        rls_curve *curve = NULL;
        status = rls_plot_curve(ctx, plot, log->rows, 0, dashed, &curve);
        if (curve == NULL)
            break;
        for (int64_t i = 0; i < log->rows; i++) {
            curve->x[i] = rls_report_batch(log, i, RLS_REPORT_EDITS);
            curve->y[i] = figure(data, i, l);
        }
        style_layer(log, l, curve);
    }
    return status;
}

/* A picture of one figure by layer, solid, and perhaps another one, dashed. */
static rls_status draw_layers(rls_context *ctx, const rls_report_data *data, rls_plot *plot,
                              layer_figure *solid, layer_figure *dashed, const char *dashes, char **script)
{
    plot->xlabel = EDITS;
    rls_status status = layer_curves(ctx, data, plot, solid, false);
    if (status == RLS_OK && dashed != NULL)
        status = layer_curves(ctx, data, plot, dashed, true);
    if (status == RLS_OK && dashed != NULL)
        status = rls_plot_explain_dashes(ctx, plot, dashes);
    if (status == RLS_OK)
        status = rls_plot_script(ctx, plot, script);
    rls_plot_free(plot);
    return status;
}

static rls_status draw_norms(rls_context *ctx, const rls_report_data *data, char **script)
{
    rls_plot plot = {.ylabel = "||D||, Frobenius norm", .from_zero = true, .limit = NAN};
    return draw_layers(ctx, data, &plot, delta_of, bound_of, "its bound", script);
}

static rls_status draw_batch_fit(rls_context *ctx, const rls_report_data *data, char **script)
{
    rls_plot plot = {.ylabel = "||V - W K|| per edit (rms)", .from_zero = true, .log = true, .limit = NAN};
    return draw_layers(ctx, data, &plot, after_of, before_of, "before the batch", script);
}

static rls_status draw_misfit(rls_context *ctx, const rls_report_data *data, char **script)
{
    rls_plot plot = {.ylabel = "not met, % of what was asked", .from_zero = true, .limit = NAN};
    return draw_layers(ctx, data, &plot, misfit_of, NULL, NULL, script);
}

static rls_status draw_trace(rls_context *ctx, const rls_report_data *data, char **script)
{
    rls_plot plot = {.ylabel = "trace of C", .from_zero = true, .log = true, .limit = NAN};
    return draw_layers(ctx, data, &plot, trace_of, NULL, NULL, script);
}

static rls_status draw_pivots(rls_context *ctx, const rls_report_data *data, char **script)
{
    rls_plot plot = {.ylabel = "smallest pivot of S", .from_zero = true, .limit = 1.0};
    return draw_layers(ctx, data, &plot, pivot_of, NULL, NULL, script);
}

/* A curve of a figure of the batches. */
static rls_status batch_curve(rls_context *ctx, const rls_report_data *data, rls_plot *plot, int colour,
                              rls_report_batch_column column, double factor, const char *title)
{
    const rls_report_log *log = &data->log;
    rls_curve *curve = NULL;
    const rls_status status = rls_plot_curve(ctx, plot, log->rows, colour, false, &curve);
    if (curve == NULL)
        return status;
    (void)snprintf(curve->title, sizeof curve->title, "%s", title);
    for (int64_t i = 0; i < log->rows; i++) {
        curve->x[i] = rls_report_batch(log, i, RLS_REPORT_EDITS);
        curve->y[i] = factor * rls_report_batch(log, i, column);
    }
    return status;
}

static rls_status draw_loss(rls_context *ctx, const rls_report_data *data, char **script)
{
    rls_plot plot = {
        .xlabel = EDITS, .ylabel = "mean over the batch, nats", .from_zero = true, .limit = data->stop_loss};
    rls_status status =
        batch_curve(ctx, data, &plot, 0, RLS_REPORT_LOSS, 1.0, "loss at the end of the search");
    if (status == RLS_OK)
        status = batch_curve(ctx, data, &plot, 1, RLS_REPORT_NLL, 1.0, "its NLL of the target");
    if (status == RLS_OK)
        status = rls_plot_script(ctx, &plot, script);
    rls_plot_free(&plot);
    return status;
}

static rls_status draw_learnt(rls_context *ctx, const rls_report_data *data, char **script)
{
    rls_plot plot = {.xlabel = EDITS,
                     .ylabel = "edits below the stop loss, %",
                     .from_zero = true,
                     .top = 100,
                     .limit = NAN};
    rls_status status = batch_curve(ctx, data, &plot, 2, RLS_REPORT_LEARNT, 100.0, "");
    if (status == RLS_OK)
        status = rls_plot_script(ctx, &plot, script);
    rls_plot_free(&plot);
    return status;
}

static bool any_of(const rls_report_log *log, rls_report_batch_column column)
{
    for (int64_t i = 0; i < log->rows; i++)
        if (rls_report_batch(log, i, column) > 0.0)
            return true;
    return false;
}

/* Seconds of each batch: by the clock, and of its parts. */
static rls_status draw_batch_seconds(rls_context *ctx, const rls_report_data *data, char **script)
{
    static const struct {
        rls_report_batch_column column;
        const char *title;
    } PARTS[] = {{RLS_REPORT_SEARCH, "search of z"},
                 {RLS_REPORT_KEYS, "keys"},
                 {RLS_REPORT_READ, "reading"},
                 {RLS_REPORT_STEP, "step"}};
    rls_plot plot = {.xlabel = EDITS, .ylabel = "seconds per batch", .from_zero = true, .limit = NAN};
    rls_curve *all = NULL;
    rls_status status = rls_plot_curve(ctx, &plot, data->log.rows, RLS_PLOT_GREY, false, &all);
    if (all != NULL) {
        (void)snprintf(all->title, sizeof all->title, "whole batch");
        for (int64_t i = 0; i < data->log.rows; i++) {
            all->x[i] = rls_report_batch(&data->log, i, RLS_REPORT_EDITS);
            all->y[i] = rls_report_batch_seconds(&data->log, i);
        }
    }
    for (int p = 0; p < (int)(sizeof PARTS / sizeof PARTS[0]) && status == RLS_OK; p++)
        if (any_of(&data->log, PARTS[p].column))
            status = batch_curve(ctx, data, &plot, p, PARTS[p].column, 1.0, PARTS[p].title);
    if (status == RLS_OK)
        status = rls_plot_script(ctx, &plot, script);
    rls_plot_free(&plot);
    return status;
}

static rls_status draw_stages(rls_context *ctx, const rls_report_data *data, char **script)
{
    static const int COLOUR[] = {0};
    const char *names[RLS_STAGES_MAX] = {NULL};
    double seconds[RLS_STAGES_MAX] = {0.0};
    const int count = rls_report_stages(data, names, seconds);
    double longest = 0.0;
    for (int i = 0; i < count; i++)
        longest = seconds[i] > longest ? seconds[i] : longest;
    const double unit = longest > 7200.0 ? 3600.0 : longest > 300.0 ? 60.0 : 1.0;
    for (int i = 0; i < count; i++)
        seconds[i] /= unit;
    const rls_bars bars = {.ylabel = unit > 60.0  ? "hours"
                                     : unit > 1.0 ? "minutes"
                                                  : "seconds",
                           .number = "%.3g",
                           .groups = count,
                           .series = 1,
                           .group = names,
                           .colour = COLOUR,
                           .value = seconds};
    *script = NULL;
    return count > 0 ? rls_bars_script(ctx, &bars, script) : RLS_OK;
}

static const struct {
    const char *id, *title, *caption, *missing;
    rls_status (*script)(rls_context *ctx, const rls_report_data *data, char **script);
} PICTURES[] = {
    {"metrics", "Metrics before and after editing",
     "Shares of questions, in per cent, with their standard error. Efficacy, paraphrase: the new answer is "
     "more probable than the old one. Neighbourhood: other facts keep theirs. Score: the harmonic mean of "
     "the three.",
     "there is no eval.json (rlsedit eval --run makes it)", rls_draw_metrics},
    {"retention", "Retention by age",
     "The same, after the run, by the edits' place in the stream: a fall to the left says that old edits are "
     "forgotten. Dashed: before editing.",
     "eval.json has no figures by age", rls_draw_retention},
    {"norms", "How far the weights have moved",
     "The norm of D = W - W_0 and the bound that it cannot exceed. Slow growth well below the bound is what "
     "is wanted.",
     "the log has no norms yet", draw_norms},
    {"old-edits", "Fit of all edits so far",
     "How much of what all edits so far asked of the original weight is not met now, at most: "
     "sqrt((J - lambda^2 |D|^2) / E). Flat: old edits hold while new ones come.",
     "it takes a sound config.yaml with lambda &gt; 0 and norms in the log", draw_misfit},
    {"batch-fit", "Fit of each batch",
     "What a batch asks of the weights when it comes (dashed), and what of that is left after its step "
     "(solid): far below.",
     "the log has no innovations yet", draw_batch_fit},
    {"loss", "Search of the wanted states",
     "Loss at the end of the search and the target's negative log-likelihood in it. Red: the stop loss.",
     "the log has no search: this is no live run", draw_loss},
    {"learnt", "Edits that reached the stop loss", "Share of each batch. The others are learnt less well.",
     "the log has no search: this is no live run", draw_learnt},
    {"pivots", "Smallest pivot",
     "Of the Cholesky factor of S = I + K^T C K. Below 1 (red) C is losing definiteness to rounding.",
     "the log has no pivots yet", draw_pivots},
    {"trace", "Trace of C",
     "It never grows: every edit uses up freedom to move. A fall towards 0 leaves none for new edits.",
     "the log has no traces yet", draw_trace},
    {"batch-seconds", "Time of each batch",
     "The last batch should cost what the first did. Peaks of the whole batch alone are checkpoints.",
     "the log has fewer than two batches", draw_batch_seconds},
    {"stages", "Time by stage",
     "Where the run's seconds went, on rank 0. Start: loading and the anchor; saving: journal and "
     "checkpoints; "
     "end: export and fit.",
     "the log has no times yet", draw_stages},
};
enum { PICTURE_COUNT = sizeof PICTURES / sizeof PICTURES[0] };

rls_status rls_pictures_draw(rls_context *ctx, const rls_report_data *data, rls_picture **out, int *count)
{
    void *memory = NULL;
    bool first = true;
    rls_status status = rls_alloc_zero(ctx, PICTURE_COUNT, sizeof(rls_picture), &memory);
    rls_picture *picture = *out = memory;
    *count = status == RLS_OK ? PICTURE_COUNT : 0;
    for (int i = 0; i < *count && status == RLS_OK; i++) {
        char *script = NULL, *svg = NULL;
        picture[i] = (rls_picture){.id = PICTURES[i].id,
                                   .title = PICTURES[i].title,
                                   .caption = PICTURES[i].caption,
                                   .missing = PICTURES[i].missing};
        status = PICTURES[i].script(ctx, data, &script);
        if (status == RLS_OK && script != NULL)
            status = rls_gnuplot_draw(ctx, script, &svg);
        if (status == RLS_OK && svg != NULL) {
            status = rls_svg_element(ctx, svg, PICTURES[i].title, first, &picture[i].svg);
            first = false;
        }
        free(script);
        free(svg);
    }
    return status;
}

void rls_pictures_free(rls_picture **pictures, int count)
{
    for (int i = 0; *pictures != NULL && i < count; i++)
        free((*pictures)[i].svg);
    free(*pictures);
    *pictures = NULL;
}
