/* Inside view of the context: failing, agreeing, logging. */
#ifndef BASE_CONTEXT_H
#define BASE_CONTEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/fault_plan.h"
#include "base/profile.h"
#include "rlsedit/context.h"

enum { RLS_MESSAGE_MAX = 2048 };

struct rls_context {
    MPI_Comm comm;
    int rank, size;
    bool failing; /* a failure was recorded since the last agreement */
    char message[RLS_MESSAGE_MAX];
    char origin[256];
    rls_log_sink *sink;
    void *sink_user;
    rls_log_level most;
    FILE *rank_log;
    bool part; /* of rls_context_split: the log file is another context's */
    rls_profile profile;
    rls_fault_plan fault;      /* of RLSEDIT_FAULT */
    char *accepted_config;     /* see llm/architecture_accept.h; NULL: nothing */
    bool amx_known;            /* whether the next one is */
    const struct rls_amx *amx; /* this processor's matrix unit, or NULL: see linalg/amx.h */
};

/* Reads RLSEDIT_FAULT into the context. Not collective. Returns RLS_ERR_USAGE when it cannot be understood.
 */
RLS_NODISCARD rls_status rls_fault_setup(rls_context *ctx);

/* Makes a context for each part of ctx's ranks: those with the same colour >= 0, in rank order. It logs to
 * the same file of this rank (not to the sink) and injects no faults. Collective. ctx must outlive *out; free
 * with rls_context_destroy. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_context_split(rls_context *ctx, int colour, rls_context **out);

/* Records a failure on this rank and returns status: `return rls_fail(ctx, RLS_ERR_DATA, "...", ...)`.
 * The first failure since the last agreement is kept: it is the cause, later ones are consequences.
 * Not collective. The message names the file, line or field at fault and what to do; no newline at its end.
 */
#define rls_fail(ctx, status, ...)                                                                           \
    (rls_fail_at(ctx, status, __FILE__, __LINE__, __func__, __VA_ARGS__), (rls_status)(status))
RLS_PRINTF(6, 7)
void rls_fail_at(rls_context *ctx, rls_status status, const char *file, int line, const char *func,
                 const char *fmt, ...);

/* What rls_agree is made of; call that. */
rls_status rls_agree_worst(rls_context *ctx, rls_status local);

/* Ends a local phase: every rank gets the worst status and that rank's message.
 * Collective. Every rank calls it, also the ones that failed; nothing may return between a failure and it. */
RLS_NODISCARD static inline rls_status rls_agree(rls_context *ctx, rls_status local)
{
    const rls_status worst = rls_agree_worst(ctx, local);
    return worst == RLS_OK ? local : worst; /* a rank that failed never goes on */
}

/* Forgets the recorded failure (a caller that handled it). Not collective. */
void rls_clear_failure(rls_context *ctx);

/* One log line: rank 0's goes to the sink, every rank's to its file under RLSEDIT_LOG. Not collective. */
RLS_PRINTF(3, 4) void rls_log(rls_context *ctx, rls_log_level level, const char *fmt, ...);

#endif
