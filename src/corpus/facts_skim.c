#include "corpus/facts_skim.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static rls_status append(rls_context *ctx, rls_skimmed *out, const char *text, int64_t bytes)
{
    if (out->bytes + bytes > out->room) {
        const int64_t room = 2 * (out->bytes + bytes) + 4096;
        char *grown = realloc(out->text, (size_t)room);
        if (grown == NULL)
            return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for a record of %lld bytes", (long long)room);
        out->text = grown;
        out->room = room;
    }
    memcpy(out->text + out->bytes, text, (size_t)bytes);
    out->bytes += bytes;
    return RLS_OK;
}

/* Behind the string whose quotation mark is at `at`; 0: it has no end. */
static int64_t skip_string(const char *text, int64_t at, int64_t bytes)
{
    const int64_t first = at + 1;
    for (at = first; at < bytes; at++) {
        const char *mark = memchr(text + at, '"', (size_t)(bytes - at));
        if (mark == NULL)
            return 0;
        at = mark - text;
        int64_t slash = at;
        while (slash > first && text[slash - 1] == '\\')
            slash--;
        if ((at - slash) % 2 == 0)
            return at + 1;
    }
    return 0;
}

/* +1 for a bracket that opens, -1 for one that closes. */
static int turn(char c)
{
    return (c == '{' || c == '[') - (c == '}' || c == ']');
}

/* Behind the list at `at`; 0: it has no end. */
static int64_t skip_list(const char *text, int64_t at, int64_t bytes)
{
    int64_t depth = 0;
    while (at < bytes) {
        if (text[at] == '"') {
            at = skip_string(text, at, bytes);
            if (at == 0)
                return 0;
            continue;
        }
        depth += turn(text[at++]);
        if (depth == 0)
            return at;
    }
    return 0;
}

/* Where the list begins that belongs to the key text[at, end), when it is one that nobody reads; else 0. */
static int64_t useless_list(const char *text, int64_t at, int64_t end, int64_t bytes)
{
    static const char *const useless[] = {"\"attribute_prompts\"", "\"generation_prompts\""};
    bool found = false;
    for (size_t i = 0; i < sizeof useless / sizeof *useless; i++)
        found |= (size_t)(end - at) == strlen(useless[i]) &&
                 memcmp(text + at, useless[i], (size_t)(end - at)) == 0;
    for (int colons = 0; found && end < bytes; end++) {
        if (text[end] == '[')
            return colons == 1 ? end : 0;
        colons += text[end] == ':';
        found = text[end] != '\0' && strchr(": \t\r\n", text[end]) != NULL;
    }
    return 0;
}

rls_status rls_fact_skim(rls_context *ctx, const char *text, int64_t bytes, rls_skimmed *out, int64_t *end)
{
    int64_t depth = 0, at = 0, copied = 0;
    rls_status status = RLS_OK;
    out->bytes = 0;
    *end = 0;
    if (bytes == 0 || text[0] != '{')
        return RLS_OK;
    while (at < bytes && status == RLS_OK) {
        if (text[at] == '"') {
            const int64_t key = at;
            at = skip_string(text, key, bytes);
            if (at == 0)
                return RLS_OK;
            const int64_t list = depth == 1 ? useless_list(text, key, at, bytes) : 0;
            if (list == 0)
                continue;
            at = skip_list(text, list, bytes);
            if (at == 0)
                return RLS_OK;
            status = append(ctx, out, text + copied, list - copied);
            if (status == RLS_OK)
                status = append(ctx, out, "[]", 2);
            copied = at;
            continue;
        }
        depth += turn(text[at++]);
        if (depth == 0) {
            *end = at;
            return append(ctx, out, text + copied, at - copied);
        }
    }
    return status;
}
