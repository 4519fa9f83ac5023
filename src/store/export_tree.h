/* The files of a model directory that an export takes over as they are. */
#ifndef STORE_EXPORT_TREE_H
#define STORE_EXPORT_TREE_H

#include <stdint.h>

#include "base/config.h"

/* What to take over, and what is left to do. */
typedef struct {
    const char *from, *to;   /* the original directory and the new one, which exists and is empty */
    const char *const *skip; /* names directly in `from` that are not taken over */
    int64_t skips;
    const char *const *shard; /* names of its weight files, directly in `from` */
    int64_t shards;
    rls_export_link link; /* how those of them are taken over that are not skipped */
    char *copies; /* out: paths below both of large files still to be copied, each with its '\0'; free with
                     free() */
    int64_t copies_bytes;
} rls_export_tree;

/* Takes over the regular files of from, and of the directories below it, to their places in to: weight files as
 * tree->link says, everything else as copies, so that what is done to them later never reaches the original; large
 * copies are listed for all ranks to make together.
 *
 * Left out: .git, and with a warning each: other forms of the weights, which are those before the edits
 * (pytorch_model.bin, consolidated.*, original/ and so on); symbolic links to directories; links that lead out of
 * the directory, except those of weight files, of config.json, generation_config.json and tokenizer.json, which
 * are read as the model, and in the hub's cache (snapshots/X) those into the blobs of the same repository; dangling
 * links and special files.
 *
 * Not collective: rank 0's work. Returns RLS_ERR_DATA, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_export_tree_stage(rls_context *ctx, rls_export_tree *tree);

#endif
