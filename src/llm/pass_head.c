/* The final norm and the head, at chosen positions, for this rank's slice of the vocabulary. */
#include "llm/pass_state.h"

rls_status rls_head_logits(rls_pass *pass, int64_t count, const int64_t *position, float *logits)
{
    const rls_llm *llm = pass->llm;
    rls_pass_room *room = pass->room;
    const double start = rls_profile_start();
    rls_take_columns(pass->rows.hidden, count, position, room->h, room->head_h);
    rls_norm_apply(&llm->arch, &llm->weights.norm, count, room->head_h, room->head_normed);
    const rls_status status =
        rls_linear_apply(llm->part.group, &llm->weights.head, count, room->head_normed, 0.0F, logits);
    rls_profile_add(llm->ctx, "llm: head", start,
                    2.0 * (double)llm->part.vocab.count * (double)pass->rows.hidden * (double)count, 0.0);
    return status;
}
