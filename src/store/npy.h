/* The header of a NumPy array (.npy, versions 1.0, 2.0 and 3.0), as numpy.lib.format describes it. */
#ifndef STORE_NPY_H
#define STORE_NPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

enum { RLS_NPY_DIMS = 8, RLS_NPY_PREFIX = 12, RLS_NPY_HEADER_MAX = 1 << 16 };

typedef struct {
    char type[16]; /* descr, as "<f4"; "" for one that is no simple type */
    bool fortran;  /* column by column */
    int dims;
    int64_t shape[RLS_NPY_DIMS];
    int64_t begin; /* bytes of the header: where the elements are */
    int64_t count; /* elements */
} rls_npy;

/* Bytes of the whole header from its first RLS_NPY_PREFIX bytes (length: how many of them there are). Not
 * collective. name: for messages. Returns RLS_ERR_DATA when it is no array or of an unknown version. */
RLS_NODISCARD rls_status rls_npy_header_bytes(rls_context *ctx, const char *name, const unsigned char *bytes,
                                              int64_t length, int64_t *header);

/* Reads the header from its bytes, all of them. Not collective. Returns RLS_ERR_DATA saying what is wrong. */
RLS_NODISCARD rls_status rls_npy_parse(rls_context *ctx, const char *name, const unsigned char *bytes,
                                       int64_t length, rls_npy *out);

/* The size of an element of a little-endian type of that kind ('f', 'i', 'u'), 0 for any other. Not
 * collective. */
int64_t rls_npy_element(const rls_npy *npy, char kind);

#endif
