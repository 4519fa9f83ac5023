/* Distributed matrices in netCDF variables. */
#ifndef STORE_NETCDF_MATRIX_H
#define STORE_NETCDF_MATRIX_H

#include "linalg/matrix.h"
#include "store/digest.h"
#include "store/netcdf.h"

/* Writes a matrix [rows, cols] to variable varid [cols, rows]: a column of the matrix is a row of the
 * variable, in the matrix's type. Collective; in rounds that need little memory. What is written is on its
 * way to the disk at once. digest: of the file, advanced with it; may be NULL. Returns RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_nc_store_matrix(rls_context *ctx, int ncid, int varid, const char *path,
                                             const rls_matrix *matrix, rls_digest_writer *digest);

/* The same for a symmetric matrix of which the lower triangle counts: the upper one is filled in on the way.
 */
RLS_NODISCARD rls_status rls_nc_store_symmetric(rls_context *ctx, int ncid, int varid, const char *path,
                                                rls_matrix *matrix, rls_digest_writer *digest);

/* The inverse: fills the matrix from a variable of that shape and the matrix's type. digest: of the file,
 * advanced as it is read; may be NULL. Collective. Errors as above. */
RLS_NODISCARD rls_status rls_nc_load_matrix(rls_context *ctx, int ncid, int varid, const char *path,
                                            rls_matrix *matrix, rls_digest_writer *digest);

/* Looks at what a round has read: rows [first, first + count) of the variable, in the file's type, count may
 * be 0. Called by all ranks; returns the same on all. */
typedef rls_status rls_nc_look(void *user, int64_t first, int64_t count, const void *rows);

/* The same from a variable of type `stored`, converted to the matrix's. look: called with every round's rows
 * before they go to the matrix; what it returns ends the loading. Collective. */
RLS_NODISCARD rls_status rls_nc_load_converted(rls_context *ctx, int ncid, int varid, const char *path,
                                               rls_dtype stored, rls_matrix *matrix, rls_nc_look *look,
                                               void *user);

#endif
