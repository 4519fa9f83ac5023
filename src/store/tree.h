/* Directory trees as a whole. */
#ifndef STORE_TREE_H
#define STORE_TREE_H

#include <jansson.h>

#include "base/context.h"

/* The digests of all regular files below a directory, in order of their names: a JSON array of
 * store/digest.h's objects, `file` relative to the directory. Collective; equal on all ranks. Returns
 * RLS_ERR_IO, RLS_ERR_MEMORY. Free with json_decref. */
RLS_NODISCARD rls_status rls_tree_digests(rls_context *ctx, const char *path, json_t **out);

/* The same where some files' digests are known already: an object from a file's name to its digest in JSON,
 * or null for one that is to be taken. known: equal on all ranks; NULL: none. */
RLS_NODISCARD rls_status rls_tree_digests_known(rls_context *ctx, const char *path, const json_t *known,
                                                json_t **out);

/* Compares files below a directory with what rls_tree_digests said of them.
 * Collective. files: rank 0's array (NULL elsewhere; NULL on rank 0: none). problems: rank 0's array, which
 * gets whatever is wrong, as store/problem.h has it; NULL elsewhere. Files that are not named don't matter.
 * Returns RLS_ERR_MEMORY; damage is no failure. */
RLS_NODISCARD rls_status rls_tree_examine(rls_context *ctx, const char *path, const json_t *files,
                                          json_t *problems);

#endif
