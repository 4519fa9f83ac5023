/* Inside view of a distributed matrix. */
#ifndef LINALG_MATRIX_H
#define LINALG_MATRIX_H

#include "grid/redistribute.h"
#include "rlsedit/matrix.h"

struct rls_matrix {
    rls_grid *grid;
    rls_cyclic part;    /* layout and local data */
    int64_t rows, cols; /* global sizes */
    int64_t rows_local, cols_local;
};

/* The leading dimension for that many rows: a column takes an odd number of cache lines. With a power of two,
 * equal rows of all columns fall into the same few places of the caches, and BLAS, which reads across
 * columns, runs at two thirds of its speed. Not collective. */
int64_t rls_leading_dimension(int64_t rows, rls_dtype dtype);

/* Elements that the local part takes, padding between columns (always 0) included. Not collective. */
int64_t rls_matrix_storage(const rls_matrix *matrix);

/* <A, B> = sum A(i,j) B(i,j) in float64, for matrices of equal layout. Collective. Equal on all ranks. */
double rls_matrix_dot(const rls_matrix *a, const rls_matrix *b);

#endif
