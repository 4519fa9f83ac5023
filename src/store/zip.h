/*
 * The table of contents of a zip archive, as far as NumPy's .npz files need it: stored and deflated entries,
 * ZIP64 for large ones, no encryption, one volume. Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.
 */
#ifndef STORE_ZIP_H
#define STORE_ZIP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum { RLS_ZIP_NAME_MAX = 128 };

typedef struct {
    char name[RLS_ZIP_NAME_MAX]; /* longer ones are kept as "": no name this program looks for is that long */
    bool deflated, encrypted, unknown; /* unknown: another method than stored and deflated */
    int64_t header;                    /* offset of its local header */
    int64_t packed, bytes;             /* in the file, and unpacked */
    uint32_t crc;                      /* CRC-32 of the unpacked bytes */
} rls_zip_entry;

/* Where an archive's bytes are: memory, or a file descriptor when that is NULL. */
typedef struct {
    const char *path; /* the caller's, for messages */
    const unsigned char *memory;
    int fd;
    int64_t bytes;
} rls_zip_source;

typedef struct {
    rls_zip_source source;
    int64_t count;
    rls_zip_entry *entries;
} rls_zip;

/* Opens the archive at path and reads its table of contents. Not collective. path must outlive *out. Free
 * with rls_zip_close, also after a failure. Returns RLS_ERR_DATA for a missing, foreign, truncated or damaged
 * archive, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_zip_open(rls_context *ctx, const char *path, rls_zip *out);

/* The same for an archive in memory, which must outlive *out. */
RLS_NODISCARD rls_status rls_zip_parse(rls_context *ctx, const char *path, const unsigned char *memory,
                                       int64_t bytes, rls_zip *out);
void rls_zip_close(rls_zip *zip);

/* The entry of a name, NULL when there is none. Not collective. */
const rls_zip_entry *rls_zip_find(const rls_zip *zip, const char *name);

/* Where an entry's bytes begin in the file, from its local header; they are inside the file. Not collective.
 * Returns RLS_ERR_DATA for a damaged header, an encrypted entry or an unknown method, RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_zip_data(rls_context *ctx, const rls_zip *zip, const rls_zip_entry *entry,
                                      int64_t *offset);

/* An entry's unpacked bytes, one piece after another. Not collective. begin and read return RLS_ERR_DATA when
 * the packed bytes are damaged (not a deflated stream, another length or another CRC-32 than the table of
 * contents has, which read notices with the last byte), RLS_ERR_IO, RLS_ERR_MEMORY. read: the next `bytes`,
 * which must be there. */
typedef struct rls_zip_stream rls_zip_stream;
RLS_NODISCARD rls_status rls_zip_stream_begin(rls_context *ctx, const rls_zip *zip,
                                              const rls_zip_entry *entry, rls_zip_stream **out);
RLS_NODISCARD rls_status rls_zip_stream_read(rls_zip_stream *stream, void *data, int64_t bytes);
void rls_zip_stream_end(rls_zip_stream **stream);

#endif
