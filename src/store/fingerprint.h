/* What a run's inputs were, so that a resumed run can tell whether they still are. */
#ifndef STORE_FINGERPRINT_H
#define STORE_FINGERPRINT_H

#include <jansson.h>

#include "base/hash.h"
#include "store/model_dir.h"
#include "store/stream.h"

/* The fingerprint of a model's weights, and of one file of any kind: of all bytes, or of samples, as below.
 * Collective; equal on all ranks. Errors as below. */
RLS_NODISCARD rls_status rls_fingerprint_model(rls_context *ctx, const rls_model_dir *model, rls_hash *out);
RLS_NODISCARD rls_status rls_fingerprint_file(rls_context *ctx, const char *path, rls_hash *out);

/* What a run is made from; NULL: not used. */
typedef struct {
    const rls_model_dir *model;
    const rls_stream *stream, *anchor; /* recorded edits, and explicit anchor keys */
    const char *facts;                 /* the digest of what the facts ask for */
    const char *moments;               /* path of the second moments */
} rls_fingerprint_inputs;

/* {"model": ..., "stream": ..., "facts": ..., "moments": ..., "anchor": ...}: a 128-bit hash each, null for
 * what is not used. Of streams, moments and anchor keys: of all bytes. Of the model: of all bytes of its
 * safetensors files and index when they are 2 GiB or less, otherwise of their names, sizes, headers, and 64
 * samples of 64 KiB from each file. Collective; equal on all ranks. Returns RLS_ERR_DATA when a file cannot
 * be read, RLS_ERR_MEMORY. Free with json_decref. */
RLS_NODISCARD rls_status rls_fingerprint_take(rls_context *ctx, const rls_fingerprint_inputs *inputs,
                                              json_t **out);

/* Compares: RLS_ERR_DATA naming the first input that has changed. Not collective; equal on all ranks. */
RLS_NODISCARD rls_status rls_fingerprint_compare(rls_context *ctx, const json_t *then, const json_t *now);

#endif
