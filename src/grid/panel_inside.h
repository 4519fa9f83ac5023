/* Inside view of panels: what exchanging them (panel.c) and dealing vectors to them (deal.c) share. */
#ifndef GRID_PANEL_INSIDE_H
#define GRID_PANEL_INSIDE_H

#include "grid/panel.h"

/* Tags of the messages between two ranks of the grid. */
enum { RLS_DEALING_TAG = 1, RLS_EXCHANGE_TAG = 2 };

static inline MPI_Datatype rls_mpi_type(rls_dtype dtype)
{
    return dtype == RLS_F64 ? MPI_DOUBLE : MPI_FLOAT;
}

/* Indices of block ib. */
static inline int64_t rls_block_size(rls_dim d, int64_t ib)
{
    const int64_t rest = d.n - ib * d.block;
    return rest < d.block ? rest : d.block;
}

/* Of u columns divided evenly among `ranks`, those of rank t begin here, and end where t + 1's begin. */
static inline int64_t rls_column_start(int64_t u, int ranks, int t)
{
    return u * t / ranks;
}

#endif
