/* Which files a stream is made of, in their order. None of these functions is collective. */
#ifndef STORE_STREAM_NAMES_H
#define STORE_STREAM_NAMES_H

#include <stdint.h>

#include "base/context.h"

/* Paths, each ended by a NUL: start with {0}, free with rls_stream_names_free, after a failure too. */
typedef struct {
    char *text;
    int64_t bytes, capacity, count;
} rls_stream_names;

/* The file at path; of a run's journal its segments by number (other files in it are left alone, with a
 * warning); of another directory its *.nc in the order of their names. Returns RLS_ERR_DATA when there is nothing
 * or a journal lacks a segment, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_stream_names_find(rls_context *ctx, const char *path, rls_stream_names *list);

/* The first `segments` segments of the journal at path. Returns RLS_ERR_DATA for too many, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_stream_names_of_journal(rls_context *ctx, const char *path, int64_t segments,
                                                     rls_stream_names *list);

void rls_stream_names_free(rls_stream_names *list);

#endif
