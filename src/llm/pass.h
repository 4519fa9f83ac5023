/*
 * A pass: sequences of different lengths going through the blocks together, packed one after another without
 * padding. Token i of the pack has the hidden state h[:, i]; `position` below is such an index i.
 *
 * Forward with taps:
 *
 *     rls_pass_create(llm, &sequences, &pass)        the pack, embedded: at block 0
 *     rls_pass_run(pass, 5, taps, 2, false)          through blocks 0..4; h is now the output of block 4
 *     rls_pass_run(pass, llm->arch.blocks, ...)      to the end
 *     rls_pass_loss(pass, terms, count, ...)         log-probabilities
 *
 * Gradient of a loss with respect to something added to the output of block l:
 *
 *     rls_pass_run(pass, l + 1, NULL, 0, false)
 *     rls_pass_mark(pass)                            the blocks below are never computed again
 *     for each step:
 *         rls_pass_rewind(pass)
 *         rls_pass_add(pass, count, position, delta)
 *         rls_pass_run(pass, blocks, NULL, 0, true)  keeps what the way back needs
 *         rls_pass_loss(pass, terms, ...)            with its gradient
 *         rls_pass_backward(pass, count, position, gradient)
 *
 * All functions are collective over the group of llm/llm.h, with equal arguments on its ranks, and report on
 * the group's context. All numbers are float32.
 */
#ifndef LLM_PASS_H
#define LLM_PASS_H

#include "llm/llm.h"
#include "rlsedit/editor.h"

typedef struct rls_pass rls_pass;

/* Bytes that a pass of so many tokens takes on the largest of tensor_ranks ranks: everything but taps and
 * references, and, when kept_blocks is not 0, what a run with keep over that many blocks keeps. Not
 * collective. */
double rls_pass_bytes(const rls_architecture *arch, int tensor_ranks, int64_t tokens, int64_t kept_blocks);

/* Sequences of token ids, one after another. */
typedef struct {
    int64_t count;
    const int64_t *length; /* each at least 1 */
    const int32_t *token;
} rls_sequences;

/* Embeds the sequences. Returns RLS_ERR_DATA for an empty sequence, one beyond the context length or an id
 * beyond the vocabulary, RLS_ERR_USAGE for more tokens than the budget (with both numbers), RLS_ERR_MEMORY.
 */
RLS_NODISCARD rls_status rls_pass_create(rls_llm *llm, const rls_sequences *sequences, rls_pass **out);

/* Frees it and sets *pass to NULL; its arrays are left to the model's next pass, so that memory is not got
 * from the system again for every batch. Not collective. NULL is accepted. */
void rls_pass_destroy(rls_pass **pass);

/* Frees the arrays that destroyed passes left. Not collective. */
void rls_pass_release(rls_llm *llm);

/* The number of tokens, and the index of the first token of sequence s (s = count: of the end). Not
 * collective. */
int64_t rls_pass_tokens(const rls_pass *pass);
int64_t rls_pass_start(const rls_pass *pass, int64_t s);

typedef enum {
    RLS_TAP_KEY,   /* the down projection's input; out: this rank's [inner.count, count] */
    RLS_TAP_OUTPUT /* the block's output h; out: [hidden, count], the same on every rank of the group */
} rls_tap_kind;

typedef struct {
    int64_t block;
    rls_tap_kind kind;
    int64_t count;
    const int64_t *position; /* NULL: all tokens (count is then ignored) */
    float *out;
} rls_tap;

/* Runs the blocks from where the pass is up to (not including) block `to`, filling the taps of those blocks.
 * keep: keeps what rls_pass_backward needs. After a failure the pass can only be destroyed. Returns
 * RLS_ERR_USAGE (a block, tap or position that is not there), RLS_ERR_MEMORY, RLS_ERR_NUMERIC when h is not
 * finite. */
RLS_NODISCARD rls_status rls_pass_run(rls_pass *pass, int64_t to, const rls_tap *taps, int tap_count,
                                      bool keep);

/* Remembers h here; going back to it, which forgets what was kept. */
RLS_NODISCARD rls_status rls_pass_mark(rls_pass *pass);
RLS_NODISCARD rls_status rls_pass_rewind(rls_pass *pass);

/* Of a marked pass: leaves only the sequences `keep` (increasing), at the mark. They are then the sequences
 * 0 .. count - 1 with tokens packed anew: positions, and what is added to them, are the caller's to renumber
 * (rls_pass_start). */
RLS_NODISCARD rls_status rls_pass_select(rls_pass *pass, int64_t count, const int64_t *keep);

/* h[:, position[i]] += value[:, i] (value [hidden, count]); positions may repeat. */
RLS_NODISCARD rls_status rls_pass_add(rls_pass *pass, int64_t count, const int64_t *position,
                                      const float *value);

/* h[:, position[i]] = value[:, i]. Above the mark it ends what was kept: there is no way back through it. */
RLS_NODISCARD rls_status rls_pass_set(rls_pass *pass, int64_t count, const int64_t *position,
                                      const float *value);

/* value[:, i] = h[:, position[i]], where the pass is. */
RLS_NODISCARD rls_status rls_pass_get(const rls_pass *pass, int64_t count, const int64_t *position,
                                      float *value);

/* A term of a loss, over the distribution p of the token after `position`. */
typedef struct {
    int64_t position;
    int32_t target;         /* -log p(target); ignored with a reference */
    const float *reference; /* NULL, or log p0 over this rank's vocab.count, on every rank of the group (what
                               it is where that is 0 does not matter): KL(p || p0) = sum p (log p - log p0) */
    double weight;          /* of the term in the loss that is differentiated */
} rls_loss_term;

/* At the end of the blocks: the value of every term (without its weight) in values[count] (may be NULL), the
 * most probable token after each term's position in best[count] (may be NULL; of equal ones the smallest id),
 * and with gradient the start of the way back, which further calls before it add to. The head is applied to
 * the terms' positions only, in pieces. Sums over the vocabulary are in float64. Returns RLS_ERR_USAGE when
 * the pass is not at the end or a position or target is not there, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_pass_loss(rls_pass *pass, int64_t count, const rls_loss_term *terms,
                                       bool gradient, double *values, int32_t *best);

/* log p of the token after each position, out: this rank's [vocab.count, count] (for references). */
RLS_NODISCARD rls_status rls_pass_log_probabilities(rls_pass *pass, int64_t count, const int64_t *position,
                                                    float *out);

/* The logits themselves, out: this rank's [vocab.count, count] (for tests). */
RLS_NODISCARD rls_status rls_pass_logits(rls_pass *pass, int64_t count, const int64_t *position, float *out);

/* Goes back through the kept blocks: gradient[:, i] of sum weight x term with respect to h[:, position[i]] at
 * the mark, [hidden, count], the same on every rank of the group. Only activations are differentiated. About
 * the flops of the blocks' forward pass. Forgets what was kept. Returns RLS_ERR_USAGE without a mark, a kept
 * run from it to the end, and the gradient of a loss; RLS_ERR_MEMORY, RLS_ERR_NUMERIC. */
RLS_NODISCARD rls_status rls_pass_backward(rls_pass *pass, int64_t count, const int64_t *position,
                                           float *gradient);

/* Whole keys from slices: deals `count` columns of the group's slices [inner.count, count] evenly to its
 * ranks in rank order; *out holds this rank's share as vectors of length inner, to be freed with free((void
 * *)out->data). With one tensor rank a copy. Not differentiated. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_keys_gather(rls_llm *llm, int64_t count, const float *slice, rls_vectors *out);

#endif
