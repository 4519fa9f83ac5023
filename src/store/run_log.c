#include "store/run_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/memory.h"
#include "store/manifest.h"

/* A log as it is read: where the sound line of each batch is. */
typedef struct {
    const int64_t *ends; /* [batches]: edits after each */
    int64_t batches;
    size_t *at, *bytes; /* [batches]; bytes 0: there is none */
    bool damaged;       /* a whole line was not sound */
} log_lines;

/* Takes the lines in their order, and only those that agree with the journal. */
static void find_lines(const char *text, log_lines *lines)
{
    int64_t last = 0;
    for (const char *line = text, *end = NULL; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        json_t *object = rls_manifest_from_line(line, (size_t)(end - line));
        const int64_t batch = json_integer_value(json_object_get(object, "batch"));
        if (object == NULL || batch <= last) {
            lines->damaged = true;
        } else if (batch <= lines->batches &&
                   json_integer_value(json_object_get(object, "edits")) == lines->ends[batch - 1]) {
            lines->at[batch - 1] = (size_t)(line - text);
            lines->bytes[batch - 1] = (size_t)(end - line);
            last = batch;
        }
        json_decref(object);
    }
}

/* What stands for the line of a batch that was lost. */
static bool write_lost_line(FILE *out, const int64_t *ends, int64_t batch)
{
    const int64_t before = batch > 1 ? ends[batch - 2] : 0;
    json_t *line =
        json_pack("{s:I, s:I, s:I, s:b}", "batch", (json_int_t)batch, "edits", (json_int_t)ends[batch - 1],
                  "batch_edits", (json_int_t)(ends[batch - 1] - before), "lost", 1);
    char *text = rls_manifest_to_line(line);
    const bool written = text != NULL && fprintf(out, "%s\n", text) > 0;
    json_decref(line);
    free(text);
    return written;
}

/* Writes the lines up to the first one missing that is not `saved`. */
static bool write_lines(FILE *out, const char *text, const log_lines *lines, int64_t saved, rls_run_log *log)
{
    for (; log->lines < lines->batches; log->lines++) {
        const int64_t i = log->lines;
        if (lines->bytes[i] > 0) {
            if (fwrite(text + lines->at[i], 1, lines->bytes[i] + 1, out) != lines->bytes[i] + 1)
                return false;
        } else if (i < saved) {
            if (!write_lost_line(out, lines->ends, i + 1))
                return false;
            log->lost++;
        } else {
            break;
        }
    }
    return true;
}

rls_status rls_run_log_compose(rls_context *ctx, const char *text, const int64_t *ends, int64_t batches,
                               int64_t saved, rls_run_log *out)
{
    void *memory = NULL;
    *out = (rls_run_log){0};
    rls_status status = rls_alloc_zero(ctx, 2 * batches + 1, sizeof(size_t), &memory);
    if (status != RLS_OK)
        return status;
    log_lines lines = {.ends = ends, .batches = batches, .at = memory, .bytes = (size_t *)memory + batches};
    find_lines(text != NULL ? text : "", &lines);
    out->damaged = lines.damaged;
    FILE *stream = open_memstream(&out->text, &out->bytes);
    bool good = stream != NULL && write_lines(stream, text, &lines, saved, out);
    if (stream != NULL && fclose(stream) != 0)
        good = false;
    free(memory);
    return good ? RLS_OK : rls_fail(ctx, RLS_ERR_MEMORY, "no memory for log.jsonl");
}
