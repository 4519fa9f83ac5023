#include "llm/sequences.h"

enum { JOIN_PIECE = 1 << 20 };

int64_t rls_sequences_longest(int64_t count, const int32_t *length, int64_t least)
{
    for (int64_t i = 0; i < count; i++)
        least = length[i] > least ? length[i] : least;
    return least;
}

rls_share rls_sequences_deal(int64_t count, const int32_t *length, int part, int parts)
{
    int64_t total = 0, sum = 0, first = 0, end = count;
    for (int64_t i = 0; i < count; i++)
        total += length[i];
    /* part p begins at the first i with sum of length before i >= total p / parts, and the last part has
     * what is left */
    for (int64_t i = 0; i < count; i++) {
        if (sum * parts < total * part)
            first = i + 1;
        if (part + 1 < parts && sum * parts >= total * (part + 1)) {
            end = i;
            break;
        }
        sum += length[i];
    }
    return (rls_share){first, first < end ? end - first : 0};
}

int64_t rls_sequences_fit(const int32_t *length, int64_t first, int64_t end, int64_t budget)
{
    int64_t i = first, tokens = 0;
    while (i < end && (i == first || tokens + length[i] <= budget))
        tokens += length[i++];
    return i - first;
}

void rls_join_doubles(rls_context *ctx, int64_t count, double *x)
{
    for (int64_t done = 0; done < count; done += JOIN_PIECE) {
        const int64_t piece = count - done < JOIN_PIECE ? count - done : JOIN_PIECE;
        MPI_Allreduce(MPI_IN_PLACE, x + done, (int)piece, MPI_DOUBLE, MPI_SUM, ctx->comm);
    }
}

void rls_join_ints(rls_context *ctx, int64_t count, int32_t *x)
{
    for (int64_t done = 0; done < count; done += JOIN_PIECE) {
        const int64_t piece = count - done < JOIN_PIECE ? count - done : JOIN_PIECE;
        MPI_Allreduce(MPI_IN_PLACE, x + done, (int)piece, MPI_INT32_T, MPI_SUM, ctx->comm);
    }
}

rls_status rls_sequences_measure(rls_context *ctx, int64_t count, rls_sequence_maker *make, void *user,
                                 int32_t *length)
{
    const rls_share mine = rls_sequences_deal(count, length, ctx->rank, ctx->size);
    rls_status status = RLS_OK;
    rls_ids ids = {0};
    for (int64_t i = 0; i < count; i++)
        length[i] = 0;
    for (int64_t i = mine.first; i < mine.first + mine.count && status == RLS_OK; i++) {
        int64_t given = 0;
        ids.count = 0;
        status = make(ctx, user, i, &ids, &given);
        if (status == RLS_OK && ids.count > INT32_MAX)
            status = rls_fail(ctx, RLS_ERR_DATA, "a text of %lld tokens", (long long)ids.count);
        length[i] = status == RLS_OK ? (int32_t)ids.count : 0;
    }
    rls_ids_free(&ids);
    status = rls_agree(ctx, status);
    if (status == RLS_OK)
        rls_join_ints(ctx, count, length);
    return status;
}
