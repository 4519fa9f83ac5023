/*
 * Second-moment files (CDF-5): per layer second_moment_<l>(n, n), the mean of k k^T over a text corpus, and
 * count_<l>, the keys it was taken over; global attributes format = "rlsedit-moments", version = 1, module.
 */
#ifndef STORE_MOMENTS_H
#define STORE_MOMENTS_H

#include "rlsedit/matrix.h"
#include "store/netcdf.h"

typedef struct rls_moments rls_moments;

typedef struct {
    int layer;
    int64_t n;
    int64_t count; /* keys seen */
    rls_dtype dtype;
} rls_moments_layer;

typedef struct {
    int64_t bytes;
    char module[RLS_MODULE_MAX];
    int layer_count;
    rls_moments_layer *layers; /* in increasing order of their numbers */
} rls_moments_info;

/* Opens a file of second moments and checks its header and size.
 * Collective. On failure *out is NULL.
 * Returns RLS_ERR_DATA for a missing, foreign, damaged or truncated file, a missing or misshaped variable or
 * attribute, or a count below 1; RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_moments_open(rls_context *ctx, const char *path, rls_moments **out);

/* Closes the file and sets *moments to NULL. Collective. NULL is accepted. */
void rls_moments_close(rls_moments **moments);

/* What the file holds. Not collective. It stays the file's. */
const rls_moments_info *rls_moments_inquire(const rls_moments *moments);

/* Fills matrix [n, n] with the second moment of a layer, converted to its type.
 * Collective; in rounds that need little memory. On failure the matrix's contents are undefined.
 * Row i of the file becomes column i of the matrix, which is the same by symmetry: the lower triangle, the
 * one that the editor uses, is the file's upper triangle. Returns RLS_ERR_DATA for a layer that is not there
 * (with those that are), another n than the matrix's, a value that is not a finite number of the matrix's
 * type (row and column named), a diagonal below 0, or a matrix that is not symmetric: ||(M - M^T) y|| > 1e-4
 * ||M||_F with one vector y of random signs, whose expected square is ||M - M^T||_F^2 (Freivalds 1977);
 * RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_moments_load(rls_moments *moments, int layer, rls_matrix *matrix);

/* Writes second moments to the file at path, replacing one that is there, and flushes it to the device.
 * Collective.
 * layers, matrices [n, n], counts: of layer_count layers, in any order; each is stored in its matrix's type.
 * The whole matrix is written: filling both triangles is the caller's. Returns RLS_ERR_USAGE for matrices
 * that are not square, RLS_ERR_IO, RLS_ERR_MEMORY. After a failure there is no file. */
RLS_NODISCARD rls_status rls_moments_write(rls_context *ctx, const char *path, const char *module,
                                           int layer_count, const int *layers, rls_matrix *const *matrices,
                                           const int64_t *counts);

#endif
