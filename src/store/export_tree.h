/* The files of a model directory that an export takes over as they are. */
#ifndef STORE_EXPORT_TREE_H
#define STORE_EXPORT_TREE_H

#include <stdint.h>

#include "base/context.h"

/* What to take over, and what is left to do. */
typedef struct {
    const char *from, *to;   /* the original directory and the new one, which exists and is empty */
    const char *const *skip; /* names directly in `from` that are not taken over */
    int64_t skips;
    char *copies; /* out: paths below both of large files still to be copied, each with its '\0'; free with
                     free() */
    int64_t copies_bytes;
} rls_export_tree;

/* Hard-links all regular files of from, and of the directories below it, to their places in to. Where that is
 * impossible small files are copied, and large ones listed for all ranks to copy together. Symbolic links to
 * files are followed; links to directories, dangling ones and special files are left out with a warning, .git
 * without. Not collective: rank 0's work. Returns RLS_ERR_DATA, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_export_tree_stage(rls_context *ctx, rls_export_tree *tree);

#endif
