/* What is wrong with files on the disk, gathered in a JSON array of {"path": ..., "problem": ...}. None of
 * these functions is collective. */
#ifndef STORE_PROBLEM_H
#define STORE_PROBLEM_H

#include <stdbool.h>

#include <jansson.h>

#include "base/context.h"

/* Adds a problem of the file at path. */
RLS_PRINTF(3, 4) void rls_problem_add(json_t *problems, const char *path, const char *fmt, ...);

/* The failure recorded in the context becomes a problem of the file at path (which the message need not
 * repeat), and is forgotten. */
void rls_problem_take(rls_context *ctx, json_t *problems, const char *path);

/* Appends the problems of another array. */
void rls_problems_join(json_t *problems, json_t *more);

/* "path: problem" of the first one into text; "" when there is none. */
const char *rls_problem_first(const json_t *problems, char *text, size_t bytes);

/* A JSON string of any bytes: those that are not UTF-8 become '?'. NULL without memory. */
json_t *rls_json_text(const char *text);

#endif
