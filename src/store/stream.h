/*
 * Reading a stream of edits: one file, a run's journal, or a directory of files (*.nc) in the order of their
 * names, as one sequence of edits (store/stream_names.h).
 *
 *     rls_stream *stream;  rls_stream_open(ctx, path, RLS_STREAM_EDITS, &stream);
 *     rls_stream_scan(stream, NULL, 0, RLS_F64);                                   nothing is NaN or Inf
 *     rls_stream_share keys = {0};
 *     rls_stream_read(stream, layer, RLS_STREAM_KEYS, first, count, RLS_F64, &keys);   keys.vectors: this rank's
 *     rls_stream_share_free(&keys);  rls_stream_close(&stream);
 *
 * Only one segment is open at a time. A file is a list of edits: edit e of the stream is row e of every
 * variable.
 */
#ifndef STORE_STREAM_H
#define STORE_STREAM_H

#include "store/stream_header.h"

typedef struct rls_stream rls_stream;

typedef enum { RLS_STREAM_KEYS, RLS_STREAM_VALUES } rls_stream_part;

/* A rank's share of some edits' keys or values. Start with {0}; the buffer is kept from read to read. */
typedef struct {
    int64_t first;       /* the stream's edit its first vector belongs to */
    int64_t length;      /* of one vector */
    rls_vectors vectors; /* count, dtype and data, as rls_editor_step takes them */
    void *buffer;
    int64_t capacity; /* bytes */
} rls_stream_share;

/* Opens a stream and checks the header, size and agreement of all its segments (shared out over the ranks).
 * Collective. On failure *out is NULL.
 * Returns RLS_ERR_DATA for a missing, foreign, damaged or truncated file, a missing or misshaped variable or
 * attribute, segments that disagree (both named), or no edits at all; RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_stream_open(rls_context *ctx, const char *path, rls_stream_use use,
                                         rls_stream **out);

/* Opens exactly the first `segments` (1 or more) segments of the journal at path, whatever else lies there. ends
 * [segments]: the edits up to and with each, as examined, or NULL. Collective. On failure *out is NULL. Errors as
 * above, and RLS_ERR_DATA naming the segment that holds another number of edits. */
RLS_NODISCARD rls_status rls_stream_open_journal(rls_context *ctx, const char *path, int64_t segments,
                                                 const int64_t *ends, rls_stream **out);

/* Closes the stream and sets *stream to NULL. Collective. NULL is accepted. */
void rls_stream_close(rls_stream **stream);

/* Sums over segments, and the layers. Not collective. It stays the stream's. */
const rls_stream_info *rls_stream_inquire(const rls_stream *stream);

/* A layer's sizes. Not collective, but equal on all ranks; the failure is recorded, not agreed: pass it on to
 * rls_agree. Returns RLS_ERR_DATA naming the variable that is missing and the layers that are there. */
RLS_NODISCARD rls_status rls_stream_layer_info(rls_stream *stream, int layer, const rls_stream_layer **out);

/* The number of segments; the path of one, its first edit, number of edits and bytes (pointers may be NULL).
 * Not collective. */
int64_t rls_stream_segments(const rls_stream *stream);
const char *rls_stream_segment(const rls_stream *stream, int64_t index, int64_t *first, int64_t *edits,
                               int64_t *bytes);

/* Reads the keys or values of edits [first, first + count) of a layer: the ranks get equal contiguous parts
 * (the first ranks one edit more, the last ranks perhaps none), converted to `want` (RLS_F64 or RLS_F32).
 * Collective. Any range, across segments; no rank passes more than RLS_ROUND_BYTES (or one vector) to PnetCDF
 * at a time. Returns RLS_ERR_DATA for a layer or values that are not there, RLS_ERR_USAGE for a range outside
 * the stream, RLS_ERR_MEMORY, RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_stream_read(rls_stream *stream, int layer, rls_stream_part part, int64_t first,
                                         int64_t count, rls_dtype want, rls_stream_share *share);

/* Frees the share's buffer. Not collective. */
void rls_stream_share_free(rls_stream_share *share);

/* The case_ids of edits [first, first + count), all of them on every rank; -1 each when the stream has none.
 * Collective. ids: room for count. Errors as rls_stream_read. */
RLS_NODISCARD rls_status rls_stream_case_ids(rls_stream *stream, int64_t first, int64_t count, int64_t *ids);

/* Checks in one pass that every key and value of the layers (NULL: all) is a finite number, also once
 * converted to `as`. Collective; all ranks share the work, each within RLS_ROUND_BYTES of memory. Returns
 * RLS_ERR_DATA naming file, variable, edit and case_id of the first that is not: in the order of edits,
 * within an edit in the order of `layers`, keys before values. The same on any number of ranks. */
RLS_NODISCARD rls_status rls_stream_scan(rls_stream *stream, const int *layers, int layer_count,
                                         rls_dtype as);

#endif
