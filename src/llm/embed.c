/* Token ids to hidden states, from slices of the vocabulary. */
#include <string.h>

#include "base/dtype.h"
#include "llm/pass_state.h"

void rls_group_sum(rls_llm *llm, float *x, int64_t count)
{
    enum { ROUND = 1 << 28 }; /* elements a message: below 2 GiB */
    if (llm->part.tensor_ranks == 1)
        return;
    const double start = rls_profile_start();
    for (int64_t at = 0; at < count; at += ROUND) {
        const int64_t n = count - at < ROUND ? count - at : ROUND;
        MPI_Allreduce(MPI_IN_PLACE, x + at, (int)n, MPI_FLOAT, MPI_SUM, llm->part.group->comm);
    }
    rls_profile_add(llm->ctx, "llm: sums over ranks", start, 0.0, (double)count * sizeof *x);
}

/* Row `row` of a table in any dtype as float32. */
static void read_row(const rls_linear *table, int64_t row, float *out)
{
    const size_t bytes = (size_t)(row * table->in) * rls_dtype_size(table->dtype);
    rls_convert(RLS_F32, out, 1, table->dtype, (const char *)table->weight + bytes, 1, table->in);
}

void rls_embed(rls_pass *pass, const int32_t *token)
{
    const rls_llm *llm = pass->llm;
    const rls_share vocab = llm->part.vocab;
    const int64_t hidden = pass->rows.hidden;
    const bool learned = llm->weights.positions.weight != NULL;
#pragma omp parallel for
    for (int64_t i = 0; i < pass->tokens; i++) {
        float *h = pass->room->h + i * hidden, *at = pass->room->normed + i * hidden;
        const int64_t row = token[i] - vocab.first;
        if (row >= 0 && row < vocab.count)
            read_row(&llm->weights.embedding, row, h);
        else
            memset(h, 0, (size_t)hidden * sizeof *h);
        if (!learned)
            continue;
        read_row(&llm->weights.positions, pass->position[i], at);
        for (int64_t j = 0; j < hidden; j++)
            h[j] += at[j];
    }
    rls_group_sum(pass->llm, pass->room->h, hidden * pass->tokens);
}
