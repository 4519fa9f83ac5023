#include "base/share.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { PIECE_BYTES = 1 << 30 }; /* MPI counts with int */

void rls_share_bytes(rls_context *ctx, void *data, int64_t bytes)
{
    for (int64_t done = 0; done < bytes; done += PIECE_BYTES) {
        const int64_t piece = bytes - done < PIECE_BYTES ? bytes - done : PIECE_BYTES;
        MPI_Bcast((char *)data + done, (int)piece, MPI_BYTE, 0, ctx->comm);
    }
}

rls_status rls_share_array(rls_context *ctx, rls_status local, char **data, int64_t *bytes)
{
    void *fresh = NULL;
    if (ctx->rank != 0)
        *data = NULL;
    rls_status status = rls_agree(ctx, local);
    if (status != RLS_OK)
        return status;
    MPI_Bcast(bytes, 1, MPI_INT64_T, 0, ctx->comm);
    status = ctx->rank != 0 ? rls_alloc(ctx, *bytes, 1, &fresh) : RLS_OK;
    if (ctx->rank != 0)
        *data = fresh;
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        rls_share_bytes(ctx, *data, *bytes);
    return status;
}

rls_status rls_share_text(rls_context *ctx, rls_status local, char **text)
{
    int64_t bytes = ctx->rank == 0 && *text != NULL ? (int64_t)strlen(*text) + 1 : 0;
    const rls_status status = rls_share_array(ctx, local, text, &bytes);
    if (status != RLS_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}
