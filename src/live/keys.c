#include "live/keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* The prompts of some facts up to their subjects, packed. */
typedef struct {
    int64_t count, contexts; /* facts, and sequences a fact */
    int64_t *length;         /* count x contexts */
    int32_t *id;
    int64_t *position; /* of the subjects: behind every context, then behind the empty ones only */
    float *key;        /* [inner.count, count x contexts] */
} prompts;

static void prompts_free(prompts *p)
{
    free(p->length);
    free(p->id);
    free(p->position);
    free(p->key);
}

/* Local. */
static rls_status prompts_make(rls_llm *llm, const rls_edit_tokens *facts, prompts *p)
{
    rls_context *group = llm->part.group;
    const int64_t sequences = p->count * p->contexts;
    void *length = NULL, *id = NULL, *position = NULL, *key = NULL;
    int64_t tokens = 0;
    for (int64_t f = 0; f < p->count; f++)
        tokens += rls_edit_tokens_prompts(&facts[f]);
    rls_status status = rls_alloc(group, sequences, sizeof(int64_t), &length);
    if (status == RLS_OK)
        status = rls_alloc(group, tokens, sizeof(int32_t), &id);
    if (status == RLS_OK)
        status = rls_alloc(group, sequences + p->count, sizeof(int64_t), &position);
    if (status == RLS_OK)
        status = rls_alloc(group, sequences * llm->part.inner.count, sizeof(float), &key);
    p->length = length;
    p->id = id;
    p->position = position;
    p->key = key;
    int32_t *to = id;
    for (int64_t f = 0; f < p->count && status == RLS_OK; f++) {
        const int32_t *from = facts[f].ids.id;
        for (int64_t i = 0; i < p->contexts; i++) {
            p->length[f * p->contexts + i] = facts[f].subject[i] + 1;
            memcpy(to, from, (size_t)p->length[f * p->contexts + i] * sizeof *to);
            to += p->length[f * p->contexts + i];
            p->position[f * p->contexts + i] = (int64_t)(to - p->id) - 1;
            from += facts[f].length[i];
        }
        p->position[sequences + f] = p->position[f * p->contexts];
    }
    return status;
}

/* Means over the contexts. */
static void mean_keys(const rls_contexts *contexts, int64_t n, const prompts *p, float *out)
{
    for (int64_t f = 0; f < p->count; f++) {
        float *mean = out + f * n;
        for (int64_t j = 0; j < n; j++) {
            double sum = 0.0;
            for (int64_t i = 0; i < p->contexts; i++)
                sum += rls_context_weight(contexts, i) * (double)p->key[(f * p->contexts + i) * n + j];
            mean[j] = (float)sum;
        }
    }
}

/* One chunk. Collective over the group. */
static rls_status read_chunk(rls_llm *llm, const rls_contexts *contexts, int64_t block, int64_t last,
                             int64_t count, const rls_edit_tokens *facts, float *key, float *output)
{
    prompts p = {.count = count, .contexts = contexts->count};
    const int64_t sequences = count * contexts->count;
    rls_pass *pass = NULL;
    rls_status status = rls_agree(llm->part.group, prompts_make(llm, facts, &p));
    const rls_sequences packed = {sequences, p.length, p.id};
    const rls_tap taps[2] = {
        {.block = block, .kind = RLS_TAP_KEY, .count = sequences, .position = p.position, .out = p.key},
        {.block = last,
         .kind = RLS_TAP_OUTPUT,
         .count = count,
         .position = p.position + sequences,
         .out = output}};
    if (status == RLS_OK)
        status = rls_pass_create(llm, &packed, &pass);
    if (status == RLS_OK)
        status = rls_pass_run(pass, last + 1, taps, 2, false);
    if (status == RLS_OK)
        mean_keys(contexts, llm->part.inner.count, &p, key);
    rls_pass_destroy(&pass);
    prompts_free(&p);
    return status;
}

rls_status rls_edit_keys_read(rls_llm *llm, const rls_contexts *contexts, int64_t block, int64_t last,
                              int64_t count, const rls_edit_tokens *facts, rls_edit_keys *out)
{
    rls_context *group = llm->part.group;
    const int64_t n = llm->part.inner.count, hidden = llm->arch.hidden;
    void *key = NULL, *output = NULL;
    rls_status status = rls_alloc(group, count * n + 1, sizeof(float), &key);
    if (status == RLS_OK)
        status = rls_alloc(group, count * hidden + 1, sizeof(float), &output);
    *out = (rls_edit_keys){key, output};
    status = rls_agree(group, status);
    for (int64_t first = 0, taken = 0; first < count && status == RLS_OK; first += taken) {
        int64_t tokens = 0;
        taken = 0;
        while (first + taken < count &&
               (taken == 0 || tokens + rls_edit_tokens_prompts(&facts[first + taken]) <= llm->token_budget))
            tokens += rls_edit_tokens_prompts(&facts[first + taken++]);
        status = read_chunk(llm, contexts, block, last, taken, facts + first, out->key + first * n,
                            out->output + first * hidden);
    }
    return status;
}

void rls_edit_keys_free(rls_edit_keys *keys)
{
    free(keys->key);
    free(keys->output);
    *keys = (rls_edit_keys){0};
}
