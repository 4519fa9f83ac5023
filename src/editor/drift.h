/*
 * How far a state has moved from W_0, and the bound it must keep: D = W_t - W_0, ||D||_F <= sqrt(E_t) / (2
 * lambda), E_t = mu^2 ||V_0 - W_0 K_0||^2 + sum_i ||V_i - W_0 K_i||^2.
 *
 * W_0 is kept in the model's own type, which for BF16 is a quarter of a float64 state's X.
 */
#ifndef EDITOR_DRIFT_H
#define EDITOR_DRIFT_H

#include "rlsedit/editor.h"

typedef struct rls_drift rls_drift;

/* Remembers X as it is now, in type `stored`, which must hold its values exactly.
 * Collective. Call when X holds W_0, before the start. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_drift_create(rls_editor *editor, rls_dtype stored, rls_drift **out);

/* Bytes that takes for a state of type dtype on a rank with these shares of n and m. Not collective. */
double rls_drift_bytes(rls_dtype dtype, rls_dtype stored, int64_t rows, int64_t cols);

/* Frees it and sets *drift to NULL. Not collective. NULL is accepted. */
void rls_drift_destroy(rls_drift **drift);

/* What a part of a step came to: ||D||_F after it, and sqrt(E_t) / (2 lambda). */
typedef struct {
    double norm, bound;
} rls_drift_report;

/* Takes a step into account, right after rls_editor_step: R = V - W_0 K = (V - W_t K) + D K, E_t += ||R||^2,
 * and ||D||. Collective. edits, each: of that step's batch; reports: NULL, or room for
 * rls_editor_parts(edits, each). 2 n m u flops over all ranks; of several parts twice as many, for
 * ||D_{j-1}||^2 = ||D_j||^2 - 2 <D_t, H_j G_j^T> + <H_j G_j^T, H_j G_j^T + 2 sum_{i>j} H_i G_i^T>, from the
 * last part back. */
RLS_NODISCARD rls_status rls_drift_update(rls_drift *drift, int64_t edits, int64_t each,
                                          rls_drift_report *reports);

/* ||D||_F after the last update; E_t; sqrt(E_t) / (2 lambda), infinite for lambda = 0. Not collective. */
double rls_drift_norm(const rls_drift *drift);
double rls_drift_residual2(const rls_drift *drift);
double rls_drift_bound(const rls_drift *drift);

/* sum ||V_i - W_0 K_i||_F^2 alone, what rls_drift_restore takes. Not collective. */
double rls_drift_edits_residual2(const rls_drift *drift);

/* Sets what a checkpoint saved: ||D||_F, and sum ||V_i - W_0 K_i||^2 (rls_drift_residual2 less the anchor's
 * misfit). Not collective. */
void rls_drift_restore(rls_drift *drift, double norm, double edits_residual2);

/* out = D^T = X - X_0, a matrix of X's shape, layout and type. Not collective. */
void rls_drift_delta(const rls_drift *drift, rls_matrix *out);

#endif
