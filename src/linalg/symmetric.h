/*
 * Symmetric distributed matrices of which only the lower triangle (global row >= column) is stored
 * meaningfully. Working on one triangle keeps the matrix exactly symmetric by construction and saves a
 * quarter of the step's flops on it.
 */
#ifndef LINALG_SYMMETRIC_H
#define LINALG_SYMMETRIC_H

#include "grid/panel.h"
#include "linalg/matrix.h"

/* F = C K for a symmetric C [n, n] and K [n, u] given as row panel and column panel; F comes out as a row
 * panel. Collective over the grid. map: the layout of n, with room for u columns. Panels' type: C's.
 * f_col: a column panel to work in. 2 n^2 u flops over all ranks.
 * Local: F_r = tril(C) K_c, F_c = stril(C)^T K_r; then F_c is summed over the process column and folded into
 * F_r, and F_r summed over the process row. */
void rls_symmetric_multiply(const rls_matrix *c, rls_panel_map *map, int64_t u, const void *k_row,
                            const void *k_col, void *f_row, void *f_col);

/* tril(C) += alpha G G^T, G [n, u] given as both panels. Not collective. n^2 u flops over all ranks. */
void rls_symmetric_update(rls_matrix *c, int64_t u, double alpha, const void *g_row, const void *g_col);

/* Fills the strict upper triangle from the lower one, so that the whole matrix can be written or multiplied.
 * Collective; block by block to the owner of its transpose, in rounds that need little memory. Returns
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_symmetric_mirror(rls_matrix *c);

/* The same bit by bit, from the first column on: advance completes all columns below `columns`, which never
 * falls. Collective but for end, which sets *mirror to NULL and accepts NULL. Return RLS_ERR_MEMORY. */
typedef struct rls_mirror rls_mirror;
RLS_NODISCARD rls_status rls_mirror_begin(rls_matrix *c, rls_mirror **out);
RLS_NODISCARD rls_status rls_mirror_advance(rls_mirror *mirror, int64_t columns);
void rls_mirror_end(rls_mirror **mirror);

/* tril(C) = alpha tril(C) + shift I. Not collective. */
void rls_symmetric_scale_shift(rls_matrix *c, double alpha, double shift);

/* The largest diagonal element of a square matrix. Collective. Equal on all ranks. */
double rls_largest_diagonal(const rls_matrix *c);

/* The smallest squared diagonal element (a Cholesky factor's pivots), NaN if one is not a number. Collective.
 * Equal on all ranks. */
double rls_smallest_pivot(const rls_matrix *factor);

/* Element (i, i). Collective. Equal on all ranks. */
double rls_diagonal_element(const rls_matrix *c, int64_t i);

/* This rank's part of the trace. Not collective. */
double rls_local_trace(const rls_matrix *c);

#endif
