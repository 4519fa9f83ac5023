/*
 * Panels: skinny matrices [n, u] aligned with a distributed matrix. A row panel holds on each rank the rows
 * that its process row owns (replicated over the process columns), a column panel those that its process
 * column owns of the same n indices (replicated over the process rows). Both are column-major with the local
 * row count as leading dimension, float64 or float32.
 */
#ifndef GRID_PANEL_H
#define GRID_PANEL_H

#include <stdbool.h>

#include "base/dtype.h"
#include "grid/grid.h"
#include "grid/layout.h"

/* How n indices lie in row panels and in column panels, and the buffers that take one to the other.
 *
 * With g = gcd(p, q), process row a and process column b own common indices where a = b (mod g): a process
 * column's indices lie in p / g process rows. Its ranks exchange panels straight among themselves when these
 * are all rows or every second. Otherwise few of them would send all, while q ranks hold every row panel:
 * then rank (a, c) sends its row's part of the panel of process column b = a mod g + g (c / g), those columns
 * that p / g ranks of it take, its partners, and the process column gathers. */
typedef struct {
    const rls_grid *grid;
    rls_dim row, col;             /* n dealt to process rows, and to process columns */
    int64_t row_local, col_local; /* this rank's share of each */
    int64_t *overlap;             /* per process row a: how many indices a and this process column both own */
    int common;                   /* g */
    int partners;                 /* p / g */
    int partner_col, first_partner_row; /* where this rank's partners are: column, first row */
    int64_t shared;                     /* indices that their process column and this process row both own */
    int *counts;                        /* of the ranks of a process column or row, for MPI */
    int *starts;
    int *shares; /* per rank, what it gathers of all: its vectors, and its status */
    MPI_Request *requests;
    bool straight;
    void *work;  /* borrowed, see rls_panel_map_buffers: col_local x u, or 2 col_local x u / p */
    void *piece; /* overlap[own row] x u, or shared x u / g */
    rls_dtype dtype;
    double sent_bytes; /* payload of what this rank took part in, summed up; small numbers not counted */
} rls_panel_map;

/* Lays out n indices in blocks. Not collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_panel_map_init(rls_panel_map *map, const rls_grid *grid, int64_t n,
                                            int64_t block, rls_dtype dtype);
void rls_panel_map_free(rls_panel_map *map);

/* Elements of buffer that folding and exchanging panels of u columns need. Not collective. */
int64_t rls_panel_map_elements(const rls_panel_map *map, int64_t u);

/* Lends the map that many elements at `buffer`, until other ones are lent. Not collective. */
void rls_panel_map_buffers(rls_panel_map *map, int64_t u, void *buffer);

typedef enum { RLS_ROW_PANEL, RLS_COL_PANEL } rls_panel_side;

/* Deals vectors (this rank's `count` ones, each of length n, contiguous, of type src_dtype) to a row or a
 * column panel of map->dtype; the panel's columns are the vectors in rank order. The panel may be NULL where
 * this rank owns no index. Collective over all ranks of the grid. Returns RLS_ERR_MEMORY.
 *
 * In two stages: the u columns are divided evenly among the q ranks of a process row (the p of a process
 * column), each gets its columns' rows from those that have the vectors, and they gather the panel. With
 * equal shares a rank sends n/P u elements to p (q) ranks, then takes part in a gather of n/p u (n/q u): its
 * messages grow like p + q, not P. */
RLS_NODISCARD rls_status rls_vectors_to_panel(rls_panel_map *map, rls_panel_side side, int64_t count,
                                              rls_dtype src_dtype, const void *vectors, void *panel);

/* The inverse for a column panel: this rank's `count` columns (in rank order) of the panel, as contiguous
 * vectors of length n and type map->dtype. Collective over all ranks of the grid. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_panel_to_vectors(rls_panel_map *map, int64_t count, const void *col_panel,
                                              void *vectors);

/* row_panel += the sum over the process column of col_panel, for some of the indices and columns of both, so
 * that summed over the process row afterwards, every element has come in once. Collective over all ranks of
 * the grid. Lend buffers first. A reduce-scatter of n/q u elements over the process column; when not
 * straight, then p / g messages of n/q u/p elements together. */
void rls_panel_fold_col_into_row(rls_panel_map *map, int64_t u, const void *col_panel, void *row_panel);

/* The column panel of the matrix whose row panel is given. Collective over all ranks of the grid. Lend
 * buffers first. The same way back, with a gather at the end. */
void rls_panel_row_to_col(rls_panel_map *map, int64_t u, const void *row_panel, void *col_panel);

/* Sums `count` elements over comm, in place, in messages below 1 GiB. Collective over comm. Returns the
 * payload's bytes (0 alone). */
double rls_panel_sum(MPI_Comm comm, rls_dtype dtype, void *data, int64_t count);

/* Sums the lower triangles of a symmetric matrix S [u, u], leading dimension u, over comm, in place; what is
 * above the diagonal becomes 0. Collective over comm. Returns the payload's bytes, u (u + 1) / 2 elements (0
 * alone). */
double rls_panel_sum_triangle(MPI_Comm comm, rls_dtype dtype, int64_t u, void *s);

#endif
