/* What inspect.c chooses from: a function for each kind of thing. A new kind is one more of them and a line
 * in inspect.c's table. */
#ifndef INSPECT_KINDS_H
#define INSPECT_KINDS_H

#include <stdbool.h>

#include <jansson.h>

#include "base/context.h"

/* Adds to the description what is at path.
 * Collective. verify: recompute all checksums, for kinds that have any. out: rank 0's object, which has kind
 * and path already; NULL on other ranks.
 * Returns what the store returns for such a thing, RLS_ERR_MEMORY; damage in a run or a checkpoint is no
 * failure. */
typedef rls_status rls_inspector(rls_context *ctx, const char *path, bool verify, json_t *out);

rls_inspector rls_inspect_model;       /* a Hugging Face directory */
rls_inspector rls_inspect_safetensors; /* one file */
rls_inspector rls_inspect_stream;      /* a file, or a directory of segments */
rls_inspector rls_inspect_moments;     /* a file */
rls_inspector rls_inspect_run;         /* a run directory */
rls_inspector rls_inspect_checkpoint;  /* one of its checkpoints */

/* A checkpoint's description, and what is wrong with it added to the problems (rank 0's; NULL elsewhere).
 * Collective. out: rank 0's; NULL elsewhere. */
RLS_NODISCARD rls_status rls_describe_checkpoint(rls_context *ctx, const char *path, bool verify,
                                                 json_t *problems, json_t *out);

/* RLS_OK, or RLS_ERR_MEMORY when some json function said -1. Not collective. */
RLS_NODISCARD rls_status rls_inspect_made(rls_context *ctx, const char *path, int failed);

#endif
