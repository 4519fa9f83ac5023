#define _GNU_SOURCE /* sync_file_range, mincore */
#include "store/writeback.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int rls_writeback_open(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

void rls_writeback_close(int file)
{
    if (file >= 0)
        (void)close(file);
}

void rls_writeback(int file, int64_t offset, int64_t bytes)
{
#ifdef SYNC_FILE_RANGE_WRITE
    if (file >= 0 && bytes > 0)
        (void)sync_file_range(file, (off_t)offset, (off_t)bytes, SYNC_FILE_RANGE_WRITE);
#else
    (void)file;
    (void)offset;
    (void)bytes;
#endif
}

void rls_readahead(int file, int64_t offset, int64_t bytes)
{
    enum { PIECE = 128 << 10 }; /* of one call only so much is heeded, by default */
    for (int64_t at = 0; at < bytes && file >= 0; at += PIECE)
        (void)posix_fadvise(file, (off_t)(offset + at), bytes - at < PIECE ? (off_t)(bytes - at) : PIECE,
                            POSIX_FADV_WILLNEED);
}

bool rls_is_cached(int file, int64_t offset, int64_t bytes)
{
    enum { SAMPLES = 64 };
    const int64_t page = (int64_t)sysconf(_SC_PAGESIZE);
    int there = 0;
    for (int i = 0; i < SAMPLES; i++) {
        unsigned char held = 1;
        const int64_t at = (offset + bytes / SAMPLES * i) / page * page;
        void *map = file >= 0 ? mmap(NULL, (size_t)page, PROT_READ, MAP_SHARED, file, (off_t)at) : MAP_FAILED;
        if (map != MAP_FAILED) {
            (void)mincore(map, (size_t)page, &held);
            (void)munmap(map, (size_t)page);
        }
        there += held % 2 != 0 ? 1 : 0;
    }
    return there > SAMPLES / 2;
}

void rls_forget(int file, int64_t offset, int64_t bytes)
{
    if (file >= 0)
        (void)posix_fadvise(file, (off_t)offset, (off_t)bytes, POSIX_FADV_DONTNEED);
}

static rls_status sync_file(rls_context *ctx, const char *path)
{
    rls_status status = RLS_OK;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fsync(file) != 0)
        status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be put on the disk: %s", path, strerror(errno));
    if (file >= 0)
        (void)close(file);
    return status;
}

rls_status rls_files_sync(rls_context *ctx, const char *const *paths, int64_t count)
{
    rls_status status = RLS_OK;
    for (int64_t i = 0; i < count && status == RLS_OK; i++)
        status = sync_file(ctx, paths[i]);
    return rls_agree(ctx, status);
}
