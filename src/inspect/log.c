#include "inspect/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/file_util.h"
#include "store/manifest.h"
#include "store/problem.h"

enum { TAIL_FIRST = 64 << 10, TAIL_MAX = 256 << 20 };

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

/* The last whole line; *out = NULL when there is none yet. */
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
        if (!json_is_object(*out)) {
            status = rls_fail(ctx, RLS_ERR_DATA, "%s: its last line (at byte %" PRId64 ") is no JSON object",
                              path, size - bytes + (int64_t)(line - tail));
            json_decref(*out);
            *out = NULL;
        }
    }
    free(tail);
    return status;
}

/* Line number `number` (from 1) of the log; *batch: what the line before was of, then this one. */
static void check_line(const char *path, const char *text, size_t length, int64_t number, int64_t *batch,
                       json_t *problems)
{
    json_t *line = rls_manifest_from_line(text, length);
    const int64_t is = json_integer_value(json_object_get(line, "batch"));
    if (line == NULL)
        rls_problem_add(problems, path, "line %" PRId64 " is damaged: its checksum does not hold", number);
    else if (is != *batch + 1)
        rls_problem_add(problems, path, "line %" PRId64 " is of batch %" PRId64 ", not %" PRId64, number, is,
                        *batch + 1);
    *batch = line != NULL ? is : *batch + 1;
    json_decref(line);
}

/* What follows the last newline: nothing to complain about when it is the beginning of a line, but a whole
 * one with something in its newline's place is damage. */
static bool newline_damaged(const char *text, size_t length)
{
    json_t *line = length > 1 ? rls_manifest_from_line(text, length - 1) : NULL;
    json_decref(line);
    return line != NULL;
}

static rls_status check_lines(rls_context *ctx, const char *path, json_t *problems, rls_log_view *view)
{
    char *text = NULL;
    size_t capacity = 0;
    int64_t batch = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return rls_fail(ctx, RLS_ERR_DATA, "%s: %s", path, strerror(errno));
    for (ssize_t got = getline(&text, &capacity, file); got > 0; got = getline(&text, &capacity, file)) {
        view->torn = text[got - 1] != '\n';
        if (!view->torn)
            check_line(path, text, (size_t)got - 1, ++view->lines, &batch, problems);
        else if (newline_damaged(text, (size_t)got))
            rls_problem_add(problems, path, "line %" PRId64 " is damaged at its end", view->lines + 1);
    }
    const bool failed = ferror(file) != 0;
    free(text);
    (void)fclose(file);
    return failed ? rls_fail(ctx, RLS_ERR_DATA, "%s: cannot be read", path) : RLS_OK;
}

rls_status rls_inspect_log(rls_context *ctx, const char *path, bool verify, json_t *problems,
                           rls_log_view *view)
{
    *view = (rls_log_view){0};
    rls_status status = last_line(ctx, path, &view->last);
    if (status == RLS_ERR_MEMORY)
        return status;
    /* a bad last line is told again, with its number, when all are checked */
    if (status != RLS_OK && verify && view->last == NULL)
        rls_clear_failure(ctx);
    else if (status != RLS_OK)
        rls_problem_take(ctx, problems, path);
    if (verify && check_lines(ctx, path, problems, view) != RLS_OK)
        rls_problem_take(ctx, problems, path);
    return RLS_OK;
}
