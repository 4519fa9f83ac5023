/* One new file of an export, made by all ranks from the old one. */
#ifndef STORE_EXPORT_FILE_H
#define STORE_EXPORT_FILE_H

#include <jansson.h>

#include "store/digest.h"
#include "store/shared_file.h"

typedef struct {
    const char *name; /* in both directories; the caller's */
    char *old_path, *path;
    rls_shared_file from, to;
    rls_digest_writer *digest; /* NULL: none wanted */
} rls_export_file;

/* Opens the old file and makes the new one.
 * Collective. from_dir, to_dir, name: equal on all ranks. bytes: of the old file; -1: whatever it has, which
 * is put into *bytes. digest: whether checksums are wanted. End with rls_export_file_end, also on failure.
 * Returns what rls_shared_open and rls_shared_create do. */
RLS_NODISCARD rls_status rls_export_file_begin(rls_context *ctx, const char *from_dir, const char *to_dir,
                                               const char *name, int64_t *bytes, bool digest,
                                               rls_export_file *out);

/* Closes both, and takes the checksums that were not taken in writing; the file is not on the disk yet.
 * Collective. status: how the work went; on a failure all is given up. written: gets the name, with the
 * checksums as store/digest.h has them in JSON, or null when none are wanted; equal on all ranks. Returns
 * status, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_export_file_end(rls_export_file *file, rls_status status, json_t *written);

/* Puts all files that are named in `written` on the disk. Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_export_files_sync(rls_context *ctx, const char *dir, json_t *written);

#endif
