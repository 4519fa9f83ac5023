/*
 * The context: what every other object is made from. It owns a duplicate of the caller's communicator, the
 * message of the last failure, the log sink and the profiler.
 *
 * A context's communicator is the group of ranks that call every collective function together.
 */
#ifndef RLSEDIT_CONTEXT_H
#define RLSEDIT_CONTEXT_H

#include <mpi.h>

#include "rlsedit/status.h"

typedef struct rls_context rls_context;

typedef enum { RLS_LOG_ERROR, RLS_LOG_WARNING, RLS_LOG_INFO, RLS_LOG_DEBUG } rls_log_level;

/* Receives one log line (no newline at its end). Called on rank 0 only. */
typedef void rls_log_sink(void *user, rls_log_level level, const char *line);

/* Makes a context on a duplicate of comm.
 * Collective over comm.
 * comm: the ranks that will work together. MPI must be initialised; MPI_Finalize stays with the caller.
 * If the environment has RLSEDIT_LOG=dir, every rank also writes its log lines to dir/rank-<r>.log.
 * RLSEDIT_FAULT injects faults, for tests (rlsedit help faults).
 * Returns RLS_ERR_MEMORY (*out is NULL then); RLS_ERR_IO when a log file of RLSEDIT_LOG cannot be opened,
 * RLS_ERR_USAGE for an RLSEDIT_FAULT that means nothing (*out is there for its message, and to be destroyed).
 */
RLS_NODISCARD rls_status rls_context_create(MPI_Comm comm, rls_context **out);

/* Frees the context and sets *ctx to NULL; objects made from it are gone. Collective. NULL is accepted. */
void rls_context_destroy(rls_context **ctx);

/* The message of the last failure: what is at fault and what to do; "" when there was none. Not collective.
 * After a failed collective function it is the same text on every rank. */
const char *rls_context_message(const rls_context *ctx);

/* Where the last failure was noticed: "file:line function"; "" when there was none. Not collective. */
const char *rls_context_origin(const rls_context *ctx);

/* Sends rank 0's log lines to sink(user, ...). Not collective; NULL silences. Silent by default. */
void rls_context_set_log(rls_context *ctx, rls_log_sink *sink, void *user, rls_log_level most);

/* The communicator, this rank in it, and its size. Not collective. The communicator stays the context's. */
MPI_Comm rls_context_comm(const rls_context *ctx);
int rls_context_rank(const rls_context *ctx);
int rls_context_size(const rls_context *ctx);

#endif
