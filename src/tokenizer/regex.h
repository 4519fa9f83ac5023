/*
 * The regular expressions of pre-tokenizers, through PCRE2.
 *
 * The files write them for Oniguruma. What is written the same and means the same is taken: literals, groups
 * (also (?i:...) and looking around), alternatives, quantifiers, classes, \r \n \t \f, \d, general categories
 * as \p{L}, and \s and \S, which are spelt out here because PCRE2 counts U+180E in. Anything else is refused.
 */
#ifndef TOKENIZER_REGEX_H
#define TOKENIZER_REGEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

typedef struct rls_regex rls_regex;
typedef struct rls_regex_work rls_regex_work;

/* Compiles a pattern. where: for messages. Not collective. Returns RLS_ERR_DATA for one that is malformed,
 * not supported or matches the empty text, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_regex_create(rls_context *ctx, const char *where, const char *pattern,
                                          rls_regex **out);
void rls_regex_destroy(rls_regex **regex);

/* Scratch memory of one thread, for any pattern. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_regex_work_create(rls_context *ctx, rls_regex_work **out);
void rls_regex_work_destroy(rls_regex_work **work);

/* The first match in text (UTF-8, checked) from an offset on: [*start, *end), or *start = -1. Not collective.
 * Returns RLS_ERR_DATA when the search goes beyond PCRE2's limits, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_regex_find(rls_context *ctx, const rls_regex *regex, rls_regex_work *work,
                                        const char *text, int64_t bytes, int64_t from, int64_t *start,
                                        int64_t *end);

#endif
