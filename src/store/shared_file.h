/*
 * One file read or written by all ranks together, through MPI-IO in rounds: collective ones, or each rank for
 * itself.
 *
 * No hints are set: each rank's part of a round is one contiguous piece, and ROMIO's default
 * (romio_cb_read/write = automatic) then leaves every rank to its own large request instead of sending the
 * data to aggregators first. A site for which aggregation is better says so with ROMIO_HINTS, which hints set
 * here would override.
 */
#ifndef STORE_SHARED_FILE_H
#define STORE_SHARED_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/context.h"

typedef struct {
    rls_context *ctx;
    const char *path; /* the caller's, for messages */
    MPI_File handle;  /* MPI_FILE_NULL when closed */
    int hint;         /* while it is open: for store/writeback.h; -1: none */
} rls_shared_file;

/* Opens a file for reading.
 * Collective. path: the same on all ranks, stays the caller's. bytes: the size it had when its header was
 * read. Returns RLS_ERR_IO when a rank cannot open it, RLS_ERR_DATA when its size has changed. */
RLS_NODISCARD rls_status rls_shared_open(rls_context *ctx, const char *path, int64_t bytes,
                                         rls_shared_file *file);

/* Makes a new file for writing. Collective. Returns RLS_ERR_IO, also when it exists. */
RLS_NODISCARD rls_status rls_shared_create(rls_context *ctx, const char *path, rls_shared_file *file);

/* Reads this rank's part of a round: bytes (0 to INT_MAX, may differ between ranks) at offset.
 * Collective. Returns RLS_ERR_IO, or RLS_ERR_DATA when the file ends before. */
RLS_NODISCARD rls_status rls_shared_read(const rls_shared_file *file, int64_t offset, void *data,
                                         int64_t bytes);

/* Writes this rank's part of a round, which goes to the disk from then on. Collective. Arguments as above.
 * Returns RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_shared_write(const rls_shared_file *file, int64_t offset, const void *data,
                                          int64_t bytes);

/* The same by this rank alone. Not collective: the status is this rank's own. */
RLS_NODISCARD rls_status rls_shared_get(const rls_shared_file *file, int64_t offset, void *data,
                                        int64_t bytes);
RLS_NODISCARD rls_status rls_shared_put(const rls_shared_file *file, int64_t offset, const void *data,
                                        int64_t bytes);

/* Closes the file; what was written is not on the disk yet (see rls_files_sync). Collective. Not open:
 * nothing happens. Returns RLS_ERR_IO when the system says at this late point that something was not written.
 */
RLS_NODISCARD rls_status rls_shared_close(rls_shared_file *file);

/* Closes a file whose work has failed already, so that its own errors no longer matter. Collective. */
void rls_shared_abandon(rls_shared_file *file);

#endif
