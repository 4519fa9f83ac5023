/* Whole keys from the slices of a group's ranks. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "llm/pass.h"

/* The type of a column's `rows` numbers in an array with leading dimension ld, repeating every column. */
static MPI_Datatype column_type(int64_t rows, int64_t ld)
{
    MPI_Datatype packed, column;
    MPI_Type_contiguous((int)rows, MPI_FLOAT, &packed);
    MPI_Type_create_resized(packed, 0, (MPI_Aint)ld * (MPI_Aint)sizeof(float), &column);
    MPI_Type_commit(&column);
    MPI_Type_free(&packed);
    return column;
}

/* Every rank sends each other rank the columns that are its share, and puts what it gets under each other. */
static void exchange(const rls_llm *llm, int64_t count, const float *slice, float *out, MPI_Request *request)
{
    const int T = llm->part.tensor_ranks;
    const int64_t inner = llm->arch.inner, rows = llm->part.inner.count;
    const int64_t mine = rls_share_of(count, llm->part.tensor, T).count;
    MPI_Request *const first = request;
    MPI_Datatype sent = column_type(rows, rows);
    for (int t = 0; t < T; t++) {
        const rls_share from = rls_share_of(inner, t, T), to = rls_share_of(count, t, T);
        MPI_Datatype got = column_type(from.count, inner);
        MPI_Irecv(out + (mine > 0 ? from.first : 0), (int)mine, got, t, 0, llm->part.group->comm, request++);
        MPI_Isend(slice + to.first * rows, (int)to.count, sent, t, 0, llm->part.group->comm, request++);
        MPI_Type_free(&got);
    }
    MPI_Waitall(2 * T, first, MPI_STATUSES_IGNORE);
    MPI_Type_free(&sent);
}

rls_status rls_keys_gather(rls_llm *llm, int64_t count, const float *slice, rls_vectors *out)
{
    const int T = llm->part.tensor_ranks;
    rls_context *group = llm->part.group;
    void *data = NULL, *requests = NULL;
    const int64_t mine = rls_share_of(count, llm->part.tensor, T).count;
    *out = (rls_vectors){.dtype = RLS_F32};
    rls_status status = rls_alloc(group, mine * llm->arch.inner, sizeof(float), &data);
    if (status == RLS_OK)
        status = rls_alloc(group, 2 * (int64_t)T, sizeof(MPI_Request), &requests);
    if (status == RLS_OK && (count > INT_MAX || llm->arch.inner > INT_MAX))
        status = rls_fail(group, RLS_ERR_USAGE, "%lld keys at once are more than a message holds",
                          (long long)count);
    status = rls_agree(group, status);
    if (status != RLS_OK) {
        free(data);
    } else {
        exchange(llm, count, slice, data, requests);
        out->count = mine;
        out->data = data;
    }
    free(requests);
    return status;
}
