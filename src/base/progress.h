/* How far the run is, on rank 0: a line that redraws on a terminal, otherwise lines: after ten seconds, after twice
 * as long, and so on up to one a minute. Not collective. */
#ifndef BASE_PROGRESS_H
#define BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct {
    FILE *out; /* NULL: silent */
    bool terminal, drawn;
    double started, shown;
    double pause; /* seconds between two lines */
    int64_t before, total;
    const char *unit; /* what is counted: "edits", until it is set to something else */
} rls_progress;

/* Begins with `before` of the total done already; out is NULL on ranks that say nothing. */
void rls_progress_begin(rls_progress *progress, FILE *out, int64_t before, int64_t total);

/* Shows `done` of the total, the rate and the time left, when it is time to. */
void rls_progress_update(rls_progress *progress, int64_t done);

/* The same in the middle of something: `done` may have a fraction, `what` (may be NULL) says where it is. */
void rls_progress_within(rls_progress *progress, double done, const char *what);

/* Clears the line. */
void rls_progress_end(rls_progress *progress);

#endif
