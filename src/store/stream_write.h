/* Writing one stream file (CDF-5, unlimited dimension edit). */
#ifndef STORE_STREAM_WRITE_H
#define STORE_STREAM_WRITE_H

#include "store/stream_header.h"

/* Writes edits to the file at path, replacing one that is there, and flushes it to the device.
 * Collective.
 * info: module, kind, batch (0: left out) and layers as they shall be in the file (n, m, types; m = 0: no
 * values); equal on all ranks. case_ids: of this rank's edits; read only when info->has_case_ids. keys,
 * values: per layer this rank's share of the vectors, float32 or float64, equally many of each on a rank; the
 * file's order is the ranks' order. values may be NULL when no layer has any. They are not changed. Returns
 * RLS_ERR_USAGE for no edits, unequal counts or sizes out of range, RLS_ERR_DATA for a value beyond the file
 * type's range, RLS_ERR_IO. After a failure there is no file. */
RLS_NODISCARD rls_status rls_stream_write(rls_context *ctx, const char *path, const rls_stream_info *info,
                                          const int64_t *case_ids, const rls_vectors *keys,
                                          const rls_vectors *values);

#endif
