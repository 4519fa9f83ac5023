/*
 * Manifests: JSON objects that carry their own checksum, and appear on the disk whole or not at all.
 *
 * The member "checksum" is the XXH3-128 of the object without it, dumped compactly with sorted keys. A file
 * is written under a temporary name, put on the disk (fsync), renamed, and its directory put on the disk.
 * None of these functions is collective: rank 0 calls them.
 */
#ifndef STORE_MANIFEST_H
#define STORE_MANIFEST_H

#include <stdbool.h>

#include <jansson.h>
#include <stdint.h>

#include "base/context.h"

/* Writes the object (consumed; NULL: it could not be made) to path, replacing a file that is there.
 * Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_manifest_write(rls_context *ctx, const char *path, json_t *object);

/* Reads the file at path, whose member "format" shall be `format`.
 * Returns RLS_ERR_DATA when it is missing, not such an object or damaged, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_manifest_read(rls_context *ctx, const char *path, const char *format,
                                           json_t **out);

/* Seals an object with its checksum, and whether an object's seal is right. seal returns false without
 * memory. */
bool rls_manifest_seal(json_t *object);
bool rls_manifest_sealed(const json_t *object);

/* An object (which gets its seal) as a line of a log, without newline; NULL without memory; free with
 * free(). And the object of such a line; NULL when it is not, to the last byte, what was made. */
char *rls_manifest_to_line(json_t *object);
json_t *rls_manifest_from_line(const char *text, size_t bytes);

/* Writes bytes to path as a manifest is written. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_file_replace(rls_context *ctx, const char *path, const void *data,
                                          int64_t bytes);

/* A number of things that a manifest says, 0 when it is not there; -1 for one that cannot be: negative, or 2^53
 * and more, so that sums of what is accepted are far from overflow. Not collective. */
int64_t rls_manifest_count(const json_t *manifest, const char *key);

#endif
