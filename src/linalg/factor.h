/* Symmetric distributed matrices, kept by their lower triangles: inverse, and product with a matrix. */
#ifndef LINALG_FACTOR_H
#define LINALG_FACTOR_H

#include "linalg/matrix.h"

/* The lower triangle of a symmetric positive definite A [n, n] becomes that of A^{-1}. Collective. n^3 flops
 * over all ranks, nearly all of them in products of large matrices: see invert.c.
 * smallest_pivot: the smallest squared diagonal of the Cholesky factor; on failure the pivot it failed at.
 * Returns RLS_ERR_MEMORY; RLS_ERR_NUMERIC, with the pivot in the message, when A is not positive definite or
 * singular to working precision: the smallest pivot, in the given order of rows or with any row put last
 * (1 / max_i A^{-1}(i,i)), <= sqrt(n) eps max_i A(i,i); A is destroyed then.
 */
RLS_NODISCARD rls_status rls_spd_invert(rls_matrix *a, double *smallest_pivot);

/* The same `width` columns at a time (0: as many as are best). */
RLS_NODISCARD rls_status rls_spd_invert_by(rls_matrix *a, int64_t width, double *smallest_pivot);

/* Bytes that rls_spd_invert allocates for a matrix [n, n] on the fullest rank of a p x q grid. Not
 * collective. */
double rls_spd_invert_bytes(rls_dtype dtype, int64_t n, int64_t block, int p, int q);

/* C = alpha A B + beta C, A symmetric [n, n] (lower triangle), B and C [n, m] (p?symm). Collective. 2 n^2 m
 * flops over all ranks. Returns RLS_ERR_INTERNAL for shapes, blocks or types that do not fit. */
RLS_NODISCARD rls_status rls_symmetric_times_matrix(double alpha, const rls_matrix *a, const rls_matrix *b,
                                                    double beta, rls_matrix *c);

#endif
