/*
 * Digests of files: the XXH3-128 of every slab of RLS_DIGEST_SLAB bytes, taken in parallel over all slabs of
 * all files. In JSON: {"file": name, "bytes": n, "slab": 8388608, "xxh128": ["...", ...]}.
 */
#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H

#include <jansson.h>

#include "base/context.h"
#include "base/hash.h"

enum { RLS_DIGEST_SLAB = 8 << 20 };

typedef struct {
    int64_t bytes; /* -1: the file cannot be read */
    int64_t slabs;
    rls_hash *slab; /* inside one array of all files' slabs */
} rls_digest;

/* The digests of files, equal on all ranks.
 * Collective. paths: count of them, equal on all ranks. A file that is missing or cannot be read to its end
 * has bytes = -1. Free with rls_digests_free. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_digest_files(rls_context *ctx, const char *const *paths, int64_t count,
                                          rls_digest **out);
void rls_digests_free(rls_digest **digests);

/* The digest of a file that grows, taken while what was written is still in memory and on its way to the
 * disk. Collective: begin and end; advance is local: the file's first `bytes` bytes will not change any more
 * and can be read by every rank. take is local too, and spares reading a whole slab of which a rank has the
 * final bytes at hand. A failure of advance or take is told by end. Returns RLS_ERR_IO when the file cannot
 * be read, RLS_ERR_MEMORY. end frees the writer and sets *writer to NULL; abandon does the same without a
 * result, is local, and accepts NULL. */
typedef struct rls_digest_writer rls_digest_writer;
RLS_NODISCARD rls_status rls_digest_begin(rls_context *ctx, const char *path, rls_digest_writer **out);
void rls_digest_advance(rls_digest_writer *writer, int64_t bytes);
void rls_digest_take(rls_digest_writer *writer, int64_t slab, const void *data);
RLS_NODISCARD rls_status rls_digest_end(rls_digest_writer **writer, rls_digest **out);
void rls_digest_abandon(rls_digest_writer **writer);

/* One number for a file, or for several in order. Not collective. */
rls_hash rls_digest_hash(const rls_digest *digests, int64_t count);

/* The JSON form under the given name. NULL without memory. Not collective. */
json_t *rls_digest_json(const rls_digest *digest, const char *name);

/* Whether a digest is what the JSON form says; the reason it is not goes to why[128] ("" when it is). Not
 * collective. */
bool rls_digest_matches(const rls_digest *digest, const json_t *expected, char why[128]);

#endif
