/* A distributed matrix: [rows, cols], block-cyclic on a grid, column-major on each rank, float64 or float32. */
#ifndef RLSEDIT_MATRIX_H
#define RLSEDIT_MATRIX_H

#include <stdint.h>

#include "rlsedit/dtype.h"
#include "rlsedit/grid.h"

typedef struct rls_matrix rls_matrix;

/* Makes a matrix of zeros.
 * Collective.
 * rows, cols: global sizes >= 1; block: the square block size >= 1; dtype: RLS_F64 or RLS_F32.
 * Returns RLS_ERR_USAGE for other arguments, RLS_ERR_MEMORY when a rank has no room or its part has 2^31
 * elements or more. */
RLS_NODISCARD rls_status rls_matrix_create(rls_grid *grid, rls_dtype dtype, int64_t rows, int64_t cols,
                                           int64_t block, rls_matrix **out);

/* Frees the matrix and sets *matrix to NULL. Not collective. NULL is accepted. */
void rls_matrix_destroy(rls_matrix **matrix);

/* The local part: element (il, jl) is data[il + jl * ld], of the matrix's dtype. Not collective. Any pointer
 * may be NULL. */
void *rls_matrix_local(rls_matrix *matrix, int64_t *rows, int64_t *cols, int64_t *ld);

/* The global row of local row il, and the global column of local column jl, on this rank. Not collective. */
int64_t rls_matrix_global_row(const rls_matrix *matrix, int64_t il);
int64_t rls_matrix_global_col(const rls_matrix *matrix, int64_t jl);

/* Global sizes and element type. Not collective. */
int64_t rls_matrix_rows(const rls_matrix *matrix);
int64_t rls_matrix_cols(const rls_matrix *matrix);
rls_dtype rls_matrix_dtype(const rls_matrix *matrix);

/* Frobenius norm, summed in float64. Collective. Equal on all ranks. */
RLS_NODISCARD rls_status rls_matrix_norm(const rls_matrix *matrix, double *norm);

#endif
