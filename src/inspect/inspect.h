/* Says what a path holds: what `rlsedit inspect` shows. */
#ifndef INSPECT_INSPECT_H
#define INSPECT_INSPECT_H

#include <stdbool.h>

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
 *   run          state ("finished"; "running"; "stopped": every edit that was applied is in a checkpoint;
 *                "interrupted": resuming applies a part of the journal again), running (who is at work; null),
 *                resume ({step: the checkpoint it would begin with, null: the model; replay: batches of the
 *                journal applied again}; null when finished), edits and batches so far, last_batch (the last
 *                whole line of log.jsonl; null), model (path of the edited model; null), summary (null),
 *                journal {segments, sound, edits, bytes,
 *                strays: files in it that nothing reads, stray: one of them}, checkpoints [as below, with path; newest first],
 *                disk {stream, checkpoints, model, report, other: bytes}, set_aside [paths of *.damaged],
 *                problems, verified
 *   checkpoint   step, edits, batches, segments (what it covers), dtype, layers [{layer, n, m, figures}],
 *                files [{file, bytes}], committed, sound, why (not; null), problems, verified
 *
 * problems: [{path, problem}], everything that is damaged as far as it was noticed. verified: verify was
 * asked for, and there is no problem.
 *
 * Collective. path: rank 0's counts in what is looked for; give the same on all ranks. verify: recompute
 * every checksum of a run or a checkpoint, in parallel, and compare its parts.
 * *out: the object on rank 0, NULL on the others and after a failure; free with json_decref.
 * Without verify, headers and manifests are read and validated; no tensor, key or value is.
 * Returns RLS_ERR_DATA when there is nothing at path, nothing known (saying what was looked for), or
 * something damaged (file and fault named) that is neither run nor checkpoint; RLS_ERR_USAGE for verify of
 * something without checksums; RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_inspect(rls_context *ctx, const char *path, bool verify, json_t **out);

#endif
