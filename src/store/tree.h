/* Directory trees as a whole. */
#ifndef STORE_TREE_H
#define STORE_TREE_H

#include <jansson.h>

#include "base/context.h"

/* The digests of all regular files below a directory, in order of their names: a JSON array of
 * store/digest.h's objects, `file` relative to the directory. Collective; equal on all ranks. Returns
 * RLS_ERR_IO, RLS_ERR_MEMORY. Free with json_decref. */
RLS_NODISCARD rls_status rls_tree_digests(rls_context *ctx, const char *path, json_t **out);

#endif
