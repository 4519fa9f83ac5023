#include "report/data.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/memory.h"
#include "store/file_util.h"
#include "store/manifest.h"
#include "store/problem.h"
#include "store/run_dir.h"

enum { CONFIG_MAX = 1 << 20 };

double rls_report_batch(const rls_report_log *log, int64_t row, rls_report_batch_column column)
{
    return log->batch[row * RLS_REPORT_BATCH_COLUMNS + (int64_t)column];
}

double rls_report_figure(const rls_report_log *log, int64_t row, int64_t layer,
                         rls_report_layer_column column)
{
    return log->figure[(row * log->layers + layer) * RLS_REPORT_LAYER_COLUMNS + (int64_t)column];
}

double rls_report_batch_seconds(const rls_report_log *log, int64_t row)
{
    const double end = rls_report_batch(log, row, RLS_REPORT_CLOCK);
    const double begin = row > 0 ? rls_report_batch(log, row - 1, RLS_REPORT_CLOCK) : NAN;
    return end >= begin ? end - begin : NAN; /* a resumed run's clock begins again */
}

double rls_report_misfit(const rls_report_data *data, int64_t row, int64_t layer)
{
    const double delta = data->lambda * rls_report_figure(&data->log, row, layer, RLS_REPORT_DELTA);
    const double half = data->lambda * rls_report_figure(&data->log, row, layer, RLS_REPORT_BOUND);
    const double left = rls_report_figure(&data->log, row, layer, RLS_REPORT_OBJECTIVE) - delta * delta;
    if (!(half > 0.0) || isnan(left))
        return NAN;
    return left > 0.0 ? sqrt(left) / (2.0 * half) : 0.0;
}

/* Anything else than a finite number is NAN. */
static double number_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static double or_zero(double x)
{
    return isnan(x) ? 0.0 : x;
}

/* The first line with layers says which there are. */
static rls_status take_layers(rls_context *ctx, rls_report_log *log, const json_t *layers)
{
    void *memory = NULL;
    const int64_t count = (int64_t)json_array_size(layers);
    if (log->layers > 0 || count == 0)
        return RLS_OK;
    const rls_status status = rls_alloc_zero(ctx, count, sizeof(int64_t), &memory);
    log->layer = memory;
    log->layers = status == RLS_OK ? count : 0;
    for (int64_t i = 0; i < log->layers; i++)
        log->layer[i] =
            (int64_t)json_integer_value(json_object_get(json_array_get(layers, (size_t)i), "layer"));
    return status;
}

static rls_status lengthen(rls_context *ctx, double **table, int64_t rows, int64_t columns)
{
    double *longer = realloc(*table, (size_t)(rows * columns) * sizeof **table);
    if (longer == NULL)
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for the figures of %lld batches", (long long)rows);
    *table = longer;
    return RLS_OK;
}

static void clear(double *table, int64_t first, int64_t count)
{
    for (int64_t i = first; i < count; i++)
        table[i] = NAN;
}

/* Room for row `log->rows`, without figures yet. */
static rls_status make_row(rls_context *ctx, rls_report_log *log)
{
    const int64_t columns = log->layers * RLS_REPORT_LAYER_COLUMNS;
    const bool late = log->figure == NULL && columns > 0; /* lines before this one had no layers */
    const bool full = log->rows == log->capacity;
    rls_status status = RLS_OK;
    if (full) {
        log->capacity = log->capacity > 0 ? 2 * log->capacity : 256;
        status = lengthen(ctx, &log->batch, log->capacity, RLS_REPORT_BATCH_COLUMNS);
    }
    if (status == RLS_OK && columns > 0 && (full || late))
        status = lengthen(ctx, &log->figure, log->capacity, columns);
    if (status != RLS_OK)
        return status;
    clear(log->batch, log->rows * RLS_REPORT_BATCH_COLUMNS, (log->rows + 1) * RLS_REPORT_BATCH_COLUMNS);
    clear(log->figure, late ? 0 : log->rows * columns, (log->rows + 1) * columns);
    return RLS_OK;
}

static int64_t index_of(const rls_report_log *log, int64_t layer)
{
    int64_t i = 0;
    while (i < log->layers && log->layer[i] != layer)
        i++;
    return i;
}

static void take_layer(const rls_report_log *log, const json_t *layer, double *batch)
{
    static const char *const NAMES[RLS_REPORT_LAYER_COLUMNS] = {
        "innovation_before", "innovation_after", "delta_norm", "delta_bound", "objective", "trace",
        "smallest_pivot"};
    const json_t *seconds = json_object_get(layer, "seconds");
    const int64_t at = index_of(log, (int64_t)json_integer_value(json_object_get(layer, "layer")));
    batch[RLS_REPORT_READ] = or_zero(batch[RLS_REPORT_READ]) + or_zero(number_of(seconds, "read"));
    batch[RLS_REPORT_STEP] = or_zero(batch[RLS_REPORT_STEP]) + or_zero(number_of(seconds, "step"));
    batch[RLS_REPORT_DRIFT] = or_zero(batch[RLS_REPORT_DRIFT]) + or_zero(number_of(seconds, "drift"));
    for (int64_t i = 0; i < RLS_REPORT_LAYER_COLUMNS && at < log->layers; i++)
        log->figure[(log->rows * log->layers + at) * RLS_REPORT_LAYER_COLUMNS + i] =
            number_of(layer, NAMES[i]);
}

/* A live batch's search and keys are a part of what reading took. */
static void take_live(const json_t *live, double *batch)
{
    if (!json_is_object(live))
        return;
    batch[RLS_REPORT_LOSS] = number_of(live, "loss");
    batch[RLS_REPORT_NLL] = number_of(live, "nll");
    batch[RLS_REPORT_LEARNT] = number_of(live, "below_stop_loss");
    if (isnan(batch[RLS_REPORT_LEARNT])) /* its name until 0.1 */
        batch[RLS_REPORT_LEARNT] = number_of(live, "learnt");
    batch[RLS_REPORT_SEARCH] = number_of(live, "seconds_search");
    batch[RLS_REPORT_KEYS] = number_of(live, "seconds_keys");
    batch[RLS_REPORT_READ] -= or_zero(batch[RLS_REPORT_SEARCH]) + or_zero(batch[RLS_REPORT_KEYS]);
    if (batch[RLS_REPORT_READ] < 0.0)
        batch[RLS_REPORT_READ] = 0.0;
}

static rls_status take_line(rls_context *ctx, rls_report_log *log, const json_t *line)
{
    const json_t *layers = json_object_get(line, "layers"), *layer = NULL;
    const int64_t number = (int64_t)json_integer_value(json_object_get(line, "batch"));
    size_t i = 0;
    if (number <= log->last) { /* also what is no line of a batch */
        log->damaged++;
        return RLS_OK;
    }
    log->lost += number - log->last - 1 + (json_is_true(json_object_get(line, "lost")) ? 1 : 0);
    log->last = number;
    rls_status status = take_layers(ctx, log, layers);
    if (status == RLS_OK)
        status = make_row(ctx, log);
    if (status != RLS_OK)
        return status;
    double *batch = log->batch + log->rows * RLS_REPORT_BATCH_COLUMNS;
    batch[RLS_REPORT_EDITS] = number_of(line, "edits");
    batch[RLS_REPORT_BATCH_EDITS] = number_of(line, "batch_edits");
    batch[RLS_REPORT_CLOCK] = number_of(line, "seconds");
    json_array_foreach(layers, i, layer)
    {
        take_layer(log, layer, batch);
    }
    take_live(json_object_get(line, "live"), batch);
    log->rows++;
    return RLS_OK;
}

rls_status rls_report_log_read(rls_context *ctx, const char *path, rls_report_log *out)
{
    char *text = NULL;
    size_t capacity = 0;
    rls_status status = RLS_OK;
    *out = (rls_report_log){0};
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return rls_fail(ctx, rls_input_status(errno), "%s: %s", path, strerror(errno));
    for (ssize_t got = 0; status == RLS_OK && (got = getline(&text, &capacity, file)) > 0;) {
        json_t *line = text[got - 1] == '\n' ? rls_manifest_from_line(text, (size_t)got - 1) : NULL;
        if (line != NULL)
            status = take_line(ctx, out, line);
        else if (text[got - 1] == '\n')
            out->damaged++;
        json_decref(line);
    }
    if (status == RLS_OK && ferror(file) != 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    free(text);
    (void)fclose(file);
    return status;
}

void rls_report_log_free(rls_report_log *log)
{
    free(log->layer);
    free(log->batch);
    free(log->figure);
    *log = (rls_report_log){0};
}

/* A manifest of the run; NULL when there is none that is sound. */
static rls_status read_manifest(rls_context *ctx, const char *dir, const char *name, const char *format,
                                json_t *problems, json_t **out)
{
    char *path = NULL;
    rls_status status = rls_asprintf(ctx, &path, "%s/%s", dir, name);
    if (status == RLS_OK && access(path, F_OK) == 0) {
        status = rls_manifest_read(ctx, path, format, out);
        if (status != RLS_OK && status != RLS_ERR_MEMORY) {
            if (problems != NULL)
                rls_problem_take(ctx, problems, path);
            rls_clear_failure(ctx);
            status = RLS_OK;
        }
    }
    free(path);
    return status;
}

/* The config for show, and two of its figures. One that is damaged is shown as it is. */
static rls_status read_config(rls_context *ctx, const char *dir, rls_report_data *data)
{
    char *path = NULL, *text = NULL;
    int64_t bytes = 0;
    rls_config *config = NULL;
    json_t *clean = NULL;
    rls_status status = rls_asprintf(ctx, &path, "%s/config.yaml", dir);
    if (status != RLS_OK)
        return status;
    if (rls_file_read_whole(ctx, path, CONFIG_MAX, &text, &bytes) != RLS_OK) {
        rls_clear_failure(ctx); /* inspect has it as a problem already */
    } else {
        if (rls_config_parse(ctx, path, text, (size_t)bytes, NULL, 0, &config) == RLS_OK) {
            data->lambda = config->editor.lambda;
            data->stop_loss = config->value.stop_loss;
            data->unanchored = config->anchor.moments == NULL && config->anchor.keys == NULL;
        } else {
            rls_clear_failure(ctx);
        }
        clean = rls_json_text(text);
        status = rls_strdup(ctx, clean != NULL ? json_string_value(clean) : "", &data->config);
    }
    rls_config_destroy(&config);
    json_decref(clean);
    free(text);
    free(path);
    return status;
}

static rls_status read_log(rls_context *ctx, const char *dir, rls_report_data *data)
{
    char *path = NULL;
    rls_status status = rls_asprintf(ctx, &path, "%s/log.jsonl", dir);
    if (status == RLS_OK)
        status = rls_report_log_read(ctx, path, &data->log);
    if (status != RLS_OK && status != RLS_ERR_MEMORY) { /* inspect has it as a problem already */
        rls_clear_failure(ctx);
        status = RLS_OK;
    }
    free(path);
    return status;
}

rls_status rls_report_read(rls_context *ctx, const char *path, json_t *about, rls_report_data *out)
{
    *out = (rls_report_data){.about = about, .lambda = NAN, .stop_loss = NAN, .problems = json_array()};
    json_t *summary = json_object_get(about, "summary");
    out->summary = json_is_object(summary) ? summary : NULL;
    rls_status status =
        out->problems != NULL ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for the report");
    if (status == RLS_OK)
        status = read_manifest(ctx, path, "eval.json", "rlsedit-eval", out->problems, &out->eval);
    if (status == RLS_OK)
        status = read_manifest(ctx, path, "run.json", RLS_RUN_FORMAT, NULL, &out->identity);
    if (status == RLS_OK)
        status = read_config(ctx, path, out);
    if (status == RLS_OK)
        status = read_log(ctx, path, out);
    return status;
}

void rls_report_data_free(rls_report_data *data)
{
    rls_report_log_free(&data->log);
    json_decref(data->eval);
    json_decref(data->identity);
    json_decref(data->problems);
    free(data->config);
    *data = (rls_report_data){0};
}
