/* Distributed matrices in netCDF variables. */
#ifndef STORE_NETCDF_MATRIX_H
#define STORE_NETCDF_MATRIX_H

#include "linalg/matrix.h"
#include "store/netcdf.h"

/* Writes a matrix [rows, cols] to variable varid [cols, rows]: a column of the matrix is a row of the
 * variable, in the matrix's type. Collective; in rounds of RLS_ROUND_BYTES a rank. Returns RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_nc_store_matrix(rls_context *ctx, int ncid, int varid, const char *path,
                                             const rls_matrix *matrix);

/* The inverse: fills the matrix from a variable of that shape and the matrix's type. Collective. Errors as
 * above. */
RLS_NODISCARD rls_status rls_nc_load_matrix(rls_context *ctx, int ncid, int varid, const char *path,
                                            rls_matrix *matrix);

#endif
