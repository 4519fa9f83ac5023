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

#endif
