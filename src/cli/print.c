#include "cli/print.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"

/* A text out of a file, with '?' for control characters. */
static void print_text(const char *text, FILE *out)
{
    for (const char *at = text; *at != '\0'; at++) {
        const unsigned char c = (unsigned char)*at;
        (void)fputc(c < 0x20 || c == 0x7f ? '?' : c, out);
    }
}

static long long integer_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* A text of the object, "-" when it has none. */
static void print_field(const json_t *object, const char *key, FILE *out)
{
    const char *text = json_string_value(json_object_get(object, key));
    print_text(text != NULL && text[0] != '\0' ? text : "-", out);
}

static void print_size(const json_t *object, const char *key, FILE *out)
{
    char text[32];
    (void)fputs(rls_bytes_text(json_number_value(json_object_get(object, key)), text), out);
}

static const char *plural(long long count)
{
    return count == 1 ? "" : "s";
}

static void print_model(const json_t *model, FILE *out)
{
    const json_t *shards = json_object_get(model, "shards"), *tensors = json_object_get(model, "tensors");
    const long long files = (long long)json_array_size(shards), count = (long long)json_array_size(tensors);
    const char *layout = json_string_value(json_object_get(model, "layout"));
    const char *key = NULL;
    const json_t *value = NULL;
    if (layout != NULL) {
        const char *type = json_string_value(json_object_get(model, "model_type"));
        (void)fputs("a model of type ", out);
        print_text(type != NULL && type[0] != '\0' ? type : "unknown", out);
        (void)fprintf(out, " (%s weights)", strcmp(layout, "conv1d") == 0 ? "[in, out]" : "[out, in]");
    } else {
        (void)fputs("a safetensors file", out);
    }
    (void)fprintf(out, "\n  %lld parameters in %lld tensor%s, ", integer_of(model, "parameters"), count,
                  plural(count));
    print_size(model, "bytes", out);
    (void)fprintf(out, " in %lld file%s\n  types:", files, plural(files));
    json_object_foreach((json_t *)(uintptr_t)json_object_get(model, "dtypes"), key, value)(void)
        fprintf(out, " %s x %lld", key, (long long)json_integer_value(value));
    (void)fputs("\n\n", out);
    rls_print_tensors(tensors, out);
}

static void print_module(const json_t *description, FILE *out)
{
    (void)fputs("  module      ", out);
    print_field(description, "module", out);
    (void)fputc('\n', out);
}

static void print_stream(const json_t *stream, FILE *out)
{
    const long long edits = integer_of(stream, "edits"), segments = integer_of(stream, "segments");
    const char *use = json_string_value(json_object_get(stream, "use"));
    const bool anchor = use != NULL && strcmp(use, "anchor") == 0;
    size_t i = 0;
    const json_t *layer = NULL;
    if (anchor)
        (void)fprintf(out, "anchor keys, %lld for each layer, ", edits);
    else
        (void)fprintf(out, "a stream of %lld edit%s, ", edits, plural(edits));
    print_size(stream, "bytes", out);
    (void)fprintf(out, " in %lld file%s\n", segments, plural(segments));
    print_module(stream, out);
    if (anchor) {
        (void)fputs("  no edits:   ", out);
        print_field(stream, "note", out);
    } else {
        (void)fputs("  values      ", out);
        print_field(stream, "value_kind", out);
    }
    if (integer_of(stream, "batch") > 0)
        (void)fprintf(out, "\n  batch       %lld", integer_of(stream, "batch"));
    (void)fprintf(out, "\n  case ids    %s\n\n  %5s %8s %8s  %-9s %s\n",
                  json_is_true(json_object_get(stream, "case_ids")) ? "yes" : "no", "layer", "n", "m", "keys",
                  "values");
    json_array_foreach(json_object_get(stream, "layers"), i, layer)
    {
        (void)fprintf(out, "  %5lld %8lld %8lld  %-9s ", integer_of(layer, "layer"), integer_of(layer, "n"),
                      integer_of(layer, "m"), json_string_value(json_object_get(layer, "key_dtype")));
        print_field(layer, "value_dtype", out);
        (void)fputc('\n', out);
    }
}

static void print_moments(const json_t *moments, FILE *out)
{
    const json_t *layers = json_object_get(moments, "layers"), *layer = NULL;
    const long long count = (long long)json_array_size(layers);
    size_t i = 0;
    (void)fprintf(out, "second moments of %lld layer%s, ", count, plural(count));
    print_size(moments, "bytes", out);
    (void)fputc('\n', out);
    print_module(moments, out);
    (void)fprintf(out, "\n  %5s %8s %14s  %s\n", "layer", "n", "keys seen", "dtype");
    json_array_foreach(layers, i, layer)
    {
        (void)fprintf(out, "  %5lld %8lld %14lld  ", integer_of(layer, "layer"), integer_of(layer, "n"),
                      integer_of(layer, "count"));
        print_field(layer, "dtype", out);
        (void)fputc('\n', out);
    }
}

/* The columns of a run's table; one that no layer has is left out. */
static const struct {
    const char *key, *title;
} columns[] = {
    {"delta_norm", "||D||"},       {"delta_bound", "bound"},       {"weight_norm", "||W||"},
    {"relative", "relative"},      {"fit_error", "fit error"},     {"innovation_before", "E before"},
    {"innovation_after", "after"}, {"identity_error", "identity"}, {"stationarity", "stationarity"},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

/* Wide enough for the title and for "-1.234e-15". */
static int column_width(size_t c)
{
    const size_t title = strlen(columns[c].title);
    return title > 10 ? (int)title : 10;
}

/* Whether the layer has such a figure; *value is NaN when it is null. */
static bool figure(const json_t *layer, const char *key, double *value)
{
    const json_t *found = json_object_get(layer, key);
    if (strcmp(key, "relative") == 0) {
        double norm = 0.0;
        if (!figure(layer, "delta_norm", value) || !figure(layer, "weight_norm", &norm))
            return false;
        *value /= norm;
        return true;
    }
    *value = json_is_number(found) ? json_number_value(found) : NAN;
    return found != NULL;
}

static bool has_column(const json_t *layers, const char *key)
{
    size_t i = 0;
    const json_t *layer = NULL;
    double value = 0.0;
    json_array_foreach(layers, i, layer)
    {
        if (figure(layer, key, &value))
            return true;
    }
    return false;
}

static void print_layer(const json_t *layers, const json_t *layer, bool sizes, FILE *out)
{
    double value = 0.0;
    char text[48];
    (void)fprintf(out, "  %5lld", integer_of(layer, "layer"));
    if (sizes) {
        (void)snprintf(text, sizeof text, "%lld x %lld", integer_of(layer, "n"), integer_of(layer, "m"));
        (void)fprintf(out, "  %14s", text);
    }
    for (size_t c = 0; c < COLUMNS; c++) {
        if (!has_column(layers, columns[c].key))
            continue;
        if (figure(layer, columns[c].key, &value) && isfinite(value))
            (void)snprintf(text, sizeof text, "%.4g", value);
        else
            (void)snprintf(text, sizeof text, "-");
        (void)fprintf(out, "  %*s", column_width(c), text);
    }
    (void)fputc('\n', out);
}

static void print_layers(const json_t *layers, FILE *out)
{
    const bool sizes = has_column(layers, "n");
    const json_t *layer = NULL;
    size_t i = 0;
    (void)fprintf(out, "\n  %5s", "layer");
    if (sizes)
        (void)fprintf(out, "  %14s", "n x m");
    for (size_t c = 0; c < COLUMNS; c++)
        if (has_column(layers, columns[c].key))
            (void)fprintf(out, "  %*s", column_width(c), columns[c].title);
    (void)fputc('\n', out);
    json_array_foreach(layers, i, layer) print_layer(layers, layer, sizes, out);
    (void)fputs("\n  D = W - W_0: what the edits changed; bound: what ||D|| cannot exceed\n", out);
    if (has_column(layers, "relative"))
        (void)fputs("  relative: ||D|| / ||W||\n", out);
    if (has_column(layers, "fit_error"))
        (void)fputs("  fit error: sqrt(sum ||W k - v||^2 / sum ||v||^2) over all edits\n", out);
    if (has_column(layers, "innovation_before"))
        (void)fputs("  E: ||V - W K|| of the last batch, before and after it was applied\n", out);
    if (has_column(layers, "stationarity"))
        (void)fputs(
            "  identity, stationarity: relative errors of the exact identity and of a zero gradient,\n"
            "  recomputed from the stream\n",
            out);
}

static void print_summary(const json_t *summary, FILE *out)
{
    const json_t *grid = json_object_get(summary, "grid");
    const long long ranks = integer_of(summary, "ranks");
    (void)fprintf(out, "  %lld rank%s (grid %lld x %lld, blocks of %lld), state in ", ranks, plural(ranks),
                  (long long)json_integer_value(json_array_get(grid, 0)),
                  (long long)json_integer_value(json_array_get(grid, 1)), integer_of(summary, "block"));
    print_field(summary, "dtype", out);
    (void)fprintf(out, ", %.4g s", json_number_value(json_object_get(summary, "seconds")));
    if (json_is_number(json_object_get(summary, "peak_bytes"))) {
        (void)fputs(", peak memory ", out);
        print_size(summary, "peak_bytes", out);
    }
    (void)fputc('\n', out);
}

static void print_problems(const json_t *problems, FILE *out)
{
    const json_t *problem = NULL;
    size_t i = 0;
    if (json_array_size(problems) > 0)
        (void)fputs("\n  problems:\n", out);
    json_array_foreach(problems, i, problem)
    {
        (void)fputs("    ", out);
        print_field(problem, "path", out);
        (void)fputs(": ", out);
        print_field(problem, "problem", out);
        (void)fputc('\n', out);
    }
}

static void print_verified(const json_t *description, FILE *out)
{
    if (json_is_true(json_object_get(description, "verified")))
        (void)fputs("\n  verified: every checksum holds\n", out);
}

static void print_checkpoint(const json_t *checkpoint, FILE *out)
{
    const json_t *layers = json_object_get(checkpoint, "layers");
    const long long files = (long long)json_array_size(json_object_get(checkpoint, "files"));
    const bool committed = json_is_true(json_object_get(checkpoint, "committed"));
    if (json_is_integer(json_object_get(checkpoint, "step")))
        (void)fprintf(out, "a checkpoint of step %lld, ", integer_of(checkpoint, "step"));
    else
        (void)fprintf(out, "%s checkpoint, ", committed ? "a damaged" : "an unfinished");
    print_size(checkpoint, "bytes", out);
    (void)fprintf(out, " in %lld file%s\n", files, plural(files));
    if (json_is_integer(json_object_get(checkpoint, "step"))) {
        (void)fprintf(out, "  covers %lld edits in %lld batches: %lld segments of the journal\n  state in ",
                      integer_of(checkpoint, "edits"), integer_of(checkpoint, "batches"),
                      integer_of(checkpoint, "segments"));
        print_field(checkpoint, "dtype", out);
        (void)fputc('\n', out);
    }
    if (json_array_size(layers) > 0)
        print_layers(layers, out);
    print_problems(json_object_get(checkpoint, "problems"), out);
    print_verified(checkpoint, out);
}

/* A run's checkpoints as a table. */
static void print_checkpoints(const json_t *checkpoints, FILE *out)
{
    const json_t *checkpoint = NULL;
    char size[32];
    size_t i = 0;
    if (json_array_size(checkpoints) == 0)
        return;
    (void)fprintf(out, "\n  %10s %10s %10s %12s\n", "checkpoint", "edits", "segments", "size");
    json_array_foreach(checkpoints, i, checkpoint)
    {
        const bool sound = json_is_true(json_object_get(checkpoint, "sound"));
        (void)fprintf(out, "  %10lld", integer_of(checkpoint, "step"));
        if (json_is_integer(json_object_get(checkpoint, "edits")))
            (void)fprintf(out, " %10lld %10lld %12s", integer_of(checkpoint, "edits"),
                          integer_of(checkpoint, "segments"),
                          rls_bytes_text(json_number_value(json_object_get(checkpoint, "bytes")), size));
        else
            (void)fprintf(out, " %10s %10s %12s", "-", "-", "-");
        if (!sound) {
            const bool committed = json_is_true(json_object_get(checkpoint, "committed"));
            (void)fputs(committed ? "  damaged: " : "  unfinished: ", out);
            print_field(checkpoint, "why", out);
        }
        (void)fputc('\n', out);
    }
}

/* Journal, checkpoints and disk use of a run directory. */
static void print_directory(const json_t *run, FILE *out)
{
    const json_t *journal = json_object_get(run, "journal"), *disk = json_object_get(run, "disk");
    const json_t *aside = json_object_get(run, "set_aside"), *value = NULL;
    const long long segments = integer_of(journal, "segments"), edits = integer_of(journal, "edits");
    const char *key = NULL, *gap = "  disk:";
    size_t i = 0;
    (void)fprintf(out, "\n  journal: %lld segment%s", segments, plural(segments));
    if (integer_of(journal, "sound") < segments)
        (void)fprintf(out, " (sound: the first %lld)", integer_of(journal, "sound"));
    (void)fprintf(out, ", %lld edit%s, ", edits, plural(edits));
    print_size(journal, "bytes", out);
    (void)fputc('\n', out);
    if (integer_of(journal, "strays") > 0) {
        (void)fprintf(out, "  in its directory, read by nothing: %lld file%s, among them ",
                      integer_of(journal, "strays"), plural(integer_of(journal, "strays")));
        print_field(journal, "stray", out);
        (void)fputc('\n', out);
    }
    json_object_foreach((json_t *)(uintptr_t)disk, key, value)
    {
        if (json_integer_value(value) == 0)
            continue;
        (void)fprintf(out, "%s %s ", gap, key);
        print_size(disk, key, out);
        gap = ",";
    }
    if (gap[0] == ',')
        (void)fputc('\n', out);
    json_array_foreach(aside, i, value)
    {
        (void)fputs("  set aside: ", out);
        print_text(json_string_value(value), out);
        (void)fputc('\n', out);
    }
    print_checkpoints(json_object_get(run, "checkpoints"), out);
}

/* What to do with a run that is not finished. */
static void print_resume(const json_t *run, FILE *out)
{
    const json_t *resume = json_object_get(run, "resume");
    const long long replay = integer_of(resume, "replay");
    if (!json_is_object(resume) || json_is_string(json_object_get(run, "running")))
        return;
    (void)fputs("\n  --resume goes on from ", out);
    if (json_is_integer(json_object_get(resume, "step")))
        (void)fprintf(out, "the checkpoint of step %lld", integer_of(resume, "step"));
    else
        (void)fputs("the model", out);
    if (replay > 0)
        (void)fprintf(out, " and applies %lld batch%s of the journal again", replay, replay == 1 ? "" : "es");
    (void)fputc('\n', out);
}

static void print_state(const json_t *run, FILE *out)
{
    static const struct {
        const char *state, *text;
    } STATES[] = {{"finished", "a finished run"},
                  {"stopped", "an unfinished run, stopped with everything saved"},
                  {"interrupted", "an unfinished run, interrupted"}};
    const char *state = json_string_value(json_object_get(run, "state"));
    for (size_t i = 0; state != NULL && i < sizeof STATES / sizeof STATES[0]; i++)
        if (strcmp(state, STATES[i].state) == 0)
            (void)fputs(STATES[i].text, out);
    if (json_is_string(json_object_get(run, "running"))) {
        (void)fputs("a run at work (", out);
        print_field(run, "running", out);
        (void)fputc(')', out);
    }
}

static void print_run(const json_t *run, FILE *out)
{
    const json_t *summary = json_object_get(run, "summary"), *last = json_object_get(run, "last_batch");
    const bool finished = json_is_object(summary);
    const long long edits = integer_of(run, "edits"), batches = integer_of(run, "batches");
    print_state(run, out);
    (void)fputs(", ", out);
    print_size(run, "bytes", out);
    (void)fprintf(out, "\n  %lld edit%s in %lld batch%s%s", edits, plural(edits), batches,
                  batches == 1 ? "" : "es", finished ? "\n" : " so far");
    if (finished)
        print_summary(summary, out);
    else if (json_is_object(last))
        (void)fprintf(out, ", %.4g s\n", json_number_value(json_object_get(last, "seconds")));
    else
        (void)fputc('\n', out);
    const json_t *layers = json_object_get(finished ? summary : last, "layers");
    if (json_array_size(layers) > 0)
        print_layers(layers, out);
    print_directory(run, out);
    if (json_is_string(json_object_get(run, "model"))) {
        (void)fputs("\n  edited model: ", out);
        print_field(run, "model", out);
        (void)fputc('\n', out);
    }
    print_resume(run, out);
    print_problems(json_object_get(run, "problems"), out);
    print_verified(run, out);
}

void rls_inspect_print(const json_t *description, FILE *out)
{
    static const struct {
        const char *kind;
        void (*print)(const json_t *description, FILE *out);
    } printers[] = {
        {"model", print_model},     {"safetensors", print_model}, {"stream", print_stream},
        {"moments", print_moments}, {"run", print_run},           {"checkpoint", print_checkpoint},
    };
    const char *kind = json_string_value(json_object_get(description, "kind"));
    print_field(description, "path", out);
    (void)fputs(": ", out);
    for (size_t i = 0; kind != NULL && i < sizeof printers / sizeof printers[0]; i++)
        if (strcmp(printers[i].kind, kind) == 0)
            printers[i].print(description, out);
}
