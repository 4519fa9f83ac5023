/* Sequences going through the blocks together. */
#include "llm/pass.h"

#include <inttypes.h>
#include <string.h>

#include "llm/pass_state.h"

static rls_status check_sequence(rls_llm *llm, int64_t s, int64_t length, const int32_t *token)
{
    rls_context *group = llm->part.group;
    if (length < 1)
        return rls_fail(group, RLS_ERR_DATA, "sequence %" PRId64 " has no tokens", s);
    if (length > llm->arch.context)
        return rls_fail(group, RLS_ERR_DATA,
                        "sequence %" PRId64 " has %" PRId64
                        " tokens, and the model's context length is %" PRId64 ": shorten it",
                        s, length, llm->arch.context);
    for (int64_t i = 0; i < length; i++)
        if (token[i] < 0 || token[i] >= llm->arch.vocab)
            return rls_fail(group, RLS_ERR_DATA,
                            "sequence %" PRId64 ", token %" PRId64 ": id %" PRId32
                            " is not in the vocabulary of %" PRId64,
                            s, i, token[i], llm->arch.vocab);
    return RLS_OK;
}

rls_status rls_sequences_check(rls_llm *llm, const rls_sequences *sequences, int64_t *tokens)
{
    *tokens = 0;
    for (int64_t s = 0; s < sequences->count; s++) {
        const rls_status status = check_sequence(llm, s, sequences->length[s], sequences->token + *tokens);
        if (status != RLS_OK)
            return status;
        *tokens += sequences->length[s];
    }
    return RLS_OK;
}

static rls_status check_budget(rls_llm *llm, int64_t tokens)
{
    if (tokens > llm->token_budget)
        return rls_fail(llm->part.group, RLS_ERR_USAGE,
                        "a pass of %" PRId64 " tokens, and the token budget is %" PRId64
                        ": fewer sequences a pass, or a larger budget",
                        tokens, llm->token_budget);
    return RLS_OK;
}

/* Lays the sequences one after another. */
static void pack(rls_pass *pass, int64_t count, const int64_t *length)
{
    pass->sequences = count;
    pass->tokens = 0;
    for (int64_t s = 0; s < count; s++) {
        pass->start[s] = pass->tokens;
        for (int64_t i = 0; i < length[s]; i++)
            pass->position[pass->tokens + i] = (int32_t)i;
        pass->tokens += length[s];
    }
    pass->start[count] = pass->tokens;
}

rls_status rls_pass_create(rls_llm *llm, const rls_sequences *sequences, rls_pass **out)
{
    int64_t tokens = 0;
    *out = NULL;
    rls_status status = rls_sequences_check(llm, sequences, &tokens);
    if (status == RLS_OK)
        status = check_budget(llm, tokens);
    if (status == RLS_OK)
        status = rls_pass_shell(llm, sequences->count, tokens, out);
    if (status == RLS_OK)
        status = rls_room_for_run(*out, false, 0, 0);
    status = rls_agree(llm->part.group, status);
    if (status != RLS_OK) {
        rls_pass_destroy(out);
        return status;
    }
    pack(*out, sequences->count, sequences->length);
    rls_embed(*out, sequences->token);
    return RLS_OK;
}

int64_t rls_pass_tokens(const rls_pass *pass)
{
    return pass->tokens;
}

int64_t rls_pass_start(const rls_pass *pass, int64_t s)
{
    return pass->start[s];
}

bool rls_all_finite(const float *x, int64_t count)
{
    const uint32_t exponent = 0x7f800000U;
    uint32_t bad = 0;
#pragma omp parallel for reduction(| : bad)
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = 0;
        memcpy(&bits, &x[i], sizeof bits);
        bad |= (bits & exponent) == exponent ? 1U : 0U;
    }
    return bad == 0;
}

/* RLS_ERR_NUMERIC with the first sequence that is not finite. */
static rls_status check_finite(const rls_pass *pass, int64_t block)
{
    const int64_t hidden = pass->rows.hidden;
    if (rls_all_finite(pass->room->h, hidden * pass->tokens))
        return RLS_OK;
    int64_t s = 0;
    while (s + 1 < pass->sequences && rls_all_finite(pass->room->h + pass->start[s] * hidden,
                                                     hidden * (pass->start[s + 1] - pass->start[s])))
        s++;
    return rls_fail(pass->llm->part.group, RLS_ERR_NUMERIC,
                    "the hidden states of sequence %" PRId64 " after block %" PRId64
                    " are not finite: the model's weights, or what was added, overflow",
                    s, block - 1);
}

static rls_status check_run(rls_pass *pass, int64_t to, const rls_tap *taps, int tap_count, bool keep)
{
    if (to < pass->block || to > pass->llm->arch.blocks)
        return rls_fail(pass->llm->part.group, RLS_ERR_USAGE,
                        "a run up to block %" PRId64 ", and the pass is at %" PRId64 " of %" PRId64, to,
                        pass->block, pass->llm->arch.blocks);
    const rls_status status = rls_taps_check(pass, to, taps, tap_count);
    return status == RLS_OK ? rls_room_for_run(pass, keep, pass->block, to) : status;
}

rls_status rls_pass_run(rls_pass *pass, int64_t to, const rls_tap *taps, int tap_count, bool keep)
{
    rls_context *group = pass->llm->part.group;
    const double start = rls_profile_start();
    double flops = 0.0;
    rls_status status = rls_agree(group, check_run(pass, to, taps, tap_count, keep));
    if (status != RLS_OK)
        return status;
    pass->gradient = false;
    for (; pass->block < to; pass->block++) {
        status = rls_block_forward(pass, pass->block, status, keep);
        flops += rls_block_flops(pass, pass->block);
        if (status == RLS_OK)
            rls_taps_fill(pass, pass->block, taps, tap_count);
        if (keep && pass->kept == pass->block)
            pass->kept++;
    }
    if (status == RLS_OK)
        status = check_finite(pass, to);
    rls_profile_add(pass->llm->ctx, "llm: blocks", start, flops, 0.0);
    return rls_agree(group, status);
}

static size_t state_bytes(const rls_pass *pass)
{
    return (size_t)(pass->rows.hidden * pass->tokens) * sizeof(float);
}

/* Back at the mark. */
static void rewind_to_mark(rls_pass *pass)
{
    if (pass->tokens > 0)
        memcpy(pass->room->h, pass->room->mark, state_bytes(pass));
    pass->block = pass->kept = pass->mark;
    pass->gradient = false;
}

rls_status rls_pass_mark(rls_pass *pass)
{
    const rls_status status = rls_agree(pass->llm->part.group, rls_room_for_mark(pass));
    if (status != RLS_OK)
        return status;
    if (pass->tokens > 0)
        memcpy(pass->room->mark, pass->room->h, state_bytes(pass));
    pass->mark = pass->kept = pass->block;
    pass->gradient = false;
    return RLS_OK;
}

static rls_status check_marked(const rls_pass *pass)
{
    return pass->mark >= 0 ? RLS_OK
                           : rls_fail(pass->llm->part.group, RLS_ERR_USAGE, "the pass has no mark to go to");
}

rls_status rls_pass_rewind(rls_pass *pass)
{
    const rls_status status = rls_agree(pass->llm->part.group, check_marked(pass));
    if (status == RLS_OK)
        rewind_to_mark(pass);
    return status;
}

static rls_status check_select(const rls_pass *pass, int64_t count, const int64_t *keep)
{
    for (int64_t i = 0; i < count; i++)
        if (keep[i] < (i == 0 ? 0 : keep[i - 1] + 1) || keep[i] >= pass->sequences)
            return rls_fail(pass->llm->part.group, RLS_ERR_USAGE,
                            "sequence %" PRId64 " to keep is not one of the pass's %" PRId64
                            " in increasing order",
                            keep[i], pass->sequences);
    return check_marked(pass);
}

rls_status rls_pass_select(rls_pass *pass, int64_t count, const int64_t *keep)
{
    const rls_status status = rls_agree(pass->llm->part.group, check_select(pass, count, keep));
    const int64_t hidden = pass->rows.hidden;
    if (status != RLS_OK)
        return status;
    int64_t to = 0;
    for (int64_t i = 0; i < count; i++) { /* to the left: what is overwritten was dropped or moved */
        const int64_t from = pass->start[keep[i]], length = pass->start[keep[i] + 1] - from;
        memmove(pass->room->mark + to * hidden, pass->room->mark + from * hidden,
                (size_t)(length * hidden) * sizeof(float));
        memmove(pass->position + to, pass->position + from, (size_t)length * sizeof *pass->position);
        pass->start[i] = to; /* i <= keep[i], and keep[i] + 1 is read before it is written */
        to += length;
    }
    pass->start[count] = pass->tokens = to;
    pass->sequences = count;
    rewind_to_mark(pass);
    return RLS_OK;
}
