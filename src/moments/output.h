/* A file of second moments that appears whole or not at all, and what lies beside it until then. */
#ifndef MOMENTS_OUTPUT_H
#define MOMENTS_OUTPUT_H

#include <stdbool.h>

#include "linalg/matrix.h"

/* Names that begin with `out` and this are of an unfinished run for `out`. */
#define RLS_MOMENTS_PARTIAL ".partial"

/* Claims `out` for this run: no other one is at work for it, nothing is there (or overwrite), and its
 * directory can be written to. Collective. *lock: rank 0's hold on OUT.partial.lock, to be given to
 * rls_moments_release, after a failure too; -1 elsewhere. Returns RLS_ERR_USAGE, RLS_ERR_IO, RLS_ERR_MEMORY.
 */
RLS_NODISCARD rls_status rls_moments_claim(rls_context *ctx, const char *out, bool overwrite, int *lock);
void rls_moments_release(const char *out, int *lock);

/* Writes means [count] of that many keys, whole matrices, to a temporary name, puts them on
 * the disk, gives them the name `out`, and removes all that is partial. check: called with the temporary name
 * before the renaming, on all ranks; may be NULL. Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY, and what
 * check returns; `out` is then as it was. */
typedef rls_status rls_moments_check(void *user, const char *path);
RLS_NODISCARD rls_status rls_moments_commit(rls_context *ctx, const char *out, const char *module, int count,
                                            const int *layers, rls_matrix *const *means, const int64_t *keys,
                                            rls_moments_check *check, void *user);

/* Removes all that is partial but the files named in keep[], which ends with NULL, and the manifest when
 * there are such. Rank 0. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_moments_clear(rls_context *ctx, const char *out, const char *const *keep);

#endif
