/* "did you mean ...?": which of several names a mistyped word is nearest to. */
#ifndef BASE_SUGGEST_H
#define BASE_SUGGEST_H

#include <stdbool.h>
#include <stddef.h>

/* Inserted, deleted, replaced and swapped neighbouring characters that turn a into b; more than any limit
 * when either is longer than 63 characters. Not collective. */
size_t rls_edit_distance(const char *a, const char *b);

/* Whether name is nearer to word than the best so far, and near enough to be what was meant; *best is then
 * its distance. Start with *best = SIZE_MAX and call it for each name. Not collective. */
bool rls_closer(const char *word, const char *name, size_t *best);

#endif
