/*
 * The local kernels: every product that a step spends its time in, on one rank's data, for float64 and
 * float32. A device backend would replace this file's functions.
 *
 * Matrices are column-major with leading dimensions. Sizes must fit an int (matrices and panels are checked
 * when they are made). No function is collective.
 */
#ifndef LINALG_KERNELS_H
#define LINALG_KERNELS_H

#include <stdint.h>

#include "rlsedit/dtype.h"

/* C = alpha op(A) op(B) + beta C, op(A) [m, k], op(B) [k, n]; op is 'N' or 'T'. 2 m n k flops. */
void rls_gemm(rls_dtype dtype, char opa, char opb, int64_t m, int64_t n, int64_t k, double alpha,
              const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c, int64_t ldc);

/* B = B L^{-T} (trans = 'T') or B L^{-1} ('N'), B [m, u], L lower triangular [u, u]. m u^2 flops. */
void rls_solve_right(rls_dtype dtype, char trans, int64_t m, int64_t u, const void *l, int64_t ldl, void *b,
                     int64_t ldb);

/* The lower triangle of S [u, u] becomes L with S = L L^T. Returns 0, or the order of the first minor that is
 * not positive definite. */
int rls_cholesky(rls_dtype dtype, int64_t u, void *s, int64_t lds);

/* C += A B, A [m, m] symmetric of which the lower triangle is read, B and C [m, n]. 2 m^2 n flops. */
void rls_symm(rls_dtype dtype, int64_t m, int64_t n, const void *a, int64_t lda, const void *b, int64_t ldb,
              void *c, int64_t ldc);

/* x = alpha x; y = y + alpha x; y = a - y; x . y, summed in float64: n elements, contiguous. */
void rls_scale(rls_dtype dtype, int64_t n, double alpha, void *x);
void rls_axpy(rls_dtype dtype, int64_t n, double alpha, const void *x, void *y);
void rls_subtract_from(rls_dtype dtype, int64_t n, const void *a, void *y);
double rls_dot(rls_dtype dtype, int64_t n, const void *x, const void *y);

/* Sum of squares of an [m, n] array, in float64. */
double rls_sum_squares(rls_dtype dtype, int64_t m, int64_t n, const void *a, int64_t lda);

/* Element i of an array as float64, and setting it. */
double rls_get(rls_dtype dtype, const void *a, int64_t i);
void rls_set(rls_dtype dtype, void *a, int64_t i, double value);

/* The address of element i. */
void *rls_at(rls_dtype dtype, const void *a, int64_t i);

#endif
