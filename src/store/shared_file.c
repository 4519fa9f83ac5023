#include "store/shared_file.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "grid/redistribute.h"
#include "store/file_util.h"

static rls_status fail_mpi(const rls_shared_file *file, const char *what, int error)
{
    char text[MPI_MAX_ERROR_STRING];
    int len = 0;
    char obstacle[128] = "";
    MPI_Error_string(error, text, &len);
    if (strcmp(what, "create") == 0 || strcmp(what, "write") == 0 || strcmp(what, "put it on the disk") == 0)
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
    if (status == RLS_OK)
        return RLS_OK;
    /* Closing is collective: where only some ranks could open it, their handles have to be left. */
    MPI_Allreduce(MPI_IN_PLACE, &opened, 1, MPI_INT, MPI_MIN, ctx->comm);
    if (opened)
        (void)MPI_File_close(&file->handle);
    file->handle = MPI_FILE_NULL;
    return status;
}

rls_status rls_shared_open(rls_context *ctx, const char *path, int64_t bytes, rls_shared_file *file)
{
    *file = (rls_shared_file){ctx, path, MPI_FILE_NULL};
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
    *file = (rls_shared_file){ctx, path, MPI_FILE_NULL};
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

rls_status rls_shared_read(const rls_shared_file *file, int64_t offset, void *data, int64_t bytes)
{
    int count = 0, got = 0;
    char none = 0;
    MPI_Status result;
    rls_status status = check_count(file, bytes, &count);
    const int error = MPI_File_read_at_all(file->handle, (MPI_Offset)offset, count > 0 ? data : &none, count,
                                           MPI_BYTE, &result);
    if (error != MPI_SUCCESS) {
        status = fail_mpi(file, "read", error);
    } else if (count > 0) {
        MPI_Get_count(&result, MPI_BYTE, &got);
        if (got != count)
            status = rls_fail(file->ctx, RLS_ERR_DATA, "%s: only %d of %d bytes at %" PRId64 ": truncated?",
                              file->path, got, count, offset);
    }
    return rls_agree(file->ctx, status);
}

rls_status rls_shared_write(const rls_shared_file *file, int64_t offset, const void *data, int64_t bytes)
{
    int count = 0, put = 0;
    const char none = 0;
    MPI_Status result;
    rls_status status = check_count(file, bytes, &count);
    const int error = MPI_File_write_at_all(file->handle, (MPI_Offset)offset, count > 0 ? data : &none, count,
                                            MPI_BYTE, &result);
    if (error != MPI_SUCCESS) {
        status = fail_mpi(file, "write", error);
    } else if (count > 0) {
        MPI_Get_count(&result, MPI_BYTE, &put);
        if (put != count)
            status = fail_mpi(file, "write", MPI_ERR_NO_SPACE);
    }
    return rls_agree(file->ctx, status);
}

rls_status rls_shared_copy(const rls_shared_file *from, int64_t from_offset, const rls_shared_file *to,
                           int64_t to_offset, int64_t bytes)
{
    rls_context *ctx = from->ctx;
    const int64_t size = ctx->size;
    const int64_t even = (bytes + size - 1) / size;
    const int64_t share = even < RLS_ROUND_BYTES ? even : RLS_ROUND_BYTES;
    void *buffer = NULL;
    rls_status status = rls_agree(ctx, rls_alloc(ctx, share, 1, &buffer));
    for (int64_t begin = 0; status == RLS_OK && begin < bytes; begin += share * size) {
        const int64_t mine = begin + share * ctx->rank < bytes ? begin + share * ctx->rank : bytes;
        const int64_t count = bytes - mine < share ? bytes - mine : share;
        status = rls_shared_read(from, from_offset + mine, buffer, count);
        if (status == RLS_OK)
            status = rls_shared_write(to, to_offset + mine, buffer, count);
    }
    free(buffer);
    return status;
}

rls_status rls_shared_close(rls_shared_file *file, bool sync)
{
    if (file->handle == MPI_FILE_NULL)
        return RLS_OK;
    rls_status status = RLS_OK;
    int error = sync ? MPI_File_sync(file->handle) : MPI_SUCCESS;
    if (error != MPI_SUCCESS)
        status = fail_mpi(file, "put it on the disk", error);
    error = MPI_File_close(&file->handle);
    if (error != MPI_SUCCESS)
        status = fail_mpi(file, "close", error);
    file->handle = MPI_FILE_NULL;
    return rls_agree(file->ctx, status);
}

void rls_shared_abandon(rls_shared_file *file)
{
    if (file->handle != MPI_FILE_NULL)
        (void)MPI_File_close(&file->handle);
    file->handle = MPI_FILE_NULL;
}
