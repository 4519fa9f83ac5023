#define _GNU_SOURCE /* O_DIRECT, fallocate */
#include "store/shared_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/fs.h>
#endif

#include "base/memory.h"
#include "store/writeback.h"

enum {
    BLOCK =
        4096, /* what direct writing and shared blocks are aligned to; memory and place in the file alike */
    AHEAD = 3 /* slabs of a rank asked for early */
};

/* A copy under way. All places are in the new file. */
typedef struct {
    const rls_shared_file *from, *to;
    int64_t shift;      /* the old file's place of a byte is this much further */
    int64_t begin, end; /* of the whole range */
    int64_t cloned[2];  /* [first, last) of it shares the old file's blocks already */
    int direct;         /* for writing past the page cache; -1: not here */
    char *buffer;       /* a slab and a block, aligned to a block */
    /* What direct writing and shared blocks are aligned to, memory and place in the file alike. Whole pages:
     * in one page, writing past the page cache and through it would get in each other's way. */
    int64_t block;
    rls_digest_writer *digest;
} copier;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t round_up(const copier *c, int64_t offset)
{
    return (offset + c->block - 1) / c->block * c->block;
}

static int64_t round_down(const copier *c, int64_t offset)
{
    return offset / c->block * c->block;
}

static int open_to(const copier *c, int flags)
{
    return open(c->to->path, O_WRONLY | O_CLOEXEC | flags);
}

/* Rank 0: shares the old file's blocks, all whole ones of the range, where the file system can do that. */
static void clone_blocks(copier *c)
{
#ifdef FICLONERANGE
    const int64_t begin = round_up(c, c->begin), end = round_down(c, c->end);
    if (c->shift % c->block != 0 || begin >= end)
        return;
    const int from = open(c->from->path, O_RDONLY | O_CLOEXEC), to = open_to(c, 0);
    const struct file_clone_range range = {.src_fd = from,
                                           .src_offset = (uint64_t)(begin + c->shift),
                                           .src_length = (uint64_t)(end - begin),
                                           .dest_offset = (uint64_t)begin};
    if (from >= 0 && to >= 0 && ioctl(to, FICLONERANGE, &range) == 0) {
        c->cloned[0] = begin;
        c->cloned[1] = end;
    }
    if (from >= 0)
        (void)close(from);
    if (to >= 0)
        (void)close(to);
#else
    (void)c;
#endif
}

/* Rank 0: room for the range on the disk, where that can be asked for: a full disk is told at once, and ranks
 * that write inside a file need not wait for each other. */
static rls_status reserve(const copier *c)
{
    rls_status status = RLS_OK;
#ifdef __linux__
    const int to = open_to(c, 0);
    if (to >= 0 && fallocate(to, 0, (off_t)c->begin, (off_t)(c->end - c->begin)) != 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        status = rls_fail(c->to->ctx, RLS_ERR_IO, "%s: cannot write: %s", c->to->path, strerror(errno));
    if (to >= 0)
        (void)close(to);
#else
    (void)c;
#endif
    return status;
}

/* Whole blocks past the page cache; *done: how many bytes went that way, fewer where that is impossible. */
static rls_status write_direct(copier *c, int64_t offset, const char *data, int64_t bytes, int64_t *done)
{
    *done = 0;
    while (c->direct >= 0 && *done < bytes) {
        const ssize_t put = pwrite(c->direct, data + *done, (size_t)(bytes - *done), (off_t)(offset + *done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno != EINVAL)
            return rls_fail(c->to->ctx, RLS_ERR_IO, "%s: cannot write: %s", c->to->path, strerror(errno));
        if (put > 0)
            *done += (int64_t)put;
        if (put <= 0 || put % c->block != 0) { /* other rules here */
            (void)close(c->direct);
            c->direct = -1;
        }
    }
    return RLS_OK;
}

/* [begin, end) from memory that is aligned as the place in the file is. */
static rls_status write_range(copier *c, int64_t begin, int64_t end, const char *data)
{
    const int64_t inner = smaller(round_up(c, begin), end);
    int64_t done = 0;
    rls_status status = inner > begin ? rls_shared_put(c->to, begin, data, inner - begin) : RLS_OK;
    if (status == RLS_OK && round_down(c, end) > inner)
        status = write_direct(c, inner, data + (inner - begin), round_down(c, end) - inner, &done);
    if (status == RLS_OK && inner + done < end)
        status = rls_shared_put(c->to, inner + done, data + (inner - begin) + done, end - inner - done);
    return status;
}

/* This rank's slab, or what of it is in the range. */
static rls_status copy_slab(copier *c, int64_t slab)
{
    const int64_t begin = larger(slab * RLS_DIGEST_SLAB, c->begin);
    const int64_t end = smaller((slab + 1) * RLS_DIGEST_SLAB, c->end);
    const bool whole = end - begin == RLS_DIGEST_SLAB, wanted = c->digest != NULL && whole;
    char *data = c->buffer + begin % c->block;
    if (begin >= c->cloned[0] && end <= c->cloned[1] && !wanted)
        return RLS_OK;
    rls_status status = rls_shared_get(c->from, begin + c->shift, data, end - begin);
    if (status == RLS_OK && begin < c->cloned[0])
        status = write_range(c, begin, smaller(end, c->cloned[0]), data);
    if (status == RLS_OK && end > c->cloned[1]) {
        const int64_t rest = larger(begin, c->cloned[1]);
        status = write_range(c, rest, end, data + (rest - begin));
    }
    if (status == RLS_OK && wanted)
        rls_digest_take(c->digest, slab, data);
    return status;
}

/* This rank's share, in order: the system reads ahead while this rank hashes and writes. */
static rls_status copy_slabs(copier *c)
{
    const int64_t first = c->begin / RLS_DIGEST_SLAB;
    const int64_t count = (c->end + RLS_DIGEST_SLAB - 1) / RLS_DIGEST_SLAB - first;
    const int64_t rank = c->to->ctx->rank, size = c->to->ctx->size;
    const int64_t mine = first + count * rank / size, next = first + count * (rank + 1) / size;
    const int64_t begin = larger(mine * RLS_DIGEST_SLAB, c->begin) + c->shift;
    const int64_t end = smaller(next * RLS_DIGEST_SLAB, c->end) + c->shift;
    const bool once = mine < next && !rls_is_cached(c->from->hint, begin, end - begin);
    rls_status status = RLS_OK;
    for (int64_t slab = mine; slab < next && status == RLS_OK; slab++) {
        status = copy_slab(c, slab);
        if (once)
            rls_forget(c->from->hint, slab * RLS_DIGEST_SLAB + c->shift, RLS_DIGEST_SLAB);
    }
    return status;
}

rls_status rls_shared_copy(const rls_shared_file *from, int64_t from_offset, const rls_shared_file *to,
                           int64_t to_offset, int64_t bytes, rls_digest_writer *digest)
{
    rls_context *ctx = to->ctx;
    const int64_t end = to_offset + bytes;
    copier c = {.from = from,
                .to = to,
                .shift = from_offset - to_offset,
                .begin = to_offset,
                .end = end,
                .cloned = {end, end},
                .direct = -1,
                .digest = digest,
                .block = larger(BLOCK, (int64_t)sysconf(_SC_PAGESIZE))};
    void *buffer = NULL;
    rls_status status = rls_alloc(ctx, RLS_DIGEST_SLAB + 2 * c.block, 1, &buffer);
    if (buffer != NULL)
        c.buffer = (char *)buffer + (-(uintptr_t)buffer & (uintptr_t)(c.block - 1));
    if (ctx->rank == 0) {
        clone_blocks(&c);
        if (status == RLS_OK && c.cloned[0] == end && bytes >= RLS_DIGEST_SLAB)
            status = reserve(&c);
    }
    status = rls_agree(ctx, status);
    if (status == RLS_OK) {
        MPI_Bcast(c.cloned, 2, MPI_INT64_T, 0, ctx->comm);
#ifdef O_DIRECT
        c.direct = open_to(&c, O_DIRECT);
#endif
        status = rls_agree(ctx, copy_slabs(&c));
        if (c.direct >= 0)
            (void)close(c.direct);
    }
    free(buffer);
    return status;
}
