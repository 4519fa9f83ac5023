#include "base/context.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static rls_status open_rank_log(rls_context *ctx)
{
    const char *dir = getenv("RLSEDIT_LOG");
    if (dir == NULL || dir[0] == '\0')
        return RLS_OK;
    char path[PATH_MAX];
    const int len = snprintf(path, sizeof path, "%s/rank-%d.log", dir, ctx->rank);
    if (len < 0 || (size_t)len >= sizeof path)
        return rls_fail(ctx, RLS_ERR_IO, "RLSEDIT_LOG: the path is too long");
    ctx->rank_log = fopen(path, "w");
    if (ctx->rank_log == NULL)
        return rls_fail(ctx, RLS_ERR_IO, "RLSEDIT_LOG: cannot open %s: %s (make the directory first)", path,
                        strerror(errno));
    return RLS_OK;
}

/* A bare context on comm, which becomes its own; NULL on all ranks when one has no memory. */
static rls_context *context_on(MPI_Comm comm)
{
    rls_context *ctx = calloc(1, sizeof *ctx);
    int worst = ctx == NULL;
    MPI_Allreduce(MPI_IN_PLACE, &worst, 1, MPI_INT, MPI_MAX, comm);
    if (worst != 0 || ctx == NULL) {
        free(ctx);
        MPI_Comm_free(&comm);
        return NULL;
    }
    ctx->comm = comm;
    MPI_Comm_rank(ctx->comm, &ctx->rank);
    MPI_Comm_size(ctx->comm, &ctx->size);
    ctx->most = RLS_LOG_INFO;
    ctx->fault.phase = RLS_FAULT_COUNT;
    return ctx;
}

rls_status rls_fault_setup(rls_context *ctx)
{
    const char *wanted = getenv("RLSEDIT_FAULT");
    if (rls_fault_plan_parse(wanted, &ctx->fault))
        return RLS_OK;
    return rls_fail(ctx, RLS_ERR_USAGE,
                    "RLSEDIT_FAULT=%.200s: not phase:action[:rank[:occurrence]] with action error, kill or "
                    "stall (rlsedit help faults lists "
                    "the phases)",
                    wanted);
}

rls_status rls_context_create(MPI_Comm comm, rls_context **out)
{
    MPI_Comm own = MPI_COMM_NULL;
    MPI_Comm_dup(comm, &own);
    rls_context *ctx = context_on(own);
    *out = ctx; /* also on failure below: the caller reads the message, then destroys it */
    if (ctx == NULL)
        return RLS_ERR_MEMORY;
    rls_status status = open_rank_log(ctx);
    if (status == RLS_OK)
        status = rls_fault_setup(ctx);
    return rls_agree(ctx, status);
}

rls_status rls_context_split(rls_context *ctx, int colour, rls_context **out)
{
    MPI_Comm own = MPI_COMM_NULL;
    MPI_Comm_split(ctx->comm, colour, ctx->rank, &own);
    *out = context_on(own);
    rls_status status = RLS_OK;
    if (*out == NULL) /* the whole part has none */
        status = rls_fail(ctx, RLS_ERR_MEMORY, "not enough memory for the context of a part of the ranks");
    else {
        (*out)->part = true;
        (*out)->rank_log = ctx->rank_log;
    }
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        rls_context_destroy(out);
    return status;
}

void rls_context_destroy(rls_context **ctx)
{
    if (*ctx == NULL)
        return;
    if ((*ctx)->rank_log != NULL && !(*ctx)->part)
        fclose((*ctx)->rank_log);
    MPI_Comm_free(&(*ctx)->comm);
    free((*ctx)->accepted_config);
    free(*ctx);
    *ctx = NULL;
}

const char *rls_context_message(const rls_context *ctx)
{
    return ctx->message;
}

const char *rls_context_origin(const rls_context *ctx)
{
    return ctx->origin;
}

void rls_context_set_log(rls_context *ctx, rls_log_sink *sink, void *user, rls_log_level most)
{
    ctx->sink = sink;
    ctx->sink_user = user;
    ctx->most = most;
}

MPI_Comm rls_context_comm(const rls_context *ctx)
{
    return ctx->comm;
}

int rls_context_rank(const rls_context *ctx)
{
    return ctx->rank;
}

int rls_context_size(const rls_context *ctx)
{
    return ctx->size;
}

void rls_fail_at(rls_context *ctx, rls_status status, const char *file, int line, const char *func,
                 const char *fmt, ...)
{
    (void)status; /* the caller's to return */
    if (ctx->failing)
        return;
    ctx->failing = true;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(ctx->message, sizeof ctx->message, fmt, args);
    va_end(args);
    const char *base = strstr(file, "src/");
    (void)snprintf(ctx->origin, sizeof ctx->origin, "%s:%d %s", base != NULL ? base : file, line, func);
}

void rls_clear_failure(rls_context *ctx)
{
    ctx->failing = false;
    ctx->message[0] = '\0';
    ctx->origin[0] = '\0';
}

rls_status rls_agree_worst(rls_context *ctx, rls_status local)
{
    struct {
        int code, rank;
    } mine = {(int)local, ctx->rank}, worst;
    MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, ctx->comm);
    if (worst.code == RLS_OK) {
        ctx->failing = false;
        return RLS_OK;
    }
    int failed = local != RLS_OK;
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_SUM, ctx->comm);
    if (ctx->rank == worst.rank) {
        if (!ctx->failing)
            (void)rls_fail(ctx, local, "%s", rls_status_text(local));
        /* A failure of some ranks only says where: it is a clue to a bad node or file system. */
        const size_t len = strlen(ctx->message);
        if (failed < ctx->size && ctx->rank != 0)
            (void)snprintf(ctx->message + len, sizeof ctx->message - len, " [rank %d]", ctx->rank);
    }
    MPI_Bcast(ctx->message, (int)sizeof ctx->message, MPI_CHAR, worst.rank, ctx->comm);
    MPI_Bcast(ctx->origin, (int)sizeof ctx->origin, MPI_CHAR, worst.rank, ctx->comm);
    ctx->failing = false;
    return (rls_status)worst.code;
}

void rls_log(rls_context *ctx, rls_log_level level, const char *fmt, ...)
{
    const bool to_sink = ctx->rank == 0 && ctx->sink != NULL && level <= ctx->most;
    if (!to_sink && ctx->rank_log == NULL)
        return;
    char line[RLS_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (to_sink)
        ctx->sink(ctx->sink_user, level, line);
    if (ctx->rank_log != NULL) {
        fprintf(ctx->rank_log, "%.6f %s\n", MPI_Wtime(), line);
        (void)fflush(ctx->rank_log);
    }
}
