/*
 * What an unfinished run over a corpus has on the disk, beside its output OUT:
 *
 *     OUT.partial-1200.nc           the second moments over the first 1200 texts, a file like OUT itself
 *     OUT.partial-doubling-1024.nc  those at the last doubling, when changes are looked at
 *     OUT.partial.json              the manifest: what they are of, and their digests
 *
 * The manifest, written last, commits; only then are the files before it deleted.
 */
#ifndef MOMENTS_PARTIAL_H
#define MOMENTS_PARTIAL_H

#include <jansson.h>

#include "linalg/matrix.h"

typedef struct {
    rls_context *ctx;
    const char *out, *module;
    int count; /* layers */
    const int *layers;
    rls_matrix **sums;                     /* [count]: sum k k^T, lower triangles */
    rls_matrix **doubling;                 /* [count]: the means at the last doubling; NULL: not looked at */
    json_t *identity;                      /* what the sums are of; equal on all ranks */
    int64_t texts, keys;                   /* in the sums */
    int64_t doubling_texts, doubling_keys; /* 0: no doubling yet */
    int64_t saved_doubling;                /* texts of the doubling on the disk */
} rls_moments_partial;

/* Brings the sums, and what else there is, to where an earlier run left them; texts stays 0 when there is
 * none. anew: what there is is removed first. Collective. Returns RLS_ERR_USAGE for one of another identity
 * (naming what differs), RLS_ERR_DATA for a damaged one, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_moments_partial_resume(rls_moments_partial *partial, bool anew);

/* Commits the sums. Collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY; what was committed before is there then.
 */
RLS_NODISCARD rls_status rls_moments_partial_save(rls_moments_partial *partial);

#endif
