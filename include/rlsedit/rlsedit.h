/*
 * librlsedit: lifelong editing of language models by distributed recursive least squares.
 *
 * The library is called by MPI programs. It never calls MPI_Init, never touches MPI_COMM_WORLD, never prints
 * to stdout and never calls exit. Functions marked "Collective" are called by all ranks of the context
 * together; they return the same status on all of them, and rls_context_message() then tells what went wrong.
 *
 *     rls_context *ctx;  rls_context_create(comm, &ctx);            who works together
 *     rls_grid *grid;    rls_grid_create(ctx, 0, 0, &grid);         how they are arranged
 *     rls_editor *ed;    rls_editor_create(grid, &options, &ed);    the state of one weight
 *     ...                                                           its life: rlsedit/editor.h
 *     rls_editor_destroy(&ed); rls_grid_destroy(&grid); rls_context_destroy(&ctx);
 */
#ifndef RLSEDIT_RLSEDIT_H
#define RLSEDIT_RLSEDIT_H

#include "rlsedit/context.h"
#include "rlsedit/dtype.h"
#include "rlsedit/editor.h"
#include "rlsedit/grid.h"
#include "rlsedit/matrix.h"
#include "rlsedit/status.h"

#endif
