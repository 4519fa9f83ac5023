/* What a run's inputs were, so that a resumed run can tell whether they still are. */
#ifndef SESSION_FINGERPRINT_H
#define SESSION_FINGERPRINT_H

#include <jansson.h>

#include "session/inputs.h"

/* {"model": ..., "stream": ..., "moments": ..., "anchor": ...}: a 128-bit hash each, null for what is not
 * used. Of streams, moments and anchor keys: of all bytes. Of the model: of all bytes of its safetensors
 * files and index when they are 2 GiB or less, otherwise of their names, sizes, headers, and 64 samples of 64
 * KiB from each file. Collective; equal on all ranks. Returns RLS_ERR_DATA when a file cannot be read,
 * RLS_ERR_MEMORY. Free with json_decref. */
RLS_NODISCARD rls_status rls_fingerprint_take(const rls_inputs *inputs, json_t **out);

/* Compares: RLS_ERR_DATA naming the first input that has changed. Not collective; equal on all ranks. */
RLS_NODISCARD rls_status rls_fingerprint_compare(const rls_inputs *inputs, const json_t *then,
                                                 const json_t *now);

#endif
