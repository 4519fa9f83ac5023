/* Run directories. One may be looked at while its run goes on: files appear, grow and get their final names.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "session/inspect_kinds.h"
#include "store/file_util.h"

enum { TAIL_FIRST = 64 << 10, TAIL_MAX = 256 << 20, SUMMARY_MAX = 64 << 20 };

/* Adds up the sizes of all files below a directory. */
static rls_status add_bytes(rls_context *ctx, const char *path, const char *name, void *user)
{
    char *entry = NULL;
    struct stat info;
    rls_status status = rls_asprintf(ctx, &entry, "%s/%s", path, name);
    if (status == RLS_OK && lstat(entry, &info) == 0) {
        if (S_ISREG(info.st_mode))
            *(int64_t *)user += (int64_t)info.st_size;
        else if (S_ISDIR(info.st_mode) && rls_dir_visit(ctx, entry, add_bytes, user) != RLS_OK)
            rls_clear_failure(ctx); /* it was renamed or removed meanwhile */
    }
    free(entry);
    return status;
}

/* The last `bytes` bytes of the file at path, and in *line, *length the last of its lines that is whole: what
 * follows the last newline is still being written, or was when the run was killed. *line = NULL: there is
 * none in these bytes. */
static rls_status read_tail(rls_context *ctx, const char *path, int64_t size, int64_t bytes, char **tail,
                            const char **line, size_t *length)
{
    void *data = NULL;
    rls_status status = rls_alloc(ctx, bytes + 1, 1, &data);
    *tail = data;
    *line = NULL;
    *length = 0;
    if (status == RLS_OK)
        status = rls_file_read(ctx, path, size - bytes, bytes, data);
    if (status != RLS_OK)
        return status;
    const char *begin = *tail, *end = begin + bytes;
    while (end > begin && end[-1] != '\n')
        end--;
    if (end == begin)
        return RLS_OK;
    const char *start = --end;
    while (start > begin && start[-1] != '\n')
        start--;
    if (start > begin || bytes == size) {
        *line = start;
        *length = (size_t)(end - start);
    }
    return RLS_OK;
}

/* The last whole line of log.jsonl; *out = NULL when there is none yet. */
static rls_status last_line(rls_context *ctx, const char *path, json_t **out)
{
    char *tail = NULL;
    const char *line = NULL;
    size_t length = 0;
    int64_t size = 0, bytes = 0;
    rls_status status = rls_file_size(ctx, path, &size);
    for (int64_t most = TAIL_FIRST; status == RLS_OK && line == NULL && bytes < size; most *= 4) {
        free(tail);
        tail = NULL;
        bytes = most < size ? most : size;
        status = most > TAIL_MAX ? rls_fail(ctx, RLS_ERR_DATA, "%s: its last line is longer than %d bytes",
                                            path, TAIL_MAX)
                                 : read_tail(ctx, path, size, bytes, &tail, &line, &length);
    }
    if (status == RLS_OK && line != NULL) {
        json_error_t error;
        *out = json_loadb(line, length, 0, &error);
        if (!json_is_object(*out))
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: its last line (at byte %" PRId64 ") is no JSON object",
                              path, size - bytes + (int64_t)(line - tail));
    }
    free(tail);
    return status;
}

/* The summary; *out = NULL when there is none yet. */
static rls_status read_summary(rls_context *ctx, const char *path, json_t **out)
{
    struct stat info;
    char *text = NULL;
    int64_t bytes = 0;
    if (stat(path, &info) != 0 && errno == ENOENT)
        return RLS_OK;
    rls_status status = rls_file_read_whole(ctx, path, SUMMARY_MAX, &text, &bytes);
    if (status == RLS_OK) {
        json_error_t error;
        *out = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(*out))
            status = rls_fail(ctx, RLS_ERR_DATA, "%s:%d: not a JSON object: %s", path,
                              *out == NULL ? error.line : 1,
                              *out == NULL ? error.text : "it begins with something else");
    }
    free(text);
    return status;
}

/* The path when a directory is there, else null. */
static json_t *directory_or_null(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode) ? rls_inspect_text(path) : json_null();
}

static json_t *object_or_null(json_t *object)
{
    return object != NULL ? json_incref(object) : json_null();
}

/* The summary's count, or else the last batch's; 0 with neither. */
static json_t *count_of(const json_t *summary, const char *key, const json_t *last, const char *last_key)
{
    const json_t *count = json_object_get(summary, key);
    return json_integer(json_integer_value(count != NULL ? count : json_object_get(last, last_key)));
}

static rls_status describe_run(rls_context *ctx, const char *path, json_t *out)
{
    char *log = NULL, *summary_path = NULL, *model = NULL;
    json_t *last = NULL, *summary = NULL;
    int64_t bytes = 0;
    const size_t length = strlen(path);
    const char *slash = length > 0 && path[length - 1] == '/' ? "" : "/";
    rls_status status = rls_asprintf(ctx, &log, "%s%slog.jsonl", path, slash);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &summary_path, "%s%ssummary.json", path, slash);
    if (status == RLS_OK)
        status = rls_asprintf(ctx, &model, "%s%smodel", path, slash);
    if (status == RLS_OK)
        status = read_summary(ctx, summary_path, &summary); /* first: with it the log is complete */
    if (status == RLS_OK)
        status = last_line(ctx, log, &last);
    if (status == RLS_OK)
        status = rls_dir_visit(ctx, path, add_bytes, &bytes);
    if (status == RLS_OK) {
        int failed = json_object_set_new(out, "bytes", json_integer(bytes));
        failed |= json_object_set_new(out, "state", json_string(summary != NULL ? "finished" : "unfinished"));
        failed |= json_object_set_new(out, "edits", count_of(summary, "edits", last, "edits"));
        failed |= json_object_set_new(out, "batches", count_of(summary, "batches", last, "batch"));
        failed |= json_object_set_new(out, "last_batch", object_or_null(last));
        failed |= json_object_set_new(out, "model", directory_or_null(model));
        failed |= json_object_set_new(out, "summary", object_or_null(summary));
        status = rls_inspect_made(ctx, path, failed);
    }
    json_decref(last);
    json_decref(summary);
    free(log);
    free(summary_path);
    free(model);
    return status;
}

rls_status rls_inspect_run(rls_context *ctx, const char *path, json_t *out)
{
    return rls_agree(ctx, ctx->rank == 0 ? describe_run(ctx, path, out) : RLS_OK);
}
