/* Says what a path holds: what `rlsedit inspect` shows. */
#ifndef SESSION_INSPECT_H
#define SESSION_INSPECT_H

#include <jansson.h>

#include "base/context.h"

/* Describes what is at path as one JSON object: `kind`, `path`, `bytes` (on disk), and by kind
 *
 *   model        model_type, layout ("linear" or "conv1d": [in, out]), parameters, dtypes (type: tensors),
 *                shards [{name, bytes, tensors}], tensors [{name, dtype, shape, shard}]
 *   safetensors  one such file by itself: the same without model_type and layout
 *   stream       module, use ("edits", or "anchor": keys to keep), note (why no edits; null), value_kind,
 *                edits, batch (null: not said), segments, case_ids,
 *                layers [{layer, n, m, key_dtype, value_dtype}]; m = 0 and value_dtype null without values
 *   moments      module, layers [{layer, n, count, dtype}]
 *   run          state ("finished", "unfinished": no summary.json), edits and batches so far, last_batch (the
 *                last whole line of log.jsonl; null), model (path of the edited model; null), summary (null)
 *
 * Collective. path: rank 0's counts in what is looked for; give the same on all ranks.
 * *out: the object on rank 0, NULL on the others and after a failure; free with json_decref.
 * Headers are read and validated; no tensor, key or value is.
 * Returns RLS_ERR_DATA when there is nothing at path, nothing known (saying what was looked for), or
 * something damaged (file and fault named); RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_session_inspect(rls_context *ctx, const char *path, json_t **out);

#endif
