/* Whether a model's files hold what its config.json says, before anything large is read. */
#ifndef LLM_WEIGHTS_CHECK_H
#define LLM_WEIGHTS_CHECK_H

#include "llm/weights_plan.h"

enum { RLS_WEIGHT_FULL_NAME_MAX = RLS_WEIGHT_NAME_MAX + 8 };

/* The tensor's name: the piece's with ".weight" or ".bias". Not collective. Returns name. */
const char *rls_weight_name(const rls_weight_piece *piece, const char *suffix,
                            char name[RLS_WEIGHT_FULL_NAME_MAX]);

/* Checks every tensor of the plan: there, floating-point, of the right shape. Warns (rank 0) of tensors that
 * are not in it. Not collective, equal on all ranks. Returns RLS_ERR_DATA naming the tensor and what is
 * expected and found, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_weights_check(rls_context *ctx, const rls_model_dir *dir,
                                           const rls_architecture *arch);

#endif
