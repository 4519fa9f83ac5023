#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/memory.h"
#include "store/zip.h"

enum { PIECE_BYTES = 1 << 18 };

struct rls_zip_stream {
    rls_context *ctx;
    const rls_zip *zip;
    const rls_zip_entry *entry;
    int64_t at, packed_left; /* in the file */
    int64_t left;            /* unpacked bytes not read yet */
    uLong crc;
    bool inflating;
    z_stream inflate;
    unsigned char piece[PIECE_BYTES];
};

static rls_status damaged(const rls_zip_stream *s, const char *what)
{
    return rls_fail(s->ctx, RLS_ERR_DATA, "%s: %s is damaged (%s): fetch the file again", s->zip->source.path,
                    s->entry->name, what);
}

rls_status rls_zip_stream_begin(rls_context *ctx, const rls_zip *zip, const rls_zip_entry *entry,
                                rls_zip_stream **out)
{
    void *object = NULL;
    int64_t offset = 0;
    *out = NULL;
    rls_status status = rls_zip_data(ctx, zip, entry, &offset);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, 1, sizeof(rls_zip_stream), &object);
    if (status != RLS_OK)
        return status;
    rls_zip_stream *s = object;
    s->ctx = ctx;
    s->zip = zip;
    s->entry = entry;
    s->at = offset;
    s->packed_left = entry->packed;
    s->left = entry->bytes;
    s->crc = crc32_z(0, NULL, 0);
    if (entry->deflated) {
        s->inflating = inflateInit2(&s->inflate, -MAX_WBITS) == Z_OK; /* without zlib's own header */
        if (!s->inflating)
            status =
                rls_fail(ctx, RLS_ERR_MEMORY, "%s: no memory to inflate %s", zip->source.path, entry->name);
    }
    if (status != RLS_OK)
        rls_zip_stream_end(&s);
    *out = s;
    return status;
}

void rls_zip_stream_end(rls_zip_stream **stream)
{
    if (*stream != NULL && (*stream)->inflating)
        (void)inflateEnd(&(*stream)->inflate);
    free(*stream);
    *stream = NULL;
}

/* Up to `bytes` packed bytes from the file, at least one. */
static rls_status take_packed(rls_zip_stream *s, void *data, int64_t bytes, int64_t *got)
{
    const rls_zip_source *source = &s->zip->source;
    *got = bytes < s->packed_left ? bytes : s->packed_left;
    if (*got == 0)
        return damaged(s, "its packed bytes end too early");
    if (source->memory != NULL) {
        memcpy(data, source->memory + s->at, (size_t)*got);
    } else {
        const ssize_t read = pread(source->fd, data, (size_t)*got, (off_t)s->at);
        if (read < 0 && errno != EINTR)
            return rls_fail(s->ctx, RLS_ERR_IO, "%s: cannot read: %s", source->path, strerror(errno));
        if (read == 0)
            return damaged(s, "the file has become shorter");
        *got = read > 0 ? (int64_t)read : 0;
    }
    s->at += *got;
    s->packed_left -= *got;
    return RLS_OK;
}

/* The next unpacked bytes of a deflated entry, at most as many as zlib counts at once. */
static rls_status inflate_some(rls_zip_stream *s, unsigned char *data, int64_t bytes)
{
    rls_status status = RLS_OK;
    s->inflate.next_out = data;
    s->inflate.avail_out = (uInt)bytes;
    while (status == RLS_OK && s->inflate.avail_out > 0) {
        if (s->inflate.avail_in == 0 && s->packed_left > 0) {
            int64_t got = 0;
            status = take_packed(s, s->piece, PIECE_BYTES, &got);
            s->inflate.next_in = s->piece;
            s->inflate.avail_in = (uInt)got;
            if (status != RLS_OK)
                break;
        }
        const uInt before = s->inflate.avail_out, had = s->inflate.avail_in;
        const int result = inflate(&s->inflate, Z_NO_FLUSH);
        if (result == Z_MEM_ERROR)
            status = rls_fail(s->ctx, RLS_ERR_MEMORY, "%s: no memory to inflate %s", s->zip->source.path,
                              s->entry->name);
        else if (result == Z_STREAM_END && s->inflate.avail_out > 0)
            status = damaged(s, "it is shorter than it should be");
        else if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            status = damaged(s, "it cannot be inflated");
        else if (s->inflate.avail_out == before && s->inflate.avail_in == had && s->packed_left == 0)
            status = damaged(s, "its packed bytes end too early");
    }
    return status;
}

rls_status rls_zip_stream_read(rls_zip_stream *s, void *data, int64_t bytes)
{
    enum { MOST = 1 << 30 };
    rls_status status = bytes > s->left ? damaged(s, "it is shorter than it should be") : RLS_OK;
    for (int64_t done = 0; status == RLS_OK && done < bytes;) {
        int64_t got = bytes - done < MOST ? bytes - done : MOST;
        unsigned char *to = (unsigned char *)data + done;
        status = s->entry->deflated ? inflate_some(s, to, got) : take_packed(s, to, got, &got);
        if (status != RLS_OK)
            break;
        s->crc = crc32_z(s->crc, to, (size_t)got);
        done += got;
        s->left -= got;
    }
    if (status == RLS_OK && s->left == 0 && bytes > 0 && (uint32_t)s->crc != s->entry->crc)
        status = damaged(s, "its checksum is wrong");
    return status;
}
