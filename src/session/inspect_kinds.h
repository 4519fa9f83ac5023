/* What inspect.c chooses from: a function for each kind of thing. A new kind is one more of them and a line
 * in inspect.c's table. */
#ifndef SESSION_INSPECT_KINDS_H
#define SESSION_INSPECT_KINDS_H

#include <jansson.h>

#include "base/context.h"

/* Adds to the description what is at path.
 * Collective. out: rank 0's object, which has kind and path already; NULL on other ranks.
 * Returns what the store returns for such a thing, RLS_ERR_MEMORY. */
typedef rls_status rls_inspector(rls_context *ctx, const char *path, json_t *out);

rls_inspector rls_inspect_model;       /* a Hugging Face directory */
rls_inspector rls_inspect_safetensors; /* one file */
rls_inspector rls_inspect_stream;      /* a file, or a directory of segments */
rls_inspector rls_inspect_moments;     /* a file */
rls_inspector rls_inspect_run;         /* a run directory */

/* A JSON string of any bytes: those that are not UTF-8 become '?'. NULL without memory. Not collective. */
json_t *rls_inspect_text(const char *text);

/* RLS_OK, or RLS_ERR_MEMORY when some json function said -1. Not collective. */
RLS_NODISCARD rls_status rls_inspect_made(rls_context *ctx, const char *path, int failed);

#endif
