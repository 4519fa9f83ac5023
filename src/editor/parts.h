/*
 * The figures of the parts of a step. A step of u edits that is made of the user's batches j = 0, 1, ... of
 * `each` edits gives all that steps of these one by one would have said: with S = I + K^T C K = L L^T of the
 * whole step, L_jj is the Cholesky factor of the S that batch j alone would meet, and columns j of H = E
 * L^{-T} and G = F L^{-T} are its H_j and G_j. So with E_j = V_j - W_{j-1} K_j
 *
 *     E_j = H_j L_jj^T       V_j - W_j K_j = H_j L_jj^{-1}       trace C_j = trace C_{j-1} - ||G_j||^2
 */
#ifndef EDITOR_PARTS_H
#define EDITOR_PARTS_H

#include "editor/editor.h"

/* A part's edits [first, first + count) of a step of u. each > 0. Not collective. */
typedef struct {
    int64_t first, count;
} rls_part;
rls_part rls_part_of(int64_t u, int64_t each, int64_t part);

/* Columns of D formed at a time: the workspace's tile holds so many rows of u columns. */
enum { RLS_DELTA_COLUMNS = 256 };

/* Elements of type dtype that the figures of a step of u edits need to be worked out in: the workspace's sums
 * and tiles. Not collective. */
int64_t rls_parts_sums_elements(rls_dtype dtype, int64_t u);
int64_t rls_parts_tile_elements(int64_t u);

/* The step's residuals R in e_c, V_j = W_{j-1} K_j + R_j, become E = V - W K with W before the whole step:
 * H_j = R_j L_jj^{-T}, E = H L^T. L is in s. Uses h_c. Not collective. */
void rls_parts_join_residuals(rls_editor *editor, int64_t each);

/* What the reports come from is summed up in three calls, of which each takes what the panels hold at the
 * time: begin: E in e_c;   measure: G in f_r, H in e_c, h_c is overwritten;   report: V - W_t K in h_c. A
 * step of one part costs nothing but norms; of several, 2 m (each + u) u / p flops or less. The last one is
 * collective, one sum of 4 numbers a part and 2; trace_before, trace_after: this rank's part of C's. It adds
 * the gains to the objective. */
void rls_parts_begin(rls_editor *editor, int64_t each);
void rls_parts_measure(rls_editor *editor, int64_t each);
void rls_parts_report(rls_editor *editor, int64_t each, double trace_before, double trace_after,
                      rls_step_report *reports);

/* This rank's part of moved[j] = ||D_j||^2 - ||D_{j-1}||^2 where D_j = W_j - W_0 after part j, given
 * across[j] = <D, H_j G_j^T> with D after the whole step: 2 across[j] - <H_j G_j^T, H_j G_j^T + 2 sum_{i>j}
 * H_i G_i^T>. Reads across from moved and replaces it. (n/p + m/q) u^2 flops. Not collective. */
void rls_parts_moved(rls_editor *editor, int64_t each, double *moved);

#endif
