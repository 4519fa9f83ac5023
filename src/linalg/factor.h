/* Distributed factorisations, by ScaLAPACK. */
#ifndef LINALG_FACTOR_H
#define LINALG_FACTOR_H

#include "linalg/matrix.h"

/* The lower triangle of a symmetric positive definite A [n, n] becomes that of A^{-1} (p?potrf, p?potri).
 * Collective. n^3 flops over all ranks.
 * smallest_pivot: the smallest squared diagonal of the Cholesky factor; on failure the pivot it failed at.
 * Returns RLS_ERR_NUMERIC, with the pivot in the message, when A is not positive definite or singular to
 * working precision: the smallest pivot, in the given order of rows or with any row put last (1 / max_i
 * A^{-1}(i,i)), <= sqrt(n) eps max_i A(i,i); A is destroyed then.
 */
RLS_NODISCARD rls_status rls_spd_invert(rls_matrix *a, double *smallest_pivot);

/* C = alpha A B + beta C, A symmetric [n, n] (lower triangle), B and C [n, m] (p?symm). Collective. 2 n^2 m
 * flops over all ranks. Returns RLS_ERR_INTERNAL for shapes, blocks or types that do not fit. */
RLS_NODISCARD rls_status rls_symmetric_times_matrix(double alpha, const rls_matrix *a, const rls_matrix *b,
                                                    double beta, rls_matrix *c);

#endif
