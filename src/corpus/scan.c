#include "corpus/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "corpus/record.h"

enum { PIECE = 4 << 20 };

/* A window on the file: data[0, filled) are the bytes from `offset`; the record being read begins at `begin`,
 * and everything before `at` was looked at. */
typedef struct {
    rls_context *ctx;
    const rls_corpus_source *source;
    const char *field;
    rls_record_index *index;
    char *data;
    int64_t capacity, filled, offset, begin, at;
    int64_t line, begin_line; /* at `at` and at `begin` */
} scan;

rls_status rls_corpus_read(rls_context *ctx, const rls_corpus_source *source, int64_t offset, int64_t bytes,
                           char *data)
{
    int64_t done = 0;
    if (source->memory != NULL) {
        memcpy(data, source->memory + offset, (size_t)bytes);
        return RLS_OK;
    }
    while (done < bytes) {
        const ssize_t got = pread(source->fd, data + done, (size_t)(bytes - done), (off_t)(offset + done));
        if (got == 0)
            return rls_fail(ctx, RLS_ERR_DATA, "%s: ends at byte %" PRId64 ", was of %" PRId64 " when opened",
                            source->path, offset + done, source->bytes);
        if (got < 0 && errno != EINTR)
            return rls_fail(ctx, RLS_ERR_IO, "%s: cannot read: %s", source->path, strerror(errno));
        done += got > 0 ? (int64_t)got : 0;
    }
    return RLS_OK;
}

static rls_status fail(const scan *s, const char *what)
{
    return rls_fail(s->ctx, RLS_ERR_DATA, "%s:%" PRId64 ": %s", s->source->path, s->line, what);
}

/* What is wrong with the record as a whole. */
static rls_status fail_record(const scan *s, const char *what)
{
    return rls_fail(s->ctx, RLS_ERR_DATA, "%s:%" PRId64 ": what begins here %s", s->source->path,
                    s->begin_line, what);
}

/* Room for another piece behind what is still needed, [begin, filled). */
static rls_status make_room(scan *s)
{
    const int64_t kept = s->filled - s->begin;
    if (kept > RLS_RECORD_MAX)
        return fail_record(s, "is longer than 64 MiB: is this a file of texts?");
    if (s->data != NULL && kept > 0)
        memmove(s->data, s->data + s->begin, (size_t)kept);
    s->offset += s->begin;
    s->at -= s->begin;
    s->filled = kept;
    s->begin = 0;
    if (kept + PIECE <= s->capacity)
        return RLS_OK;
    const int64_t capacity = 2 * kept + PIECE;
    char *data = realloc(s->data, (size_t)capacity);
    if (data == NULL)
        return rls_fail(s->ctx, RLS_ERR_MEMORY, "no memory for a line of %s", s->source->path);
    s->data = data;
    s->capacity = capacity;
    return RLS_OK;
}

/* Reads the next piece; *end: there is none. */
static rls_status more(scan *s, bool *end)
{
    const int64_t left = s->source->bytes - s->offset - s->filled;
    *end = left == 0;
    if (*end)
        return RLS_OK;
    rls_status status = make_room(s);
    if (status != RLS_OK)
        return status;
    const int64_t bytes = left < PIECE ? left : PIECE;
    status = rls_corpus_read(s->ctx, s->source, s->offset + s->filled, bytes, s->data + s->filled);
    if (status == RLS_OK)
        s->filled += bytes;
    return status;
}

static rls_status append(scan *s, int64_t length)
{
    rls_record_index *index = s->index;
    if (s->begin_line > UINT32_MAX)
        return rls_fail(s->ctx, RLS_ERR_DATA, "%s: more than %" PRIu32 " lines: split it", s->source->path,
                        UINT32_MAX);
    if (index->count == index->capacity) {
        const int64_t capacity = index->capacity + index->capacity / 2 + 1024;
        rls_record *record = realloc(index->record, (size_t)capacity * sizeof *record);
        if (record == NULL)
            return rls_fail(s->ctx, RLS_ERR_MEMORY, "no memory for an index of %" PRId64 " texts", capacity);
        index->record = record;
        index->capacity = capacity;
    }
    index->record[index->count++] =
        (rls_record){s->offset + s->begin, (uint32_t)length, (uint32_t)s->begin_line};
    return RLS_OK;
}

/* The record data[begin, end): checked, and kept when there is text in it. */
static rls_status take(scan *s, int64_t end)
{
    const rls_record_place place = {s->source->path, s->field, s->begin_line};
    int64_t length = 0;
    if (end - s->begin > RLS_RECORD_MAX)
        return fail_record(s, "is longer than 64 MiB: is this a file of texts?");
    rls_status status = rls_record_text(s->ctx, &place, s->data + s->begin, end - s->begin, NULL, &length);
    if (status == RLS_OK && length > 0)
        status = append(s, end - s->begin);
    return status;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The line data[begin, end). In JSON a line of blanks is empty, in plain text only one of nothing. */
static rls_status take_line(scan *s, int64_t end)
{
    int64_t last = end;
    if (last > s->begin && s->data[last - 1] == '\r')
        last--;
    int64_t first = s->begin;
    while (s->field != NULL && first < last && blank(s->data[first]))
        first++;
    return first < last ? take(s, last) : RLS_OK;
}

static rls_status scan_lines(scan *s)
{
    for (;;) {
        const char *newline =
            s->filled > s->at ? memchr(s->data + s->at, '\n', (size_t)(s->filled - s->at)) : NULL;
        bool end = false;
        rls_status status = RLS_OK;
        if (newline == NULL) {
            s->at = s->filled;
            status = more(s, &end);
            if (end)
                return take_line(s, s->filled);
        } else {
            status = take_line(s, newline - s->data);
            s->at = s->begin = newline - s->data + 1;
            s->begin_line = ++s->line;
        }
        if (status != RLS_OK)
            return status;
    }
}

/* Goes to the next character that is not blank; *c = '\0' at the end of the file. */
static rls_status next(scan *s, char *c)
{
    bool end = false;
    rls_status status = RLS_OK;
    *c = '\0';
    while (status == RLS_OK && !end) {
        for (; s->at < s->filled; s->at++) {
            s->begin = s->at;
            s->begin_line = s->line;
            if (!blank(s->data[s->at])) {
                *c = s->data[s->at];
                return RLS_OK;
            }
            s->line += s->data[s->at] == '\n';
        }
        s->begin = s->filled;
        status = more(s, &end);
    }
    return status;
}

/* From the { at `begin` to behind its }: brackets are counted outside of strings; the rest is the parser's.
 */
static rls_status scan_object(scan *s)
{
    int64_t depth = 0;
    bool in_string = false, escaped = false, end = false;
    rls_status status = RLS_OK;
    while (status == RLS_OK && !end) {
        for (; s->at < s->filled; s->at++) {
            const char c = s->data[s->at];
            s->line += c == '\n';
            if (in_string) {
                in_string = escaped || c != '"';
                escaped = !escaped && c == '\\';
                continue;
            }
            in_string = c == '"';
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
            if (depth == 0) {
                s->at++;
                return take(s, s->at);
            }
        }
        status = more(s, &end);
    }
    return end ? fail_record(s, "has no end") : status;
}

static rls_status scan_array(scan *s)
{
    char c = '\0';
    s->at++; /* the [ */
    rls_status status = next(s, &c);
    if (status == RLS_OK && c == ']') {
        s->at++;
    } else {
        for (;;) {
            if (status == RLS_OK && c != '{')
                status = fail(s, "expected a JSON object in the array");
            if (status == RLS_OK)
                status = scan_object(s);
            if (status == RLS_OK)
                status = next(s, &c);
            if (status == RLS_OK && c != ',' && c != ']')
                status = fail(s, "expected , or ] after an object of the array");
            if (status != RLS_OK)
                return status;
            s->at++;
            if (c == ']')
                break;
            status = next(s, &c);
        }
    }
    status = next(s, &c);
    if (status == RLS_OK && c != '\0')
        status = fail(s, "something follows the array");
    return status;
}

rls_status rls_corpus_scan(rls_context *ctx, const rls_corpus_source *source, const char *field,
                           rls_record_index *index)
{
    scan s = {.ctx = ctx, .source = source, .field = field, .index = index, .line = 1, .begin_line = 1};
    bool end = false;
    char c = '\0';
    rls_status status = more(&s, &end);
    if (s.filled >= 3 && memcmp(s.data, "\xef\xbb\xbf", 3) == 0)
        s.at = s.begin = 3;
    const int64_t start = s.at;
    if (status == RLS_OK && field != NULL)
        status = next(&s, &c);
    if (status == RLS_OK && c == '[') {
        status = scan_array(&s);
    } else if (status == RLS_OK) {
        if (s.offset == 0) { /* the window still begins where the text does */
            s.at = s.begin = start;
            s.line = s.begin_line = 1;
        }
        status = scan_lines(&s);
    }
    free(s.data);
    return status;
}
