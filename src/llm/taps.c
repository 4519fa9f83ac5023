/* Columns out of a pass: at taps, and at chosen positions. */
#include <string.h>

#include "llm/pass_state.h"

void rls_take_columns(int64_t rows, int64_t count, const int64_t *position, const float *from, float *to)
{
    if (rows == 0 || count == 0)
        return;
    if (position == NULL)
        memcpy(to, from, (size_t)(rows * count) * sizeof *to);
    for (int64_t i = 0; i < count && position != NULL; i++)
        memcpy(to + i * rows, from + position[i] * rows, (size_t)rows * sizeof *to);
}

rls_status rls_pass_check_positions(const rls_pass *pass, int64_t count, const int64_t *position)
{
    for (int64_t i = 0; i < count; i++)
        if (position[i] < 0 || position[i] >= pass->tokens)
            return rls_fail(pass->llm->part.group, RLS_ERR_USAGE,
                            "position %lld (number %lld) is not in the pass, which has %lld tokens",
                            (long long)position[i], (long long)i, (long long)pass->tokens);
    return RLS_OK;
}

rls_status rls_taps_check(const rls_pass *pass, int64_t to, const rls_tap *taps, int count)
{
    for (int i = 0; i < count; i++) {
        if (taps[i].block < pass->block || taps[i].block >= to)
            return rls_fail(pass->llm->part.group, RLS_ERR_USAGE,
                            "a tap at block %lld, and the run is of blocks %lld to %lld",
                            (long long)taps[i].block, (long long)pass->block, (long long)to - 1);
        const rls_status status = taps[i].position == NULL
                                      ? RLS_OK
                                      : rls_pass_check_positions(pass, taps[i].count, taps[i].position);
        if (status != RLS_OK)
            return status;
    }
    return RLS_OK;
}

void rls_taps_fill(const rls_pass *pass, int64_t block, const rls_tap *taps, int count)
{
    for (int i = 0; i < count; i++) {
        const rls_tap *tap = &taps[i];
        const bool key = tap->kind == RLS_TAP_KEY;
        if (tap->block == block)
            rls_take_columns(key ? pass->rows.inner : pass->rows.hidden,
                             tap->position == NULL ? pass->tokens : tap->count, tap->position,
                             key ? pass->room->inner : pass->room->h, tap->out);
    }
}

rls_status rls_pass_get(const rls_pass *pass, int64_t count, const int64_t *position, float *value)
{
    const rls_status status =
        rls_agree(pass->llm->part.group, rls_pass_check_positions(pass, count, position));
    if (status == RLS_OK)
        rls_take_columns(pass->rows.hidden, count, position, pass->room->h, value);
    return status;
}

rls_status rls_pass_add(rls_pass *pass, int64_t count, const int64_t *position, const float *value)
{
    const int64_t hidden = pass->rows.hidden;
    const rls_status status =
        rls_agree(pass->llm->part.group, rls_pass_check_positions(pass, count, position));
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        for (int64_t j = 0; j < hidden; j++)
            pass->room->h[position[i] * hidden + j] += value[i * hidden + j];
    return status;
}

rls_status rls_pass_set(rls_pass *pass, int64_t count, const int64_t *position, const float *value)
{
    const int64_t hidden = pass->rows.hidden;
    const rls_status status =
        rls_agree(pass->llm->part.group, rls_pass_check_positions(pass, count, position));
    if (status != RLS_OK)
        return status;
    for (int64_t i = 0; i < count; i++)
        memcpy(pass->room->h + position[i] * hidden, value + i * hidden, (size_t)hidden * sizeof *value);
    if (pass->block != pass->mark)
        pass->kept = pass->mark; /* what was there has no influence any more: no gradient goes through */
    return status;
}
