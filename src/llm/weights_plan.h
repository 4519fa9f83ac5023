/* Which tensors a model has, and which part of each goes to a rank: the one table that checking, loading and
 * counting bytes go by. */
#ifndef LLM_WEIGHTS_PLAN_H
#define LLM_WEIGHTS_PLAN_H

#include "llm/weights.h"

enum { RLS_WEIGHT_NAME_MAX = 128, RLS_WEIGHT_PIECES_MAX = 3 };

/* Where a part goes in rls_weights. */
typedef enum {
    RLS_PART_EMBEDDING,
    RLS_PART_POSITIONS,
    RLS_PART_ATTENTION_NORM,
    RLS_PART_QKV,
    RLS_PART_OUT,
    RLS_PART_MLP_NORM,
    RLS_PART_GATE_UP,
    RLS_PART_DOWN,
    RLS_PART_NORM,
    RLS_PART_HEAD
} rls_weight_slot;

/* Rows and columns of one tensor W [out, in] (or of a vector [out], in 0). */
typedef struct {
    char name[RLS_WEIGHT_NAME_MAX]; /* without ".weight" and ".bias" */
    int64_t out, in;
    rls_share rows, cols;
} rls_weight_piece;

/* A linear map, one or more pieces one below the other, or a norm. */
typedef struct {
    rls_weight_slot slot;
    int64_t block; /* -1: outside of the blocks */
    int pieces;
    rls_weight_piece piece[RLS_WEIGHT_PIECES_MAX];
    bool norm;
    bool stored_transposed; /* in the file: Conv1D */
    bool weight;            /* false: only the bias is read, the weight is another part's (a tied head) */
    bool bias;              /* there is one */
    bool bias_here;         /* and this rank holds its rows */
} rls_weight_part;

/* Called for each part, in order of blocks; an error ends the walk. */
typedef rls_status rls_weight_visitor(void *user, const rls_weight_part *part);

/* Walks over all parts of the model as rank `tensor` of tensor_ranks has them. Not collective. Returns what
 * visit does. */
RLS_NODISCARD rls_status rls_weights_plan(const rls_model_dir *dir, const rls_architecture *arch, int tensor,
                                          int tensor_ranks, rls_weight_visitor *visit, void *user);

/* Where the part goes: a linear map, or NULL for a norm; the other way round. Not collective. */
rls_linear *rls_weights_linear(rls_weights *weights, const rls_weight_part *part);
rls_norm *rls_weights_norm(rls_weights *weights, const rls_weight_part *part);

#endif
