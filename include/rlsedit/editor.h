/*
 * The editor: the state of one edited weight matrix and the rule that updates it.
 *
 * W [m, n] is held as X = W^T [n, m]; the inverse covariance C is [n, n]. A life, in this order:
 *
 *     rls_editor_create(grid, &options, &ed);
 *     fill rls_editor_weight(ed)                    X_0 = W_0^T
 *     fill rls_editor_inv_cov(ed), then
 *       rls_editor_anchor_moment(ed, w);            (optional) the second moment M, with weight w
 *     rls_editor_anchor_keys(ed, &K_0, &V_0);       (optional) any number of times
 *     rls_editor_start(ed, &pivot);                 C_0 = A_0^{-1},  X = W*_0^T
 *     rls_editor_step(ed, &batch, &report);         once a batch
 *     read rls_editor_weight(ed)                    what the edits made of it
 *     rls_editor_destroy(&ed);
 *
 * with A_0 = lambda^2 I + mu^2 (w M + K_0 K_0^T).
 */
#ifndef RLSEDIT_EDITOR_H
#define RLSEDIT_EDITOR_H

#include "rlsedit/matrix.h"

typedef struct rls_editor rls_editor;

/* Scratch memory of a step; states that are stepped one after another (a model's layers) can share one. */
typedef struct rls_workspace rls_workspace;

typedef struct {
    const char *rule;         /* "rls" */
    double lambda, mu;        /* >= 0, not both 0 */
    rls_dtype dtype;          /* of the state: RLS_F64 or RLS_F32 */
    int64_t n, m;             /* key size, value size */
    int64_t block;            /* block size of the distribution */
    rls_workspace *workspace; /* shared scratch memory that outlives the state; NULL: the state has its own */
    int64_t delay; /* edits whose updates of C and W may be put off and applied together, for steps of
                      few edits; 0: none. 128 suits them; takes (n/p + n/q + m/q) delay elements */
} rls_editor_options;

/* A rank's share of a matrix of vectors: count vectors, each contiguous, float64 or float32. The global
 * matrix is the ranks' vectors in rank order; a rank may have none. */
typedef struct {
    int64_t count;
    rls_dtype dtype;
    const void *data;
} rls_vectors;

typedef enum { RLS_TARGET, RLS_RESIDUAL } rls_value_kind;

/* A batch of edits: keys (length n) and values (length m), equal counts on each rank.
 *
 * `each`: the batch is made of parts (the user's batches) of so many edits, counted over all ranks, the last
 * one perhaps of fewer; 0: it is one. A wide step costs less an edit than a narrow one and comes to the same
 * W and C; it reports on every part what stepping part by part would have said. */
typedef struct {
    rls_vectors keys, values;
    rls_value_kind kind; /* RLS_TARGET: values are V; RLS_RESIDUAL: V = W k + value with W as it is before the
                            edit's part */
    int64_t each;
    void *targets; /* for residuals, NULL or room for m x values.count elements of the state's type: gets V,
                      of which the step is then bit by bit the step that a batch of these targets would have
                      been */
} rls_batch;

/* What a step did with a part of its batch, W_{j-1} and W_j being the weights before and after the part.
 * Equal on all ranks. */
typedef struct {
    int64_t edits;            /* of the part, over all ranks */
    double innovation_before; /* ||V_j - W_{j-1} K_j||_F = ||H_j L_jj^T||_F */
    double innovation_after;  /* ||V_j - W_j K_j||_F = ||H_j L_jj^{-1}||_F */
    double objective_gain;    /* J_j(W_j) - J_{j-1}(W_{j-1}) = ||H_j||_F^2 */
    double objective;         /* J_j(W_j) */
    double trace;             /* of C after the part: ||G_j||_F^2 less than before it */
    double smallest_pivot;    /* of the Cholesky factorisation of S_j = L_jj L_jj^T; 1 or more in exact
                                 arithmetic */
} rls_step_report;

/* The parts of a batch of `edits` edits, `each` a part: 1 or more. Not collective. */
int64_t rls_editor_parts(int64_t edits, int64_t each);

/* Makes an empty workspace; it grows with the largest batch. Collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_workspace_create(rls_grid *grid, rls_workspace **out);

/* Frees it and sets *workspace to NULL. Not collective. NULL is accepted. */
void rls_workspace_destroy(rls_workspace **workspace);

/* Bytes on the fullest rank of a p x q grid: of the state (X and C) for u = 0, of the workspace for batches
 * of u > 0 edits and for making C_0. Not collective. */
double rls_editor_bytes(const rls_editor_options *options, int p, int q, int64_t u);

/* Makes a state with X = 0 and C = 0.
 * Collective. Returns RLS_ERR_USAGE (unknown rule, sizes), RLS_ERR_CONFIG (lambda, mu), RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_editor_create(rls_grid *grid, const rls_editor_options *options,
                                           rls_editor **out);

/* Frees the state and sets *editor to NULL. Collective. NULL is accepted. */
void rls_editor_destroy(rls_editor **editor);

/* The state's matrices: X = W^T [n, m], and C [n, n] of which only the lower triangle (global row >= column)
 * means anything: C is symmetric by construction. Updates that were put off are applied first. Not
 * collective, but for delay > 0 every rank must ask. They stay the editor's. */
rls_matrix *rls_editor_weight(rls_editor *editor);
rls_matrix *rls_editor_inv_cov(rls_editor *editor);

/* Takes what C's storage holds as the second moment M = E[k k^T] with weight w >= 0 (mu^2 w M joins A_0).
 * Collective. At most once, before rls_editor_anchor_keys and rls_editor_start. */
RLS_NODISCARD rls_status rls_editor_anchor_moment(rls_editor *editor, double weight);

/* Adds explicit anchor keys K_0 (vectors of length n), and their values V_0 (length m); NULL: V_0 = W_0 K_0.
 * Collective. Before rls_editor_start, after X holds W_0. All calls of one state have values or none has.
 * With values a temporary matrix of X's size lives until rls_editor_start.
 * Returns RLS_ERR_USAGE out of that order, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_editor_anchor_keys(rls_editor *editor, const rls_vectors *keys,
                                                const rls_vectors *values);

/* Builds C_0 = A_0^{-1} and X = X_0 + C_0 mu^2 K_0 (V_0 - W_0 K_0)^T (= W*_0^T) in place, by Cholesky.
 * Collective.
 * smallest_pivot, may be NULL: the smallest squared diagonal of the factor of A_0; set also on failure.
 * Returns RLS_ERR_MEMORY; RLS_ERR_NUMERIC when A_0 is singular to working precision: smallest pivot, in the
 * given order of rows or with any row put last, <= sqrt(n) eps max_i A_0(i,i). */
RLS_NODISCARD rls_status rls_editor_start(rls_editor *editor, double *smallest_pivot);

/* Applies one batch:
 *
 *     F = C K      S = I + K^T F = L L^T      E = V - W K      G = F L^{-T}      H = E L^{-T}
 *     C -= G G^T   W += H G^T
 *
 * Collective. A batch without edits changes nothing. About 3 n^2 u + 4 n m u flops over all ranks.
 * reports: room for rls_editor_parts(u, batch->each) of them. A part's columns of H and G, and its diagonal
 * block of L, are those of its own step. Residuals: H_j = R_j L_jj^{-T}, E = H L^T; with targets, 4 n m u
 * more.
 * Returns RLS_ERR_NUMERIC when S is not positive definite (C lost it): the state is then as before the step;
 * RLS_ERR_USAGE before rls_editor_start, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_editor_step(rls_editor *editor, const rls_batch *batch,
                                         rls_step_report *reports);

/* J_t(W_t), the objective's minimum now, from the steps' gains and the anchor's misfit. Not collective. */
double rls_editor_objective(const rls_editor *editor);

/* Takes what X and C hold (a checkpoint's matrices) as a started state, with the figures that go with it:
 * what rls_editor_objective and rls_editor_anchor_misfit returned when they were saved. Collective. Instead
 * of rls_editor_start. Returns RLS_ERR_USAGE after a start. */
RLS_NODISCARD rls_status rls_editor_restore(rls_editor *editor, double objective, double anchor_misfit);

/* mu^2 ||V_0 - W_0 K_0||_F^2 of the anchor keys with values; 0 without. Not collective. */
double rls_editor_anchor_misfit(const rls_editor *editor);

/* The batch's targets V [m, edits of this rank] in the state's type: its values, plus W k for residuals (of a
 * single part). Collective. The state is unchanged. targets: room for m x values.count elements. Returns
 * RLS_ERR_MEMORY, RLS_ERR_USAGE. */
RLS_NODISCARD rls_status rls_editor_targets(rls_editor *editor, const rls_batch *batch, void *targets);

/* sum ||V - W k||^2 and sum ||V||^2 over a batch of targets, with W as it is.
 * Collective. Equal on all ranks. The state is unchanged. Returns RLS_ERR_MEMORY, RLS_ERR_USAGE. */
RLS_NODISCARD rls_status rls_editor_misfit(rls_editor *editor, const rls_batch *batch, double *misfit2,
                                           double *values2);

#endif
