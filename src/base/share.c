#include "base/share.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

rls_status rls_share_text(rls_context *ctx, rls_status local, char **text)
{
    int64_t bytes = ctx->rank == 0 && *text != NULL ? (int64_t)strlen(*text) + 1 : 0;
    if (ctx->rank != 0)
        *text = NULL;
    if (local == RLS_OK && bytes > INT_MAX)
        local = rls_fail(ctx, RLS_ERR_INTERNAL, "a text of %lld bytes to share", (long long)bytes);
    rls_status status = rls_agree(ctx, local);
    if (status == RLS_OK) {
        void *memory = *text;
        MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, ctx->comm);
        if (ctx->rank != 0)
            status = rls_alloc(ctx, bytes, 1, &memory);
        *text = memory;
        status = rls_agree(ctx, status);
    }
    if (status == RLS_OK && bytes > 0)
        MPI_Bcast(*text, (int)bytes, MPI_CHAR, 0, ctx->comm);
    if (status != RLS_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}
