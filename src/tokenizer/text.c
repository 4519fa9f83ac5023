#include "tokenizer/text.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/memory.h"

rls_status rls_grow(rls_context *ctx, void **array, int64_t *capacity, int64_t need, size_t size)
{
    if (need <= *capacity)
        return RLS_OK;
    const int64_t twice = *capacity > INT64_MAX / 4 ? need : *capacity * 2;
    const int64_t wanted = need > twice ? need : twice;
    void *grown = (uint64_t)wanted <= SIZE_MAX / 2 / size ? realloc(*array, (size_t)wanted * size) : NULL;
    if (grown == NULL)
        return rls_fail(ctx, RLS_ERR_MEMORY, "no memory for %lld elements of %zu bytes in the tokenizer",
                        (long long)wanted, size);
    *array = grown;
    *capacity = wanted;
    return RLS_OK;
}

rls_status rls_text_add(rls_context *ctx, rls_text *text, const char *data, int64_t bytes)
{
    void *grown = text->data;
    const rls_status status = rls_grow(ctx, &grown, &text->capacity, text->count + bytes + 1, 1);
    text->data = grown;
    if (status != RLS_OK)
        return status;
    if (bytes > 0)
        memcpy(text->data + text->count, data, (size_t)bytes);
    text->count += bytes;
    text->data[text->count] = '\0';
    return RLS_OK;
}

int64_t rls_text_find(const char *text, int64_t bytes, const rls_text *part)
{
    for (int64_t at = 0; at + part->count <= bytes; at++) {
        const char *found = memchr(text + at, part->data[0], (size_t)(bytes - part->count - at + 1));
        if (found == NULL)
            return -1;
        at = found - text;
        if (memcmp(found, part->data, (size_t)part->count) == 0)
            return at;
    }
    return -1;
}

void rls_text_free(rls_text *text)
{
    free(text->data);
    *text = (rls_text){0};
}

int rls_char_bytes(const char *text)
{
    const uint8_t first = (uint8_t)*text;
    return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

uint32_t rls_char_get(const char *text)
{
    const uint8_t *b = (const uint8_t *)text;
    if (b[0] < 0x80)
        return b[0];
    if (b[0] < 0xe0)
        return (b[0] & 0x1fu) << 6 | (b[1] & 0x3fu);
    if (b[0] < 0xf0)
        return (b[0] & 0x0fu) << 12 | (b[1] & 0x3fu) << 6 | (b[2] & 0x3fu);
    return (b[0] & 0x07u) << 18 | (b[1] & 0x3fu) << 12 | (b[2] & 0x3fu) << 6 | (b[3] & 0x3fu);
}

int rls_char_put(uint32_t code, char out[RLS_CHAR_MAX])
{
    return (int)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)out);
}

int64_t rls_char_before(const char *text, int64_t at)
{
    do
        at--;
    while (at > 0 && ((uint8_t)text[at] & 0xc0) == 0x80);
    return at;
}

bool rls_char_is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0d) || code == 0x20 || code == 0x85 || code == 0xa0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200a) || code == 0x2028 || code == 0x2029 || code == 0x202f ||
           code == 0x205f || code == 0x3000;
}

bool rls_char_is_word(uint32_t code)
{
    /* the alphabetic characters that are neither letters nor marks: circled and squared Latin letters */
    if ((code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
        (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189) || code == 0x200c ||
        code == 0x200d)
        return true;
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return false;
    }
}

/* Printable bytes of Latin-1 stand for themselves; the other 68, in order, are U+0100 and on. */
uint32_t rls_byte_char(uint8_t byte)
{
    if (byte <= 0x20)
        return 0x100u + byte;
    if (byte < 0x7f)
        return byte;
    if (byte <= 0xa0)
        return 0x121u + (byte - 0x7fu);
    return byte == 0xad ? 0x143u : byte;
}

int rls_char_byte(uint32_t code)
{
    if (code > 0x143 || code <= 0x20 || (code >= 0x7f && code <= 0xa0) || code == 0xad)
        return -1;
    if (code < 0x100)
        return (int)code;
    if (code <= 0x120)
        return (int)code - 0x100;
    return code == 0x143 ? 0xad : (int)code - 0x121 + 0x7f;
}
