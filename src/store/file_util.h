/* Files and directories as one rank handles them: reading, copying, linking, making durable. None of these
 * functions is collective. */
#ifndef STORE_FILE_UTIL_H
#define STORE_FILE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/context.h"

/* The status of an errno met while opening or reading a user's input: RLS_ERR_DATA when what the user named
 * isn't there or isn't what it should be (ENOENT, ENOTDIR, EISDIR, ELOOP, ENAMETOOLONG), RLS_ERR_MEMORY, else
 * RLS_ERR_IO. */
rls_status rls_input_status(int error);

/* The size of the regular file at path, symbolic links followed.
 * Returns RLS_ERR_DATA when there is none or it is something else, RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_file_size(rls_context *ctx, const char *path, int64_t *bytes);

/* Reads exactly `bytes` bytes at offset into data.
 * Returns RLS_ERR_DATA when the file is missing or ends before, RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_file_read(rls_context *ctx, const char *path, int64_t offset, int64_t bytes,
                                       void *data);

/* Reads a whole file of at most `most` bytes; free *data with free(). A '\0' follows the last byte.
 * Returns RLS_ERR_DATA when it is missing or larger, RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_file_read_whole(rls_context *ctx, const char *path, int64_t most, char **data,
                                             int64_t *bytes);

/* Makes a new file with these bytes and puts it on the disk (fsync). Returns RLS_ERR_IO, also when the file
 * exists. */
RLS_NODISCARD rls_status rls_file_write_new(rls_context *ctx, const char *path, const void *data,
                                            int64_t bytes);

/* Copies a regular file (symbolic links followed) to a new one and puts it on the disk. Returns RLS_ERR_IO,
 * RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_file_copy(rls_context *ctx, const char *from, const char *to);

/* Makes `to` another name of the file (symbolic links followed); *linked = false where the file systems
 * cannot do that. Returns RLS_ERR_IO for anything else that goes wrong. */
RLS_NODISCARD rls_status rls_file_link(rls_context *ctx, const char *from, const char *to, bool *linked);

/* Makes a new file that shares the blocks of `from` (symbolic links followed) until one of them is written to, and
 * puts it on the disk; *cloned = false, and no file, where the file system cannot do that. Returns RLS_ERR_IO for
 * anything else that goes wrong. */
RLS_NODISCARD rls_status rls_file_clone(rls_context *ctx, const char *from, const char *to, bool *cloned);

/* Called for an entry of the directory at path: all but "." and "..". An error ends the visit. */
typedef rls_status rls_dir_visitor(rls_context *ctx, const char *path, const char *name, void *user);

/* Visits a directory's entries, in no order. Returns what visit does, or an error of listing (as
 * rls_input_status). */
RLS_NODISCARD rls_status rls_dir_visit(rls_context *ctx, const char *path, rls_dir_visitor *visit,
                                       void *user);

/* Puts a directory's entries on the disk (fsync); with `below`, those of all directories in it too. Returns
 * RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_dir_sync(rls_context *ctx, const char *path, bool below);

/* Removes what is at path: a directory with all it holds, or a file; symbolic links are removed, not
 * followed. Nothing there is fine. Returns RLS_ERR_IO. */
RLS_NODISCARD rls_status rls_dir_remove(rls_context *ctx, const char *path);

/* Why a file that could not be made or written cannot be, in the system's words: MPI-IO often knows only that
 * it failed. Tries to lengthen the file, which must be one that is given up. Into text; "" when that works.
 * Not collective. */
const char *rls_write_obstacle(const char *path, char text[128]);

/* Makes a directory, when there is none, so that it is there for good (its parent is put on the disk). Not
 * collective. Returns RLS_ERR_IO, RLS_ERR_MEMORY. */
RLS_NODISCARD rls_status rls_dir_make(rls_context *ctx, const char *path);

#endif
