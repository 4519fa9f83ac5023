/* Inside view of the process grid. */
#ifndef GRID_GRID_H
#define GRID_GRID_H

#include "base/context.h"
#include "rlsedit/grid.h"

struct rls_grid {
    rls_context *ctx;
    int p, q;          /* process rows, process columns */
    int row, col;      /* this rank's place; rank = row * q + col */
    MPI_Comm row_comm; /* the ranks of this process row, in order of their column */
    MPI_Comm col_comm; /* the ranks of this process column, in order of their row */
    MPI_Comm comm;     /* all ranks, for BLACS */
    int blacs_handle, blacs_context;
    void *scratch; /* room for the threads of local work, see linalg/tiles_room.h */
    int scratch_threads;
};

/* Process rows of the automatic grid, the most square p x q with p <= q: C's traffic n/p + 2n/q + m/q is
 * smallest there, and ScaLAPACK's Cholesky likes it. Not collective. */
int rls_grid_automatic_rows(int ranks);

#endif
