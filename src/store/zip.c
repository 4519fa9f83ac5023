#include "store/zip.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "store/file_util.h"

enum {
    END_BYTES = 22,           /* end of central directory record */
    COMMENT_MAX = 65535,      /* that may follow it */
    LOCATOR_BYTES = 20,       /* ZIP64 end of central directory locator */
    END64_BYTES = 56,         /* ZIP64 end of central directory record */
    CENTRAL_BYTES = 46,       /* central directory header, without name, extra and comment */
    LOCAL_BYTES = 30,         /* local file header, without name and extra */
    DIRECTORY_MAX = 16 << 20, /* no sensible archive of arrays has a larger one */
    EXTRA_ZIP64 = 1,
};

static uint64_t little(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

static rls_status damaged(rls_context *ctx, const rls_zip *zip, const char *what)
{
    return rls_fail(ctx, RLS_ERR_DATA, "%s: not a sound .npz (zip) file: %s: truncated? fetch it again",
                    zip->source.path, what);
}

/* Exactly these bytes of the archive. */
static rls_status read_at(rls_context *ctx, const rls_zip *zip, int64_t offset, int64_t bytes, void *data)
{
    const rls_zip_source *s = &zip->source;
    if (offset < 0 || bytes < 0 || offset > s->bytes - bytes)
        return damaged(ctx, zip, "it points beyond its end");
    if (s->memory != NULL) {
        memcpy(data, s->memory + offset, (size_t)bytes);
        return RLS_OK;
    }
    for (int64_t done = 0; done < bytes;) {
        const ssize_t got = pread(s->fd, (char *)data + done, (size_t)(bytes - done), (off_t)(offset + done));
        if (got == 0)
            return damaged(ctx, zip, "it has become shorter");
        if (got < 0 && errno != EINTR)
            return rls_fail(ctx, RLS_ERR_IO, "%s: cannot read: %s", s->path, strerror(errno));
        done += got > 0 ? (int64_t)got : 0;
    }
    return RLS_OK;
}

typedef struct {
    uint64_t offset, bytes, count;
} directory;

/* The ZIP64 record in front of the end record at `end`, when there is one. */
static rls_status find_directory64(rls_context *ctx, const rls_zip *zip, int64_t end, directory *out)
{
    unsigned char locator[LOCATOR_BYTES], record[END64_BYTES];
    if (end < LOCATOR_BYTES)
        return RLS_OK;
    rls_status status = read_at(ctx, zip, end - LOCATOR_BYTES, LOCATOR_BYTES, locator);
    if (status != RLS_OK || memcmp(locator, "PK\6\7", 4) != 0)
        return status;
    const uint64_t at = little(locator + 8, 8);
    if (at > (uint64_t)zip->source.bytes)
        return damaged(ctx, zip, "the ZIP64 record is not in it");
    status = read_at(ctx, zip, (int64_t)at, END64_BYTES, record);
    if (status != RLS_OK)
        return status;
    if (memcmp(record, "PK\6\6", 4) != 0)
        return damaged(ctx, zip, "the ZIP64 record is not where it should be");
    *out = (directory){little(record + 48, 8), little(record + 40, 8), little(record + 32, 8)};
    return RLS_OK;
}

static rls_status find_directory(rls_context *ctx, const rls_zip *zip, directory *out)
{
    const int64_t all = zip->source.bytes,
                  tail = all < END_BYTES + COMMENT_MAX ? all : END_BYTES + COMMENT_MAX;
    void *memory = NULL;
    rls_status status = rls_alloc(ctx, tail + 1, 1, &memory);
    if (status == RLS_OK)
        status = read_at(ctx, zip, all - tail, tail, memory);
    const unsigned char *bytes = memory;
    int64_t at = tail - END_BYTES;
    while (status == RLS_OK && at >= 0 &&
           !(memcmp(bytes + at, "PK\5\6", 4) == 0 &&
             at + END_BYTES + (int64_t)little(bytes + at + 20, 2) == tail))
        at--;
    if (status == RLS_OK && at < 0)
        status = damaged(ctx, zip, "there is no table of contents at its end");
    if (status == RLS_OK) {
        *out =
            (directory){little(bytes + at + 16, 4), little(bytes + at + 12, 4), little(bytes + at + 10, 2)};
        status = find_directory64(ctx, zip, all - tail + at, out);
    }
    free(memory);
    if (status == RLS_OK && (out->bytes > DIRECTORY_MAX || out->count > out->bytes / CENTRAL_BYTES ||
                             out->offset > (uint64_t)all))
        return damaged(ctx, zip, "its table of contents makes no sense");
    return status;
}

/* Sizes and offset that do not fit 32 bits are in the ZIP64 extra field, in this order, each only when its
 * place in the header is all ones. */
static bool take_zip64(const unsigned char *extra, int64_t length, uint64_t *bytes, uint64_t *packed,
                       uint64_t *header)
{
    uint64_t *const values[] = {bytes, packed, header};
    while (length >= 4) {
        const int64_t size = (int64_t)little(extra + 2, 2);
        if (size > length - 4)
            return false;
        if (little(extra, 2) == EXTRA_ZIP64) {
            int64_t at = 4;
            for (int i = 0; i < 3; i++)
                if (*values[i] == UINT32_MAX) {
                    if (at + 8 > size + 4)
                        return false;
                    *values[i] = little(extra + at, 8);
                    at += 8;
                }
            return true;
        }
        extra += size + 4;
        length -= size + 4;
    }
    return true;
}

/* One header of the table; *at goes on to the next. */
static bool take_entry(const unsigned char *bytes, int64_t length, int64_t *at, int64_t file_bytes,
                       rls_zip_entry *out)
{
    const unsigned char *header = bytes + *at;
    if (length - *at < CENTRAL_BYTES || memcmp(header, "PK\1\2", 4) != 0)
        return false;
    const int64_t name = (int64_t)little(header + 28, 2), extra = (int64_t)little(header + 30, 2),
                  comment = (int64_t)little(header + 32, 2);
    if (length - *at < CENTRAL_BYTES + name + extra + comment)
        return false;
    uint64_t packed = little(header + 20, 4), unpacked = little(header + 24, 4),
             offset = little(header + 42, 4);
    if (!take_zip64(header + CENTRAL_BYTES + name, extra, &unpacked, &packed, &offset))
        return false;
    const uint64_t method = little(header + 10, 2);
    if (packed > (uint64_t)file_bytes || offset > (uint64_t)file_bytes || unpacked > INT64_MAX / 2 ||
        (method == 0 && packed != unpacked))
        return false;
    *out = (rls_zip_entry){.deflated = method == 8,
                           .unknown = method != 0 && method != 8,
                           .encrypted = (little(header + 8, 2) & 1) != 0,
                           .header = (int64_t)offset,
                           .packed = (int64_t)packed,
                           .bytes = (int64_t)unpacked,
                           .crc = (uint32_t)little(header + 16, 4)};
    if (name < RLS_ZIP_NAME_MAX)
        memcpy(out->name, header + CENTRAL_BYTES, (size_t)name);
    *at += CENTRAL_BYTES + name + extra + comment;
    return true;
}

static rls_status read_directory(rls_context *ctx, rls_zip *zip)
{
    directory d = {0, 0, 0};
    void *bytes = NULL, *entries = NULL;
    rls_status status = find_directory(ctx, zip, &d);
    if (status == RLS_OK)
        status = rls_alloc(ctx, (int64_t)d.bytes, 1, &bytes);
    if (status == RLS_OK)
        status = rls_alloc_zero(ctx, (int64_t)d.count, sizeof(rls_zip_entry), &entries);
    zip->entries = entries;
    if (status == RLS_OK && d.bytes > 0)
        status = read_at(ctx, zip, (int64_t)d.offset, (int64_t)d.bytes, bytes);
    for (int64_t at = 0; status == RLS_OK && zip->count < (int64_t)d.count; zip->count++)
        if (!take_entry(bytes, (int64_t)d.bytes, &at, zip->source.bytes, &zip->entries[zip->count]))
            status = damaged(ctx, zip, "its table of contents is damaged");
    free(bytes);
    return status;
}

rls_status rls_zip_parse(rls_context *ctx, const char *path, const unsigned char *memory, int64_t bytes,
                         rls_zip *out)
{
    static const unsigned char none;
    *out = (rls_zip){.source = {path, memory != NULL ? memory : &none, -1, bytes}};
    return read_directory(ctx, out);
}

rls_status rls_zip_open(rls_context *ctx, const char *path, rls_zip *out)
{
    *out = (rls_zip){.source = {path, NULL, -1, 0}};
    const rls_status status = rls_file_size(ctx, path, &out->source.bytes);
    if (status != RLS_OK)
        return status;
    out->source.fd = open(path, O_RDONLY | O_CLOEXEC);
    if (out->source.fd < 0)
        return rls_fail(ctx, rls_input_status(errno), "%s: cannot open: %s", path, strerror(errno));
    return read_directory(ctx, out);
}

void rls_zip_close(rls_zip *zip)
{
    if (zip->source.memory == NULL && zip->source.fd >= 0 && zip->source.path != NULL)
        (void)close(zip->source.fd);
    free(zip->entries);
    *zip = (rls_zip){.source = {.fd = -1}};
}

const rls_zip_entry *rls_zip_find(const rls_zip *zip, const char *name)
{
    for (int64_t i = 0; i < zip->count; i++)
        if (strcmp(zip->entries[i].name, name) == 0)
            return &zip->entries[i];
    return NULL;
}

rls_status rls_zip_data(rls_context *ctx, const rls_zip *zip, const rls_zip_entry *entry, int64_t *offset)
{
    unsigned char header[LOCAL_BYTES];
    if (entry->encrypted || entry->unknown)
        return rls_fail(ctx, RLS_ERR_DATA,
                        "%s: %s is %s: only stored and deflated entries, as NumPy writes them, can be read",
                        zip->source.path, entry->name,
                        entry->encrypted ? "encrypted" : "packed in an unknown way");
    const rls_status status = read_at(ctx, zip, entry->header, LOCAL_BYTES, header);
    if (status != RLS_OK)
        return status;
    if (memcmp(header, "PK\3\4", 4) != 0)
        return damaged(ctx, zip, "an entry does not begin where its table of contents says");
    *offset = entry->header + LOCAL_BYTES + (int64_t)little(header + 26, 2) + (int64_t)little(header + 28, 2);
    if (*offset > zip->source.bytes - entry->packed)
        return damaged(ctx, zip, "an entry goes beyond its end");
    return RLS_OK;
}
