/*
 * Sums of outer products: a symmetric matrix C [n, n], kept by its lower triangle, to which vectors that come
 * dealt over the ranks in any numbers are added, in updates wide enough for the BLAS: C += K K^T.
 */
#ifndef LINALG_ACCUMULATE_H
#define LINALG_ACCUMULATE_H

#include "linalg/matrix.h"
#include "rlsedit/editor.h"

typedef struct rls_accumulator rls_accumulator;

/* Vectors of one update over all ranks. */
enum { RLS_ACCUMULATE_WIDTH = 1024 };

/* Makes the buffers for adding to symmetric matrices [n, n] of that block size and type, `width` vectors (0:
 * RLS_ACCUMULATE_WIDTH) at a time. Collective. Returns RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_accumulator_create(rls_grid *grid, rls_dtype dtype, int64_t n, int64_t block,
                                                int64_t width, rls_accumulator **out);

/* Frees them and sets *accumulator to NULL. Not collective. NULL is accepted. */
void rls_accumulator_destroy(rls_accumulator **accumulator);

/* Bytes they take on the fullest rank of a p x q grid, what an update allocates besides included. Not
 * collective. */
double rls_accumulator_bytes(rls_dtype dtype, int64_t n, int64_t block, int64_t width, int p, int q);

/* tril(C) += K K^T for the vectors of all ranks: this rank's in any number, 0 too, of length n, float64 or
 * float32 (added up in C's type). C is of the size, block size and type given when the buffers were made.
 * n^2 k flops over all ranks for k vectors. Many vectors in one call are better than a few in many, whose
 * updates are narrow. Collective. Returns RLS_ERR_MEMORY; C's contents are undefined then. */
RLS_NODISCARD rls_status rls_accumulate(rls_accumulator *accumulator, rls_matrix *c, const rls_vectors *keys);

/* *change = ||alpha A - beta B||_F and *norm = ||alpha A||_F for symmetric matrices of equal layout, kept by
 * their lower triangles; summed in float64. Collective. Equal on all ranks. */
void rls_symmetric_change(const rls_matrix *a, double alpha, const rls_matrix *b, double beta, double *change,
                          double *norm);

#endif
