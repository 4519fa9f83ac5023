/* Texts to score or to take statistics over: a plain text file, one text a line, or JSONL with a field. */
#ifndef CORPUS_CORPUS_H
#define CORPUS_CORPUS_H

#include <stdint.h>

#include "base/context.h"

typedef struct rls_corpus rls_corpus;

/* Opens a corpus and indexes its texts. Collective; rank 0 reads all of it once, in pieces, and checks it.
 * path: a file; "-" is rank 0's standard input, which, like any pipe, is read whole and then held by every
 * rank (at most 1 GiB). field: the field of each JSON object that holds the text ("text" when NULL). The file
 * is JSON when its name ends in .jsonl or .json, or field is given: an object a line, or one array of
 * objects; else plain text, a text a line. Lines end in LF or CRLF, the last need not; a byte order mark is
 * skipped; empty lines and empty fields are no texts. Returns RLS_ERR_DATA naming the line (not JSON, no such
 * field, not UTF-8 with the byte offset, longer than 64 MiB), RLS_ERR_IO, RLS_ERR_MEMORY. Every rank then has
 * the index of texts; the bytes are read when they are asked for, so that a corpus may be larger than memory.
 * On failure *out is NULL. */
RLS_NODISCARD rls_status rls_corpus_open(rls_context *ctx, const char *path, const char *field,
                                         rls_corpus **out);

/* Frees it and sets *corpus to NULL. Not collective. NULL is accepted. */
void rls_corpus_close(rls_corpus **corpus);

/* The path it was opened with ("standard input" for "-"), for messages. Not collective. */
const char *rls_corpus_path(const rls_corpus *corpus);

/* The number of texts; the line of text i in the file (from 1), and the bytes of its record, which are about
 * those of the text. Not collective. */
int64_t rls_corpus_count(const rls_corpus *corpus);
int64_t rls_corpus_line(const rls_corpus *corpus, int64_t i);
int64_t rls_corpus_bytes(const rls_corpus *corpus, int64_t i);

/* Text i, NUL-terminated, in *text (free with free()) with its length in *bytes. Not collective: any rank may
 * read any text. ctx: where a failure is reported. Returns RLS_ERR_DATA (as above; the file has changed),
 * RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_corpus_text(rls_context *ctx, const rls_corpus *corpus, int64_t i, char **text,
                                         int64_t *bytes);

#endif
