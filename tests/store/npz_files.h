/* Small .npz files built byte by byte, as NumPy writes them, or wrong in one way. Rank 0's business. */
#ifndef STORE_NPZ_FILES_H
#define STORE_NPZ_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "rlsedit/dtype.h"

typedef struct {
    unsigned char *data;
    size_t size, room;
} bytes;

static inline void add_bytes(bytes *b, const void *data, size_t size)
{
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size);
        b->data = realloc(b->data, b->room);
        if (b->data == NULL)
            abort();
    }
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void add_number(bytes *b, uint64_t value, int size)
{
    unsigned char little[8];
    for (int i = 0; i < size; i++)
        little[i] = (unsigned char)(value >> 8 * i);
    add_bytes(b, little, (size_t)size);
}

/* The header of an array; its text is given, the padding is NumPy's. */
static inline void add_npy_header(bytes *b, int version, const char *text)
{
    const size_t prefix = version == 1 ? 10 : 12;
    const size_t length = (prefix + strlen(text) + 1 + 63) / 64 * 64 - prefix;
    add_bytes(b, "\x93NUMPY", 6);
    add_number(b, (uint64_t)version, 2);
    add_number(b, length, version == 1 ? 2 : 4);
    add_bytes(b, text, strlen(text));
    for (size_t i = strlen(text); i + 1 < length; i++)
        add_bytes(b, " ", 1);
    add_bytes(b, "\n", 1);
}

typedef struct {
    const char *name;
    const bytes *content;
    int deflated, zip64;
    uint32_t crc_flip;      /* xor of the checksum in the table of contents */
    uint64_t flags, method; /* 0: as they should be */
} zip_member;

static inline void deflate_bytes(const bytes *from, bytes *to)
{
    z_stream s = {0};
    unsigned char *out = malloc(from->size + from->size / 100 + 1024);
    if (out == NULL || deflateInit2(&s, 1, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    s.next_in = from->data;
    s.avail_in = (uInt)from->size;
    s.next_out = out;
    s.avail_out = (uInt)(from->size + from->size / 100 + 1024);
    if (deflate(&s, Z_FINISH) != Z_STREAM_END)
        abort();
    add_bytes(to, out, s.total_out);
    (void)deflateEnd(&s);
    free(out);
}

/* What local and central headers have in common, from the version on. */
static inline void add_common(bytes *b, const zip_member *m, uint32_t crc, uint64_t packed, uint64_t extra)
{
    add_number(b, 20, 2);
    add_number(b, m->flags, 2);
    add_number(b, m->method != 0 ? m->method : m->deflated != 0 ? 8 : 0, 2);
    add_number(b, 0, 4);
    add_number(b, crc, 4);
    add_number(b, m->zip64 != 0 ? UINT32_MAX : packed, 4);
    add_number(b, m->zip64 != 0 ? UINT32_MAX : m->content->size, 4);
    add_number(b, strlen(m->name), 2);
    add_number(b, extra, 2);
}

static inline void make_zip(bytes *zip, const zip_member *members, int count)
{
    bytes table = {0};
    for (int i = 0; i < count; i++) {
        const zip_member *m = &members[i];
        const uint64_t at = zip->size;
        const uint32_t crc = (uint32_t)crc32_z(0, m->content->data, m->content->size) ^ m->crc_flip;
        bytes packed = {0};
        if (m->deflated != 0)
            deflate_bytes(m->content, &packed);
        else
            add_bytes(&packed, m->content->data, m->content->size);
        add_bytes(zip, "PK\3\4", 4);
        add_common(zip, m, crc, packed.size, m->zip64 != 0 ? 20 : 0);
        add_bytes(zip, m->name, strlen(m->name));
        if (m->zip64 != 0) {
            add_number(zip, 1, 2);
            add_number(zip, 16, 2);
            add_number(zip, m->content->size, 8);
            add_number(zip, packed.size, 8);
        }
        add_bytes(zip, packed.data, packed.size);
        add_bytes(&table, "PK\1\2", 4);
        add_number(&table, 20, 2);
        add_common(&table, m, crc, packed.size, m->zip64 != 0 ? 28 : 0);
        add_number(&table, 0, 8); /* comment, disk, attributes */
        add_number(&table, 0, 2);
        add_number(&table, m->zip64 != 0 ? UINT32_MAX : at, 4);
        add_bytes(&table, m->name, strlen(m->name));
        if (m->zip64 != 0) {
            add_number(&table, 1, 2);
            add_number(&table, 24, 2);
            add_number(&table, m->content->size, 8);
            add_number(&table, packed.size, 8);
            add_number(&table, at, 8);
        }
        free(packed.data);
    }
    const uint64_t at = zip->size;
    const int zip64 = count > 0 && members[0].zip64 != 0;
    add_bytes(zip, table.data, table.size);
    if (zip64 != 0) {
        const uint64_t record = zip->size;
        add_bytes(zip, "PK\6\6", 4);
        add_number(zip, 44, 8);
        add_number(zip, 45 | 45 << 16, 4);
        add_number(zip, 0, 8);
        add_number(zip, (uint64_t)count, 8);
        add_number(zip, (uint64_t)count, 8);
        add_number(zip, table.size, 8);
        add_number(zip, at, 8);
        add_bytes(zip, "PK\6\7", 4);
        add_number(zip, 0, 4);
        add_number(zip, record, 8);
        add_number(zip, 1, 4);
    }
    add_bytes(zip, "PK\5\6", 4);
    add_number(zip, 0, 4);
    add_number(zip, zip64 != 0 ? 0xffff : (uint64_t)count, 2);
    add_number(zip, zip64 != 0 ? 0xffff : (uint64_t)count, 2);
    add_number(zip, table.size, 4);
    add_number(zip, zip64 != 0 ? UINT32_MAX : at, 4);
    add_number(zip, 0, 2);
    free(table.data);
}

#endif
