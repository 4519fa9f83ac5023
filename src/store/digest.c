#include "store/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/writeback.h"

static int64_t slabs_of(int64_t bytes)
{
    return (bytes + RLS_DIGEST_SLAB - 1) / RLS_DIGEST_SLAB;
}

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

/* Reads one slab; false when the file does not give all of it. */
static bool read_slab(int fd, int64_t offset, size_t bytes, char *buffer)
{
    size_t have = 0;
    while (have < bytes) {
        const ssize_t got = pread(fd, buffer + have, bytes - have, (off_t)(offset + (int64_t)have));
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

/* Hashes this rank's slabs [begin, end) of the sequence of all files' slabs. A file that fails gets bytes =
 * -1 here. */
static void hash_share(const char *const *paths, int64_t count, int64_t begin, int64_t end, char *buffer,
                       rls_digest *digests)
{
    int64_t at = 0;
    for (int64_t f = 0; f < count && at < end; at += digests[f].slabs, f++) {
        rls_digest *d = &digests[f];
        const int64_t first = begin > at ? begin - at : 0, last = end - at < d->slabs ? end - at : d->slabs;
        if (first >= last)
            continue;
        const int fd = open(paths[f], O_RDONLY | O_CLOEXEC);
        bool good = fd >= 0;
        const int64_t from = first * RLS_DIGEST_SLAB;
        const bool once = good && !rls_is_cached(fd, from, (last - first) * RLS_DIGEST_SLAB);
        for (int64_t s = first; s < last && good; s++) {
            const int64_t offset = s * RLS_DIGEST_SLAB, left = d->bytes - offset;
            const size_t bytes = (size_t)(left < RLS_DIGEST_SLAB ? left : RLS_DIGEST_SLAB);
            good = read_slab(fd, offset, bytes, buffer);
            if (good)
                d->slab[s] = rls_hash_bytes(buffer, bytes);
            if (once)
                rls_forget(fd, offset, (int64_t)bytes);
        }
        if (fd >= 0)
            close(fd);
        if (!good)
            d->bytes = -1;
    }
}

/* Rank 0's sizes of the files, on every rank, and room for all hashes. */
static rls_status size_up(rls_context *ctx, const char *const *paths, int64_t count, int64_t *sizes,
                          rls_digest *digests, int64_t *total)
{
    void *slabs = NULL;
    for (int64_t f = 0; f < count && ctx->rank == 0; f++)
        sizes[f] = size_of(paths[f]);
    MPI_Bcast(sizes, (int)count, MPI_INT64_T, 0, ctx->comm);
    *total = 0;
    for (int64_t f = 0; f < count; f++)
        *total += sizes[f] > 0 ? slabs_of(sizes[f]) : 0;
    rls_status status = rls_alloc_zero(ctx, *total + 1, sizeof(rls_hash), &slabs);
    rls_hash *slab = slabs;
    digests[0].slab = slab; /* what is freed, also when there is no file */
    for (int64_t f = 0; f < count; f++) {
        digests[f] =
            (rls_digest){.bytes = sizes[f], .slabs = sizes[f] > 0 ? slabs_of(sizes[f]) : 0, .slab = slab};
        if (slab != NULL)
            slab += digests[f].slabs;
    }
    if (status == RLS_OK && *total > INT_MAX / 2)
        status = rls_fail(ctx, RLS_ERR_INTERNAL, "%" PRId64 " slabs to digest at once", *total);
    return rls_agree(ctx, status);
}

rls_status rls_digest_files(rls_context *ctx, const char *const *paths, int64_t count, rls_digest **out)
{
    void *digests = NULL, *buffer = NULL, *sizes = NULL;
    int64_t total = 0;
    *out = NULL;
    rls_status status = rls_alloc_zero(ctx, count + 1, sizeof(rls_digest), &digests);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, count, sizeof(int64_t), &sizes);
    if (status == RLS_OK)
        status = rls_alloc(ctx, RLS_DIGEST_SLAB, 1, &buffer);
    if (status == RLS_OK && count > INT_MAX)
        status = rls_fail(ctx, RLS_ERR_INTERNAL, "%" PRId64 " files to digest at once", count);
    status = rls_agree(ctx, status);
    rls_digest *d = digests;
    int64_t *bytes = sizes;
    if (status == RLS_OK)
        status = size_up(ctx, paths, count, bytes, d, &total);
    if (status == RLS_OK) {
        hash_share(paths, count, total * ctx->rank / ctx->size, total * (ctx->rank + 1) / ctx->size, buffer,
                   d);
        /* Every slab was hashed by one rank and is zero elsewhere; a file that failed anywhere has bytes -1.
         */
        for (int64_t f = 0; f < count; f++)
            bytes[f] = d[f].bytes;
        MPI_Allreduce(MPI_IN_PLACE, bytes, (int)count, MPI_INT64_T, MPI_MIN, ctx->comm);
        MPI_Allreduce(MPI_IN_PLACE, d->slab, (int)(2 * total), MPI_UINT64_T, MPI_BOR, ctx->comm);
        for (int64_t f = 0; f < count; f++)
            d[f].bytes = bytes[f];
        *out = d;
    } else {
        rls_digests_free(&d);
    }
    free(buffer);
    free(sizes);
    return status;
}

struct rls_digest_writer {
    rls_context *ctx;
    char *path;
    int file;
    rls_status status;
    rls_hash *slab; /* hashed here; zero where another rank does it, and before that */
    int64_t next, capacity;
    void *buffer;
};

/* Room for a slab's hash: zero from next on, but for those that were taken. */
static bool has_room(rls_digest_writer *w, int64_t slab)
{
    if (slab < w->capacity || w->status != RLS_OK)
        return w->status == RLS_OK;
    const int64_t capacity = 2 * slab + 64;
    rls_hash *more = realloc(w->slab, (size_t)capacity * sizeof *more);
    if (more == NULL) {
        w->status = rls_fail(w->ctx, RLS_ERR_MEMORY, "%s: no memory for its checksums", w->path);
        return false;
    }
    memset(more + w->capacity, 0, (size_t)(capacity - w->capacity) * sizeof *more);
    w->slab = more;
    w->capacity = capacity;
    return true;
}

static bool is_known(const rls_digest_writer *w, int64_t slab)
{
    return w->slab[slab].high != 0 || w->slab[slab].low != 0;
}

/* Hashes slabs up to, not with, `last`, if they are this rank's: dealt out in turn. */
static void hash_slabs(rls_digest_writer *w, int64_t last, int64_t bytes)
{
    for (; w->next < last && has_room(w, w->next); w->next++) {
        const int64_t offset = w->next * RLS_DIGEST_SLAB, left = bytes - offset;
        const size_t length = (size_t)(left < RLS_DIGEST_SLAB ? left : RLS_DIGEST_SLAB);
        if (is_known(w, w->next) || w->next % w->ctx->size != w->ctx->rank)
            continue;
        if (w->file < 0)
            w->file = open(w->path, O_RDONLY | O_CLOEXEC);
        if (w->file >= 0 && read_slab(w->file, offset, length, w->buffer))
            w->slab[w->next] = rls_hash_bytes(w->buffer, length);
        else
            w->status = rls_fail(w->ctx, RLS_ERR_IO, "%s: cannot be read again: %s", w->path,
                                 access(w->path, R_OK) != 0 ? strerror(errno) : "it is cut off");
    }
}

rls_status rls_digest_begin(rls_context *ctx, const char *path, rls_digest_writer **out)
{
    void *memory = NULL;
    *out = NULL;
    rls_status status = rls_alloc_zero(ctx, 1, sizeof(rls_digest_writer), &memory);
    rls_digest_writer *w = memory;
    if (status == RLS_OK) {
        w->ctx = ctx;
        w->file = -1;
        status = rls_strdup(ctx, path, &w->path);
    }
    if (status == RLS_OK)
        status = rls_alloc(ctx, RLS_DIGEST_SLAB, 1, &w->buffer);
    status = rls_agree(ctx, status);
    if (status != RLS_OK)
        rls_digest_abandon(&w);
    *out = w;
    return status;
}

void rls_digest_advance(rls_digest_writer *writer, int64_t bytes)
{
    hash_slabs(writer, bytes / RLS_DIGEST_SLAB, bytes);
}

void rls_digest_take(rls_digest_writer *writer, int64_t slab, const void *data)
{
    if (has_room(writer, slab))
        writer->slab[slab] = rls_hash_bytes(data, RLS_DIGEST_SLAB);
}

/* What any rank has, on all of them. Collective. */
static void share_slabs(rls_digest_writer *w, int64_t slabs)
{
    MPI_Allreduce(MPI_IN_PLACE, w->slab, (int)(2 * slabs), MPI_UINT64_T, MPI_BOR, w->ctx->comm);
}

rls_status rls_digest_end(rls_digest_writer **writer, rls_digest **out)
{
    rls_digest_writer *w = *writer;
    int64_t bytes = w->ctx->rank == 0 ? size_of(w->path) : 0;
    rls_context *ctx = w->ctx;
    void *digest = NULL;
    MPI_Bcast(&bytes, 1, MPI_INT64_T, 0, ctx->comm);
    const int64_t slabs = slabs_of(bytes > 0 ? bytes : 0);
    if (bytes < 0 && w->status == RLS_OK)
        w->status = rls_fail(ctx, RLS_ERR_IO, "%s: cannot be read again: %s", w->path,
                             access(w->path, R_OK) != 0 ? strerror(errno) : "it is cut off");
    if (w->status == RLS_OK && slabs > INT_MAX / 2)
        w->status = rls_fail(ctx, RLS_ERR_INTERNAL, "%" PRId64 " slabs to digest at once", slabs);
    if (w->status == RLS_OK && has_room(w, slabs))
        w->status = rls_alloc_zero(ctx, 1, sizeof(rls_digest), &digest);
    rls_status status = rls_agree(ctx, w->status);
    if (status == RLS_OK) {
        share_slabs(w, slabs);
        hash_slabs(w, slabs, bytes);
        status = rls_agree(ctx, w->status);
    }
    *out = NULL;
    if (status == RLS_OK && digest != NULL) {
        share_slabs(w, slabs);
        *out = digest;
        **out = (rls_digest){.bytes = bytes, .slabs = slabs, .slab = w->slab};
        w->slab = NULL;
        digest = NULL;
    }
    free(digest);
    rls_digest_abandon(writer);
    return status;
}

void rls_digest_abandon(rls_digest_writer **writer)
{
    rls_digest_writer *w = *writer;
    if (w == NULL)
        return;
    if (w->file >= 0)
        (void)close(w->file);
    free(w->path);
    free(w->slab);
    free(w->buffer);
    free(w);
    *writer = NULL;
}

void rls_digests_free(rls_digest **digests)
{
    if (*digests != NULL)
        free((*digests)->slab);
    free(*digests);
    *digests = NULL;
}

rls_hash rls_digest_hash(const rls_digest *digests, int64_t count)
{
    rls_hash hash = {0, 0};
    for (int64_t f = 0; f < count; f++) {
        const rls_hash parts[3] = {hash,
                                   {(uint64_t)digests[f].bytes, (uint64_t)digests[f].slabs},
                                   rls_hash_combine(digests[f].slab, (size_t)digests[f].slabs)};
        hash = rls_hash_combine(parts, 3);
    }
    return hash;
}

json_t *rls_digest_json(const rls_digest *digest, const char *name)
{
    json_t *slabs = json_array();
    char text[RLS_HASH_TEXT];
    for (int64_t s = 0; s < digest->slabs; s++)
        json_array_append_new(slabs, json_string(rls_hash_text(digest->slab[s], text)));
    return json_pack("{s:s, s:I, s:i, s:o}", "file", name, "bytes", (json_int_t)digest->bytes, "slab",
                     (int)RLS_DIGEST_SLAB, "xxh128", slabs);
}

bool rls_digest_matches(const rls_digest *digest, const json_t *expected, char why[128])
{
    const json_t *slabs = json_object_get(expected, "xxh128");
    const json_int_t bytes = json_integer_value(json_object_get(expected, "bytes"));
    why[0] = '\0';
    if (digest->bytes < 0)
        (void)snprintf(why, 128, "is missing or cannot be read");
    else if (digest->bytes != bytes)
        (void)snprintf(why, 128, "has %" PRId64 " bytes, not %" PRId64, digest->bytes, (int64_t)bytes);
    else if (json_integer_value(json_object_get(expected, "slab")) != RLS_DIGEST_SLAB ||
             (int64_t)json_array_size(slabs) != digest->slabs)
        (void)snprintf(why, 128, "has checksums of another kind");
    for (int64_t s = 0; s < digest->slabs && why[0] == '\0'; s++) {
        rls_hash hash;
        if (!rls_hash_parse(json_string_value(json_array_get(slabs, (size_t)s)), &hash) ||
            !rls_hash_equal(hash, digest->slab[s]))
            (void)snprintf(why, 128, "is damaged: the checksum of bytes %" PRId64 " to %" PRId64 " differs",
                           s * RLS_DIGEST_SLAB,
                           (s + 1) * RLS_DIGEST_SLAB < digest->bytes ? (s + 1) * RLS_DIGEST_SLAB - 1
                                                                     : digest->bytes - 1);
    }
    return why[0] == '\0';
}
