/* Inside view of a pass: its arrays, and the steps that the files of the pass and generation share. */
#ifndef LLM_PASS_STATE_H
#define LLM_PASS_STATE_H

#include "llm/ops.h"
#include "llm/pass.h"

/* Rows of this rank's slices. */
typedef struct {
    int64_t hidden, q, kv, qkv, inner, gate_up, heads;
} rls_rows;

/* What the way back needs of a block; [rows, capacity] each, in one allocation that begins with input. */
typedef struct {
    float *input, *middle; /* h before the block, and between attention and MLP */
    float *qkv;            /* after the rotation */
    float *attention;      /* its output before the projection */
    float *log_sum;
    float *gate_up; /* before the activation */
} rls_kept;

/* The arrays of a pass of up to `capacity` tokens, [rows, capacity]; NULL until they are needed. */
typedef struct rls_pass_room {
    int64_t capacity, blocks;
    float *h, *mark, *gradient;
    float *normed, *qkv, *attention, *gate_up, *inner;
    rls_kept *kept;                            /* blocks of them */
    float *head_h, *head_normed, *head_logits; /* a piece of columns at the head */
} rls_pass_room;

struct rls_pass {
    rls_llm *llm;
    rls_pass_room *room;
    rls_rows rows;
    int64_t sequences, tokens;
    int64_t *start;    /* sequences + 1 */
    int32_t *position; /* of each token in its sequence */
    int64_t block;     /* the next to run */
    int64_t mark;      /* the next to run at the mark; -1: none */
    int64_t kept;      /* blocks [mark, kept) are kept */
    bool gradient;     /* room->gradient is the loss's with respect to h at the end */
};

enum { RLS_HEAD_COLUMNS = 256 }; /* most columns of a piece at the head */

/* A pass without tokens that has room for so many. Not collective. Returns RLS_ERR_MEMORY on the group's
 * context; *out may then be there, to be destroyed. */
RLS_NODISCARD rls_status rls_pass_shell(rls_llm *llm, int64_t sequences, int64_t tokens, rls_pass **out);

/* Checks every sequence (RLS_ERR_DATA naming it on the group's context) and sums up the tokens. Not
 * collective. */
RLS_NODISCARD rls_status rls_sequences_check(rls_llm *llm, const rls_sequences *sequences, int64_t *tokens);

/* Makes the arrays that a run needs, with keep also those of blocks [from, to); that a mark, a gradient, the
 * head needs. Not collective. Return RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_room_for_run(rls_pass *pass, bool keep, int64_t from, int64_t to);
RLS_NODISCARD rls_status rls_room_for_mark(rls_pass *pass);
RLS_NODISCARD rls_status rls_room_for_gradient(rls_pass *pass);
RLS_NODISCARD rls_status rls_room_for_head(rls_pass *pass);
void rls_room_free(rls_pass_room **room);

/* Columns of a piece at the head: as many as RLS_HEAD_BYTES of logits hold. The same on every rank. */
int64_t rls_head_columns(const rls_architecture *arch, int tensor_ranks);

/* RLS_OK when every position is a token of the pass, else RLS_ERR_USAGE on the group's context. */
RLS_NODISCARD rls_status rls_pass_check_positions(const rls_pass *pass, int64_t count,
                                                  const int64_t *position);

/* to[:, i] = from[:, position[i]], rows numbers a column; all tokens when position is NULL. */
void rls_take_columns(int64_t rows, int64_t count, const int64_t *position, const float *from, float *to);

/* Checks the taps of a run from where the pass is to `to`: RLS_ERR_USAGE when one cannot be filled; fills
 * those of the block that has just run. Not collective. */
RLS_NODISCARD rls_status rls_taps_check(const rls_pass *pass, int64_t to, const rls_tap *taps, int count);
void rls_taps_fill(const rls_pass *pass, int64_t block, const rls_tap *taps, int count);

/* Whether all numbers are finite. */
bool rls_all_finite(const float *x, int64_t count);

/* Sums x over the ranks of the group, the same bits on each. Collective over the group. */
void rls_group_sum(rls_llm *llm, float *x, int64_t count);

/* h = the embedding of token[tokens], with the learned positions if there are. Collective over the group. */
void rls_embed(rls_pass *pass, const int32_t *token);

/* Y [out, tokens] = W X + bias + beta Y; X [in, tokens] = W^T Y + beta X; beta is 0 or 1. Empty slices are
 * fine. Not collective. Return RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_linear_apply(rls_context *ctx, const rls_linear *linear, int64_t tokens,
                                          const float *x, float beta, float *y);
RLS_NODISCARD rls_status rls_linear_back(rls_context *ctx, const rls_linear *linear, int64_t tokens,
                                         const float *y, float beta, float *x);

/* y = norm(x); dx += its gradient. */
void rls_norm_apply(const rls_architecture *arch, const rls_norm *norm, int64_t tokens, const float *x,
                    float *y);
void rls_norm_back(const rls_architecture *arch, const rls_norm *norm, int64_t tokens, const float *x,
                   const float *dy, float *dx);

/* The attention of this rank's heads. */
rls_attention rls_pass_attention(const rls_pass *pass);

/* A block in two halves: queries, keys and values into qkv; then, from the attention's output, the rest. A
 * rank whose status is not RLS_OK computes nothing and still takes part in the sums. gate_up: where to put
 * it; middle: where to keep h between attention and MLP, or NULL. room->inner is then the block's keys. The
 * first is not collective, the second is over the group. */
RLS_NODISCARD rls_status rls_block_begin(rls_pass *pass, int64_t block, rls_status status, float *qkv);
RLS_NODISCARD rls_status rls_block_end(rls_pass *pass, int64_t block, rls_status status,
                                       const float *attention, float *gate_up, float *middle);

/* The whole block with attention over the pack. Collective over the group. */
RLS_NODISCARD rls_status rls_block_forward(rls_pass *pass, int64_t block, rls_status status, bool keep);

/* room->gradient with respect to the output of a kept block becomes that with respect to its input. What was
 * kept is overwritten. Collective over the group. */
RLS_NODISCARD rls_status rls_block_backward(rls_pass *pass, int64_t block, rls_status status);

/* 2 x in x out of this rank's linear maps of a block, and 4 head_dim x pairs of tokens of its heads. */
double rls_block_flops(const rls_pass *pass, int64_t block);

/* logits [vocab.count, count] of at most rls_head_columns columns of h, which stay in room->head_h. Not
 * collective. */
RLS_NODISCARD rls_status rls_head_logits(rls_pass *pass, int64_t count, const int64_t *position,
                                         float *logits);

#endif
