/*
 * Statistics of keys as ROME, MEMIT, AlphaEdit and EasyEdit keep them, in NumPy's .npz files: the sum of
 * k k^T as mom2.mom2 [n, n], float32 or float64, and the number of keys as mom2.count. The second moment is
 * the one divided by the other.
 */
#ifndef STORE_NPZ_H
#define STORE_NPZ_H

#include "linalg/matrix.h"

typedef struct {
    int64_t n, count; /* length and number of keys */
    rls_dtype dtype;
    bool fortran, deflated;
    int64_t begin;            /* of the elements inside the entry */
    int64_t offset;           /* of the elements in the file, when they are stored as they are */
    int64_t file_bytes;       /* the file's size */
    uint32_t crc, crc_before; /* of the entry, and of what is before the elements */
} rls_npz_moment;

/* Reads the header of the file at path. Collective; rank 0 reads. Returns RLS_ERR_DATA for a missing,
 * truncated or damaged file, one without such arrays (with those it has), another type or shape, or a count
 * below 1; RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_npz_moment_read(rls_context *ctx, const char *path, rls_npz_moment *out);

/* Fills matrix [n, n] with the sum, converted to its type.
 * Collective; in rounds of RLS_ROUND_BYTES a rank: stored elements are read by all ranks, deflated ones by
 * rank 0. The CRC-32 of the file is checked on the way. Returns RLS_ERR_DATA for a number that is not finite
 * (row and column named) or a damaged file, RLS_ERR_IO, RLS_ERR_MEMORY; the matrix's contents are undefined
 * then. */
RLS_NODISCARD rls_status rls_npz_moment_load(rls_context *ctx, const char *path, const rls_npz_moment *moment,
                                             rls_matrix *matrix);

#endif
