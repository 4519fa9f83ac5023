/* The profiler: wall time, flops and bytes by stage, printed as a table over all ranks at the end of a run.
 */
#ifndef BASE_PROFILE_H
#define BASE_PROFILE_H

#include <stdio.h>

#include "rlsedit/context.h"

enum { RLS_PROFILE_MAX = 48 };

typedef struct {
    const char *name; /* a string literal */
    long calls;
    double seconds, flops, bytes;
} rls_stage;

typedef struct {
    rls_stage stage[RLS_PROFILE_MAX];
    int count;
} rls_profile;

/* Seconds now, to hand to rls_profile_add. Not collective. */
double rls_profile_start(void);

/* Adds the time since start, and work done, to a stage (name: a string literal). Returns the seconds. Not
 * collective. */
double rls_profile_add(rls_context *ctx, const char *name, double start, double flops, double bytes);

/* Seconds this rank spent in a stage so far; 0 when it never ran. Not collective. */
double rls_profile_seconds(const rls_context *ctx, const char *name);

/* Writes the table to a FILE on rank 0: stage, calls, max seconds, max/min over ranks, Gflop/s, bytes, GB/s
 * (sums over ranks against the slowest rank's time). Collective; stages are matched by rank 0's list. out may
 * be NULL elsewhere. */
RLS_NODISCARD rls_status rls_profile_print(rls_context *ctx, FILE *out);

#endif
