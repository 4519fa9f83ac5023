#include "store/model_text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/file_util.h"

enum { TEXT_BYTES_MAX = 16 << 20 };

rls_status rls_model_text_read(rls_context *ctx, const char *path, const char *name, rls_model_text *out)
{
    memset(out, 0, sizeof *out);
    rls_status status = rls_asprintf(ctx, &out->file, "%s/%s", path, name);
    if (status == RLS_OK && access(out->file, F_OK) == 0)
        status = rls_file_read_whole(ctx, out->file, TEXT_BYTES_MAX, &out->text, &out->bytes);
    return status;
}

void rls_model_text_free(rls_model_text *text)
{
    free(text->file);
    free(text->text);
    memset(text, 0, sizeof *text);
}

rls_status rls_json_object(rls_context *ctx, const char *file, const char *text, int64_t bytes, json_t **root)
{
    json_error_t error;
    *root = json_loadb(text, (size_t)bytes, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(*root))
        return RLS_OK;
    const rls_status status =
        rls_fail(ctx, RLS_ERR_DATA, "%s:%d: not a JSON object: %s", file, *root == NULL ? error.line : 1,
                 *root == NULL ? error.text : "it begins with something else");
    json_decref(*root);
    *root = NULL;
    return status;
}

/* Where the string that begins at text[at] == '"' ends: the index of its closing quote, or bytes. */
static int64_t string_end(const char *text, int64_t bytes, int64_t at)
{
    for (at++; at < bytes && text[at] != '"'; at++) {
        if (text[at] == '\\')
            at++;
    }
    return at < bytes ? at : bytes;
}

/* Whether text[at] == '"' begins this key (a string with a colon after it). */
static bool is_key(const char *text, int64_t bytes, int64_t at, int64_t end, const char *key)
{
    const int64_t length = (int64_t)strlen(key);
    if (end - at - 1 != length || memcmp(text + at + 1, key, (size_t)length) != 0)
        return false;
    for (end++; end < bytes && strchr(" \t\r\n", text[end]) != NULL && text[end] != '\0'; end++)
        ;
    return end < bytes && text[end] == ':';
}

int rls_json_line(const char *text, int64_t bytes, const char *inside, const char *key)
{
    int line = 1, depth = 0;
    for (int64_t at = 0; at < bytes; at++) {
        const char c = text[at];
        line += c == '\n';
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c != '"')
            continue;
        const int64_t end = string_end(text, bytes, at);
        if (depth == 1 && is_key(text, bytes, at, end, inside != NULL ? inside : key)) {
            /* What follows ": " of the outer key begins with the inner object. */
            const int within =
                inside != NULL && end < bytes ? rls_json_line(text + end + 1, bytes - end - 1, NULL, key) : 1;
            return within > 0 ? line - 1 + within : line;
        }
        at = end;
    }
    return 0;
}
