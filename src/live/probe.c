#include "live/probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Some facts' prompts with their targets, packed in a pass. */
typedef struct {
    int64_t count, terms;
    int64_t *length;
    int32_t *id;
    rls_loss_term *term;
    double *value;
} chunk;

static void chunk_free(chunk *c)
{
    free(c->length);
    free(c->id);
    free(c->term);
    free(c->value);
}

/* Facts from `first` on whose first sequences fit the budget together. */
static int64_t chunk_of(int64_t budget, const rls_edit_tokens *facts, int64_t count)
{
    int64_t taken = 0, tokens = 0;
    while (taken < count && (taken == 0 || tokens + facts[taken].length[0] <= budget))
        tokens += facts[taken++].length[0];
    return taken;
}

static rls_status chunk_alloc(rls_context *group, const rls_edit_tokens *facts, chunk *c)
{
    int64_t tokens = 0;
    void *length = NULL, *id = NULL, *term = NULL, *value = NULL;
    for (int64_t f = 0; f < c->count; f++) {
        tokens += facts[f].length[0];
        c->terms += facts[f].targets[0];
    }
    rls_status status = rls_alloc(group, c->count, sizeof *c->length, &length);
    if (status == RLS_OK)
        status = rls_alloc(group, tokens, sizeof *c->id, &id);
    if (status == RLS_OK)
        status = rls_alloc_zero(group, c->terms, sizeof *c->term, &term);
    if (status == RLS_OK)
        status = rls_alloc_zero(group, c->terms, sizeof *c->value, &value);
    c->length = length;
    c->id = id;
    c->term = term;
    c->value = value;
    return status;
}

/* The sequences, and the places of their targets' tokens in the pack. */
static void chunk_fill(const rls_edit_tokens *facts, chunk *c)
{
    int64_t at = 0;
    rls_loss_term *term = c->term;
    for (int64_t f = 0; f < c->count; f++) {
        const rls_edit_tokens *fact = &facts[f];
        memcpy(c->id + at, fact->ids.id, (size_t)fact->length[0] * sizeof *c->id);
        for (int64_t t = 0; t < fact->targets[0]; t++)
            *term++ = (rls_loss_term){
                .position = at + fact->given[0] - 1 + t, .target = fact->target.id[t], .weight = 1.0};
        c->length[f] = fact->length[0];
        at += fact->length[0];
    }
}

static rls_status probe_chunk(rls_llm *llm, const rls_edit_tokens *facts, chunk *c, double *sum)
{
    rls_pass *pass = NULL;
    rls_status status = rls_agree(llm->part.group, chunk_alloc(llm->part.group, facts, c));
    if (status != RLS_OK)
        return status;
    chunk_fill(facts, c);
    const rls_sequences sequences = {c->count, c->length, c->id};
    status = rls_pass_create(llm, &sequences, &pass);
    if (status == RLS_OK)
        status = rls_pass_run(pass, llm->arch.blocks, NULL, 0, false);
    if (status == RLS_OK)
        status = rls_pass_loss(pass, c->terms, c->term, false, c->value, NULL);
    const double *value = c->value;
    for (int64_t f = 0; f < c->count && status == RLS_OK; f++) {
        double nll = 0.0;
        for (int64_t t = 0; t < facts[f].targets[0]; t++)
            nll += *value++;
        *sum += exp(-nll);
    }
    rls_pass_destroy(&pass);
    return status;
}

rls_status rls_live_probe(rls_llm *llm, int64_t count, const rls_edit_tokens *facts, double *sum)
{
    rls_status status = RLS_OK;
    for (int64_t first = 0; first < count && status == RLS_OK;) {
        chunk c = {.count = chunk_of(llm->token_budget, facts + first, count - first)};
        status = probe_chunk(llm, facts + first, &c, sum);
        first += c.count;
        chunk_free(&c);
    }
    return status;
}
