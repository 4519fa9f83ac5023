#include "store/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *rls_json_text(const char *text)
{
    json_t *string = json_string(text);
    char *copy = string == NULL ? strdup(text) : NULL;
    if (copy == NULL)
        return string;
    for (char *c = copy; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    string = json_string(copy);
    free(copy);
    return string;
}

void rls_problem_add(json_t *problems, const char *path, const char *fmt, ...)
{
    char text[RLS_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    (void)json_array_append_new(
        problems, json_pack("{s:o, s:o}", "path", rls_json_text(path), "problem", rls_json_text(text)));
}

void rls_problem_take(rls_context *ctx, json_t *problems, const char *path)
{
    const char *message = rls_context_message(ctx);
    const size_t length = strlen(path);
    bool line = false;
    if (strncmp(message, path, length) == 0) {
        message += length;
        line = message[0] == ':' && message[1] >= '0' && message[1] <= '9'; /* "path:12: what" */
        message += strspn(message, ": ");
    }
    rls_problem_add(problems, path, "%s%s", line ? "line " : "", message);
    rls_clear_failure(ctx);
}

void rls_problems_join(json_t *problems, json_t *more)
{
    if (more != NULL)
        (void)json_array_extend(problems, more);
}

const char *rls_problem_first(const json_t *problems, char *text, size_t bytes)
{
    const json_t *first = json_array_get(problems, 0);
    text[0] = '\0';
    if (first != NULL)
        (void)snprintf(text, bytes, "%s: %s", json_string_value(json_object_get(first, "path")),
                       json_string_value(json_object_get(first, "problem")));
    return text;
}
