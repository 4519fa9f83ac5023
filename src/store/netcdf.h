/* What streams and second moments share: PnetCDF's files, hints and errors, and variables named by layer. */
#ifndef STORE_NETCDF_H
#define STORE_NETCDF_H

#include <pnetcdf.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"
#include "base/dtype.h"
#include "store/cdf.h"

enum {
    RLS_MODULE_MAX = 512,             /* characters of the attribute `module`, with the NUL */
    RLS_FORMAT_VERSION = 1,           /* of streams and second moments */
    RLS_LINE_ELEMENTS_MAX = 64 << 20, /* of a vector or matrix row: keeps one float64 line below 1 GiB */
};

/* Records a PnetCDF error `err` at path (and variable, may be NULL) while doing something ("read", "write",
 * ...); RLS_OK for NC_NOERR. Not collective. Returns RLS_ERR_DATA for errors of the file's contents or
 * values, RLS_ERR_IO for all others. */
RLS_NODISCARD rls_status rls_nc_check(rls_context *ctx, int err, const char *doing, const char *path,
                                      const char *variable);

/* Opens a file for reading by all ranks (its header was checked with rls_cdf_read before).
 * Collective. On failure *ncid is not to be closed. Returns what rls_nc_check makes of the error. */
RLS_NODISCARD rls_status rls_nc_open(rls_context *ctx, const char *path, int *ncid);

/* Creates a CDF-5 file, replacing one that is there; in define mode.
 * Collective. On failure *ncid is not to be closed. */
RLS_NODISCARD rls_status rls_nc_create(rls_context *ctx, const char *path, int *ncid);

/* Ends writing: flushes to the device and closes; a file that failed on some rank (local != RLS_OK) is
 * removed. Collective, also for ranks that failed before. Returns the agreement on local and on closing. */
RLS_NODISCARD rls_status rls_nc_finish(rls_context *ctx, rls_status local, const char *path, int ncid);

/* The same without flushing to the device, which the caller does later (rls_files_sync). */
RLS_NODISCARD rls_status rls_nc_release(rls_context *ctx, rls_status local, const char *path, int ncid);

/* Collective get and put of `count` rows of a two-dimensional variable from row `first`, of row length
 * `length`, all in memory of the dtype (float64 or float32). A rank with count 0 takes part. Below 1 GiB a
 * call. Return PnetCDF's error. */
int rls_nc_get_rows(int ncid, int varid, rls_dtype dtype, int64_t first, int64_t count, int64_t length,
                    void *rows);
int rls_nc_put_rows(int ncid, int varid, rls_dtype dtype, int64_t first, int64_t count, int64_t length,
                    const void *rows);

/* The PnetCDF type of float64 or float32. Not collective. */
nc_type rls_nc_type(rls_dtype dtype);

/* Puts the attributes format, version and module. Collective; returns PnetCDF's error. */
int rls_nc_put_format(int ncid, const char *format, const char *module);

/* Checks the attributes format and version, and reads module[RLS_MODULE_MAX].
 * Not collective. Returns RLS_ERR_DATA, naming what was found and what is supported. */
RLS_NODISCARD rls_status rls_nc_check_format(rls_context *ctx, const rls_cdf *cdf, const char *format,
                                             char *module);

/* float64 or float32 of a variable. Not collective. Returns RLS_ERR_DATA for any other type. */
RLS_NODISCARD rls_status rls_nc_dtype(rls_context *ctx, const rls_cdf *cdf, const rls_cdf_var *var,
                                      rls_dtype *dtype);

/* Whether name is prefix and a layer number as "%d" prints it ("key_12"), and which. Not collective. */
bool rls_nc_layer_name(const char *name, const char *prefix, int *layer);

/* Structures that begin with an `int layer` member: order for qsort, the list "0, 1, 5" as text, and the one
 * of a layer (NULL when there is none). Not collective. */
int rls_layer_compare(const void *a, const void *b);
const char *rls_layers_text(const void *layers, int count, size_t size, char text[256]);
const void *rls_layer_find(const void *layers, int count, size_t size, int layer);

/* Gives every rank what rank 0 read: a structure of info_bytes, which has the number of its layers at
 * *layer_count inside it, and the array of its layers of `size` bytes each: rank 0's *layers, allocated on
 * the others. A pointer inside the structure is to be set again. Collective; read: rank 0's status so far.
 * Returns the agreement on that, or RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_nc_share_header(rls_context *ctx, rls_status read, void *info, size_t info_bytes,
                                             const int *layer_count, size_t size, void **layers);

#endif
