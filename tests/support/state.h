/* States made from dense data that every rank holds: grids, matrices, batches, and reading results back. */
#ifndef SUPPORT_STATE_H
#define SUPPORT_STATE_H

#include "rlsedit/rlsedit.h"
#include "support/dense.h"

/* A test that gets a fresh context of all ranks in *state. */
#define context_test(function) cmocka_unit_test_setup_teardown(function, context_setup, context_teardown)
int context_setup(void **state);
int context_teardown(void **state);

/* Calls work for every p x q grid of the ranks of ctx (1xP, Px1 and those between). Collective. */
void each_grid(rls_context *ctx, void (*work)(rls_grid *grid, void *user), void *user);

/* The matrix gets the dense column-major values, of its global shape; and the other way round (dense on every
 * rank). Collective where it reads back. */
void matrix_from_dense(rls_matrix *matrix, const double *dense);
void matrix_to_dense(rls_context *ctx, rls_matrix *matrix, double *dense);

/* The whole symmetric matrix from its lower triangle. */
void symmetric_to_dense(rls_context *ctx, rls_matrix *matrix, double *dense);

/* This rank's share of columns [first, first + count) of a dense float64 matrix, dealt out unevenly on
 * purpose: ranks in turn take 1, 2, 0 more than an equal share would give, the last one the rest. */
rls_vectors share_of(rls_context *ctx, const double *dense, int64_t length, int64_t first, int64_t count);

/* A started state of the problem's anchor. Collective; asserts success. */
rls_editor *editor_for(rls_grid *grid, const dense_problem *p, rls_dtype dtype, int64_t block);

/* Steps through edits [first, last) in batches of `batch`. Collective; asserts success. */
void apply_edits(rls_editor *editor, rls_context *ctx, const dense_problem *p, int64_t first, int64_t last,
                 int64_t batch);

/* ||X - X_0 - delta||_F / ||delta||_F. Collective. */
double delta_error(rls_context *ctx, rls_editor *editor, const dense_problem *p, const double *delta);

/* ||a - b||_F / ||b||_F of dense arrays. */
double relative_difference(const double *a, const double *b, int64_t count);

#endif
