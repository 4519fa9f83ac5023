/*
 * The arithmetic of a transformer on one rank, float32, forwards and backwards: norms, rotary positions,
 * activations, attention. Products with weights are in linalg/mixed.h.
 *
 * Arrays have one column a token (token i at x + i * ld), so that a token's numbers are contiguous. The
 * `back` functions give the gradient with respect to activations only. No function is collective or can fail,
 * except for want of memory where it says so.
 */
#ifndef LLM_OPS_H
#define LLM_OPS_H

#include "llm/architecture.h"

/* y = gain * x / sqrt(mean(x^2) + eps), [d, tokens]. y may be x. (Zhang and Sennrich 2019) */
void rls_rms_norm(int64_t d, int64_t tokens, double eps, const float *gain, const float *x, float *y);
/* dx += the gradient, from x and dy. */
void rls_rms_norm_back(int64_t d, int64_t tokens, double eps, const float *gain, const float *x,
                       const float *dy, float *dx);

/* y = gain * (x - mean) / sqrt(var + eps) + bias; back: dx += the gradient. y may be x. (Ba et al. 2016) */
void rls_layer_norm(int64_t d, int64_t tokens, double eps, const float *gain, const float *bias,
                    const float *x, float *y);
void rls_layer_norm_back(int64_t d, int64_t tokens, double eps, const float *gain, const float *x,
                         const float *dy, float *dx);

/* The table of rotary positions: table[(pos * rotary_dim / 2 + i) * 2] = cos, + 1 = sin, for pos < context.
 * Inverse frequencies and their products with the position are rounded to float32, as in the reference models
 * (transformers, modeling_rope_utils.py); cos and sin of these angles are exact to float32's rounding. Not
 * collective. Free with free(). Returns RLS_ERR_MEMORY; *table is NULL without rotary positions. */
RLS_NODISCARD rls_status rls_rotary_table(rls_context *ctx, const rls_architecture *arch, float **table);

/* Rotates `heads` heads of head_dim, one after another in each column of x [.., ld], by each token's
 * position; back: by the negative angle, which is the gradient. */
void rls_rotate(const rls_architecture *arch, const float *table, int64_t heads, int64_t tokens,
                const int32_t *position, bool back, float *x, int64_t ld);

/* y [inner, tokens] = act(gate) * up when gated (x [2 inner, tokens]: gate, then up), else act(x). */
void rls_activate(rls_activation act, bool gated, int64_t inner, int64_t tokens, const float *x, float *y);
/* dx (same shape as x) = the gradient, from x and dy. dx may be x.
 * SiLU x / (1 + e^-x); GELU x (1 + erf(x / sqrt 2)) / 2, or with tanh instead of erf (Hendrycks 2016). */
void rls_activate_back(rls_activation act, bool gated, int64_t inner, int64_t tokens, const float *x,
                       const float *dy, float *dx);

/* Causal attention within each sequence of a pack. Query head i of this rank is head heads_first + i of the
 * model, and uses key-value head (heads_first + i) / (model heads / model kv heads) - kv_first of the rank's.
 */
typedef struct {
    const rls_architecture *arch;
    int64_t heads_first, heads; /* this rank's query heads */
    int64_t kv_first, kv_heads;
    int64_t sequences;
    const int64_t *start; /* sequences + 1: token index of each beginning, and the end */
} rls_attention;

/* out [heads * head_dim, tokens] (leading dimension ldo) from q, k, v (heads * head_dim, kv_heads * head_dim
 * rows; one leading dimension ld). log_sum [heads, tokens]: the log of each softmax's sum, kept for the way
 * back; may be NULL. Scores are made for a tile of queries at a time: never length x length for long ones.
 * Returns RLS_ERR_MEMORY. (Dao et al. 2022 for the way back from log_sum) */
RLS_NODISCARD rls_status rls_attend(rls_context *ctx, const rls_attention *a, const float *q, const float *k,
                                    const float *v, int64_t ld, float *out, int64_t ldo, float *log_sum);

/* dq, dk, dv (leading dimension ldd; overwritten; heads that no query uses get 0) from q, k, v, out, log_sum
 * and dout (leading dimension ldo). Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_attend_back(rls_context *ctx, const rls_attention *a, const float *q,
                                         const float *k, const float *v, int64_t ld, const float *out,
                                         const float *dout, int64_t ldo, const float *log_sum, float *dq,
                                         float *dk, float *dv, int64_t ldd);

/* One new token of one sequence: out [heads * head_dim] from q [heads * head_dim] and a cache of `length`
 * tokens, the newest last, k and v [kv_heads * head_dim, length] contiguous. a->start is not used. scores:
 * length floats of room. */
void rls_attend_cached(const rls_attention *a, const float *q, const float *k, const float *v, int64_t length,
                       float *scores, float *out);

#endif
