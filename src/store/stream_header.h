/* What one stream file says about itself: its header, checked against the format. */
#ifndef STORE_STREAM_HEADER_H
#define STORE_STREAM_HEADER_H

#include "rlsedit/editor.h"
#include "store/netcdf.h"

/* How a file will be used. As anchor keys, case_id, value_kind and any value_<l> may be missing. */
typedef enum { RLS_STREAM_EDITS, RLS_STREAM_ANCHOR } rls_stream_use;

typedef struct {
    int layer;
    int64_t n, m; /* lengths of its keys and values; m = 0 without values */
    rls_dtype key_dtype, value_dtype;
} rls_stream_layer;

/* A stream's description: read from a file, merged over segments, or given to write one. */
typedef struct {
    int64_t edits, bytes; /* ignored when writing */
    int64_t batch; /* edits a batch when it was recorded; 0: not said, or not the same in all segments */
    rls_value_kind kind;
    bool has_case_ids;
    char module[RLS_MODULE_MAX];
    int layer_count;
    rls_stream_layer *layers; /* in increasing order of their numbers */
} rls_stream_info;

/* Reads and checks the header of one stream file.
 * Not collective. Free with rls_stream_info_free, also after a failure.
 * Returns RLS_ERR_DATA (file, attribute or variable at fault), RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_stream_header_read(rls_context *ctx, const char *path, rls_stream_use use,
                                                rls_stream_info *out);

/* Checks that two segments of a stream agree in everything but their number of edits, and their batches.
 * Not collective. Returns RLS_ERR_DATA naming the first difference and both paths. */
RLS_NODISCARD rls_status rls_stream_header_match(rls_context *ctx, const char *path_a,
                                                 const rls_stream_info *a, const char *path_b,
                                                 const rls_stream_info *b);

/* Frees what a description holds. Not collective. */
void rls_stream_info_free(rls_stream_info *info);

#endif
