/* Inside view of an open stream. */
#ifndef STORE_STREAM_STATE_H
#define STORE_STREAM_STATE_H

#include "store/stream.h"

struct rls_stream {
    rls_context *ctx;
    char *path;
    rls_stream_info info;
    int64_t segments;
    char *names;        /* the paths' bytes */
    const char **paths; /* of the segments */
    int64_t *starts;    /* the first edit of each segment, and the end */
    int64_t *sizes;     /* bytes of each file */
    int64_t open;       /* the segment that is open as ncid; -1: none */
    int ncid;
    void *scratch; /* for vectors before conversion */
    int64_t scratch_bytes;
};

#endif
