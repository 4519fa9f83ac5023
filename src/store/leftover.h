/* What earlier runs leave behind: half-written files, which nobody needs, and damaged ones, which are kept.
 * None of these functions is collective: rank 0 calls them while the run holds its lock. */
#ifndef STORE_LEFTOVER_H
#define STORE_LEFTOVER_H

#include "base/context.h"

/* Removes everything named *.partial directly in a directory. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_partial_remove(rls_context *ctx, const char *path);

/* Renames a file or directory to <path>.damaged, or the first <path>.damaged-<k> that is free. Nothing there
 * is no failure. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_set_aside(rls_context *ctx, const char *path);

/* Gives a file such a name besides its own, for files that are to be replaced. Returns RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_keep_copy(rls_context *ctx, const char *path);

#endif
