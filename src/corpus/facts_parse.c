#include "corpus/facts_parse.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "corpus/facts_skim.h"

/* RECORD_MAX: bytes; jansson counts them in an int. LOGGED: wrong records that are told of one by one. */
enum { RECORD_MAX = 64 << 20, LOGGED = 5 };

/* Numbers we do not look at (an identifier of 30 digits) must not stop us; \u0000 is met where it matters. */
static const size_t JSON_FLAGS = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | JSON_REJECT_DUPLICATES;

typedef struct {
    rls_context *ctx;
    const char *bytes;
    int64_t at, len, limit;
    rls_facts_policy policy;
    rls_fact_place place; /* of the record at `at` */
    rls_fact_pack *pack;
    rls_skimmed skimmed;
    char first[RLS_MESSAGE_MAX]; /* what was wrong with the first wrong record */
} parser;

static rls_status fail_json(parser *p, const json_error_t *error, int64_t len)
{
    const int64_t fault = rls_utf8_fault(p->bytes + p->at, len);
    const int64_t line = p->place.line + (error->line > 1 ? error->line - 1 : 0);
    const int64_t read = error->position > 0 ? error->position : 0;
    if (fault >= 0 && fault <= read)
        return rls_fail(p->ctx, RLS_ERR_DATA,
                        "%s:%" PRId64 ": not UTF-8 at byte offset %" PRId64
                        " of the record (0x%02x): convert "
                        "the file",
                        p->place.path, line, fault, (unsigned)(unsigned char)p->bytes[p->at + fault]);
    const bool readable = rls_utf8_fault(error->text, (int64_t)strlen(error->text)) < 0;
    return rls_fail(p->ctx, RLS_ERR_DATA,
                    "%s:%" PRId64 ": not JSON, at byte offset %" PRId64 " of the record%s%s", p->place.path,
                    line, read, readable ? ": " : "", readable ? error->text : "");
}

/* A record is wrong: under RLS_FACTS_SKIP it is counted, and forgotten. */
static rls_status wrong(parser *p, rls_status status)
{
    const char *message = rls_context_message(p->ctx);
    if (status != RLS_ERR_DATA || p->policy == RLS_FACTS_STOP)
        return status;
    if (p->pack->skipped == 0)
        (void)snprintf(p->first, sizeof p->first, "%s", message);
    if (p->pack->skipped++ < LOGGED)
        rls_log(p->ctx, RLS_LOG_WARNING, "left out: %s", message);
    rls_clear_failure(p->ctx);
    return RLS_OK;
}

static bool wanted(const parser *p)
{
    return p->limit <= 0 || p->pack->facts < p->limit;
}

static rls_status take(parser *p, const json_t *record)
{
    if (p->place.number == 0)
        rls_fact_warn_unknown(p->ctx, &p->place, record);
    return wrong(p, rls_fact_record(p->ctx, &p->place, record, p->pack));
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Loads the value at `at`, of at most `bytes` bytes: *used of them. *record: NULL when it is not JSON. What
 * is wrong in a skimmed record is looked for again in the whole of it, where the places are right. */
static rls_status load(parser *p, int64_t bytes, json_t **record, json_error_t *error, int64_t *used)
{
    const char *begin = p->bytes + p->at;
    const rls_status status = rls_fact_skim(p->ctx, begin, bytes, &p->skimmed, used);
    *record = NULL;
    if (status == RLS_OK && *used > 0)
        *record = json_loadb(p->skimmed.text, (size_t)p->skimmed.bytes, JSON_FLAGS, error);
    if (status != RLS_OK || *record != NULL)
        return status;
    *record = json_loadb(begin, (size_t)bytes, JSON_FLAGS | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, error);
    *used = error->position;
    return RLS_OK;
}

static rls_status parse_line(parser *p, int64_t bytes)
{
    json_error_t error;
    json_t *record = NULL;
    int64_t used = 0;
    if (bytes > RECORD_MAX)
        return wrong(p, rls_fail(p->ctx, RLS_ERR_DATA,
                                 "%s:%" PRId64 ": a line of more than %d MiB: is this a file of facts?",
                                 p->place.path, p->place.line, RECORD_MAX >> 20));
    rls_status status = load(p, bytes, &record, &error, &used);
    if (status != RLS_OK)
        return status;
    if (record == NULL)
        return wrong(p, fail_json(p, &error, bytes));
    while (used < bytes && blank(p->bytes[p->at + used]))
        used++;
    if (used < bytes)
        status = wrong(p, rls_fail(p->ctx, RLS_ERR_DATA,
                                   "%s:%" PRId64 ": not JSON, at byte offset %" PRId64
                                   " of the record: something follows it on the line",
                                   p->place.path, p->place.line, used));
    else
        status = take(p, record);
    json_decref(record);
    return status;
}

static rls_status parse_lines(parser *p)
{
    rls_status status = RLS_OK;
    for (; status == RLS_OK && p->at < p->len && wanted(p); p->place.line++) {
        const char *newline = memchr(p->bytes + p->at, '\n', (size_t)(p->len - p->at));
        const int64_t end = newline != NULL ? newline - p->bytes : p->len;
        while (p->at < end && blank(p->bytes[p->at]))
            p->at++;
        if (end > p->at) {
            status = parse_line(p, end - p->at);
            p->place.number++;
        }
        p->at = end + 1;
    }
    return status;
}

/* The next character that is not blank, '\0' at the end. */
static char next(parser *p)
{
    for (; p->at < p->len && blank(p->bytes[p->at]); p->at++)
        p->place.line += p->bytes[p->at] == '\n';
    if (p->at == p->len)
        return '\0';
    return p->bytes[p->at];
}

static rls_status fail_array(parser *p, const char *what)
{
    return rls_fail(p->ctx, RLS_ERR_DATA, "%s:%" PRId64 ": %s", p->place.path, p->place.line, what);
}

/* The element at `at`. */
static rls_status parse_element(parser *p)
{
    json_error_t error;
    json_t *record = NULL;
    int64_t used = 0;
    const int64_t rest = p->len - p->at < RECORD_MAX ? p->len - p->at : RECORD_MAX;
    rls_status status = load(p, rest, &record, &error, &used);
    if (status == RLS_OK && record == NULL)
        status = fail_json(p, &error, rest);
    if (status == RLS_OK)
        status = take(p, record);
    json_decref(record);
    if (status != RLS_OK)
        return status;
    const char *c = p->bytes + p->at, *end = c + used;
    while ((c = memchr(c, '\n', (size_t)(end - c))) != NULL) {
        p->place.line++;
        c++;
    }
    p->at += used;
    p->place.number++;
    return RLS_OK;
}

static rls_status parse_array(parser *p)
{
    p->at++; /* [ */
    if (next(p) == ']')
        p->at++;
    else
        for (;;) {
            const char first = next(p);
            if (first == '\0' || first == ']' || first == ',')
                return fail_array(p, "expected a JSON object");
            const rls_status status = parse_element(p);
            if (status != RLS_OK || !wanted(p))
                return status;
            const char after = next(p);
            if (after != ',' && after != ']')
                return fail_array(p, after == '\0' ? "the array has no end: is the file cut off?"
                                                   : "expected , or ] after a record");
            p->at++;
            if (after == ']')
                break;
        }
    return next(p) == '\0' && p->at >= p->len ? RLS_OK : fail_array(p, "something follows the array");
}

rls_status rls_facts_parse(rls_context *ctx, const char *path, const char *bytes, int64_t len,
                           rls_facts_policy policy, int64_t limit, rls_fact_pack *pack)
{
    parser p = {.ctx = ctx, .bytes = bytes, .len = len, .limit = limit, .policy = policy, .pack = pack};
    p.place = (rls_fact_place){.path = path, .line = 1};
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        p.at = 3;
    const char first = next(&p);
    const rls_status status = first == '[' ? parse_array(&p) : parse_lines(&p);
    free(p.skimmed.text);
    if (status != RLS_OK || pack->facts > 0)
        return status;
    if (pack->skipped > 0)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "no fact is left, all %" PRId64 " records are wrong; the first: %s", pack->skipped,
                        p.first);
    return rls_fail(ctx, RLS_ERR_DATA, "%s: there are no facts in it", path);
}
