#include <stdlib.h>

#include "base/memory.h"
#include "moments/run.h"

/* The group's pass of a round. */
typedef struct {
    rls_llm *llm;
    rls_pass *pass; /* NULL when the group has no texts */
    float *slice;   /* this rank's [inner.count, tokens] */
    int64_t tokens;
} group_pass;

/* Collective over the group. */
static rls_status begin_pass(group_pass *g, const rls_texts_round *round)
{
    rls_context *group = g->llm->part.group;
    void *slice = NULL;
    if (round->sequences == 0)
        return RLS_OK;
    const rls_sequences sequences = {round->sequences, round->length, round->token};
    rls_status status =
        rls_agree(group, rls_alloc(group, g->llm->part.inner.count * round->tokens, sizeof(float), &slice));
    g->slice = slice;
    g->tokens = round->tokens;
    if (status == RLS_OK)
        status = rls_pass_create(g->llm, &sequences, &g->pass);
    return status;
}

/* Runs to the end of a block; this rank's share of the group's whole keys there. Collective over the group.
 */
static rls_status take_keys(group_pass *g, int block, rls_vectors *keys)
{
    *keys = (rls_vectors){0, RLS_F32, NULL};
    if (g->pass == NULL)
        return RLS_OK;
    const rls_tap tap = {block, RLS_TAP_KEY, g->tokens, NULL, g->slice};
    const rls_status status = rls_pass_run(g->pass, block + 1, &tap, 1, false);
    if (status != RLS_OK)
        return status;
    if (g->llm->part.tensor_ranks > 1)
        return rls_keys_gather(g->llm, g->tokens, g->slice, keys);
    *keys = (rls_vectors){g->tokens, RLS_F32, g->slice}; /* they are whole already */
    return RLS_OK;
}

rls_status rls_moments_run_round(rls_moments_run *run, const rls_texts_round *round)
{
    group_pass g = {.llm = run->llm};
    rls_status status = rls_llm_agree(run->llm, begin_pass(&g, round));
    /* One layer at a time: only one's keys are in memory. */
    for (int i = 0; i < run->partial.count && status == RLS_OK; i++) {
        rls_vectors keys;
        const double start = rls_profile_start();
        status = rls_llm_agree(run->llm, take_keys(&g, run->layers[i], &keys));
        (void)rls_profile_add(run->ctx, "model", start, 0.0, 0.0);
        if (status == RLS_OK)
            status = rls_accumulate(run->accumulator, run->partial.sums[i], &keys);
        if (keys.data != g.slice)
            free((void *)keys.data);
    }
    rls_pass_destroy(&g.pass);
    free(g.slice);
    return status;
}
