#include "llm/continuations.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "llm/pass.h"
#include "llm/prompt.h"

/* Sequences that go through the model together. */
typedef struct {
    rls_ids ids;
    int64_t count; /* of those with something to predict; the others are left out */
    int64_t *number, *length, *given;
    rls_loss_term *term;
    int32_t *best;
    double *value;
    int64_t room;  /* terms */
    int64_t seats; /* sequences */
} pack;

static void pack_free(pack *p)
{
    rls_ids_free(&p->ids);
    free(p->number);
    free(p->length);
    free(p->given);
    free(p->term);
    free(p->best);
    free(p->value);
}

/* Grows the arrays of sequences. */
static rls_status make_seats(rls_context *ctx, pack *p, int64_t count)
{
    void *memory[3] = {NULL, NULL, NULL};
    rls_status status = RLS_OK;
    if (count <= p->seats)
        return RLS_OK;
    for (int i = 0; i < 3 && status == RLS_OK; i++)
        status = rls_alloc(ctx, count, sizeof(int64_t), &memory[i]);
    free(p->number);
    free(p->length);
    free(p->given);
    p->number = memory[0];
    p->length = memory[1];
    p->given = memory[2];
    p->seats = status == RLS_OK ? count : 0;
    return status;
}

/* Grows the arrays of terms. */
static rls_status make_room(rls_context *ctx, pack *p, int64_t count)
{
    void *term = NULL, *best = NULL, *value = NULL;
    if (count <= p->room)
        return RLS_OK;
    rls_status status = rls_alloc(ctx, count, sizeof *p->term, &term);
    if (status == RLS_OK)
        status = rls_alloc(ctx, count, sizeof *p->best, &best);
    if (status == RLS_OK)
        status = rls_alloc(ctx, count, sizeof *p->value, &value);
    free(p->term);
    free(p->best);
    free(p->value);
    p->term = term;
    p->best = best;
    p->value = value;
    p->room = status == RLS_OK ? count : 0;
    return status;
}

/* Makes the sequences first ... first + count - 1. Not collective. */
static rls_status fill(rls_context *ctx, pack *p, int64_t first, int64_t count, rls_sequence_maker *make,
                       void *user)
{
    rls_status status = make_seats(ctx, p, count);
    p->ids.count = p->count = 0;
    for (int64_t i = first; i < first + count && status == RLS_OK; i++) {
        const int64_t before = p->ids.count;
        int64_t given = 1;
        status = make(ctx, user, i, &p->ids, &given);
        const int64_t length = p->ids.count - before;
        if (status == RLS_OK && length > given) {
            p->number[p->count] = i;
            p->length[p->count] = length;
            p->given[p->count++] = given;
        } else {
            p->ids.count = before;
        }
    }
    return status == RLS_OK ? make_room(ctx, p, p->ids.count) : status;
}

/* Every token that is not given is predicted at the token before it. Returns the number of terms. */
static int64_t set_terms(pack *p, const rls_pass *pass)
{
    int64_t terms = 0;
    for (int64_t s = 0; s < p->count; s++) {
        const int64_t start = rls_pass_start(pass, s);
        for (int64_t t = p->given[s]; t < p->length[s]; t++)
            p->term[terms++] = (rls_loss_term){
                .position = start + t - 1, .target = p->ids.id[start + t], .reference = NULL, .weight = 1.0};
    }
    return terms;
}

static void add_scores(const pack *p, rls_continuation_score *scores)
{
    int64_t term = 0;
    for (int64_t s = 0; s < p->count; s++) {
        rls_continuation_score score = {.exact = true};
        for (int64_t t = p->given[s]; t < p->length[s]; t++, term++) {
            score.nll += p->value[term];
            score.tokens++;
            score.right += p->best[term] == p->term[term].target ? 1 : 0;
        }
        score.exact = score.right == score.tokens;
        scores[p->number[s]] = score;
    }
}

/* Collective over the group. */
static rls_status run(rls_llm *llm, pack *p, rls_continuation_score *scores)
{
    const rls_sequences sequences = {.count = p->count, .length = p->length, .token = p->ids.id};
    rls_pass *pass = NULL;
    rls_status status = rls_pass_create(llm, &sequences, &pass);
    if (status == RLS_OK)
        status = rls_pass_run(pass, llm->arch.blocks, NULL, 0, false);
    if (status == RLS_OK)
        status = rls_pass_loss(pass, set_terms(p, pass), p->term, false, p->value, p->best);
    if (status == RLS_OK)
        add_scores(p, scores);
    rls_pass_destroy(&pass);
    return status;
}

/* This group's share. Collective over the group. */
static rls_status score_share(rls_llm *llm, const rls_share *mine, const int32_t *length,
                              rls_sequence_maker *make, void *user, rls_progress *progress,
                              rls_continuation_score *scores)
{
    rls_context *group = llm->part.group;
    const int64_t end = mine->first + mine->count;
    rls_status status = RLS_OK;
    pack p = {0};
    for (int64_t i = mine->first, count = 0; i < end && status == RLS_OK; i += count) {
        count = rls_sequences_fit(length, i, end, llm->token_budget);
        status = rls_agree(group, fill(group, &p, i, count, make, user));
        if (status == RLS_OK && p.count > 0)
            status = run(llm, &p, scores);
        if (progress != NULL)
            rls_progress_update(progress, i + count - mine->first);
    }
    pack_free(&p);
    return status;
}

enum { FIELDS = 3 }; /* of a score, as it travels */

/* Tensor rank 0 of each group knows its share's scores. Collective over ctx. */
static rls_status share_scores(rls_llm *llm, int64_t count, const rls_share *mine,
                               rls_continuation_score *scores)
{
    void *memory = NULL;
    const rls_status status =
        rls_agree(llm->ctx, rls_alloc_zero(llm->ctx, count, FIELDS * sizeof(double), &memory));
    double *packed = memory;
    if (status != RLS_OK)
        return status;
    for (int64_t i = mine->first; i < mine->first + mine->count && llm->part.tensor == 0; i++) {
        double *of = packed + FIELDS * i;
        of[0] = scores[i].nll;
        of[1] = (double)scores[i].tokens;
        of[2] = (double)scores[i].right;
    }
    rls_join_doubles(llm->ctx, FIELDS * count, packed);
    for (int64_t i = 0; i < count; i++) {
        const double *of = packed + FIELDS * i;
        scores[i] = (rls_continuation_score){of[0], (int64_t)of[1], (int64_t)of[2], of[1] == of[2]};
    }
    free(packed);
    return RLS_OK;
}

rls_status rls_score_sequences(rls_llm *llm, int64_t count, const int32_t *length, rls_sequence_maker *make,
                               void *user, rls_progress *progress, rls_continuation_score *scores)
{
    const rls_share mine = rls_sequences_deal(count, length, llm->part.data, llm->part.data_groups);
    for (int64_t i = 0; i < count; i++)
        scores[i] = (rls_continuation_score){.exact = true};
    if (progress != NULL)
        progress->total = mine.count;
    rls_status status = score_share(llm, &mine, length, make, user, progress, scores);
    status = rls_llm_agree(llm, status);
    return status == RLS_OK ? share_scores(llm, count, &mine, scores) : status;
}

typedef struct {
    const rls_llm *llm;
    const rls_continuation *pairs;
} pair_source;

static rls_status check_utf8(rls_context *ctx, const char *text, int64_t number, const char *what)
{
    const int64_t fault = rls_utf8_fault(text, (int64_t)strlen(text));
    return fault < 0 ? RLS_OK
                     : rls_fail(ctx, RLS_ERR_DATA,
                                "continuation %" PRId64 ": its %s is not UTF-8 at byte offset %" PRId64,
                                number, what, fault);
}

static rls_status make_pair(rls_context *ctx, void *user, int64_t i, rls_ids *ids, int64_t *given)
{
    const pair_source *source = user;
    const rls_continuation *pair = &source->pairs[i];
    const int64_t before = ids->count, context = source->llm->arch.context;
    rls_status status = check_utf8(ctx, pair->prompt, i + 1, "prompt");
    if (status == RLS_OK)
        status = check_utf8(ctx, pair->target, i + 1, "target");
    if (status == RLS_OK)
        status = rls_prompt_encode(ctx, source->llm->tokenizer, pair->prompt, pair->target, ids, given);
    if (status != RLS_OK)
        return status;
    if (ids->count - before <= *given)
        return rls_fail(ctx, RLS_ERR_DATA, "continuation %" PRId64 ": has no target after its prompt", i + 1);
    if (ids->count - before > context)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "continuation %" PRId64 ": %" PRId64
                        " tokens, beyond the model's context of %" PRId64,
                        i + 1, ids->count - before, context);
    return RLS_OK;
}

rls_status rls_score_continuations(rls_llm *llm, int64_t count, const rls_continuation *pairs,
                                   rls_continuation_score *scores)
{
    pair_source source = {llm, pairs};
    void *memory = NULL;
    rls_status status = rls_agree(llm->ctx, rls_alloc(llm->ctx, count, sizeof(int32_t), &memory));
    int32_t *length = memory;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        length[i] = (int32_t)(strlen(pairs[i].prompt) + strlen(pairs[i].target)) + 1;
    if (status == RLS_OK)
        status = rls_sequences_measure(llm->ctx, count, make_pair, &source, length);
    if (status == RLS_OK)
        status = rls_score_sequences(llm, count, length, make_pair, &source, NULL, scores);
    free(length);
    return status;
}
