/*
 * The header of a classic netCDF file (CDF-1, CDF-2, CDF-5), read without a netCDF library.
 *
 * PnetCDF 1.12.3 crashes or loops on damaged headers, and reads zeros beyond the end of a truncated file. So
 * every input file is read and checked here first, and PnetCDF opens only files whose header is sound and
 * whose data are all there. It also lets thousands of segments be checked by plain reads, each by one rank.
 * Format: The NetCDF Classic Format Specification, NetCDF User's Guide, appendix B; CDF-5 from PnetCDF's.
 */
#ifndef STORE_CDF_H
#define STORE_CDF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum { RLS_CDF_NAME_MAX = 64 };

/* External types, numbered as in the file. */
typedef enum {
    RLS_CDF_BYTE = 1,
    RLS_CDF_CHAR = 2,
    RLS_CDF_SHORT = 3,
    RLS_CDF_INT = 4,
    RLS_CDF_FLOAT = 5,
    RLS_CDF_DOUBLE = 6,
    RLS_CDF_UBYTE = 7,
    RLS_CDF_USHORT = 8,
    RLS_CDF_UINT = 9,
    RLS_CDF_INT64 = 10,
    RLS_CDF_UINT64 = 11
} rls_cdf_type;

/* Names longer than RLS_CDF_NAME_MAX - 1 are kept as "": no name this program looks for is that long. */
typedef struct {
    char name[RLS_CDF_NAME_MAX];
    int64_t length; /* of the record dimension: the number of records */
    bool record;    /* unlimited */
} rls_cdf_dim;

typedef struct {
    char name[RLS_CDF_NAME_MAX];
    rls_cdf_type type;
    int64_t count;
    const unsigned char *values; /* big-endian, in the header's bytes */
} rls_cdf_att;

typedef struct {
    char name[RLS_CDF_NAME_MAX];
    rls_cdf_type type;
    int dim_count;
    int64_t dims[2]; /* the first two dimensions */
    int64_t begin;   /* offset of its data in the file */
    int64_t bytes;   /* of the whole variable, or of one record, without padding */
    bool record;
} rls_cdf_var;

typedef struct {
    const char *path; /* the caller's, for messages */
    int version;      /* 1, 2 or 5 */
    int64_t file_bytes, records, record_bytes;
    int64_t dim_count, att_count, var_count;
    rls_cdf_dim *dims;
    rls_cdf_att *atts; /* global */
    rls_cdf_var *vars;
    unsigned char *bytes; /* the header as read */
} rls_cdf;

/* Reads and checks the header of the file at path, and that the file holds all the data the header announces.
 * Not collective. path must outlive *out. Free with rls_cdf_free, also after a failure.
 * Returns RLS_ERR_DATA for a missing, foreign, damaged or truncated file, RLS_ERR_IO when it cannot be read,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_cdf_read(rls_context *ctx, const char *path, rls_cdf *out);

/* The same from bytes in memory, the first `length` of a file of file_bytes; they are not kept, attribute
 * values point into them. Not collective. *more is set when the header goes on beyond length: call again with
 * more bytes. */
RLS_NODISCARD rls_status rls_cdf_parse(rls_context *ctx, const char *path, const unsigned char *bytes,
                                       int64_t length, int64_t file_bytes, rls_cdf *out, bool *more);

/* Frees what a header holds. Not collective. */
void rls_cdf_free(rls_cdf *cdf);

/* The variable of a name, NULL when there is none. Not collective. */
const rls_cdf_var *rls_cdf_find(const rls_cdf *cdf, const char *name);

/* A global text attribute into text[size]; with optional, a missing one gives "".
 * Not collective. Returns RLS_ERR_DATA when it is missing, not text or too long. */
RLS_NODISCARD rls_status rls_cdf_text(rls_context *ctx, const rls_cdf *cdf, const char *name, bool optional,
                                      char *text, size_t size);

/* A global attribute of one integer (any integer type); with optional, a missing one leaves *value.
 * Not collective. Returns RLS_ERR_DATA when it is missing or not one integer. */
RLS_NODISCARD rls_status rls_cdf_integer(rls_context *ctx, const rls_cdf *cdf, const char *name,
                                         bool optional, int64_t *value);

#endif
