/* The names in a journal's directory. None of these functions is collective. */
#ifndef STORE_SEGMENT_NAMES_H
#define STORE_SEGMENT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum { RLS_SEGMENT_NAME_MAX = 40 };

/* "segment-000012.nc" for number 12 and ending "nc", into name. Returns name. */
const char *rls_segment_name(int64_t number, const char *ending, char name[RLS_SEGMENT_NAME_MAX]);

/* The number in exactly such a name; -1 for any other name. */
int64_t rls_segment_number(const char *name, const char *ending);

/* What a journal's directory holds by its names. */
typedef struct {
    int64_t *number; /* [count], ascending: of segments */
    int64_t count, capacity;
    bool journal; /* there is the manifest of a first segment */
    int64_t
        strays; /* files that look like segments or streams and are neither, nor set aside, nor temporary */
    char stray[256]; /* the first of these by name; "" */
} rls_segment_names;

/* Lists the directory; none there is an empty one. Free with rls_segment_names_free, after a failure too. Returns
 * RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_segment_names_list(rls_context *ctx, const char *path, rls_segment_names *out);
void rls_segment_names_free(rls_segment_names *names);

#endif
