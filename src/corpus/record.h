/* A text within its record: a line of plain text, or the field of a JSON object. */
#ifndef CORPUS_RECORD_H
#define CORPUS_RECORD_H

#include <stdint.h>

#include "base/context.h"

/* Where a record is, for messages. */
typedef struct {
    const char *path;
    const char *field; /* of the JSON object; NULL: plain text */
    int64_t line;      /* in the file, from 1 */
} rls_record_place;

/* The text of a record of `bytes` bytes (no line end), NUL-terminated, in *text (free with free()) with its
 * length in *length. text may be NULL: only checks. Not collective.
 * Returns RLS_ERR_DATA naming the line (and the byte offset of what is not UTF-8), RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_record_text(rls_context *ctx, const rls_record_place *place, const char *record,
                                         int64_t bytes, char **text, int64_t *length);

#endif
