#include "store/shared_file.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "store/file_util.h"
#include "store/writeback.h"

static rls_status fail_mpi(const rls_shared_file *file, const char *what, int error)
{
    char text[MPI_MAX_ERROR_STRING];
    int len = 0;
    char obstacle[128] = "";
    MPI_Error_string(error, text, &len);
    if (strcmp(what, "create") == 0 || strcmp(what, "write") == 0)
        (void)rls_write_obstacle(file->path, obstacle);
    return rls_fail(file->ctx, RLS_ERR_IO, "%s: cannot %s: %s", file->path, what,
                    obstacle[0] != '\0' ? obstacle : text);
}

/* Opens on all ranks or on none. */
static rls_status open_all(rls_shared_file *file, int mode, const char *what)
{
    rls_context *ctx = file->ctx;
    char *name = NULL;
    file->handle = MPI_FILE_NULL;
    /* ROMIO takes what stands before a colon for a kind of file system: for paths with one, name the ordinary
     * kind. */
    rls_status status = rls_agree(
        ctx, rls_asprintf(ctx, &name, "%s%s", strchr(file->path, ':') != NULL ? "ufs:" : "", file->path));
    if (status != RLS_OK) {
        free(name);
        return status;
    }
    const int error = MPI_File_open(ctx->comm, name, mode, MPI_INFO_NULL, &file->handle);
    free(name);
    int opened = error == MPI_SUCCESS;
    status = rls_agree(ctx, opened ? RLS_OK : fail_mpi(file, what, error));
    if (status == RLS_OK) {
        file->hint = rls_writeback_open(file->path);
        return RLS_OK;
    }
    /* Closing is collective: where only some ranks could open it, their handles have to be left. */
    MPI_Allreduce(MPI_IN_PLACE, &opened, 1, MPI_INT, MPI_MIN, ctx->comm);
    if (opened)
        (void)MPI_File_close(&file->handle);
    file->handle = MPI_FILE_NULL;
    return status;
}

rls_status rls_shared_open(rls_context *ctx, const char *path, int64_t bytes, rls_shared_file *file)
{
    *file = (rls_shared_file){ctx, path, MPI_FILE_NULL, -1};
    rls_status status = open_all(file, MPI_MODE_RDONLY, "open");
    if (status != RLS_OK)
        return status;
    MPI_Offset size = 0;
    const int error = MPI_File_get_size(file->handle, &size);
    if (error != MPI_SUCCESS)
        status = fail_mpi(file, "ask the size", error);
    else if ((int64_t)size != bytes)
        status = rls_fail(ctx, RLS_ERR_DATA,
                          "%s: had %" PRId64 " bytes when it was opened first, has %" PRId64 " now: "
                          "it must not change while it is used",
                          path, bytes, (int64_t)size);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        rls_shared_abandon(file);
    return status;
}

rls_status rls_shared_create(rls_context *ctx, const char *path, rls_shared_file *file)
{
    *file = (rls_shared_file){ctx, path, MPI_FILE_NULL, -1};
    return open_all(file, MPI_MODE_WRONLY | MPI_MODE_CREATE | MPI_MODE_EXCL, "create");
}

/* A request whose count does not fit MPI's int takes part with nothing, and fails. */
static rls_status check_count(const rls_shared_file *file, int64_t bytes, int *count)
{
    *count = bytes >= 0 && bytes <= INT_MAX ? (int)bytes : 0;
    if (*count == bytes)
        return RLS_OK;
    return rls_fail(file->ctx, RLS_ERR_INTERNAL, "%s: a round of %" PRId64 " bytes", file->path, bytes);
}

/* MPI_File_read_at, MPI_File_write_at, or their collective kind. */
typedef int mpi_read(MPI_File, MPI_Offset, void *, int, MPI_Datatype, MPI_Status *);
typedef int mpi_write(MPI_File, MPI_Offset, const void *, int, MPI_Datatype, MPI_Status *);

static rls_status read_part(const rls_shared_file *file, int64_t offset, void *data, int64_t bytes,
                            mpi_read *read)
{
    int count = 0, got = 0;
    char none = 0;
    MPI_Status result;
    rls_status status = check_count(file, bytes, &count);
    const int error =
        read(file->handle, (MPI_Offset)offset, count > 0 ? data : &none, count, MPI_BYTE, &result);
    if (error != MPI_SUCCESS) {
        status = fail_mpi(file, "read", error);
    } else if (count > 0) {
        MPI_Get_count(&result, MPI_BYTE, &got);
        if (got != count)
            status = rls_fail(file->ctx, RLS_ERR_DATA, "%s: only %d of %d bytes at %" PRId64 ": truncated?",
                              file->path, got, count, offset);
    }
    return status;
}

static rls_status write_part(const rls_shared_file *file, int64_t offset, const void *data, int64_t bytes,
                             mpi_write *write)
{
    int count = 0, put = 0;
    const char none = 0;
    MPI_Status result;
    rls_status status = check_count(file, bytes, &count);
    const int error =
        write(file->handle, (MPI_Offset)offset, count > 0 ? data : &none, count, MPI_BYTE, &result);
    if (error != MPI_SUCCESS) {
        status = fail_mpi(file, "write", error);
    } else if (count > 0) {
        MPI_Get_count(&result, MPI_BYTE, &put);
        if (put != count)
            status = fail_mpi(file, "write", MPI_ERR_NO_SPACE);
        rls_writeback(file->hint, offset, count);
    }
    return status;
}

rls_status rls_shared_read(const rls_shared_file *file, int64_t offset, void *data, int64_t bytes)
{
    return rls_agree(file->ctx, read_part(file, offset, data, bytes, MPI_File_read_at_all));
}

rls_status rls_shared_write(const rls_shared_file *file, int64_t offset, const void *data, int64_t bytes)
{
    return rls_agree(file->ctx, write_part(file, offset, data, bytes, MPI_File_write_at_all));
}

rls_status rls_shared_get(const rls_shared_file *file, int64_t offset, void *data, int64_t bytes)
{
    return read_part(file, offset, data, bytes, MPI_File_read_at);
}

rls_status rls_shared_put(const rls_shared_file *file, int64_t offset, const void *data, int64_t bytes)
{
    return write_part(file, offset, data, bytes, MPI_File_write_at);
}

rls_status rls_shared_close(rls_shared_file *file)
{
    if (file->handle == MPI_FILE_NULL)
        return RLS_OK;
    rls_status status = RLS_OK;
    rls_writeback_close(file->hint);
    const int error = MPI_File_close(&file->handle);
    if (error != MPI_SUCCESS)
        status = fail_mpi(file, "close", error);
    file->handle = MPI_FILE_NULL;
    return rls_agree(file->ctx, status);
}

void rls_shared_abandon(rls_shared_file *file)
{
    if (file->handle == MPI_FILE_NULL)
        return;
    rls_writeback_close(file->hint);
    (void)MPI_File_close(&file->handle);
    file->handle = MPI_FILE_NULL;
}
