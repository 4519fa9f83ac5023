/* Going through a whole corpus once, in pieces: finds and checks every record. */
#ifndef CORPUS_SCAN_H
#define CORPUS_SCAN_H

#include <stdint.h>

#include "base/context.h"

enum { RLS_RECORD_MAX = 64 << 20 }; /* bytes of a line, or of an object of an array */

/* A record that holds a text. 16 bytes, as every rank has all of them. */
typedef struct {
    int64_t offset;        /* in the file */
    uint32_t length, line; /* bytes, without the line's end; line: from 1 */
} rls_record;

typedef struct {
    rls_record *record;
    int64_t count, capacity;
} rls_record_index;

/* Where the bytes come from: a regular file, or what was read from a pipe. */
typedef struct {
    const char *path;   /* for messages */
    int fd;             /* not used with memory */
    const char *memory; /* NULL: the file */
    int64_t bytes;
} rls_corpus_source;

/* Reads `bytes` bytes at offset. Not collective. Returns RLS_ERR_DATA when the file ends before, RLS_ERR_IO.
 */
RLS_NODISCARD rls_status rls_corpus_read(rls_context *ctx, const rls_corpus_source *source, int64_t offset,
                                         int64_t bytes, char *data);

/* Appends every record with a text that is not empty to index, to be freed with free(index->record), also
 * after a failure. Not collective.
 * field: NULL for plain text: a record is a line (ends in LF or CRLF; the last need not). Otherwise of a JSON
 * object a line, or an array of objects when the first character is [. A byte order mark is skipped.
 * Returns RLS_ERR_DATA naming the line, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_corpus_scan(rls_context *ctx, const rls_corpus_source *source, const char *field,
                                         rls_record_index *index);

#endif
