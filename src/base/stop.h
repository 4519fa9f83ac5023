/*
 * When to stop early: a signal, a file named STOP, or the end of the allocation coming near. A rank only
 * notices; the status RLS_STOPPED goes into the agreement that each batch makes anyway, and all stop
 * together.
 */
#ifndef BASE_STOP_H
#define BASE_STOP_H

#include <signal.h>

#include <stdint.h>

#include "base/context.h"

typedef struct {
    const volatile sig_atomic_t
        *signal;      /* set by the program's signal handler to the signal's number; may be NULL */
    char *file;       /* STOP in the run directory; NULL: none */
    double deadline;  /* MPI_Wtime() at which the allocation ends; infinite: never */
    double reserve;   /* seconds needed to end in good order, learnt during the run */
    const char *unit; /* what `done` counts, for the message; NULL: edits */
} rls_stop;

/* When this allocation ends, in seconds from now: the smaller of walltime (HH:MM:SS, MM:SS, SS, or
 * D-HH:MM:SS; NULL: not given) and Slurm's SLURM_JOB_END_TIME; infinite when neither is known. Not
 * collective. Returns RLS_ERR_USAGE for a walltime that cannot be understood. */
RLS_NODISCARD rls_status rls_stop_seconds_left(rls_context *ctx, const char *walltime, double *seconds);

/* RLS_STOPPED (with the reason recorded as the message) when this rank has a reason to stop before another
 * batch of about `batch_seconds`; RLS_OK otherwise. Not collective: pass it to the next agreement. done:
 * edits (or what stop->unit says) so far, for the message. */
RLS_NODISCARD rls_status rls_stop_check(rls_context *ctx, const rls_stop *stop, double batch_seconds,
                                        int64_t done);

#endif
