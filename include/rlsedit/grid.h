/* The process grid: p x q ranks in row-major order, on which every matrix is dealt out. */
#ifndef RLSEDIT_GRID_H
#define RLSEDIT_GRID_H

#include "rlsedit/context.h"

typedef struct rls_grid rls_grid;

/* Makes a grid of all ranks of the context.
 * Collective.
 * p, q: process rows and columns with p * q = ranks; p = q = 0 chooses the most square shape with p <= q.
 * Returns RLS_ERR_USAGE when p * q is not the number of ranks. */
RLS_NODISCARD rls_status rls_grid_create(rls_context *ctx, int p, int q, rls_grid **out);

/* Frees the grid and sets *grid to NULL. Collective. NULL is accepted. */
void rls_grid_destroy(rls_grid **grid);

/* Process rows, process columns, and this rank's place. Not collective. Any pointer may be NULL. */
void rls_grid_shape(const rls_grid *grid, int *p, int *q, int *row, int *col);

/* The context it was made from. Not collective. */
rls_context *rls_grid_context(const rls_grid *grid);

#endif
