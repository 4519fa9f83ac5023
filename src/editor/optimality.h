/*
 * Proof of a result: how far a state is from the minimum of its objective, computed afresh from the data.
 *
 *     rls_optimality_begin(editor, drift, &o);
 *     fill rls_editor_inv_cov(editor) with M, then
 *       rls_optimality_moment(o, w);            where the anchor has a second moment
 *     rls_optimality_anchor(o, K_0, V_0);       any number of times
 *     rls_optimality_edits(o, &batch);          all edits, in any batches
 *     rls_optimality_end(&o, &proof);
 *
 * With D = W_t - W_0, R = V - W_0 K and E = V - W_t K, for the edits and (R_0 = V_0 - W_0 K_0) the anchor:
 *
 *     gradient / 2 = lambda^2 D + mu^2 w D M - mu^2 E_0 K_0^T - sum E_i K_i^T        (0 at the minimum)
 *     identity:      lambda^2 ||D||^2 + mu^2 (w tr(D M D^T) + ||D K_0||^2) + sum ||D K_i||^2
 *                        = sum ||R_i||^2 + mu^2 ||R_0||^2 - J_t(W_t)
 *
 * The state must not be stepped afterwards: C's storage is used for M.
 */
#ifndef EDITOR_OPTIMALITY_H
#define EDITOR_OPTIMALITY_H

#include "editor/drift.h"

typedef struct rls_optimality rls_optimality;

typedef struct {
    double identity_error; /* |left - right| / left of the identity */
    double stationarity;   /* ||gradient||_F over the sum of its terms' norms */
    double objective;      /* J_t(W_t) */
} rls_proof;

/* Begins with D, in three matrices of X's shape. Collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_optimality_begin(rls_editor *editor, const rls_drift *drift,
                                              rls_optimality **out);

/* Adds the second moment that C's storage holds, of weight w. Collective. 2 n^2 m flops. At most once. */
RLS_NODISCARD rls_status rls_optimality_moment(rls_optimality *o, double weight);

/* Adds anchor keys, and their values (NULL: W_0 K_0). Collective. Before any edits. */
RLS_NODISCARD rls_status rls_optimality_anchor(rls_optimality *o, const rls_vectors *keys,
                                               const rls_vectors *values);

/* Adds a batch of targets. Collective. */
RLS_NODISCARD rls_status rls_optimality_edits(rls_optimality *o, const rls_batch *batch);

/* The result; frees o and sets it to NULL. proof may be NULL (giving up). Collective. */
void rls_optimality_end(rls_optimality **o, rls_proof *proof);

#endif
